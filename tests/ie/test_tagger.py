"""The tagger: tags and spans are each other's inverse, what cannot be tagged is counted, and it
learns.
"""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from tiny_random import tiny_random

from miniluotuo_utils.files import read_jsonl
from miniluotuo_utils.ie import micro, score
from miniluotuo_utils.ie.tagger import (
    Tagger,
    apart,
    bio,
    chunks,
    classifier,
    logits,
    own_places,
    read_tags,
    stretches,
    tokenised,
    train_tagger,
    training_rows,
)
from miniluotuo_utils.records import check_record
from miniluotuo_utils.runtime import EMBEDDED

LETTERS = "甲乙丙 a𠀀"


@st.composite
def tokenised_entities(draw):
    """A sentence, its tokens as characters [start, end), and entities apart from each other on
    token borders.
    """
    widths = draw(st.lists(st.integers(1, 3), min_size=1, max_size=12))
    borders = [sum(widths[:i]) for i in range(len(widths) + 1)]
    cuts = sorted(draw(st.sets(st.sampled_from(range(len(borders))), max_size=8)))
    pairs = [pair for pair in zip(cuts, cuts[1:], strict=False) if draw(st.booleans())]
    entities = [
        {"type": draw(st.sampled_from("XY")), "pos": [borders[a], borders[b]]} for a, b in pairs
    ]
    return list(zip(borders, borders[1:], strict=False)), entities


@given(tokenised_entities())
def test_entities_survive_their_tags(case):
    """Neighbours of one type ran together, or an entity lost its last token."""
    places, entities = case
    tags = bio(entities, places)
    back = [{"type": kind, "pos": [places[a][0], places[b - 1][1]]} for kind, a, b in chunks(tags)]
    assert back == entities


@given(st.lists(st.sampled_from(["O", "B-X", "I-X", "B-Y", "I-Y"]), max_size=12))
def test_chunks_are_conllevals(tags):
    """A stray I- was thrown away, which makes the tagger's score another than published ones:
    compared with seqeval's conlleval rule.
    """
    assert [(kind, a, b - 1) for kind, a, b in chunks(tags)] == get_entities(tags)


@given(
    st.text(LETTERS, max_size=12),
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4)), max_size=8),
)
def test_no_two_tokens_share_a_character(sentence, spans):
    """Four byte tokens of one rare character gave the same entity four times."""
    offsets = sorted((min(a, len(sentence)), min(a + n, len(sentence))) for a, n in spans)
    places = [place for place in own_places(sentence, offsets) if place]
    assert all(a < b <= c < d for (a, b), (c, d) in zip(places, places[1:], strict=False))
    assert all(a < b for a, b in places)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(1, 5)), max_size=8))
def test_of_overlapping_entities_the_longest_stays(spans):
    """Nested entities wrote over each other's tags, and neither came back."""
    entities = [{"pos": [a, a + n]} for a, n in spans]
    kept = apart(entities)
    assert all(a["pos"][1] <= b["pos"][0] for a, b in zip(kept, kept[1:], strict=False))
    for entity in entities:
        a, b = entity["pos"]
        assert any(
            k["pos"][0] < b and a < k["pos"][1] and k["pos"][1] - k["pos"][0] >= b - a for k in kept
        )


def test_a_token_with_an_entitys_border_goes_to_the_larger_share():
    """Tokens of several characters: one that an entity only half fills must not carry its tag."""
    entity = {"type": "X", "pos": [2, 5]}
    assert bio([entity], [(0, 3), (3, 5), (5, 6)]) == ["O", "B-X", "O"]
    assert bio([entity], [(0, 1), (1, 4), (4, 6)]) == ["O", "B-X", "O"]
    assert bio([entity], [(1, 3), (3, 5)]) == ["O", "B-X"]


def fake(
    width: int = 1, positions: int = 512, labels: tuple[str, ...] = ("O", "B-X", "I-X")
) -> Tagger:
    """A tagger without a model whose tokens are `width` characters long."""

    def tokenizer(text: str, **_: object) -> dict:
        assert text.encode(), "half a surrogate pair cannot be read"
        places = [(i, min(i + width, len(text))) for i in range(0, len(text), width)]
        return {"input_ids": [ord(text[a]) % 7 for a, _ in places], "offset_mapping": places}

    return Tagger(
        SimpleNamespace(config=SimpleNamespace(max_position_embeddings=positions)),
        tokenizer,
        list(labels),
    )


def test_what_cannot_be_tagged_is_counted():
    """Entities vanished from training without a word:
    no place, nested, inside a token, said twice.
    """
    tagger = fake(width=2)
    whole, inner, odd = (
        {"name": n, "type": "X", "pos": p}
        for n, p in (("甲乙丙丁", [0, 4]), ("乙丙", [1, 3]), ("己", [5, 6]))
    )
    lost = {"name": "庚", "type": "X", "pos": None}
    rows = list(
        training_rows(
            tagger,
            [{"sentence": "甲乙丙丁戊己", "entities": [whole, dict(whole), inner, odd, lost]}],
        )
    )
    assert rows == [([ord("甲") % 7, ord("丙") % 7, ord("戊") % 7], [1, 2, 0])]
    assert tagger.counts == {
        "entities": 4,
        "unplaced": 1,
        "overlapping": 1,
        "inside_token": 1,
        "cut": 0,
    }


def test_a_long_sentence_comes_in_parts():
    """Tokens beyond the model's context crashed it, or the entities there were lost."""
    tagger = fake(positions=4)
    record = {
        "sentence": "甲乙丙丁戊己庚",
        "entities": [{"name": "丙丁戊己", "type": "X", "pos": [2, 6]}],
    }
    assert [tags for _, tags in training_rows(tagger, [record])] == [[0, 0, 1, 2], [2, 2, 0]]
    assert tagger.counts["cut"] == 1
    assert [b - a for a, b in stretches(9, 4)] == [4, 4, 1]
    assert (
        read_tags(
            record["sentence"],
            [(i, i + 1) for i in range(7)],
            [tagger.labels[tag] for tag in (0, 0, 1, 2, 2, 2, 0)],
        )["entities"]
        == record["entities"]
    )


def test_half_a_surrogate_pair_and_spaces_keep_their_places():
    """A lone surrogate stops the tokenizer; a space inside a token moved the entity's start."""
    sentence = "甲\ud83d 乙"
    ids, places = tokenised(fake().tokenizer, sentence)
    assert len(ids) == 4
    assert places == [(0, 1), (1, 2), (2, 3), (3, 4)]
    places = own_places(" 甲 乙", [(0, 2), (2, 4)])
    found = read_tags(" 甲 乙", places, ["B-X", "B-X"])["entities"]
    assert [(e["name"], e["pos"]) for e in found] == [("甲", [1, 2]), ("乙", [3, 4])]


def train_set() -> list[dict]:
    """Eight embedded sentences."""
    return read_jsonl(EMBEDDED / "ner_train.jsonl")[:8]


def test_it_learns_eight_sentences_by_heart(tiny, monkeypatch):
    """Labels shifted by a token, a student that is trained along, padding that counts."""
    import torch

    records, before = train_set(), [weight.clone() for weight in tiny.model.parameters()]
    tagger = train_tagger(tiny, records, epochs=14, batch_size=4, learning_rate=2e-3, seed=1)
    assert tagger.steps == 28
    assert all(map(torch.equal, tiny.model.parameters(), before))

    sentences = [record["sentence"] for record in records]
    monkeypatch.setattr("miniluotuo_utils.ie.tagger.PREDICTED", 3)
    found = tagger.predict(sentences)
    assert found == [check_record(record) for record in found]
    assert micro(score(records, found, "NER"))[0][1]["f1"] == 1
    assert tagger.predict(sentences[:1]) == found[:1]

    # Of every token a distribution, in the order of the sentences; the likeliest is the prediction.
    for sentence, likely, record in zip(
        sentences, tagger.probabilities(sentences), found, strict=True
    ):
        assert likely.sum(-1) == pytest.approx(1, abs=1e-4)
        tags = [tagger.labels[best] for best in likely.argmax(-1)]
        assert read_tags(sentence, tokenised(tiny.tokenizer, sentence)[1], tags) == record


def test_the_seed_alone_decides_a_training(tiny):
    """A tagger that another run does not repeat: the F1 in a table could not be had again."""
    one, same, other = (
        train_tagger(tiny, train_set(), epochs=2, batch_size=4, seed=seed).model.state_dict()
        for seed in (1, 1, 2)
    )
    assert all((one[name] == same[name]).all() for name in one)
    assert not all((one[name] == other[name]).all() for name in one)


@pytest.mark.parametrize("kind", ["tiny", "gpt2-124m"])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_what_a_token_sees(tiny, kind, bidirectional):
    """Without padding, SDPA's own causal flag could hide the right side from a tagger that should
    read both ways.
    """
    student = tiny if kind == "tiny" else tiny_random(kind)
    model = classifier(student, ["O", "B-X", "I-X"], bidirectional).eval()
    one, other = (logits(model, [[10, 11, 12, last]])[0, 0] for last in (13, 99))
    assert bool((one - other).abs().max() > 1e-6) is bidirectional


def test_a_student_that_cannot_look_right_is_refused():
    """GPT-Neo ignores the flag: its tagger would have been called bidirectional and read to the
    left only.
    """
    neo = tiny_random("gpt-neo-125m")
    with pytest.raises(ValueError, match="gpt_neo cannot look to the right"):
        classifier(neo, ["O", "B-X", "I-X"], True)
    assert classifier(neo, ["O", "B-X", "I-X"], False).config.num_labels == 3


def test_records_without_entities_and_adapters_are_refused(tiny):
    """A tagger of one label `O` scores nothing and takes minutes to say so."""
    with pytest.raises(ValueError, match="no entity in 1 records"):
        train_tagger(tiny, [{"sentence": "你好", "entities": []}])
    adapted = SimpleNamespace(model=SimpleNamespace(peft_config={}), tokenizer=tiny.tokenizer)
    with pytest.raises(ValueError, match="merge"):
        train_tagger(adapted, train_set())


def test_soft_labels_that_are_sure_are_hard_labels(tiny):
    """A token taught the distribution of its neighbour, padding that counts."""
    import numpy as np

    records = train_set()
    hard = train_tagger(tiny, records, epochs=2, batch_size=4, seed=1)
    rows = {tuple(ids): tags for ids, tags in training_rows(hard, records)}
    wanted = []
    for record in records:
        ids, places = tokenised(tiny.tokenizer, record["sentence"])
        found = np.zeros((len(record["sentence"]), len(hard.labels)), np.float32)
        for place, tag in zip(places, rows[tuple(ids)], strict=True):
            if place:
                found[slice(*place), tag] = 1
        wanted.append(found)
    soft = train_tagger(tiny, records, epochs=2, batch_size=4, seed=1, soft=(wanted, hard.labels))
    ours, theirs = soft.model.state_dict(), hard.model.state_dict()
    assert all((ours[name] - theirs[name]).abs().max() < 1e-4 for name in ours)


def test_soft_labels_of_other_sentences_are_refused(tiny):
    """Distributions in another order than their records would be learned without a word."""
    import numpy as np

    wrong = [np.ones((2, 3), np.float32)] * 8
    with pytest.raises(ValueError, match="expected .* characters and 3 labels"):
        train_tagger(tiny, train_set(), soft=(wrong, ["O", "B-X", "I-X"]))


def test_a_tagger_goes_on_with_what_it_has_learned(tiny):
    """Silver first, then gold, which names a type earlier or never: with an output layer drawn anew
    the first was forgotten."""
    first = train_tagger(tiny, train_set(), epochs=2, batch_size=4, seed=1)
    kind = first.labels[-1][2:]
    few = [r for r in train_set() if any(e["type"] == kind for e in r["entities"])]
    still = train_tagger(first, few, epochs=1, learning_rate=1e-9)
    assert still.labels == first.labels
    ours, theirs = still.model.state_dict(), first.model.state_dict()
    assert all((ours[name] - theirs[name]).abs().max() < 1e-6 for name in theirs)
