"""What two benchmarks compare: nothing that is kept out is taught, and no row counts for two."""

from types import SimpleNamespace

import left_out
import one_student
import pytest
from one_student import Source, answered, exams, rows_of, taught


def record(sentence: str, *kinds: str, **more: str) -> dict:
    """A record with a relation of each kind."""
    head, tail = ({"name": sentence[at], "pos": [at, at + 1]} for at in (0, 1))
    relations = [{"head": head, "type": kind, "tail": tail} for kind in kinds]
    return {"sentence": sentence, "source": "", "relations": relations, **more}


@pytest.fixture
def source(monkeypatch) -> Source:
    """A set of two relations, of which 出版社 is kept out."""
    monkeypatch.setattr(one_student, "KEPT_OUT", {"duie-sample": ["出版社"]})
    train = [record("甲乙作文。", "作者", "出版社"), record("丙丁写书。", "作者")]
    test = [record(f"{a}戊写书。", *kinds) for a, kinds in zip("己庚辛壬", KINDS, strict=True)]
    return Source("duie-sample", "RE", train, test, test)


KINDS = (["作者"], ["作者", "出版社"], [], ["作者"])


def test_what_is_kept_out_is_in_no_training_row(source, tmp_path):
    """A student that was told a type is no witness for types that it was never told."""
    assert taught(source) == ["作者"]
    rows = rows_of([source], tmp_path / "rows")
    assert rows
    assert all(row["types"] == ["作者"] and "出版社" not in row["output"] for row in rows)


def test_what_is_kept_out_is_asked_alone_with_as_many_sentences_without_it(source):
    """Sentences that all hold a type reward a student that always answers."""
    whole, apart = exams(source, 4)
    assert (whole.schema, apart.schema) == (["作者"], ["出版社"])
    assert len(whole.gold) == 4
    assert sorted(len(one["relations"]) for one in apart.gold) == [0, 1]
    assert {item["type"] for one in whole.gold for item in one["relations"]} == {"作者"}


def test_a_labelled_pair_is_asked_for_its_own_type_and_answers_stay_in_order(monkeypatch):
    """Sentences are asked together by their types: the answers once came back in that order."""
    pairs = [("甲乙。", "b"), ("丙丁。", "a"), ("戊己。", "b")]
    gold = [record(sentence, kind, annotation="one-pair") for sentence, kind in pairs]
    asked = []

    def extract(student, sentences, schema, task, **how):
        asked.append((sentences, schema))
        return SimpleNamespace(records=[{"sentence": one} for one in sentences])

    monkeypatch.setattr(one_student, "extract", extract)
    exam = one_student.Exam("finre", Source("finre", "RE", [], gold, []), gold, ["a", "b"])
    assert [one["sentence"] for one in answered(None, exam)] == [one for one, _ in pairs]
    assert asked == [(["丙丁。"], ["a"]), (["甲乙。", "戊己。"], ["b"])]


def test_no_instruction_counts_for_both_kinds():
    """The recorded teacher says the same to both: an ablation of two equal halves."""
    rows = left_out.kinds(10)
    assert [row["source"] for row in rows] == ["example_guided"] * 10 + ["topic_guided"] * 10
    assert len({row["instruction"] for row in rows}) == 20
    assert all(row["output"] for row in rows)
