"""Labels in doubt: no tagger judges what it learned, and a planted fault comes first."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniluotuo_utils.files import DataError
from miniluotuo_utils.ie import suspects as module
from miniluotuo_utils.ie.suspects import KINDS, Reading, dealt, suspects, suspects_of

LABELS = ["O", "B-人物", "I-人物", "B-地点", "I-地点"]


def entity(sentence: str, name: str, kind: str) -> dict:
    """The entity of a name that stands once."""
    start = sentence.index(name)
    return {"name": name, "type": kind, "pos": [start, start + len(name)]}


def record(sentence: str, **names: str) -> dict:
    """A record with these names, by type."""
    found = [entity(sentence, name, kind) for name, kind in names.items()]
    return {"sentence": sentence, "source": "s", "entities": found}


RECORDS = [
    record("李白生在碎叶", 李白="人物", 碎叶="地点"),
    record("李白到了长安", 李白="人物", 长安="地点"),
    record("杜甫也在长安", 杜甫="人物", 长安="地点"),
    record("李白见到杜甫", 李白="人物", 杜甫="人物"),
    record("碎叶离长安远", 碎叶="地点", 长安="地点"),
    record("李白住在长安", 李白="地点", 长安="地点"),  # the fault
    record("杜甫送别李白", 杜甫="人物", 李白="人物"),
    record("长安下了大雪"),  # another: 长安 has no label
    record("碎叶在西边呢", 碎叶="地点"),
    record("碎叶有个杜甫", 碎叶="地点", 杜甫="人物"),
]


@given(st.lists(st.lists(st.sampled_from("甲乙丙"), max_size=3), min_size=4), st.integers(2, 4))
def test_every_record_is_judged_once_and_rare_types_by_taggers_that_know_them(kinds, folds):
    """A record that is in two folds is judged by a tagger that learned it."""
    records = [{"entities": [{"type": kind} for kind in own]} for own in kinds]
    found = dealt(records, folds, seed=1)
    assert sorted(n for fold in found for n in fold) == list(range(len(records)))
    assert max(map(len, found)) - min(map(len, found)) <= 1
    only = [n for n, own in enumerate(kinds) if set(own) == {"丙"}]
    if all("丙" not in own or set(own) == {"丙"} for own in kinds) and len(only) >= 2:
        rarest = min("甲乙丙", key=lambda k: (sum(own.count(k) for own in kinds) or 10**9, k))
        held = [sum(n in fold for n in only) for fold in found]
        assert rarest != "丙" or max(held) < len(only)


def reading(sentence: str, tags: list[str], sure: float = 0.9) -> Reading:
    """A reading of one token a character, each tag this likely."""
    likely = np.full((len(tags), len(LABELS)), (1 - sure) / (len(LABELS) - 1))
    for place, tag in enumerate(tags):
        likely[place, LABELS.index(tag)] = sure
    return Reading([(n, n + 1) for n in range(len(sentence))], likely, LABELS)


@pytest.mark.parametrize(
    ("tags", "kind", "read"),
    [
        (["B-人物", "I-人物", "O", "O"], None, None),
        (["B-地点", "I-地点", "O", "O"], "wrong_type", "李白"),
        (["B-人物", "I-人物", "I-人物", "O"], "wrong_boundary", "李白到"),
        (["O", "O", "O", "O"], "missed", None),
    ],
)
def test_a_label_that_is_read_otherwise_is_named_with_its_kind(tags, kind, read):
    """Four ways to be wrong; a label that is read as it stands is none of them."""
    sentence = "李白到了"
    found = list(
        suspects_of(0, sentence, [entity(sentence, "李白", "人物")], reading(sentence, tags))
    )
    assert [one.kind for one in found] == ([kind] if kind else [])
    for one in found:
        assert one.kind in KINDS
        assert one.doubt == pytest.approx(0.9)
        assert (one.read or {}).get("name") == read


def test_the_weakest_token_that_differs_decides():
    """A long span of which one token is unsure is unsure; tokens that agree have no say."""
    sentence = "李白到了"
    read = reading(sentence, ["B-人物", "I-人物", "I-人物", "O"])
    read.likely[0, 1], read.likely[2, 2] = 0.4, 0.6
    [one] = suspects_of(0, sentence, [entity(sentence, "李白", "人物")], read)
    assert one.doubt == pytest.approx(0.6)


class Lookup:
    """A tagger that reads every name as the records that it learned from mostly do."""

    learned: list[list[str]] = []

    def __init__(self, student: object, records: list, seed: int = 0, **_: object) -> None:
        self.learned.append([one["sentence"] for one in records])
        self.labels = LABELS
        votes: dict[str, list[str]] = {}
        for one in records:
            for e in one["entities"]:
                votes.setdefault(e["name"], []).append(e["type"])
        self.known = {name: max(kinds, key=kinds.count) for name, kinds in votes.items()}

    def probabilities(self, sentences: list[str]) -> list[np.ndarray]:
        """One tag a character."""
        made = []
        for sentence in sentences:
            tags = ["O"] * len(sentence)
            for name, kind in self.known.items():
                if (at := sentence.find(name)) >= 0:
                    tags[at : at + 2] = [f"B-{kind}", f"I-{kind}"]
            made.append(reading(sentence, tags).likely.astype(np.float32))
        return made


@pytest.fixture
def lookup(monkeypatch):
    """Taggers that look names up, and a student that reads characters."""
    Lookup.learned = []
    monkeypatch.setattr(module, "train_tagger", Lookup)
    monkeypatch.setattr(module, "fingerprint", lambda student: student.name)

    def tokenizer(text: str, **_: object) -> dict:
        places = [(n, n + 1) for n in range(len(text))]
        return {"input_ids": list(map(ord, text)), "offset_mapping": places}

    return SimpleNamespace(name="looker", tokenizer=tokenizer)


def test_the_planted_faults_are_found_and_nobody_is_judged_by_itself(lookup):
    """A tagger that learned the fault agrees with it."""
    found = suspects(lookup, RECORDS, folds=4)
    assert [(one.record, one.kind) for one in found] == [(5, "wrong_type"), (7, "spurious")]
    assert found[0].read["type"] == "人物"
    assert found[1].read["name"] == "长安"
    for learned in Lookup.learned:
        assert len(learned) in (7, 8)
    assert suspects(lookup, RECORDS, folds=4, rounds=2, seed=3)[0].record in (5, 7)


def test_a_killed_call_goes_on_with_the_next_fold(lookup, tmp_path, monkeypatch):
    """Hours of folds began anew after a kill in the last one."""

    class Killed(Lookup):
        def __init__(self, *arguments: object, **how: object) -> None:
            if len(self.learned) == 2:
                raise KeyboardInterrupt
            super().__init__(*arguments, **how)

    monkeypatch.setattr(module, "train_tagger", Killed)
    with pytest.raises(KeyboardInterrupt):
        suspects(lookup, RECORDS, folds=4, folder=tmp_path)
    monkeypatch.setattr(module, "train_tagger", Lookup)
    again = suspects(lookup, RECORDS, folds=4, folder=tmp_path)
    assert len(Lookup.learned) == 4
    assert again == suspects(lookup, RECORDS, folds=4)
    assert len(Lookup.learned) == 8
    assert not list(tmp_path.glob("*.partial"))


def test_what_other_records_gave_is_not_taken(lookup, tmp_path):
    """A folder of yesterday's records, whose probabilities would be taken for today's."""
    suspects(lookup, RECORDS, folds=4, folder=tmp_path)
    with pytest.raises(DataError, match=r"round-0-fold-0.npz was made of other records"):
        suspects(lookup, RECORDS[:-1], folds=4, folder=tmp_path)


def test_what_cannot_be_judged_is_refused(lookup):
    """Relations were judged as sentences without any entity: all were right."""
    with pytest.raises(DataError, match="record 1: found no field entities"):
        suspects(lookup, [RECORDS[0], {"sentence": "甲", "relations": []}])
    with pytest.raises(DataError, match="found 3 records and 2 folds"):
        suspects(lookup, RECORDS[:3], folds=2)
