"""Reasoning: the embedded sums are right, prompts stay, and the sets of Alpaca-CoT load."""

import re

import pytest

from miniluotuo_utils.data.catalog import CATALOG
from miniluotuo_utils.data.loading import available, read
from miniluotuo_utils.data.readers.reasoning import CHINESE, ENGLISH, chain_of_thought
from miniluotuo_utils.data.steps import HAN
from miniluotuo_utils.files import DataError
from miniluotuo_utils.runtime import EMBEDDED

LINES = (EMBEDDED / "cot.tsv").read_text(encoding="utf-8").splitlines()
SUM = re.compile(r"(?<![\d.])([\d.]+(?:[+\-×÷][\d.]+)+)=([\d.]+)")
SETS = [name for name, card in CATALOG.items() if card.reader == "cot_tsv"]


def worked_out(terms: str) -> float:
    """The value of a sum, products and quotients first."""
    parts = re.split(r"([+-])", terms)
    total, sign = 0.0, 1
    for part in parts:
        if part in "+-":
            sign = 1 if part == "+" else -1
            continue
        first, *rest = re.split(r"([×÷])", part)
        value = float(first)
        for mark, number in zip(rest[::2], rest[1::2], strict=True):
            value = value * float(number) if mark == "×" else value / float(number)
        total += sign * value
    return total


def test_the_instrument_itself():
    """A calculator that is wrong finds nothing."""
    assert worked_out("2+3×4") == 14
    assert worked_out("10-6÷2-1") == 6


def test_every_equation_of_the_embedded_reasoning_is_right():
    """A student learns wrong sums as gladly as right ones."""
    found = [pair for line in LINES for pair in SUM.findall(line)]
    assert len(found) > 90
    for terms, value in found:
        assert worked_out(terms) == pytest.approx(float(value)), terms


def test_the_last_sum_is_the_answer():
    """Right steps that lead elsewhere."""
    seen = 0
    for line in LINES:
        _, answer, reasoning = line.split("\t")
        # Reasoning whose last words are `= value unit`: what else would the answer be?
        last = re.search(r"=([\d.]+)([^\d，。；]*)。$", reasoning)
        if last and last[2] == re.sub(r"^[\d.]+", "", answer):
            assert answer == last[1] + last[2], line
            seen += 1
    assert seen > 30


def test_questions_are_there_once_and_enough():
    """Repeated questions are one question."""
    assert len(LINES) == len({line.split("\t")[0] for line in LINES}) == 68


def test_a_prompt_is_in_the_question_s_language_and_always_the_same():
    """A reader that draws anew gives other rows each time: no hash of them would hold."""
    rows = [row for line in LINES for row in chain_of_thought(line)]
    assert rows == [row for line in LINES for row in chain_of_thought(line)]
    assert len(
        {
            row["instruction"].replace(line.split("\t")[0], "")
            for row, line in zip(rows, LINES, strict=True)
        }
    ) == len(CHINESE)
    [english] = chain_of_thought("Is ice cold?\tyes\tIce is frozen water.\\nThat is cold.")
    assert not HAN.search(english["instruction"])
    assert "Ice is frozen water.\nThat is cold." in english["output"]
    for asked, said in (*CHINESE, *ENGLISH):
        assert asked.count("{question}") == said.count("{reasoning}") == said.count("{answer}") == 1


def test_braces_of_a_question_stay():
    """`str.format` failed on a set in mathematics."""
    [row] = chain_of_thought("What is in {1, 2}?\t{1}\tBoth {answer} and 2.")
    assert "{1, 2}" in row["instruction"]
    assert "{answer}" in row["output"]


@pytest.mark.parametrize("line", ["a\tb", "a\tb\tc\td", "question\t\treasoning"])
def test_a_line_of_other_fields_is_named(line):
    """A missing answer was an answer."""
    with pytest.raises(DataError, match="expected question, answer, reasoning"):
        list(chain_of_thought(line))


def test_the_collection_is_tagged():
    """Counts as their table states them; the loadable sets among them."""
    cards = [card for card in CATALOG.values() if "alpaca-cot" in card.collections]
    assert len(cards) >= 40
    assert CATALOG["xp3"].records["stated"] == 78_883_588
    assert sum(card.name.startswith("cot-") and bool(card.pins) for card in cards) == 7


@pytest.mark.parametrize("name", SETS)
def test_the_sets_have_the_rows_that_were_counted(name):
    """A table cut at a line break inside of a cell gives more rows than there are."""
    if available(name) is None:
        pytest.skip(f"{name} is not at hand")
    rows = list(read(name, "train", progress=False))
    assert len(rows) == CATALOG[name].records["verified"]
