"""A student as ONNX and GGUF: the same answers elsewhere, and what cannot be carried is said."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from check_exports import cut
from hypothesis import assume, given
from hypothesis import strategies as st
from tiny_random import tiny_random

from miniluotuo_utils.__main__ import main
from miniluotuo_utils.export import to_gguf, to_onnx
from miniluotuo_utils.export.asking import asking, write_tokenizer
from miniluotuo_utils.export.example import written
from miniluotuo_utils.export.gguf import modelfile
from miniluotuo_utils.export.onnx import write_onnx
from miniluotuo_utils.export.trying import Llama
from miniluotuo_utils.files import DataError, read_jsonl
from miniluotuo_utils.generation import generate
from miniluotuo_utils.generation.batching import end_ids
from miniluotuo_utils.generation.streaming import whole_text
from miniluotuo_utils.ie import build_instructions
from miniluotuo_utils.jobs.push import push
from miniluotuo_utils.runtime import EMBEDDED
from miniluotuo_utils.students import Student, finetune, load_student
from miniluotuo_utils.tokens import prompt_ids, prompts_of, text_of
from miniluotuo_utils.writing import Taken

TYPES = ["人物", "地点", "机构", "时间"]
TOKENS = 48  # of an answer, at most


def rows(count):
    """Questions of the embedded test, as extraction asks them."""
    records = [{**r, "entities": []} for r in read_jsonl(EMBEDDED / "ner_test.jsonl")[:count]]
    return build_instructions(records, "NER", TYPES, paraphrases=False)


# ---- ONNX


@pytest.fixture(scope="module")
def onnx(tiny, tmp_path_factory):
    """The embedded student as a folder of ONNX."""
    return to_onnx(tiny, tmp_path_factory.mktemp("out") / "onnx")


@pytest.mark.parametrize(
    "name", ["luotuo-110m", "luotuo-312m", "gpt-neo-125m", "bloom-560m", "llama-7b", "qwen2.5-0.5b"]
)
def test_other_families_answer_as_python_does(name, tmp_path):
    """Positions or a mask that a trace had frozen: right for one length, wrong for the next."""
    from onnxruntime import InferenceSession

    student = tiny_random(name)
    write_onnx(student, tmp_path / "model.onnx")
    session = InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    prompts = prompts_of(student, rows(4))
    ids = prompt_ids(student.tokenizer, prompts)
    said = [written(session, one, end_ids(student), 16) for one in ids]
    texts = [whole_text(student.tokenizer, one) for one in said]
    assert texts == generate(student, prompts, max_new_tokens=16)


def test_a_student_fresh_from_training_is_exported_as_it_is(tmp_path):
    """`Cannot insert a Tensor that requires grad as a constant`: a training wraps `forward`, and
    the copy still called the model that was copied."""
    student = load_student("tiny")
    asked = [{**row, "output": "{}"} for row in rows(4)]
    finetune(student, asked, max_steps=1, batch_size=4)
    folder = to_onnx(student, tmp_path / "out")
    wanted = generate(student, prompts_of(student, rows(2)), max_new_tokens=TOKENS)
    assert answers_of(folder, student, rows(2)) == wanted


def test_a_family_that_the_exporter_fails_on_is_said(tmp_path):
    """Two pages of torch's own words, and `AssertionError: All tensors must have the same rank`."""
    with pytest.raises(DataError, match="found 'glm', which .* cannot write .*rotary positions"):
        to_onnx(tiny_random("glm-edge-1.5b"), tmp_path / "out")
    assert not [*tmp_path.iterdir()]


SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


@pytest.mark.parametrize(
    ("config", "more", "why"),
    [
        ("Qwen3MoeConfig", {"num_experts": 4, "num_experts_per_tok": 2}, "its experts"),
        ("FalconConfig", {}, "Sizes of tensors must match"),
        ("MambaConfig", {}, "must match the size"),
    ],
)
def test_a_model_that_cannot_be_traced_is_one_sentence(config, more, why, tmp_path, capfd):
    """Pages of graph and `UnsupportedOperatorError: aten::histc`, or an error of torch's own."""
    import transformers

    tokenizer = tiny_random("gpt2-124m").tokenizer
    settings = getattr(transformers, config)(vocab_size=len(tokenizer), **SMALL, **more)
    model = transformers.AutoModelForCausalLM.from_config(settings).eval()
    with pytest.raises(DataError, match=f"field model_type: .*{why}.*take serve"):
        to_onnx(Student("other", model, tokenizer), tmp_path / "out")
    assert not [*tmp_path.iterdir()]
    assert "Torch IR graph" not in capfd.readouterr().out


def answers_of(folder, student, asked, model="model.onnx"):
    """What onnxruntime writes in answer to rows, as texts of the folder's own tokenizer."""
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

    session = InferenceSession(folder / "onnx" / model, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    prompts = prompt_ids(student.tokenizer, prompts_of(student, asked))
    ends = json.loads((folder / "asking.json").read_text(encoding="utf-8"))["ends"]
    said = [tokenizer.decode(written(session, ids, ends, TOKENS)) for ids in prompts]
    return [text.replace("\ufffd", "") for text in said]


def test_onnxruntime_answers_as_python_does(onnx, tiny):
    """A cache that was fed in the wrong order answers fluently, and otherwise."""
    asked = rows(10)
    wanted = generate(tiny, prompts_of(tiny, asked), max_new_tokens=TOKENS)
    assert answers_of(onnx, tiny, asked) == wanted

    # 8 bits answer too, perhaps otherwise, from a much smaller file.
    small, whole = (onnx / "onnx" / name for name in ("model_int8.onnx", "model.onnx"))
    assert small.stat().st_size < 0.7 * whole.stat().st_size
    assert all(answers_of(onnx, tiny, asked[:2], "model_int8.onnx"))


def test_the_example_in_the_folder_runs_alone(onnx, tiny, tmp_path):
    """A folder that only our package can run is no way out of it."""
    shutil.copytree(onnx, tmp_path / "elsewhere")
    [row] = rows(1)
    command = [sys.executable, "-I", "example.py", row["instruction"], row["input"]]
    environment = {**os.environ, "PYTHONUTF8": "1"}
    done = subprocess.run(
        command, cwd=tmp_path / "elsewhere", env=environment, capture_output=True, encoding="utf-8"
    )
    assert done.stdout.strip() == generate(tiny, prompts_of(tiny, [row]))[0], done.stderr


@pytest.mark.parametrize("name", ["tiny", "luotuo-312m", "luotuo-110m", "llama-7b", "qwen3-0.6b"])
def test_a_question_has_the_ids_of_python(name):
    """A prompt that was put together outside lacked a start token, or a line break."""
    student = tiny_random(name)
    told = asking(student)
    before, between, after = told["around"]
    for row in rows(2):
        whole = before + row["instruction"] + between + row["input"] + after
        ids = told["start"] + student.tokenizer.encode(whole, add_special_tokens=False)
        assert ids == prompt_ids(student.tokenizer, prompts_of(student, [row]))[0]
    assert told["ends"] == end_ids(student)


@pytest.fixture(scope="module")
def decode(tmp_path_factory):
    """A WordPiece tokenizer as it is written out, beside the student's own."""
    from tokenizers import Tokenizer

    student, folder = tiny_random("luotuo-312m"), tmp_path_factory.mktemp("wordpiece")
    write_tokenizer(student, folder)
    return student.tokenizer, Tokenizer.from_file(str(folder / "tokenizer.json")).decode


@given(st.data())
def test_a_wordpiece_student_has_its_spaces_and_no_others(decode, data):
    """`{ " 人 物 " : [ " 李 白 " ] }`: the tokenizer's own decoder puts a space between all."""
    tokenizer, decoded = decode
    ids = st.integers(0, len(tokenizer) - 1).filter(lambda i: i not in tokenizer.all_special_ids)
    drawn = data.draw(st.lists(ids, max_size=12))
    # No text begins in the middle of a word.
    first = tokenizer.convert_ids_to_tokens(drawn)[:1]
    assume(not (first and first[0].startswith("##")))
    assert decoded(drawn) == text_of(tokenizer, drawn)


def test_words_of_letters_keep_the_space_between_them(decode):
    tokenizer, decoded = decode
    ids = tokenizer.encode('{"a b":["李白 c1"]}', add_special_tokens=False)
    assert decoded(ids) == '{"a b":["李白c1"]}'


# ---- GGUF


@pytest.fixture
def llama():
    """What opens a GGUF in llama.cpp's own server, and asks it."""
    pytest.importorskip("xllamacpp", reason="no llama.cpp: pip install xllamacpp")
    return Llama


@pytest.mark.parametrize("name", ["tiny", "luotuo-110m", "qwen3-0.6b", "qwen2.5-0.5b"])
def test_llama_cpp_answers_as_python_does(name, llama, tmp_path, tiny):
    """A tied GPT-2 did not load; a turned weight or another split loads, and answers nonsense."""
    student = tiny if name == "tiny" else tiny_random(name)
    ask = llama(to_gguf(student, tmp_path / "out", say=None) / "student.gguf")
    asked = rows(20)
    prompts = prompts_of(student, asked)
    ids = prompt_ids(student.tokenizer, prompts)
    found = [ask("/tokenize", content=p, add_special=True, parse_special=True) for p in prompts]
    assert [one["tokens"] for one in found] == ids

    fixed = {"n_predict": 24, "samplers": ["top_k"], "top_k": 1, "return_tokens": True}
    said = [ask("/completion", prompt=p, cache_prompt=False, **fixed)["tokens"] for p in ids]
    texts = [whole_text(student.tokenizer, cut(one, end_ids(student)[0])) for one in said]
    assert texts == generate(student, prompts, max_new_tokens=24)

    # A client sends messages: the template in the file asks as training did.
    [talk] = [
        {"role": "user", "content": f"{row['instruction']}\n{row['input']}"} for row in asked[:1]
    ]
    if student.tokenizer.chat_template:
        assert ask("/apply-template", messages=[talk])["prompt"] == prompts[0]


def test_ollama_asks_as_training_did(tiny):
    """Ollama asked in a template of its own, and the student answered nothing."""
    assert modelfile(tiny) == (
        "FROM ./student.gguf\n"
        'TEMPLATE """<|user|>{{ .Prompt }}<|assistant|>{{ .Response }}<|endoftext|>"""\n'
        'PARAMETER temperature 0\nPARAMETER num_ctx 1024\nPARAMETER stop "<|endoftext|>"\n'
    )


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("gpt-neo-125m", "field model_type: found 'gpt_neo', expected one of gpt2, qwen2, qwen3"),
        ("cerebras-111m", "field activation_function: found 'gelu', expected 'gelu_new'"),
        ("luotuo-312m", "llama.cpp would give other ids: .*BertPreTokenizer.*found WordPiece"),
    ],
)
def test_what_a_gguf_cannot_carry_is_said(name, wrong, tmp_path):
    """A file that loads and computes something else is worse than none."""
    with pytest.raises(DataError, match=wrong):
        to_gguf(tiny_random(name), tmp_path / "out")
    assert not [*tmp_path.iterdir()]


def test_what_a_server_cannot_say_stands_in_the_readme(tmp_path):
    """Alpaca's input field is lost behind a server, without a word."""
    said = []
    folder = to_gguf(tiny_random("luotuo-110m"), tmp_path / "out", say=said.append)
    assert "Alpaca's wrapper has a field" in said[0]
    assert said[0] in (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("way", [to_onnx, to_gguf])
def test_an_encoder_decoder_is_refused(way, tmp_path):
    """Half of a T5 was exported, the half that does not read."""
    with pytest.raises(ValueError, match="is an encoder–decoder, which --to"):
        way(tiny_random("t5-61m"), tmp_path / "out")


@pytest.mark.parametrize("way", [to_onnx, to_gguf])
@pytest.mark.parametrize("method", ["lora", "prompt"])
def test_an_adapter_is_refused_with_the_way(way, method, tmp_path):
    """A prompt-tuned student was exported without what it had learned, and nobody was told."""
    student = tiny_random("wenzhong-110m")
    finetune(student, [{**row, "output": "{}"} for row in rows(2)], method, max_steps=1)
    with pytest.raises(ValueError, match=r"has an adapter on it.*merge\(student\) first"):
        way(student, tmp_path / "out")
    assert not [*tmp_path.iterdir()]


# ---- the command


def shell(*words):
    """Run a command as a shell does; what it prints is left alone."""
    return main(list(map(str, words)))


def test_an_adapter_is_merged_on_the_way_and_that_is_said(tmp_path, capsys, llama):
    """An adapter's own few weights went into the file, or its base's alone."""
    from peft import LoraConfig, get_peft_model

    from miniluotuo_utils.students import merge, save

    base = load_student("tiny")
    base.model = get_peft_model(base.model, LoraConfig(target_modules=["q_proj", "v_proj"]))
    base.model.peft_config["default"].base_model_name_or_path = "tiny"
    for name, weight in base.model.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(0, 0.2)
    save(base, tmp_path / "adapter")
    shell("export", tmp_path / "adapter", tmp_path / "out", "--to", "gguf")
    assert "merged into its base tiny" in capsys.readouterr().out

    student = merge(load_student(tmp_path / "adapter"))
    ask = llama(tmp_path / "out" / "student.gguf")
    [ids] = prompt_ids(student.tokenizer, prompts_of(student, rows(1)))
    fixed = {"n_predict": 16, "samplers": ["top_k"], "top_k": 1, "return_tokens": True}
    said = whole_text(student.tokenizer, cut(ask("/completion", prompt=ids, **fixed)["tokens"], 0))
    assert said == generate(student, prompts_of(student, rows(1)), max_new_tokens=16)[0]


def test_a_folder_that_is_no_student_and_one_of_another_are_said(tmp_path, capsys):
    """`FileNotFoundError: config.json`, or somebody's thesis replaced by a student."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.txt").write_text("三年", encoding="utf-8")
    assert shell("export", tmp_path / "notes", tmp_path / "out", "--to", "gguf") == 2
    assert "expected a student" in capsys.readouterr().err
    assert shell("export", "tiny", tmp_path / "notes", "--to", "gguf", "--overwrite") == 2
    assert "thesis.txt" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "notes").iterdir()] == ["thesis.txt"]
    assert shell("export", "tiny", tmp_path / "out", "--to", "onnx", "--types", "人物") == 2
    assert "--types is for --to browser" in capsys.readouterr().err


def test_an_earlier_export_is_replaced_only_when_told(tiny, tmp_path):
    to_gguf(tiny, tmp_path / "out", say=None)
    with pytest.raises(Taken, match="out is there already"):
        to_gguf(tiny, tmp_path / "out", say=None)
    to_gguf(tiny, tmp_path / "out", overwrite=True, say=None)
    (tmp_path / "out" / "mine.txt").write_text("x", encoding="utf-8")
    with pytest.raises(Taken, match="mine.txt, which we did not write"):
        to_gguf(tiny, tmp_path / "out", overwrite=True, say=None)


@pytest.mark.parametrize(
    "said",
    [
        (errno.ENOSPC, "No space left on device"),
        (errno.EFBIG, "File too large"),
        ("1572864 requested and 1541264 written",),  # numpy
    ],
)
def test_a_full_disk_leaves_nothing_that_looks_whole(said, tiny, tmp_path, monkeypatch):
    """`error: 1572864 requested and 1541264 written`, and no word of a disk."""
    import gguf

    def full(*_, **__):
        raise OSError(*said)

    monkeypatch.setattr(gguf.GGUFWriter, "write_tensors_to_file", full)
    with pytest.raises(OSError, match=r"disk full while writing out \(\d+ MiB free"):
        to_gguf(tiny, tmp_path / "out")
    assert not [*tmp_path.iterdir()]


KILLED = """
import os, signal, sys
import gguf
from miniluotuo_utils.__main__ import main

gguf.GGUFWriter.write_tensors_to_file = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
main(sys.argv[1:])
"""


def test_a_killed_export_is_not_there_and_the_next_one_is(tiny, tmp_path):
    """A folder with half of the weights was taken for a student."""
    command = ["export", "tiny", str(tmp_path / "out"), "--to", "gguf"]
    done = subprocess.run([sys.executable, "-c", KILLED, *command], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    assert not shell(*command)
    names = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert names == {"out"}
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == {"student.gguf", "config.json", "Modelfile", "README.md", ".mini-luotuo.json"}


def test_a_gguf_knows_what_its_student_learned_from(tiny, tmp_path):
    """The same weights in another format, and the licence of nobody."""
    lesson = {"base": "tiny", "method": "full", "steps": 1, "tokens": 9, "seconds": 1.0}
    taught = replace(tiny, lessons=[{**lesson, "sources": {"resume": 1}}])
    parcel = push(to_gguf(taught, tmp_path / "out", say=None), "me/x", say=[].append)
    assert [one.name for one in parcel.refused] == ["resume"]
