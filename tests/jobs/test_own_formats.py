"""Commands take people's own files as they are: train, validate, score."""

import json
from pathlib import Path

import pytest

from miniluotuo_utils.__main__ import main
from miniluotuo_utils.data import convert, read_any
from miniluotuo_utils.files import write_jsonl
from miniluotuo_utils.jobs.train import train_files

OWN = Path(__file__).resolve().parents[1] / "data" / "own"
ROWS = ("own_rows.jsonl", "alpaca.json", "prompt_response.jsonl", "question_answer.csv")
TALKS = ("input_output.jsonl", "sharegpt.json", "messages.jsonl", "conversation.jsonl")
RECORDS = {
    "NER": ("doccano.jsonl", "label_studio_min.json", "ccks.json", "tag_lists.jsonl", "w2ner.json")
    + (
        "spacy_pair.json",
        "spacy_doc.jsonl",
        "bio.txt",
        "bilou_underscore.txt",
        "conll.txt",
        "names.jsonl",
        "names_by_type.jsonl",
    ),
    "RE": ("doccano_relations.jsonl", "label_studio.json", "uie.txt", "brat", "casrel.json")
    + ("tplinker.json", "persons.txt", "relations_by_name.jsonl"),
    "EE": ("brat", "cec.xml"),
}


def test_a_student_is_trained_on_every_shape_of_rows(tmp_path):
    """The first command of every newcomer: eight files of eight shapes, and a source by its
    name."""
    said = []
    training = train_files(
        "tiny",
        [*(OWN / name for name in (*ROWS, *TALKS)), "embedded-instructions"],
        tmp_path / "out",
        max_steps=1,
        max_length=100_000,
        say=said.append,
    )
    assert training.steps == 1
    told = "\n".join(said)
    assert told.count("Read as") == 8
    assert "Read train of the catalog's embedded-instructions" in told
    assert "--max-length 100,000 减到" in told, "cut to the context without a word"
    assert "1 × a system message" in told
    facts = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert set(facts["data"]) == {*ROWS, *TALKS, "embedded-instructions"}


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("", "3 no supervised token: their output is empty"),
        ("长" * 9000, "3 over 512 tokens: shorten"),
    ],
)
def test_rows_that_teach_nothing_are_named_with_the_way(output, words, tmp_path):
    """A raw Counter and the advice to bring instruction rows, which these were."""
    row = {"instruction": "写", "output": output}
    write_jsonl(tmp_path / "rows.jsonl", [row] * 3)
    with pytest.raises(ValueError, match=f"found no row to learn from among 3: {words}"):
        train_files("tiny", [tmp_path / "rows.jsonl"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nine_of_ten_rows_left_out_is_said_beforehand(tmp_path):
    """It stood at the end of a long JSON line, after hours of training."""
    rows = [{"instruction": "写", "output": "长" * 9000}] * 9 + [
        {"instruction": "写", "output": "短"}
    ]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    said = []
    train_files("tiny", [tmp_path / "rows.jsonl"], tmp_path / "out", max_steps=1, say=said.append)
    [line] = [line for line in said if "left out" in line]
    assert "WARNING" in line
    assert "9 of 10 rows are left out: 9 over 512 tokens" in line


def test_records_are_no_rows(tmp_path):
    """Whoever trains on annotated sentences is told how rows are made of them."""
    with pytest.raises(ValueError, match=r"doccano.jsonl: found IE records \(NER\).*build_instruc"):
        train_files("tiny", [OWN / "doccano.jsonl"], tmp_path / "out")


@pytest.mark.parametrize(("task", "name"), [(t, n) for t, names in RECORDS.items() for n in names])
def test_every_format_is_scored_against_itself_and_against_ours(task, name, tmp_path, capsys):
    """A prediction in doccano's format against gold in ours: neither could be read."""
    gold = tmp_path / "gold.jsonl"
    convert(OWN / name, gold, to="records", task=task, say=None)
    assert (
        main(["score", str(gold), str(OWN / name), "--task", task, "--mode", "string", "--json"])
        == 0
    )
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    parts = [result] if task != "EE" else [result["trigger"], result["argument"]]
    assert all(part["micro"]["f1"] == 1.0 and part["micro"]["gold"] for part in parts)
    assert "Read as" in printed.err


def test_a_file_of_another_task_is_not_scored_as_empty(tmp_path, capsys):
    """Entities scored as relations: F1 0.0, and nothing said why."""
    files = [str(OWN / "bio.txt")] * 2
    assert main(["score", *files, "--task", "RE"]) == 2
    assert "bio.txt: found entities, expected relations for the task RE" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", [*ROWS, *TALKS, *sorted({n for names in RECORDS.values() for n in names})]
)
def test_every_format_is_validated(name, capsys):
    """`validate` knew our own two shapes alone."""
    assert main(["validate", str(OWN / name)]) == 0
    printed = capsys.readouterr().out
    assert "Read as" in printed
    assert "0 faults" in printed
    assert f"{sum(1 for _ in read_any(OWN / name, say=None)):,} " in printed
