"""Tables of scores and faults, and sentences that are printed from numbers."""

from miniluotuo_utils.ie.extraction import Extraction
from miniluotuo_utils.show import faults, moved, plain, scores
from miniluotuo_utils.show.scores import FAULTS

ROW = {
    "data": "甲卷",
    "part": "NER",
    "system": "词典 dictionary",
    "precision": 0.5,
    "recall": 0.25,
    "f1": 1 / 3,
    "low": 0.1,
    "high": 0.6,
    "f1_string": 0.4,
}


def test_a_row_of_scores_has_its_interval_beside_it():
    """Intervals stood in another table, and nobody looked at them."""
    shown = plain(scores([ROW]).data).splitlines()[1]
    assert shown == (
        "甲卷 | NER | 词典 dictionary | 0.500 | 0.250 | 0.333 | [0.100, 0.600] | 0.400"
    )


def test_every_fault_has_a_chinese_name():
    """`looped` and `respelt` stood in a Chinese table as they are called in the code."""
    counts = dict.fromkeys(FAULTS, 0) | {"looped": 3}
    found = Extraction([], [], [], [], [], counts)
    heads, row = plain(faults({("微调后 after", "甲卷"): found}).data).splitlines()
    assert "反复说" in heads
    assert "写法不同" in heads
    assert row.startswith("甲卷 | 微调后 after | 0")
    assert " 3 " in row


def test_what_did_not_change_is_said_too():
    """A sentence that claims a direction must hold for the next student as well."""
    said = moved({"漏了": 5, "多了": 2, "对": 3}, {"漏了": 5, "多了": 1, "对": 4})
    assert said == "升了 up：对 3 → 4\n降了 down：多了 2 → 1\n没变 same：漏了 5 → 5"
