"""What people hand to `plan`, `finetune` and `load_student`: read, or refused in one sentence."""

from __future__ import annotations

import pytest

from miniluotuo_utils.__main__ import main
from miniluotuo_utils.files import DataError, write_jsonl
from miniluotuo_utils.ie import build_instructions
from miniluotuo_utils.students import finetune, load_student, save
from miniluotuo_utils.students.given import given_rows
from miniluotuo_utils.students.planner import plan
from miniluotuo_utils.students.zoo import ZOO

ROWS = [{"instruction": f"数到{n}", "output": "一二三四五六"[:n]} for n in range(1, 5)]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--length", "0"], "length is 0; expected more than 0"),
        (["--rows", "-5"], "rows is -5; expected more than 0"),
        (["--epochs", "nan"], "epochs is nan; expected more than 0"),
        (["--row-tokens", "-1"], "row_tokens is -1.0; expected more than 0"),
        (["--mfu", "2"], "mfu is 2.0; expected a share of the GPU's peak, above 0 and up to 1"),
        (["--price", "-1"], "price is -1.0; expected 0 or more for an hour"),
    ],
)
def test_a_plan_with_a_senseless_amount_is_refused(option, said, capsys):
    """`--length 0` ended in a traceback, `--rows -5` in −0 hours, `--mfu 2` in 200 %."""
    assert main(["plan", "tiny", *option])
    assert said in capsys.readouterr().err


def test_a_plan_for_a_folder_and_for_an_adapter_is_that_of_their_model(tmp_path):
    """Only names of the zoo were known: nobody could plan for a student of their own."""
    own, tiny = plan(ZOO["tiny"].source), plan("tiny")
    assert {**own, "student": ""} == {**tiny, "student": ""}
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "tiny"}')
    assert plan(tmp_path, "lora")["parameters"] == tiny["parameters"]
    with pytest.raises(ValueError, match="is not in the zoo; the nearest of .* or a hub id"):
        plan("no-such-student")
    with pytest.raises(FileNotFoundError, match="expected a student"):
        plan(tmp_path.parent)


def test_rows_come_as_a_list_a_frame_or_a_dataset():
    """A DataFrame was a TypeError, and rows without `input` a KeyError."""
    import pandas as pd
    from datasets import Dataset

    filled = [{"input": "", **row} for row in ROWS]
    frame = pd.DataFrame([*ROWS[:3], {**ROWS[3], "input": None}])
    assert given_rows(ROWS) == given_rows(iter(ROWS)) == filled
    assert [{**row} for row in given_rows(frame)] == filled
    data = given_rows(Dataset.from_list(ROWS))
    assert [data[0][name] for name in ("instruction", "input", "output")] == ["数到1", "", "一"]
    tokens = [{"input_ids": [5], "labels": [5]}]
    assert given_rows(tokens) == tokens


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "found none, expected at least one row"),
        ([{"prompt": "问", "response": "答"}], "columns prompt, response, .*read_any"),
        ([{"input_ids": [5]}], "columns input_ids, labels missing"),
        (ROWS[0], r"one dict with instruction, output, .*\[row\]"),
        ({"train": ROWS}, r"one dict with train, .*rows\['train'\]"),
        ("rows.jsonl", "found a path, .*read_any"),
        (["一段文字"], "found str in place 0"),
        (7, "found int"),
        ([ROWS[0], {"instruction": "问", "output": 3}], "row 1, field output: found int 3"),
        ([ROWS[0], {"instruction": "问"}], "row 1, field output: found nothing"),
    ],
)
def test_other_things_are_said_for_what_they_are(rows, said):
    """A bare KeyError, or for `[]` the advice to shorten the prompts."""
    with pytest.raises(DataError, match=said):
        given_rows(rows)


def test_silver_rows_of_a_file_are_no_examination(tmp_path, monkeypatch, capsys):
    """Their mark was lost with the records, and again in the file: they were kept out to judge."""
    record = {"sentence": "骆驼走过沙漠。", "source": "x", "entities": [], "annotation": "silver"}
    write_jsonl(tmp_path / "rows.jsonl", build_instructions([record] * 4, "NER", ["动物"]))
    monkeypatch.setattr("miniluotuo_utils.jobs.train.load_student", None)
    asked = ["--data", tmp_path / "rows.jsonl", "--out", tmp_path / "student"]
    assert main(["train", "--student", "tiny", "--evaluation", "0.5", *map(str, asked)]) == 2
    assert "row 0, field annotation: found 'silver'" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_they_are_refused_before_anything_is_loaded_or_written(tmp_path):
    """A folder was left behind, and the student had got its adapter."""
    student = load_student("tiny", device="cpu")
    with pytest.raises(DataError, match="found the columns"):
        finetune(student, [{"text": "无"}], "lora", folder=tmp_path / "s.training")
    assert list(tmp_path.iterdir()) == []
    assert not student.is_adapter
    assert save(student, str(tmp_path / "my-student")).is_dir()


def test_four_bits_without_a_gpu_go_to_the_cpu(monkeypatch):
    """An AssertionError of torch, for a call that our own message advised."""
    pytest.importorskip("bitsandbytes")
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert load_student("tiny", bits=4).model.device.type == "cpu"
