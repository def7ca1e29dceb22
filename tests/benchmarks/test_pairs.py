"""The pairs of the course run as they stand, on tiny random models of their configurations."""

import pytest
from pairs import PAIRS, main
from tiny_random import saved, tiny_random

from miniluotuo_utils.files import read_jsonl, write_jsonl
from miniluotuo_utils.students import load_student
from miniluotuo_utils.writing import Taken


@pytest.mark.parametrize("name", PAIRS)
def test_a_pair_is_distilled_by_its_command(name, tmp_path, monkeypatch):
    """A recipe that nobody has run breaks on somebody's rented GPU."""
    pair = PAIRS[name]
    teacher = tiny_random(pair.teacher, 1, hidden_size=96, num_hidden_layers=3)
    if pair.teacher == "wenzhong-3.5b":
        teacher.model.resize_token_embeddings(teacher.model.config.vocab_size + 47)
    folders = saved(teacher, tmp_path / "teacher"), saved(tiny_random(name), tmp_path / "small")
    told = "one two" if name == "t5-61m" else "一二三"
    rows = [{"instruction": f"Count to {n}.", "input": "", "output": told} for n in range(6)]
    write_jsonl(tmp_path / "rows.jsonl", rows)

    # What a random teacher writes is no text that another vocabulary has.
    asked = []

    def answers(student, prompts, **_):
        asked.extend(prompts)
        return [told] * len(prompts)

    monkeypatch.setattr("pairs.generate", answers)
    given = ["--rows", tmp_path / "rows.jsonl", "--out", tmp_path / "out", "--max-steps", 2]
    given += ["--teacher", folders[0], "--student", folders[1], "--batch-size", 2]
    main([name, *map(str, given)])

    out = tmp_path / "out"
    assert load_student(out / "student").parameters == tiny_random(name).parameters
    log = read_jsonl(out / "student" / "training.jsonl")
    assert len(log) == 2 and all(line["distillation"] > 0 for line in log)
    assert len(asked) == (len(rows) if pair.method == "labels" else 0)
    assert (out / "kept").is_dir() == (pair.method == "logits")
    with pytest.raises(Taken):
        main([name, *map(str, given)])


def test_the_table_plans_every_pair(capsys):
    """3.5 B beside its student is more than a T4 has, and the table says which card does."""
    main([])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[1] for line in lines[2 : 2 + len(PAIRS)]] == list(PAIRS)
    assert not any("–" in line.split(" | ")[4] for line in lines[2 : 2 + len(PAIRS)])


def test_a_pair_says_what_it_lacks(capsys):
    """Loading 7 GB before that was found out would be dear."""
    with pytest.raises(SystemExit):
        main(["gpt2-124m", "--out", "x"])
    assert "needs --rows" in capsys.readouterr().err
