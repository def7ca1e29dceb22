"""Papers, the systems that answer them, and the table of their scores."""

import json

import pytest

from miniluotuo_utils.ie import score
from miniluotuo_utils.ie.contest import (
    LONGEST,
    Paper,
    answer_room,
    run_systems,
    score_table,
    write_results,
)

POET = {"name": "李白", "type": "人物", "pos": [0, 2]}
TOWN = {"name": "江油", "type": "地点", "pos": [3, 5]}
SENTENCE = "李白在江油。"


def record(*entities: dict) -> dict:
    """A record of the one sentence."""
    return {"sentence": SENTENCE, "source": "", "entities": list(entities)}


@pytest.fixture
def papers() -> list[Paper]:
    """Two papers of one sentence each."""
    gold = [record(POET, TOWN)]
    return [Paper(name, "NER", gold, gold) for name in ("甲卷", "乙卷")]


SYSTEMS = {
    "全 whole": lambda paper: paper.gold,
    "半 half": lambda paper: [record(POET)],
    "缺 absent": lambda paper: None if paper.name == "乙卷" else [record()],
}


def test_who_does_not_sit_a_paper_is_not_in_its_rows(papers):
    """A system that was not run looked like one that scores 0."""
    predictions, extractions = run_systems(papers, SYSTEMS)
    assert not extractions
    rows = score_table(papers, predictions, samples=20)
    assert [(row["data"], row["system"]) for row in rows] == [
        ("甲卷", "全 whole"),
        ("甲卷", "半 half"),
        ("甲卷", "缺 absent"),
        ("乙卷", "全 whole"),
        ("乙卷", "半 half"),
    ]
    assert [row["f1"] for row in rows] == [1, pytest.approx(2 / 3), 0, 1, pytest.approx(2 / 3)]
    assert all(row["low"] <= row["f1"] <= row["high"] for row in rows)


def test_results_are_the_files_that_the_table_is_made_of(papers, tmp_path):
    """`benchmarks/results.py` reads these files by these names."""
    predictions, _ = run_systems(papers, SYSTEMS)
    write_results(tmp_path, papers, predictions)
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["甲卷 half span"] == score(papers[0].gold, [record(POET)], "NER") | {
        "off_schema": 0
    }
    assert "乙卷 absent span" not in metrics
    assert {path.name for path in tmp_path.glob("乙卷*")} == {
        "乙卷_gold.jsonl",
        "乙卷_whole.jsonl",
        "乙卷_half.jsonl",
    }


def test_the_room_for_an_answer_is_that_of_the_longest_and_its_end():
    """A longest answer without its end token was cut off and could not be read."""

    def letters(texts: list[str]) -> dict:
        return {"input_ids": [list(text) for text in texts]}

    assert answer_room(letters, [{"output": "四个字呢"}, {"output": "两字"}]) == 5
    assert answer_room(letters, [{"output": "长" * 999}]) == LONGEST
