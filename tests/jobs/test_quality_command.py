"""`clean --quality` and `validate --quality`: what a student doubts is said, and kept."""

import json

import pytest

from miniluotuo_utils.__main__ import main
from miniluotuo_utils.files import Journal, read_jsonl, write_jsonl
from miniluotuo_utils.ie.suspects import Suspect
from miniluotuo_utils.jobs import quality
from miniluotuo_utils.jobs.quality import Quality
from miniluotuo_utils.runtime import EMBEDDED

BANK = read_jsonl(EMBEDDED / "bank.jsonl")
NAMES = read_jsonl(EMBEDDED / "ner_train.jsonl")[:6]


@pytest.fixture
def records(tmp_path, runs, monkeypatch):
    """A file of six records, the first label of the third of which every tagger doubts."""
    path = tmp_path / "mine.jsonl"
    write_jsonl(path, NAMES)
    wrong = {**NAMES[2]["entities"][0], "type": "食物"}
    found = [
        Suspect(2, "wrong_type", NAMES[2]["entities"][0], wrong, 0.97),
        Suspect(4, "missed", NAMES[4]["entities"][0], None, 0.4),
    ]
    monkeypatch.setattr(quality, "suspects", lambda *_, **__: found)
    return path


def test_doubtful_labels_go_with_their_reason(records, tmp_path, capsys):
    """Nothing is dropped without a count and an example, and nothing below the bound at all."""
    out = tmp_path / "clean.jsonl"
    assert main(["clean", str(records), str(out), "--quality"]) == 0
    assert read_jsonl(out) == NAMES[:2] + NAMES[3:]
    said = capsys.readouterr().out
    assert "可疑 doubtful 1" in said
    assert "0.97 类型错 wrong type：" in said
    assert f"［{NAMES[2]['entities'][0]['name']}｜食物］" in said


def test_validate_names_them_and_drops_nothing(records, capsys):
    """A doubt is no fault: the file is still well-formed."""
    before = records.read_bytes()
    assert main(["validate", str(records), "--quality", "--most", "1"]) == 0
    assert records.read_bytes() == before
    said = capsys.readouterr().out
    assert "6 IE records well-formed, 0 faults" in said
    assert "可疑的 doubtful: 1 / 6" in said
    assert main(["validate", str(records)]) == 0
    assert "doubtful" not in capsys.readouterr().out


def test_rows_are_judged_with_what_the_student_expects(tmp_path, runs, monkeypatch, capsys):
    """Bits of one row under another's name, or read again each time."""
    asked = []

    def bits(student: object, rows: list) -> list[float]:
        asked.extend(rows)
        return [float(len(row["output"]) % 7) for row in rows]

    monkeypatch.setattr(quality, "bits_of_rows", bits)
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, BANK)
    assert main(["validate", str(path), "--quality"]) == 0
    said = capsys.readouterr().out
    assert "翻译腔 translationese" in said
    assert "doubtful: " in said
    times = len(asked)
    assert main(["validate", str(path), "--quality"]) == 0
    assert len(asked) == times, "read twice"


def test_bits_go_on_where_a_kill_stopped_them(runs, monkeypatch, tiny):
    """An hour of reading was paid twice."""
    judge = Quality("tiny")
    judge.__dict__["student"] = tiny
    monkeypatch.setattr(quality, "READ", 2)
    asked = []

    def bits(student: object, rows: list) -> list[float]:
        if len(asked) == 4:
            raise KeyboardInterrupt
        asked.extend(rows)
        return [1.0] * len(rows)

    monkeypatch.setattr(quality, "bits_of_rows", bits)
    with pytest.raises(KeyboardInterrupt):
        judge.bits(BANK[:6])
    monkeypatch.setattr(quality, "bits_of_rows", lambda _, rows: asked.extend(rows) or [2.0, None])
    assert judge.bits([*BANK[:6], BANK[0]]) == [1.0] * 4 + [2.0, None, 1.0]
    assert asked == BANK[:6]
    lines = (judge.folder / "bits.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["bits"] for line in lines[1:]] == [1.0] * 4 + [2.0, None]
    assert Journal(judge.folder / "bits.jsonl", {"student": "tiny"}).lines()


def test_too_few_rows_and_other_tasks_are_one_line(tmp_path, runs, capsys):
    """A traceback for a file that cannot be judged."""
    few = tmp_path / "few.jsonl"
    write_jsonl(few, BANK[:5])
    assert main(["clean", str(few), str(tmp_path / "out.jsonl"), "--quality"]) == 2
    assert "found 5 rows, expected at least 100" in capsys.readouterr().err
    assert (
        main(["clean", str(EMBEDDED / "re_test.jsonl"), str(tmp_path / "out.jsonl"), "--quality"])
        == 2
    )
    assert "expected NER records" in capsys.readouterr().err
    assert not (tmp_path / "out.jsonl").exists()
