"""The sentences without labels: enough, unlike each other, and none of an examination."""

from collections import Counter

from miniluotuo_utils.data.decontamination import Leaks
from miniluotuo_utils.files import read_jsonl
from miniluotuo_utils.runtime import EMBEDDED

TEXTS = (EMBEDDED / "unlabelled.txt").read_text(encoding="utf-8").splitlines()
JUDGED = ("ner_test", "re_test", "ee_test", "teacher_ie")


def test_they_are_many_and_each_is_one_sentence():
    """A line that holds nothing, or a sentence twice, is labelled and counted all the same."""
    assert len(TEXTS) >= 600
    assert len(set(TEXTS)) == len(TEXTS)
    for text in TEXTS:
        assert text == text.strip()
        assert text[-1] in "。？！"
        assert 8 <= len(text) <= 60


def test_none_stands_in_an_evaluation():
    """A student that has read the examination, even without its answers, is ahead of others."""
    exam = [
        row["sentence"]
        for name in JUDGED
        for row in read_jsonl(EMBEDDED / f"{name}.jsonl")
        if "sentence" in row
    ]
    assert len(exam) >= 140
    assert not any(Leaks({"exam": exam}).found_in(TEXTS))


def test_they_are_not_made_from_a_pattern():
    """Sentences of a frame with names put in teach the frame."""
    beginnings = Counter(text[:3] for text in TEXTS)
    assert beginnings.most_common(1)[0][1] <= 12
    endings = Counter(text[-4:] for text in TEXTS)
    assert endings.most_common(1)[0][1] <= 6
    assert len(set("".join(TEXTS))) > 1500
