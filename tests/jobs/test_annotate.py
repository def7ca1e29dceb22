"""The annotator over a file: one record a sentence in order, and a killed run that goes on."""

import gzip
import json
import lzma
import os
import subprocess
import sys

import pytest
from filelock import FileLock
from killed import run_until_killed

from miniluotuo_utils import __main__ as cli
from miniluotuo_utils.files import DataError, json_line, read_jsonl
from miniluotuo_utils.jobs import annotate
from miniluotuo_utils.jobs.annotate import annotate_file
from miniluotuo_utils.records import check_record
from miniluotuo_utils.runtime import EMBEDDED
from miniluotuo_utils.teacher import Annotator, annotator
from miniluotuo_utils.writing import Alone

SENTENCES = [row["sentence"] for row in read_jsonl(EMBEDDED / "ner_train.jsonl")][:200]


@pytest.fixture
def text(tmp_path):
    """A text of one sentence a line."""
    path = tmp_path / "news.2026.txt"
    path.write_text("".join(f"{sentence}\n" for sentence in SENTENCES), encoding="utf-8")
    return path


def files(folder):
    """The names of what stands in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_a_text_becomes_records_in_order(text, tmp_path):
    """The records of a file are those of its sentences, and nothing else is left behind."""
    counts = annotate_file(text, tmp_path / "out.jsonl", progress=True)
    found = read_jsonl(tmp_path / "out.jsonl", check_record)
    assert found == Annotator().annotate(SENTENCES, "news")
    names = sum(len(record["entities"]) for record in found)
    assert counts == {"records": 200, "names": names, "kept": 0}
    assert files(tmp_path) == ["news.2026.txt", "out.jsonl"]


@pytest.mark.parametrize(
    "unpacked", ["rows.jsonl", "rows.jsonl.gz", "rows.jsonl.xz", "rows.txt.xz"]
)
def test_files_of_each_kind(tmp_path, unpacked):
    """A corpus comes packed, its sentence in a field of another name, with ids to be kept."""
    rows = [
        {"id": 7, "text": "鲁迅生于绍兴。", "label": "人物"},
        {"text": " 李白到了长安\t", "source": "自写", "entities": []},
    ]
    lines = "".join(map(json_line, rows))
    if ".txt" in unpacked:
        lines = "\ufeff鲁迅生于绍兴。\r\n\n  \n 李白到了长安\t"
    pack = {".gz": gzip.compress, ".xz": lzma.compress}.get(unpacked[-3:], bytes)
    (tmp_path / unpacked).write_bytes(pack(lines.encode()))
    counts = annotate_file(
        tmp_path / unpacked, tmp_path / "out.jsonl", column="text", types=["人物", "地点"]
    )
    assert (counts["records"], counts["names"]) == (2, 4)
    first, second = read_jsonl(tmp_path / "out.jsonl", check_record)
    assert [first["sentence"], second["sentence"]] == ["鲁迅生于绍兴。", " 李白到了长安\t"]
    assert first["source"] == "rows"
    assert first.get("id") == (None if ".txt" in unpacked else 7)
    assert second["source"] == ("rows" if ".txt" in unpacked else "自写")
    assert second["entities"][0]["pos"] == [1, 3]


@pytest.mark.parametrize(
    ("name", "held", "said"),
    [
        ("a.txt", "好\n".encode() + "坏\n".encode("gbk"), "a.txt, line 2, not UTF-8 at byte 0"),
        ("a.txt", b"\n\n", "the file is empty"),
        ("a.csv", b"a,b\n", "a.csv, line 1: found 'a,b', expected names of columns, and sentence"),
        ("a.csv", b'text\nx\n"\n', "a.csv, line 3"),
        ("a.xlsx", b"PK\x03\x04", "an Excel table"),
        ("a.jsonl", b'{"sentence": "a"}\n{"title": "b"}\n', "line 2, field sentence: found None"),
        ("a.jsonl", b'{"sentence": " "}\n', "line 1, field sentence"),
        ("a.jsonl", b'{"sentence": "a", "source": 3}\n', "field source: found 3"),
        ("a.jsonl", b"[1]\n", "item 1, field row"),
        ("a.jsonl", b'{"sentence": "\\ud800"}\n', "surrogate"),
        # mtime: two processes that collect the tests must see one parameter.
        ("a.txt.gz", gzip.compress(b"one\n" * 9999, mtime=0)[:-9], "not a whole packed file"),
    ],
)
def test_a_fault_is_named_before_the_work_begins(tmp_path, name, held, said, monkeypatch):
    """A bad line at the end must not be found after an hour."""
    monkeypatch.setattr(Annotator, "stream", None)
    (tmp_path / name).write_bytes(held)
    with pytest.raises(DataError, match=said):
        annotate_file(tmp_path / name, tmp_path / "out.jsonl")
    assert files(tmp_path) == [name]


SAID = "鲁迅生于绍兴。"
ROW = json.dumps({"text": SAID, "id": 7}, ensure_ascii=False)
HELD = {
    "a.txt": SAID.encode("gbk"),
    "A.TXT": SAID.encode(),
    "a": SAID.encode("utf-16"),
    "a.md": f"\n{SAID}\n".encode(),
    "a.jsonl": f"{ROW}\n\n".encode("gbk"),
    "a.json": f"[{ROW}]".encode(),
    "b": f"\n [ {ROW}]".encode(),
    "a.csv": f"id,text\r\n7,{SAID}\r\n".encode("gbk"),
    "b.csv": f'"text";"id"\r\n"{SAID}";7\r\n'.encode("utf-8-sig"),
    "a.tsv": f"content\tid\n{SAID}\t\n".encode(),
    "packed.json.gz": gzip.compress(ROW.encode(), mtime=0),
}


@pytest.mark.parametrize("name", HELD)
def test_sentences_come_in_whatever_people_hold(name, tmp_path):
    """All but .txt and .jsonl in UTF-8, with a field `sentence`, were refused: "rename it"."""
    (tmp_path / name).write_bytes(HELD[name])
    [row] = annotate.sentences(tmp_path / name, "sentence")
    assert row["sentence"] == SAID
    assert row["source"] == name.partition(".")[0]


def test_no_file_is_replaced(text, tmp_path, monkeypatch):
    """OUT before IN, a name that is taken, or taken while the work went on."""
    held = text.read_bytes()
    with pytest.raises(FileExistsError, match="found one file named twice"):
        annotate_file(text, text)
    other = tmp_path / "other.jsonl"
    (tmp_path / "other.jsonl.part").write_text("mine\n")
    with pytest.raises(DataError, match="not a journal"):
        annotate_file(text, other)
    assert (tmp_path / "other.jsonl.part").read_text() == "mine\n"
    assert text.read_bytes() == held

    late = tmp_path / "late.jsonl"
    real = annotate.records

    def meanwhile(*told):
        yield from real(*told)
        late.write_text("mine\n")

    monkeypatch.setattr(annotate, "records", meanwhile)
    with pytest.raises(FileExistsError):
        annotate_file(text, late)
    assert late.read_text() == "mine\n"
    assert (tmp_path / "late.jsonl.part").exists()


def test_two_runs_do_not_write_one_file(text, tmp_path):
    """Started twice by mistake, both would have written every record."""
    out = tmp_path / "out.jsonl"
    lock = FileLock(Alone(tmp_path / "out.jsonl.part").file)
    with lock, pytest.raises(DataError, match="another process is writing"):
        annotate_file(text, out)


def test_a_broken_run_goes_on_with_the_same_bytes(text, tmp_path, monkeypatch):
    """Nothing is annotated twice, a torn line is dropped, and another run's records are refused."""
    monkeypatch.setattr(annotate, "SAVED", 30)
    monkeypatch.setattr(annotator, "CHUNK", 500)
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    annotate_file(text, whole)
    real, seen = annotator.Tagger.spans, []

    def counted(self, texts, types):
        seen.extend(texts)
        if len(seen) > 100:
            raise KeyboardInterrupt
        return real(self, texts, types)

    monkeypatch.setattr(annotator.Tagger, "spans", counted)
    with pytest.raises(KeyboardInterrupt):
        annotate_file(text, out)
    assert not out.exists()
    part = tmp_path / "out.jsonl.part"
    kept = len(part.read_bytes().splitlines()) - 1
    assert kept in (60, 90)
    part.write_bytes(part.read_bytes() + '{"sentence": "李'.encode()[:-1])

    with pytest.raises(DataError, match="was begun with another types"):
        annotate_file(text, out, types=["人物"])
    monkeypatch.setattr(annotator.Tagger, "spans", real)
    assert annotate_file(text, out)["kept"] == kept
    assert out.read_bytes() == whole.read_bytes()


def test_a_file_that_changed_meanwhile_is_no_result(text, tmp_path, monkeypatch):
    """Records of the old file would stand beside lines of the new one."""
    real = annotate.records

    def edited(*told):
        yield from real(*told)
        text.write_text("别的。\n", encoding="utf-8")

    monkeypatch.setattr(annotate, "records", edited)
    with pytest.raises(ValueError, match="changed while it was annotated"):
        annotate_file(text, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 of POSIX")
@pytest.mark.parametrize("processes", [1, 2])
def test_kill_9_costs_what_was_not_yet_written(tmp_path, processes):
    """A corpus takes an hour: a killed run must go on, and end with the same file."""
    data, out = tmp_path / "long.txt", tmp_path / "out.jsonl"
    data.write_text("".join(f"{n}：{s}\n" for n in range(30) for s in SENTENCES), encoding="utf-8")
    command = ["annotate", str(data), str(out), "--processes", str(processes)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    run_until_killed(command, env)
    assert not out.exists()

    command = [sys.executable, "-m", "miniluotuo_utils", *command]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    kept = int(done.stdout.split("out.jsonl, ")[1].split(" of them")[0].replace(",", ""))
    assert kept == 2_000
    assert files(tmp_path) == ["long.txt", "out.jsonl"]
    expected = Annotator().annotate(data.read_text(encoding="utf-8").splitlines(), "long")
    assert read_jsonl(out) == expected


def test_the_command(text, tmp_path, capsys):
    """What the shell passes on, and that a mistake is one line."""
    out = str(tmp_path / "out.jsonl")
    assert cli.main(["annotate", str(text), out, "--types", "人物", "地点"]) == 0
    assert "200 sentences with" in capsys.readouterr().out
    kinds = {e["type"] for record in read_jsonl(out) for e in record["entities"]}
    assert kinds == {"人物", "地点"}
    assert cli.main(["annotate", str(text), out]) == 2
    assert "is there already" in capsys.readouterr().err
