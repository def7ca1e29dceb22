"""Publishing: the card says what is known, a licence refuses, and the hub shows all or nothing."""

import json
import re

import pytest
from fake_hub import FakeHub
from hypothesis import given
from hypothesis import strategies as st

from miniluotuo_utils.__main__ import main
from miniluotuo_utils.data.catalog import CATALOG, TERMS
from miniluotuo_utils.data.licences import (
    FOLLOWS,
    STRICT,
    check_own,
    hub_licence,
    origin,
    origins,
    refused,
    strictest,
)
from miniluotuo_utils.files import write_jsonl
from miniluotuo_utils.jobs.push import push
from miniluotuo_utils.students.lessons import lessons_in
from miniluotuo_utils.students.model_card import card, student_origins

TOKEN = "hf_" + "x" * 20
LESSON = {
    "base": "tiny",
    "revision": None,
    "method": "full",
    "steps": 3,
    "tokens": 90,
    "seconds": 30.0,
    "sources": {"coig/exam": 5, "coig/leetcode": 4, "embedded-ner": 3},
}


def student(folder, *lessons):
    """A folder as `save` writes it, with weights of six numbers."""
    import numpy as np
    from safetensors.numpy import save_file

    folder.mkdir()
    save_file({"w": np.zeros((2, 3), np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text('{"model_type": "qwen3", "max_position_embeddings": 64}')
    (folder / "README.md").write_text("# 学生 · A student\n\n怎样加载。\n", encoding="utf-8")
    (folder / "learned.json").write_text(json.dumps(list(lessons or (LESSON,))))
    return folder


def dataset(folder, *sources):
    """A folder as `publish` writes it, with one row of each source."""
    folder.mkdir()
    rows = [{"instruction": "数", "input": "", "output": "一", "source": one} for one in sources]
    write_jsonl(folder / "train.jsonl", rows)
    (folder / "README.md").write_text("---\nlanguage:\n- zh\n---\n\n# 数据\n", encoding="utf-8")
    return folder


@pytest.fixture
def hub(httpserver, monkeypatch):
    """A hub that the library asks, without the network being forbidden or waits in between."""
    for name, value in (("HF_HUB_OFFLINE", False), ("HF_HUB_DISABLE_XET", True)):
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    found = FakeHub().on(httpserver)
    monkeypatch.setenv("HF_ENDPOINT", found.address)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return found


# ---- what licences ask together


def test_every_reading_of_a_licence_has_its_place_and_its_words():
    """A new reading in the catalog that no card could explain."""
    assert {*STRICT} == {*TERMS} == {*FOLLOWS}


@given(st.lists(st.sampled_from(sorted(CATALOG)), min_size=1))
def test_a_source_more_never_asks_less(names):
    """The strictest of several, and whether they may be published, do not depend on order."""
    found = origins(dict.fromkeys(names, 1))
    rank = STRICT.index(strictest(found).terms)
    assert rank == max(STRICT.index(CATALOG[name].terms) for name in names)
    for name in names:
        alone = origins({name: 1})
        assert STRICT.index(strictest(alone).terms) <= rank
        for what in ("rows", "weights"):
            assert bool(refused(alone, what)) <= bool(refused(found, what))
    if refused(found, "weights"):
        assert refused(found, "rows"), "what students may not be made of may not be copied either"


def test_an_unknown_source_is_said_and_not_invented():
    """A file of one's own was published under a licence that nobody had given."""
    [own] = origins({"日记": 2})
    assert (own.terms, own.known) == ("not looked up", False)
    assert origins({"日记": 2}, own=["日记"])[0].terms == "permissive"
    assert hub_licence([own]) == "other"
    with pytest.raises(ValueError, match="resume states a licence .none stated., so it is not one"):
        origins({"resume": 1}, own=["resume"])
    with pytest.raises(ValueError, match="own is '日记', and the licence of every source is known"):
        check_own(["日记"], [origin("resume", 1)])
    with pytest.raises(ValueError, match="own is '日期'"):
        check_own(["日期"], [origin("日记", 1)])
    with pytest.raises(ValueError, match="accept is 'none'"):
        refused([own], "rows", accept=["none"])


# ---- the card


def test_a_card_holds_what_the_folder_says_and_no_more(tmp_path):
    """Numbers that a person typed into a card belong to another student after the next training."""
    more = {**LESSON["sources"], "iepile": 9, "": 1}
    folder = student(tmp_path / "mine", LESSON, {**LESSON, "sources": more})
    rates = {"precision": 0.5, "recall": 0.25, "f1": 1 / 3}
    made = card(folder, {"cluener/dev": {"task": "NER", "mode": "span", "micro": rates}})
    data, text = made.data.to_dict(), str(made)
    assert data["license"] == "other"  # a row without a source: nobody knows
    assert data["license_name"] == "not-looked-up"
    assert data["library_name"] == "transformers"
    assert data["datasets"] == ["BAAI/COIG"]
    assert "base_model" not in data
    [entry] = data["model-index"][0]["results"]
    assert entry["dataset"]["type"] == "cluener"
    assert entry["dataset"]["split"] == "dev"
    values = {one["type"]: one["value"] for one in entry["metrics"]}
    assert values == rates, "a rounded number is another number"
    for words in ("| 参数 parameters | 6 |", "64 个词元", "训练 training 2", "CC BY-NC-SA 4.0"):
        assert words in text, words
    assert re.search(r"\[coig\]\(\S+\) \| 18 \|", text), "both trainings count"
    assert "没有查过的来源" in text
    assert "nameless" in text
    assert "怎样加载。" in text


def test_the_strictest_licence_is_named_with_its_source(tmp_path):
    """A student of CC BY-NC-SA rows went out as Apache-2.0."""
    made = card(student(tmp_path / "s", {**LESSON, "sources": {"iepile": 9, "coig": 100}}))
    assert made.data.license == "cc-by-nc-sa-4.0"
    assert "最严的一条来自 `iepile`（CC BY-NC-SA 4.0）" in made.text
    assert "没有评过" in made.text
    made = card(student(tmp_path / "t", {**LESSON, "sources": {"coig": 1}}))
    assert made.data.license == "apache-2.0"


def test_a_folder_without_a_record_says_so(tmp_path):
    """Somebody else's student has no `learned.json`; nothing is made up in its place."""
    folder = student(tmp_path / "s")
    (folder / "learned.json").unlink()
    text = str(card(folder))
    assert "底座 base | 不知道 unknown" in text
    assert "unrecorded" in text
    with pytest.raises(FileNotFoundError, match="empty: found no config.json"):
        (tmp_path / "empty").mkdir()
        card(tmp_path / "empty")


def test_what_a_student_learned_is_kept_from_training_to_training(tmp_path):
    """`run.json` knew the hash of a file and not whose sentences were in it."""
    from miniluotuo_utils.students import finetune, load_student, merge, save

    def taught(name, method, *sources):
        whole = load_student(name, "cpu")
        rows = [{"instruction": "数", "output": "一", "source": one} for one in sources]
        return finetune(whole, rows, method, max_steps=1, batch_size=1).student

    first = save(taught("tiny", "full", "coig/exam", "coig/exam", "diary"), tmp_path / "first")
    second = taught(first, "lora", "resume")
    adapter = save(second, tmp_path / "second")
    whole = save(merge(load_student(adapter)), tmp_path / "whole")
    lessons = [(one["base"], one["method"], one["sources"]) for one in lessons_in(whole)]
    assert lessons == [
        ("tiny", "full", {"coig/exam": 2, "diary": 1}),
        ("./first", "lora", {"resume": 1}),
    ]
    assert lessons_in(adapter) == lessons_in(whole)
    assert card(adapter).data.library_name == "peft"
    with pytest.raises(ValueError, match="second/adapter_config.json.*'./first'.*merge"):
        push(adapter, "me/second")


def test_what_a_teacher_learned_goes_on_to_its_student(tmp_path):
    """A student of a student of CC BY-NC-SA rows counted as free of them."""
    from miniluotuo_utils.students import distill, finetune, load_student, save

    rows = [{"instruction": "数", "output": "一", "source": "coig"}]
    teacher = load_student("tiny", "cpu")
    finetune(teacher, [{**rows[0], "source": "iepile"}], max_steps=1)
    student = load_student("tiny", "cpu")
    distill(student, rows, teacher=teacher, method="logits", max_steps=1)
    folder = save(student, tmp_path / "s")
    found = {one.name: one.rows for one in student_origins(folder)}
    assert found == {"tiny": None, "coig": 1, "iepile": 1}
    assert "蒸馏 distilled" in card(folder).text
    assert card(folder).data.license == "cc-by-nc-sa-4.0"


def test_a_training_on_files_counts_their_sources(tmp_path):
    """Token rows hold no source, and a training from a shell learns from token rows."""
    rows = [{"instruction": "数", "input": "", "output": "一", "source": "coig/exam"}] * 3
    write_jsonl(tmp_path / "rows.jsonl", rows)
    for name in ("fresh", "again"):  # the second time, too
        out = str(tmp_path / name)
        data = ["--data", str(tmp_path / "rows.jsonl"), "embedded-instructions"]
        assert main(["train", "--student", "tiny", *data, "--out", out, "--max-steps", "1"]) == 0
        [lesson] = lessons_in(tmp_path / name)
        assert lesson["sources"] == {"coig/exam": 3, "embedded-instructions": 400}


# ---- pushing


def test_without_go_nothing_leaves_the_machine(tmp_path, hub, capsys):
    """A command that was tried once had published."""
    folder = student(tmp_path / "s")
    (folder / "notes.py").write_text("print('mine')")
    (folder / ".secret").write_text("x")
    assert main(["push", str(folder), "me/s"]) == 0
    said = capsys.readouterr()
    assert not hub.asked
    for words in (
        "s → me/s",
        "model.safetensors",
        "留下不发 2 个",
        "许可证允许发布",
        "没有上传，加上 --go",
    ):
        assert words in said.err, words
    assert TOKEN not in said.out + said.err


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_a_folder_is_created_and_uploaded_with_its_card(kind, tmp_path, hub):
    """All files, the generated card, private, under one commit."""
    made = student if kind == "model" else dataset
    folder = made(tmp_path / "s") if kind == "model" else made(tmp_path / "s", "coig", "fewfc")
    said = []
    push(folder, "me/s", go=True, say=said.append)
    files = hub.repos["me/s"]
    assert hub.private["me/s"] is True
    assert hub.tokens == {f"Bearer {TOKEN}"}
    assert hub.asked["commit"] == 1
    for path in folder.iterdir():
        if path.name != "README.md":
            assert files[path.name] == path.read_bytes()
    text = files["README.md"].decode()
    assert ("model-index" in text or "最严的一条" in text) == (kind == "model")
    assert "uploaded" in said[-1]
    with pytest.raises(ValueError, match="me/s holds .* files already.*--overwrite"):
        push(folder, "me/s", go=True, say=said.append)
    push(folder, "me/s", go=True, overwrite=True, say=said.append)


def test_what_was_exported_is_asked_where_it_comes_from(tmp_path, tiny):
    """The page's student had lost the record of its data, so nobody could say what it may be."""
    from dataclasses import replace

    from miniluotuo_utils.export.asking import write_tokenizer

    write_tokenizer(replace(tiny, lessons=[{**LESSON, "sources": {"resume": 1}}]), tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"a graph")
    parcel = push(tmp_path, "me/x", say=[].append)
    assert [one.name for one in parcel.refused] == ["resume"]


@pytest.mark.parametrize(
    ("step", "status", "words"),
    [
        ("create", 401, "令牌不对"),
        ("create", 403, "may not write there"),
        ("create", 409, "somebody else writes"),
        ("commit", 409, "somebody else writes"),
        ("preupload", 403, "may not write there"),
        ("batch", 503, "HTTP 503"),
        ("put", 500, "HTTP 500"),
        ("commit", 502, "HTTP 502"),
        ("commit", 400, "refused as a test asks"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence_and_shows_nothing(
    step, status, words, tmp_path, hub, capsys
):
    """A traceback of forty lines, with the request's headers in it; and a repository with weights
    but no card."""
    folder = student(tmp_path / "s")
    hub.refuse[step] = (status, 50)
    assert main(["push", str(folder), "me/s", "--go"]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "Nothing half-uploaded shows" in error
    assert TOKEN not in error
    assert "Traceback" not in error
    assert set(hub.repos.get("me/s", {})) <= {".gitattributes"}


def test_a_push_that_broke_goes_on_with_what_lacks(tmp_path, hub):
    """7 GB that had arrived were sent again, because the second file broke."""
    from safetensors.numpy import load_file, save_file

    folder = student(tmp_path / "s")
    other = {name: array + 1 for name, array in load_file(folder / "model.safetensors").items()}
    save_file(other, folder / "model-2.safetensors")
    hub.refuse["commit"] = (503, 1)
    with pytest.raises(OSError, match="HTTP 503.*goes on"):
        push(folder, "me/s", go=True, say=[].append)
    assert hub.asked["put"] == 2
    push(folder, "me/s", go=True, say=[].append)
    assert hub.asked["put"] == 2, "what had arrived was sent again"
    assert "model-2.safetensors" in hub.repos["me/s"]


@pytest.mark.parametrize(
    ("sources", "may", "words"),
    [
        (["resume"], {"accept": ["none stated"]}, "resume: none stated"),
        (["日记"], {"own": ["日记"]}, "日记: 不在目录里"),
        (["coig+m-1"], {"own": ["m-1"]}, "m-1"),
    ],
)
def test_a_licence_refuses_with_the_name_of_the_source(sources, may, words, tmp_path, hub):
    """Nobody asked whose sentences these were before they were on the hub."""
    lesson = {**LESSON, "sources": dict.fromkeys(sources, 1)}
    for folder in (student(tmp_path / "s", lesson), dataset(tmp_path / "d", *sources)):
        said = []
        parcel = push(folder, "me/x", say=said.append)
        assert parcel.refused
        assert any(words in line for line in said)
        with pytest.raises(ValueError, match=f"not to be published.*{words}"):
            push(folder, "me/x", go=True, say=said.append)
        assert not hub.asked
        assert not push(folder, "me/x", say=said.append, **may).refused


def test_what_was_had_by_agreement_is_never_copied(tmp_path, hub):
    """`--accept` speaks of permission to use; a set that may not be passed on stays."""
    found = dataset(tmp_path / "d", "boson")
    assert push(found, "me/x", accept=["restricted"], say=[].append).refused
    lesson = {**LESSON, "sources": {"boson": 1}}
    taught = student(tmp_path / "s", lesson)
    assert not push(taught, "me/x", accept=["restricted"], say=[].append).refused


def test_what_cannot_be_pushed_is_said(tmp_path, monkeypatch):
    """A folder of notes, a name with a space, no token, no network."""
    with pytest.raises(ValueError, match="'my model'.*expected OWNER/NAME"):
        push(tmp_path, "my model")
    with pytest.raises(ValueError, match="found nothing of these, expected a student"):
        push(tmp_path, "me/x")
    with pytest.raises(ValueError, match="found no such folder, expected adapter"):
        push(tmp_path / "nothing", "me/x", "adapter")
    folder = student(tmp_path / "s")
    with pytest.raises(ValueError, match="found student, expected dataset"):
        push(folder, "me/x", "dataset")
    for name in ("me/..x", "me/x.git", "用户/名字"):
        with pytest.raises(ValueError, match="expected OWNER/NAME"):
            push(folder, name)
    bare = dataset(tmp_path / "d", "coig")
    (bare / "README.md").write_text("\n")
    with pytest.raises(ValueError, match="d: found no README.md, expected a card"):
        push(bare, "me/x")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(ValueError, match="No HF_TOKEN"):
        push(folder, "me/x", go=True, say=[].append)
    monkeypatch.setenv("HF_TOKEN", "hf_ 令牌")
    with pytest.raises(ValueError, match="HF_TOKEN: found blanks or characters"):
        push(folder, "me/x", go=True, say=[].append)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with pytest.raises(OSError, match="HF_HUB_OFFLINE=1"):
        push(folder, "me/x", go=True, say=[].append)


def old_weights(folder):
    """What transformers wrote in its first years."""
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "found no weights, expected"),
        (old_weights, "found old weights, which may hold code"),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(b"\x09"),
            "s/model.safetensors: found damaged or cut",
        ),
        (
            lambda folder: (folder / "model.safetensors.index.json").write_text(
                '{"weight_map": {"w": "model-00001-of-00002.safetensors"}}'
            ),
            "s/model-00001-of-00002.safetensors: found nothing there",
        ),
    ],
)
def test_weights_that_nobody_could_load_are_not_published(broken, said, tmp_path):
    """`The licences allow it`: a card, a tokenizer, and no model, or half of one."""
    folder = student(tmp_path / "s")
    broken(folder)
    with pytest.raises(ValueError, match=said):
        push(folder, "me/s", say=[].append)


def test_a_data_set_without_rows_is_not_published(tmp_path):
    """A mixture whose filter left nothing, or a disk that was full."""
    for rows in ("", "\n"):
        folder = dataset(tmp_path / f"d{len(rows)}", "coig")
        (folder / "train.jsonl").write_text(rows)
        with pytest.raises(ValueError, match=r"train.jsonl.*(no rows|empty)"):
            push(folder, "me/d", say=[].append)


def test_a_file_of_no_bytes_stays(tmp_path):
    """A student that was merged has no log, and `training.jsonl` went with nothing in it."""
    folder = student(tmp_path / "s")
    (folder / "training.jsonl").touch()
    parcel = push(folder, "me/s", say=[].append)
    assert [path.name for path in parcel.left] == ["training.jsonl"]


def test_an_export_goes_whole_and_is_said_to_be_no_transformers_model(tmp_path):
    """Ollama's Modelfile stayed, and the hub showed how to load what transformers cannot."""
    folder = student(tmp_path / "s")
    (folder / "model.safetensors").rename(folder / "student.gguf")
    (folder / "Modelfile").write_text("FROM ./student.gguf\n")
    parcel = push(folder, "me/s", say=[].append)
    assert {"student.gguf", "Modelfile", "learned.json"} <= {path.name for path in parcel.files}
    assert "library_name" not in parcel.card


def test_old_weights_do_not_stay_beside_the_new(tmp_path, hub):
    """A student in two parts was pushed over a whole one, and everybody loaded the old one."""
    folder = student(tmp_path / "s")
    push(folder, "me/s", go=True, say=[].append)
    hub.repos["me/s"] |= {"curve.png": b"a picture", "LICENSE": b"Apache"}
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    said = []
    push(folder, "me/s", go=True, overwrite=True, say=said.append)
    names = set(hub.repos["me/s"])
    assert "model.safetensors" not in names
    assert {"model-00001-of-00001.safetensors", "curve.png", "LICENSE", "README.md"} <= names
    assert "old files, now in its history: model.safetensors" in said[-1]


def test_every_row_that_goes_is_asked_where_it_comes_from(tmp_path):
    """`test.jsonl` beside `train.jsonl`: the licences of its rows were asked by nobody."""
    folder = dataset(tmp_path / "d", "coig")
    other = dataset(tmp_path / "other", "resume")
    (other / "train.jsonl").rename(folder / "test.jsonl")
    parcel = push(folder, "me/d", say=[].append)
    assert [one.name for one in parcel.refused] == ["resume"]


@pytest.mark.parametrize("name", ["README.md", "chat_template.jinja", "notes.txt"])
@pytest.mark.parametrize("secret", ["hf_" + "a1B2" * 9, "sk-of-a-paid-teacher"])
def test_no_token_is_published(name, secret, tmp_path, monkeypatch):
    """A cell's output that was kept as a note, a card that quotes a command with its key."""
    monkeypatch.setenv("TEACHER_API_KEY", "sk-of-a-paid-teacher")
    folder = student(tmp_path / "s")
    (folder / name).write_text(f"# 笔记\n\nexport KEY={secret}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=f"{name}: found a token or a key") as error:
        push(folder, "me/s", say=[].append)
    assert secret not in str(error.value)


@pytest.mark.parametrize("result", [{}, {"task": "XX", "mode": "span", "micro": {}}])
def test_a_result_of_something_else_is_refused(result, tmp_path):
    """`KeyError: 'XX'`, or a card without the results that somebody gave."""
    with pytest.raises(ValueError, match="results, cluener/dev: found task .*expected what `score"):
        card(student(tmp_path / "s"), {"cluener/dev": result})
