"""The made-up mixture: what is planted in it is what the stages find, and memory does not hold
it."""

import tracemalloc

import pytest

pytest.importorskip("rjieba")

import whole_mixture
from whole_mixture import SOURCES, STAGES, counts

from miniluotuo_utils.data.cleaning import sieved
from miniluotuo_utils.data.mixture import Portion, mixed
from miniluotuo_utils.files import iter_jsonl

ROWS = 2_000


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a small mixture, its files made."""
    folder = tmp_path_factory.mktemp("mixture")
    assert STAGES["make"](folder, ROWS) == (0, ROWS)
    return folder


def test_what_is_planted_is_what_cleaning_takes_out(made):
    """Clauses drawn at random might repeat each other, and the figures would be of other rows."""
    for name, count in counts(ROWS).items():
        planted = sum(number % 100 in (24, 49, 74) for number in range(count))
        planted += sum(number % 200 == 99 for number in range(count))
        assert STAGES[f"clean {name}"](made, ROWS) == (count, count - planted)
    left = sum(1 for name in SOURCES for _ in iter_jsonl(made / f"{name}.clean.jsonl"))
    assert STAGES["mix"](made, ROWS) == (left, left)


def rows(count):
    """Yield long rows, of which no two are alike."""
    for number in range(count):
        text = "".join(whole_mixture.clauses()[(number * 7 + n) % 900] for n in range(60))
        yield {"instruction": f"第{number}题", "input": "", "output": f"{text}。", "source": "自写"}


def peak(function):
    """The most bytes that Python holds while a function runs."""
    tracemalloc.start()
    function()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def test_memory_does_not_grow_with_the_rows_themselves():
    """Cleaning and mixing held every row, several times over: gigabytes for the whole mixture."""
    size = 1_000  # bytes of a row's text, at the least
    few, many = (
        peak(lambda count=count: sieved(rows(count), steps=(), near=None)) for count in (100, 1_100)
    )
    assert many - few < 500 * 1_000 < size * 1_000
    few, many = (
        peak(
            lambda count=count: mixed(
                [Portion("甲", "train", "all", count, 1)], {"甲": rows(count)}
            )
        )
        for count in (100, 1_100)
    )
    assert many - few < 200 * 1_000
