"""The forms: the live ones work as a person would use them, the headless ones are plain tables."""

from __future__ import annotations

import pytest

from miniluotuo_utils import show as widgets
from miniluotuo_utils.evaluation.grading import GRADES, agreement, grade_table, item_key
from miniluotuo_utils.files import read_jsonl
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


def test_the_rater_saves_every_grade_at_once_and_shows_no_source(live, tmp_path):
    """Grades kept until the end are lost with the tab; a rater who sees the source grades the source."""
    path = tmp_path / "grades" / "g.jsonl"
    box = widgets.rater(BANK, path, "甲")
    shown, row = box.children[0], box.children[1]
    assert "教师" not in shown.value
    row.children[0].click()
    assert len(read_jsonl(path)) == 1
    row.children[4].value = "b"
    row.children[4].value = "x"
    grades = read_jsonl(path)
    assert [g["grade"] for g in grades] == ["A", "B"]
    assert row.children[4].value == ""
    again = widgets.rater(BANK, path, "甲")
    for _ in range(9):
        again.children[1].children[3].click()
    assert len(read_jsonl(path)) == 6, "a second sitting goes on where the first ended"
    assert "评完了" in again.children[0].value, "a second sitting goes on where the first ended"
    assert {g["item"] for g in read_jsonl(path)} == {item_key(item) for item in BANK}
    counts = grade_table(read_jsonl(path), BANK)
    assert sum(n for row in counts.values() for n in row.values()) == 6
    assert set(counts) == {"教师0", "教师1"}
    assert list(counts["教师0"]) == list(GRADES)
    assert agreement(read_jsonl(path)) == {"pairs": 0, "equal": None, "kappa": None}


def test_the_explorer_picks_by_source_and_type(live):
    """A form that shows nothing after a click is worse than a table."""
    box = widgets.explorer({"指令": BANK, "实体": RECORDS})
    source, kind, button = box.children[0].children
    assert "<b>问</b>" in box.children[1].value
    source.value = "实体"
    assert "人物" in kind.options
    kind.value = "人物"
    assert "人物" in box.children[1].value
    before = box.children[1].value
    for _ in range(5):
        button.click()
    assert box.children[1].value != before


def test_headless_forms_are_plain_tables(monkeypatch, tmp_path):
    """A widget's placeholder in a rendered page tells a reader nothing."""
    monkeypatch.setenv("MINILUOTUO_HEADLESS", "1")
    assert widgets.explorer({"指令": BANK, "实体": RECORDS}).data.count("<b>问</b>") == 3
    assert widgets.rater(BANK, tmp_path / "g.jsonl").data.count("<tr>") == 4
    assert "<script>" not in widgets.table([{"a": "<script>"}]).data
    assert "<b" in widgets.difference("甲乙", "甲丙").data


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
    box = widgets.error_examples(found, names)
    kind, button = box.children[0].children
    assert [label for label, _ in kind.options] == ["漏了（1）", "多了（1）", "类型错（0）"]
    assert "李白" in box.children[1].value
    kind.value = "spurious"
    button.click()
    assert "杜甫 · 人物" in box.children[1].value
    assert "标准" not in box.children[1].value
    monkeypatch.setenv("MINILUOTUO_HEADLESS", "1")
    assert "杜甫" in widgets.error_examples(found, names).data
