"""`ablate`: equal tokens, one source left out, intervals that hold, and nothing trained twice."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniluotuo_utils.__main__ import main
from miniluotuo_utils.evaluation.checks import SETS, questions
from miniluotuo_utils.files import DataError, read_jsonl, write_jsonl
from miniluotuo_utils.jobs import ablate as module
from miniluotuo_utils.jobs.ablate import (
    BASE,
    IE,
    WHOLE,
    Ablation,
    ablate,
    gold,
    of_length,
    scored,
    tables,
)
from miniluotuo_utils.jobs.ablate import (
    given as gives,
)
from miniluotuo_utils.runtime import EMBEDDED

BANK = read_jsonl(EMBEDDED / "bank.jsonl")


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.integers(9, 200), st.integers())
def test_every_training_has_as_many_tokens(sizes, tokens, seed):
    """A training with more tokens looked like a better source."""
    rows = [{"input_ids": [0] * size, "n": n} for n, size in enumerate(sizes)]
    chosen = of_length(rows, tokens, seed)
    total = sum(len(row["input_ids"]) for row in chosen)
    assert tokens - max(sizes) < total <= tokens
    counts = [sum(row["n"] == n for row in chosen) for n in range(len(sizes))]
    assert max(counts) - min(counts) <= 1


def line(arm: str, seed: int, right: bool, entities: bool) -> dict:
    """A training after which every answer is right or none, and every entity found or none."""
    answers = {s: [q["output"] if right else "" for q in questions(s)] for s in SETS}
    return {
        "arm": arm,
        "seed": seed,
        "answers": answers,
        "bits": {s: [1.0 if right else 3.0] * len(rows) for s, rows in answers.items()},
        "entities": [record["entities"] if entities else [] for record in gold()],
    }


def test_what_a_source_gives_is_all_less_without_it():
    """The sign, or the interval of another measure."""
    whole = [line(WHOLE, 0, True, True), line(WHOLE, 1, True, True)]
    without = [line("甲", 0, False, True), line("甲", 1, False, False)]
    assert scored(whole)["reasoning"] == scored(whole)[IE] == 1
    assert scored(without)["reasoning"] == 0
    found = gives(whole, without)
    assert found["reasoning"] == (1, 1, 1)
    assert found[module.BITS] == (-2, -2, -2)
    difference, low, high = found[IE]
    assert low <= difference <= high
    assert 0 < difference < 1
    assert gives(whole, whole)["complex"] == (0, 0, 0)
    text = tables([line(BASE, 0, False, False), *whole, *without])
    assert "没有 without 甲" in text
    assert "+1.000 (+1.000 to +1.000)" in text


@pytest.fixture
def quick(tmp_path, monkeypatch):
    """Two files of rows, and trainings that only note what they were given."""
    trained = []
    monkeypatch.setattr(module, "answered", lambda student: answers_of(line("x", 0, True, True)))

    def train(student: object, rows: list, seed: int, folder: object, **_: object):
        trained.append((seed, sum(len(row["input_ids"]) for row in rows), len(rows)))
        return SimpleNamespace(steps=len(rows))

    monkeypatch.setattr(module, "finetune", train)
    files = [tmp_path / "甲.jsonl", tmp_path / "乙.jsonl"]
    write_jsonl(files[0], BANK[:9])
    write_jsonl(files[1], BANK[9:20])
    return SimpleNamespace(files=files, trained=trained, out=tmp_path / "out")


def answers_of(found: dict) -> dict:
    """What `answered` returns of a line."""
    return {name: found[name] for name in ("answers", "bits", "entities")}


def test_each_source_is_left_out_once_a_seed(quick):
    """An arm that was trained on what it should lack."""
    lines = ablate("tiny", quick.files, quick.out, tokens=3000, seeds=2)
    arms = [(one["arm"], one["seed"]) for one in lines]
    assert arms == [(BASE, 0), *[(a, s) for s in (0, 1) for a in (WHOLE, "甲.jsonl", "乙.jsonl")]]
    assert len(quick.trained) == 6
    assert all(2500 < tokens <= 3000 for _, tokens, _ in quick.trained)
    page = (quick.out / "answers.md").read_text(encoding="utf-8")
    assert "✓ 没有 without 甲.jsonl" in page


def test_a_killed_call_trains_nothing_twice(quick, monkeypatch):
    """Six trainings of an hour began anew after a kill in the fifth."""
    train = module.finetune

    def killed(*arguments: object, **how: object):
        if len(quick.trained) == 2:
            raise KeyboardInterrupt
        return train(*arguments, **how)

    monkeypatch.setattr(module, "finetune", killed)
    with pytest.raises(KeyboardInterrupt):
        ablate("tiny", quick.files, quick.out, tokens=3000, seeds=1)
    monkeypatch.setattr(module, "finetune", train)
    assert len(ablate("tiny", quick.files, quick.out, tokens=3000, seeds=1)) == 4
    assert len(quick.trained) == 3
    ablate("tiny", quick.files, quick.out, tokens=3000, seeds=2)
    assert len(quick.trained) == 6, "more seeds go on in the same file"
    with pytest.raises(DataError, match="begun with another tokens"):
        ablate("tiny", quick.files, quick.out, tokens=4000, seeds=1)


def test_the_kinds_of_one_file_are_told_apart_by_their_source(tmp_path):
    """LaMini's kinds stand in one file; each row says which it is of."""
    kinds = ("self_instruct_with_topic", "self_instruct_without_topic", "alpaca")
    path = tmp_path / "lamini.jsonl"
    write_jsonl(path, [{**row, "source": kinds[n % 3]} for n, row in enumerate(BANK[:9])])
    plan = Ablation("tiny", [path], by="source", tokens=500, seeds=1)
    assert {name: len(rows) for name, rows in plan.sources.items()} == dict.fromkeys(kinds, 3)
    assert len(plan.arms) == 5
    with pytest.raises(DataError, match="alone, expected two or more"):
        Ablation("tiny", [path], tokens=500)


def test_two_sources_of_one_name_are_not_taken_for_one(tmp_path):
    """`--data a/rows.jsonl b/rows.jsonl c.jsonl` left a and b out together, as one source."""
    files = [tmp_path / "a" / "rows.jsonl", tmp_path / "b" / "rows.jsonl", tmp_path / "c.jsonl"]
    for number, file in enumerate(files):
        write_jsonl(file, BANK[number : number + 1])
    with pytest.raises(DataError, match=r"rows\.jsonl: two of --data have this name"):
        Ablation("tiny", files, tokens=500)


def test_a_source_without_a_row_and_options_that_cannot_be(tmp_path, capsys):
    """A training on nothing, an hour later."""
    path = tmp_path / "empty.jsonl"
    write_jsonl(path, [{**BANK[0], "output": ""}])
    with pytest.raises(DataError, match="empty.jsonl: no row can be learned from"):
        Ablation("tiny", [path, EMBEDDED / "bank.jsonl"])
    out = str(tmp_path / "out")
    assert main(["ablate", "tiny", out, "--data", str(path), "--tokens", "0"]) == 2
    assert "tokens is 0" in capsys.readouterr().err


def test_one_real_ablation_of_a_few_steps(tmp_path, capsys):
    """The parts fit together: train, ask, score, and the table of the shell."""
    out = tmp_path / "out"
    arguments = ["--data", "embedded-cot", "embedded-ner", "--tokens", "1200", "--seeds", "1"]
    assert main(["ablate", "tiny", str(out), *arguments]) == 0
    said = capsys.readouterr().out
    assert "这个来源给的 what the source gives" in said
    assert "没有 without embedded-cot" in said
    assert [one["arm"] for one in read_jsonl(out / "runs.jsonl")[1:]] == [
        BASE,
        WHOLE,
        "embedded-cot",
        "embedded-ner",
    ]
