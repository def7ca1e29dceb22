"""The confidence of every extracted item: the probability of its tokens."""

import math

import pytest

from miniluotuo_utils.generation import generate
from miniluotuo_utils.generation.certainty import token_probabilities
from miniluotuo_utils.ie import extract
from miniluotuo_utils.ie.confidence import confidences
from miniluotuo_utils.ie.instructions import questions
from miniluotuo_utils.students import load_student
from miniluotuo_utils.tokens import prompts_of

TEXTS = ["鲁迅生于绍兴。", "李白和杜甫在洛阳相识。", "雨停了。"]
TYPES = ["人物", "地点"]


@pytest.fixture(scope="module")
def student():
    return load_student("tiny", "cpu")


def test_probabilities_are_those_of_greedy_decoding(student):
    """Read in another template or a token late, each probability belongs to another token."""
    import torch

    [row] = questions(TEXTS[:1], TYPES, "NER")
    [answer] = generate(student, prompts_of(student, [row]))
    [tokens] = token_probabilities(student, [row], [answer])
    ids = student.tokenizer(prompts_of(student, [row])[0], add_special_tokens=False)["input_ids"]
    for token in tokens:
        with torch.inference_mode():
            logits = student.model(torch.tensor([ids])).logits[0, -1].float()
        best = int(logits.argmax())
        assert math.isclose(logits.softmax(-1)[best].item(), token.probability, abs_tol=1e-4)
        ids = [*ids, best]
    assert "".join(answer[t.start : t.end] for t in tokens) == answer


def test_every_item_has_one_alone_and_in_a_batch(student):
    """Padding that is seen changes the probability of short rows."""
    together = extract(student, TEXTS, TYPES, "NER", confidence=True)
    for number, text in enumerate(TEXTS):
        alone = extract(student, [text], TYPES, "NER", confidence=True)
        pairs = zip(together.records[number]["entities"], alone.records[0]["entities"], strict=True)
        for one, other in pairs:
            assert 0 < one["confidence"] <= 1
            assert math.isclose(one["confidence"], other["confidence"], abs_tol=1e-4)
        assert math.isclose(together.certainty[number], alone.certainty[0], abs_tol=1e-4)


def test_records_are_otherwise_the_same(student):
    """Asking how sure a student is must not change what it finds."""
    bare = extract(student, TEXTS, TYPES, "NER").records
    sure = extract(student, TEXTS, TYPES, "NER", confidence=True).records
    for one, other in zip(bare, sure, strict=True):
        kept = [{k: v for k, v in e.items() if k != "confidence"} for e in other["entities"]]
        assert kept == one["entities"]


def test_a_replaced_generate_has_no_confidence(student):
    """A recording's answers are not the student's: their probability would be a lie."""
    with pytest.raises(ValueError, match="confidence"):
        extract(student, TEXTS, TYPES, "NER", confidence=True, generate=lambda *a, **k: [])


def test_answers_that_cannot_be_weighed(student):
    """An empty answer or one beyond the context ended the run with an index error."""
    rows = questions(TEXTS[:1], TYPES, "NER") * 2
    assert token_probabilities(student, rows, ["", "山" * 5000]) == [None, None]


def test_a_name_under_two_types_has_two_confidences():
    """The first place of a name in the answer was taken for both."""
    from miniluotuo_utils.generation.certainty import Token

    answer = '{"人物":["绍兴"],"地点":["绍兴"]}'
    second = answer.rindex("绍兴")
    tokens = [Token(at, at + 1, 0.25 if at == second else 1.0) for at in range(len(answer))]
    items = [{"name": "绍兴", "type": kind} for kind in TYPES]
    assert confidences(answer, items, tokens) == [1.0, 0.25]


def test_a_name_that_is_its_own_type_is_looked_for_behind_it():
    """Of {"时间":["时间"]} the key was weighed in place of the name."""
    from miniluotuo_utils.generation.certainty import Token

    answer = '{"时间":["时间"]}'
    name = answer.rindex("时间")
    tokens = [Token(at, at + 1, 0.25 if at == name else 1.0) for at in range(len(answer))]
    assert confidences(answer, [{"name": "时间", "type": "时间"}], tokens) == [0.25]
