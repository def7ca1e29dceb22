"""`extract` and `predict` over files: in order, in little memory, killed and gone on with."""

from __future__ import annotations

import json
import os
import tracemalloc

import pytest
from killed import run_until_killed

from miniluotuo_utils import __main__ as cli
from miniluotuo_utils.files import DataError, read_jsonl
from miniluotuo_utils.ie import extract
from miniluotuo_utils.jobs import extract as job
from miniluotuo_utils.jobs.extract import extract_file
from miniluotuo_utils.jobs.predict import predict_file

SENTENCES = [f"第{n}天，苏轼在黄州。" for n in range(9)]
TYPES = ["人物", "地点"]


@pytest.fixture
def texts(tmp_path):
    """A file of sentences, with an empty line in it."""
    path = tmp_path / "texts.txt"
    path.write_text("\n".join([*SENTENCES[:4], "", *SENTENCES[4:]]), encoding="utf-8")
    return path


def test_extract_writes_a_record_a_sentence_in_order(texts, tmp_path, tiny, monkeypatch):
    """Records in the order of their lengths, or other ones than `extract` finds."""
    monkeypatch.setattr(job, "SAVED", 4)
    out = tmp_path / "out.jsonl"
    counts = extract_file(tiny, texts, out, TYPES)
    found = read_jsonl(out)
    assert [record["sentence"] for record in found] == SENTENCES
    wanted = extract(tiny, SENTENCES, TYPES, "NER").records
    assert [record["entities"] for record in found] == [one["entities"] for one in wanted]
    assert counts["records"] == 9
    assert counts["items"] == sum(len(record["entities"]) for record in found)
    assert {record["source"] for record in found} == {"texts"}
    with pytest.raises(FileExistsError, match="out.jsonl is there already"):
        extract_file(tiny, texts, out, TYPES)


def test_rows_keep_their_id(tmp_path, tiny):
    """Records that nobody can join to the table that they came from."""
    data = tmp_path / "rows.jsonl"
    row = {"text": SENTENCES[0], "id": 7, "source": "日记"}
    data.write_text(json.dumps(row) + "\n", encoding="utf-8")
    extract_file(tiny, data, tmp_path / "out.jsonl", TYPES, column="text")
    [record] = read_jsonl(tmp_path / "out.jsonl")
    assert (record["id"], record["source"]) == (7, "日记")


def test_a_killed_extraction_goes_on_with_the_same_bytes(texts, tmp_path, monkeypatch):
    """The file of a killed run looked finished, or the next run began at its first sentence."""
    monkeypatch.setattr(job, "SAVED", 2)
    command = ["extract", str(texts), "--student", "tiny", "--types", *TYPES]
    code = "import miniluotuo_utils.jobs.extract as job; job.SAVED = 2\n"
    monkeypatch.setattr("killed.KILLED", code + run_until_killed.__globals__["KILLED"])
    out, whole = tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    run_until_killed([*command[:2], str(out), *command[2:]], {**os.environ, "OMP_NUM_THREADS": "1"})
    part = tmp_path / "out.jsonl.part"
    assert not out.exists()
    assert len(part.read_text(encoding="utf-8").splitlines()) == 5
    part.write_bytes(part.read_bytes() + '{"sentence": "第'.encode()[:-1])
    other = [*command[:2], str(out), "--student", "tiny", "--types", "人物"]
    assert cli.main(other) == 2
    assert cli.main([*command[:2], str(out), *command[2:]]) == 0
    assert cli.main([*command[:2], str(whole), *command[2:]]) == 0
    assert out.read_bytes() == whole.read_bytes()
    assert not part.exists()


def test_an_extraction_goes_on_with_smaller_batches(texts, tmp_path, tiny, monkeypatch):
    """A run that was killed for memory was refused with the batches that would have fitted."""
    monkeypatch.setattr(job, "SAVED", 4)
    real, calls = job.extract, []

    def interrupted(*rest, **options):
        calls.append(options["batch_size"])
        if calls == [32, 32]:
            raise KeyboardInterrupt
        return real(*rest, **options)

    monkeypatch.setattr(job, "extract", interrupted)
    with pytest.raises(KeyboardInterrupt):
        extract_file(tiny, texts, tmp_path / "out.jsonl", TYPES, batch_size=32)
    assert extract_file(tiny, texts, tmp_path / "out.jsonl", TYPES, batch_size=2)["kept"] == 4
    assert calls == [32, 32, 2, 2]


def test_what_extract_cannot_take_is_said_before_anything_is_loaded(
    texts, tmp_path, capsys, monkeypatch
):
    """A night of work, and then a stack of Python."""
    monkeypatch.setattr(cli, "load_student", None)
    broken = tmp_path / "broken.json"
    broken.write_text('["人物",', encoding="utf-8")
    for more, said in (
        ([], "写 --types 或者 --schema"),
        (["--types", "收购", "--task", "EE"], "模式要写成列表"),
        (["--schema", str(broken)], "broken.json: not JSON"),
    ):
        out = str(tmp_path / "out.jsonl")
        assert cli.main(["extract", str(texts), out, "--student", "tiny", *more]) == 2
        assert said in capsys.readouterr().err


def test_a_file_without_sentences_is_named(tmp_path, tiny):
    """An empty file of records that looks like a result."""
    (tmp_path / "empty.txt").write_text("\n\n", encoding="utf-8")
    with pytest.raises(DataError, match="empty.txt: the file is empty"):
        extract_file(tiny, tmp_path / "empty.txt", tmp_path / "out.jsonl", TYPES)


# ---- predict


def test_predict_takes_fields_of_a_preset_and_checks_them(tmp_path, capsys, monkeypatch):
    """`--set top_p=0.9` beside a greedy preset changed nothing, and nobody said so."""
    data, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    data.write_text('{"instruction": "你好"}\n', encoding="utf-8")
    command = ["predict", str(data), str(out), "--student", "tiny", "--max-new-tokens", "8"]
    with monkeypatch.context() as patch:
        patch.setattr(cli, "load_student", None)
        for given, said in (
            ("top_p=0.9", "add do_sample=True"),
            ("top_q=0.9", "top_q"),
            ("top_p", "NAME=VALUE"),
            ("repetition_penalty=hot", "expected int or float"),
            ("repetition_penalty=NaN", "repetition_penalty > 0"),
        ):
            assert cli.main([*command, "--set", given]) == 2
            assert said in capsys.readouterr().err
    drawn = ["--set", "top_p=0.9", "--set", "temperature=1.5", "--preset", "creative"]
    assert cli.main([*command, *drawn]) == 0
    assert read_jsonl(out)[0]["output"]


def test_predict_says_what_it_lacks(capsys, monkeypatch):
    """`TypeError: NoneType`."""
    monkeypatch.setattr(cli, "load_student", None)
    assert cli.main(["predict", "--student", "tiny"]) == 2
    assert "要写 IN 和 OUT" in capsys.readouterr().err


def test_predict_holds_one_window_whatever_the_file(tmp_path, tiny, monkeypatch):
    """All answers stood in memory: a file of ten million rows ended in the machine's own kill."""
    monkeypatch.setattr("miniluotuo_utils.jobs.predict.WINDOW", 50)

    # Answers without a model, as large as they are in earnest.
    def answers(student, ids, *rest, **_):
        done = rest[-1]
        for number in range(len(ids)):
            if number not in done:
                yield {number: f"{number}" * 500}

    monkeypatch.setattr("miniluotuo_utils.jobs.predict.completions", answers)

    def peak(count):
        data, out = tmp_path / f"{count}.jsonl", tmp_path / f"{count}.out"
        data.write_text('{"instruction": "你好"}\n' * count, encoding="utf-8")
        tracemalloc.start()
        predict_file(tiny, data, out)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        texts = [row["output"] for row in read_jsonl(out)]
        assert texts == [f"{number % 50}" * 500 for number in range(count)]
        return most

    peak(50)
    assert peak(1_000) < 1.5 * peak(200)
