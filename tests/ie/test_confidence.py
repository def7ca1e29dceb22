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


def test_whether_another_name_follows_is_no_matter_of_this_one():
    """`","` is one token of the small student: in a list all names but the last looked unsure."""
    from miniluotuo_utils.generation.certainty import Token

    answer = '{"人物":["李白","杜甫"]}'
    parts = [('{"', 1.0, 0.0), ("人物", 1.0, 0.0), ('":["', 1.0, 1.0), ("李白", 0.8, 0.0)]
    parts += [('","', 0.3, 0.9), ("杜甫", 0.5, 0.0), ('"]}', 1.0, 1.0)]
    tokens, at = [], 0
    for text, likely, quoted in parts:
        tokens.append(Token(at, at + len(text), likely, quoted))
        at += len(text)
    items = [{"name": name, "type": "人物"} for name in ("李白", "杜甫")]
    first, second = confidences(answer, items, tokens)
    assert math.isclose(first, 0.8 * 0.9)
    assert math.isclose(second, 0.3 / 0.9 * 0.5)


def test_a_quote_with_more_in_its_token_counts_with_all_that_begin_so(student):
    """Another vocabulary's ids, and the sum was of other tokens."""
    [row] = questions(TEXTS[1:2], TYPES, "NER")
    [answer] = generate(student, prompts_of(student, [row]))
    [tokens] = token_probabilities(student, [row], [answer])
    quoted = [token for token in tokens if answer[token.start : token.end].startswith('"')]
    assert quoted
    assert all(token.probability <= token.quoted + 1e-6 <= 1 + 2e-6 for token in quoted)


def test_without_places_nothing_is_known_of_one_name():
    """Every name had the probability of the whole answer, in silence."""
    from miniluotuo_utils.generation.certainty import Token

    tokens = [Token(-1, -1, 0.5), Token(-1, -1, 0.5)]
    assert confidences('{"人物":["李白"]}', [{"name": "李白", "type": "人物"}], tokens) == [None]


def test_a_name_that_is_its_own_type_is_looked_for_behind_it():
    """Of {"时间":["时间"]} the key was weighed in place of the name."""
    from miniluotuo_utils.generation.certainty import Token

    answer = '{"时间":["时间"]}'
    name = answer.rindex("时间")
    tokens = [Token(at, at + 1, 0.25 if at == name else 1.0) for at in range(len(answer))]
    assert confidences(answer, [{"name": "时间", "type": "时间"}], tokens) == [0.25]
