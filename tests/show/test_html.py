"""The forms: the live ones work as a person would use them, the headless ones are plain tables."""

from __future__ import annotations

import json

import pytest

from miniluotuo_utils import show
from miniluotuo_utils.evaluation.grading import GRADES, Sheet, agreement, item_key
from miniluotuo_utils.files import DataError, read_jsonl
from miniluotuo_utils.runtime import EMBEDDED

BANK = [
    {**row, "source": f"教师{i % 2}"}
    for i, row in enumerate(read_jsonl(EMBEDDED / "bank.jsonl")[:6])
]
RECORDS = read_jsonl(EMBEDDED / "ner_train.jsonl")[:30]


@pytest.fixture
def live(monkeypatch):
    """Not headless."""
    monkeypatch.delenv("MINILUOTUO_HEADLESS", raising=False)


def test_rows_are_graded_one_by_one_without_their_source(live, tmp_path):
    """Grades kept until the end are lost with the tab; who sees the source grades the source."""
    path = tmp_path / "grades" / "g.jsonl"
    sheet = Sheet.of_rows(path, BANK, rater="甲")
    asked, answers, buttons = show.rating_form(sheet).children
    key = buttons.children[2]
    assert "教师" not in asked.value + answers.children[0].children[0].value
    assert "source" not in sheet.next()
    for letter in "axb":
        key.value = letter
    assert [list(line["grades"].values()) for line in read_jsonl(path)[1:]] == [["A"], ["B"]]
    assert key.value == ""
    assert "教师" not in path.read_text(encoding="utf-8")
    buttons.children[0].click()
    key.value = "C"
    assert [row["grade"] for row in Sheet.of_rows(path, BANK, rater="甲").so_far()] == ["A", "C"]

    again = show.rating_form(Sheet.of_rows(path, BANK[:5], rater="甲"))
    for _ in range(9):
        again.children[2].children[2].value = "D"
    assert "评完了" in again.children[0].value, "a second sitting goes on where the first ended"
    sheet = Sheet.of_rows(path, BANK, rater="甲")
    assert {row["item"] for row in sheet.so_far()} <= {item_key(row) for row in BANK}
    counts = {row["source"]: row for row in sheet.table("source", so_far=True)}
    assert sum(row[grade] for row in counts.values() for grade in GRADES) == sheet.progress[0]
    assert set(counts) == {"教师0", "教师1"}
    assert agreement(sheet.so_far()) == {"pairs": 0, "equal": None, "kappa": None}


def test_grades_of_an_earlier_version_are_taken_over(live, tmp_path):
    """It wrote a line per grade, of any rater, and no header: an update must not lose them."""
    path = tmp_path / "grades.jsonl"
    given = [("甲", 0, "A"), ("乙", 0, "B"), ("甲", 1, "C"), ("甲", 0, "D")]
    lines = [
        {"rater": rater, "item": item_key(BANK[n]), "grade": grade, "time": 1.5}
        for rater, n, grade in [*given, ("甲", 2, "A")]
    ]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    path.write_text(text[:-9], encoding="utf-8")  # the last one was torn
    sheet = Sheet.of_rows(path, BANK, rater="甲")
    grades = {row["item"]: row["grade"] for row in sheet.so_far()}
    assert grades == {item_key(BANK[0]): "D", item_key(BANK[1]): "C"}
    sheet.grade(item_key(BANK[2]), {"1": "B"})
    assert Sheet.of_rows(path, BANK, rater="甲").progress == (3, 6)
    other = Sheet.of_rows(path.with_suffix(".old.jsonl"), BANK, rater="乙")
    assert agreement([*sheet.so_far(), *other.so_far()])["pairs"] == 1
    with pytest.raises(DataError, match=r"another rater \('甲', now '乙'\)"):
        Sheet.of_rows(path, BANK, rater="乙")


def test_the_explorer_picks_by_source_and_type(live):
    """A form that shows nothing after a click is worse than a table."""
    box = show.explorer({"指令": BANK, "实体": RECORDS})
    choice, button = box.children[0].children
    assert "<b>问</b>" in box.children[1].value
    choice.value = "实体"
    assert "<mark" in box.children[1].value
    assert "实体 · 人物" in choice.options
    choice.value = "实体 · 人物"
    assert box.children[1].value.count(">人物</small>") >= 3
    before = box.children[1].value
    for _ in range(5):
        button.click()
    assert box.children[1].value != before


def test_headless_forms_are_plain_tables(monkeypatch, tmp_path):
    """A widget's placeholder in a rendered page tells a reader nothing."""
    monkeypatch.setenv("MINILUOTUO_HEADLESS", "1")
    assert show.explorer({"指令": BANK, "实体": RECORDS}).data.count("<b>问</b>") == 3
    sheet = Sheet.of_rows(tmp_path / "g.jsonl", BANK)
    assert show.rating_form(sheet).data.count("<tr>") == 4
    assert "<script>" not in show.table([{"a": "<script>"}]).data
    assert "<ins" in show.difference("甲乙", "甲丙").data


def test_every_error_can_be_seen(live, monkeypatch):
    """An invented name has no place in its sentence, so nothing of it was shown."""
    invented = {
        "kind": "spurious",
        "gold": None,
        "pred": {"name": "杜甫", "type": "人物", "pos": None},
    }
    missed = {
        "kind": "missed",
        "gold": {"name": "李白", "type": "人物", "pos": [0, 2]},
        "pred": None,
    }
    found, names = (
        [{"sentence": "李白走了", "entities": [missed, invented]}],
        {"missed": "漏了", "spurious": "多了", "wrong_type": "类型错"},
    )
    box = show.error_examples(found, names)
    kind, button = box.children[0].children
    assert list(kind.options) == ["漏了（1）", "多了（1）", "类型错（0）"]
    assert "李白" in box.children[1].value
    kind.value = "多了（1）"
    button.click()
    assert "杜甫｜人物" in box.children[1].value
    assert "标准" not in box.children[1].value
    monkeypatch.setenv("MINILUOTUO_HEADLESS", "1")
    assert "杜甫" in show.error_examples(found, names).data
