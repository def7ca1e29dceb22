"""Questions and sentences in whatever file a person keeps them: one door for four commands."""

import csv
import gzip
import io
import json
import os
import zipfile
from datetime import date
from pathlib import Path

import pytest

from miniluotuo_utils.data.plain import asked_rows, named, units_of
from miniluotuo_utils.files import DataError, read_jsonl
from miniluotuo_utils.jobs.annotate import sentences
from miniluotuo_utils.jobs.predict import check_asked, predict_file
from miniluotuo_utils.jobs.respond import respond_file, topics_of_file
from miniluotuo_utils.teacher import Teacher
from miniluotuo_utils.teacher.recorded import RecordedTeacher

ASKED = ["兰州在哪条河边？", "“雨,雪”用英语怎么说？", "三加五得几？"]


def as_csv(rows, delimiter=","):
    """The text of a table."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_parquet(rows):
    """The bytes of a Parquet file."""
    import pyarrow
    import pyarrow.parquet

    made = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), made)
    return made.getvalue()


def as_lines(rows):
    """The text of JSON Lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def as_zip(name, held):
    """The bytes of an archive of one file."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), held)
    return made.getvalue()


ENGLISH = [{"id": str(n), "instruction": text} for n, text in enumerate(ASKED)]
CHINESE = [{"编号": str(n), "问题": text} for n, text in enumerate(ASKED)]
FILES = {
    "rows.jsonl": as_lines(ENGLISH).encode(),
    "rows.dat": as_lines(ENGLISH).encode("gbk"),
    "rows.json": json.dumps(CHINESE, ensure_ascii=False, indent=1).encode(),
    "whole.json": json.dumps({"data": ENGLISH}).encode(),
    "rows.csv": as_csv(CHINESE).encode("gbk"),
    "excel.csv": as_csv(ENGLISH, ";").encode("utf-8-sig"),
    "alone.csv": as_csv([{"question": text} for text in ASKED]).encode(),
    "rows.tsv": as_csv(CHINESE, "\t").encode("utf-16"),
    "rows.csv.gz": gzip.compress(as_csv(CHINESE).encode()),
    "rows.parquet": as_parquet(ENGLISH),
    "unicode.txt": as_csv(CHINESE, "\t").encode("utf-16"),
    "rows.txt": "\r\n".join([*ASKED, ""]).encode("gbk"),
    "lines.txt": as_lines(ENGLISH).encode(),
    "table.txt": as_csv([{"问题": text, "答案": ""} for text in ASKED]).encode("gbk"),
    "capitals.json": json.dumps({"data": [{"Question": text} for text in ASKED]}).encode(),
    "pandas.json": json.dumps({"question": dict(enumerate(ASKED))}).encode(),
    "texts.json": json.dumps(ASKED).encode(),
    "quoted.csv": as_csv([{"编,号": n, "问题": text} for n, text in enumerate(ASKED)]).encode(),
    "blank.csv": b"\r\n" + as_csv(ENGLISH).encode(),
    "rows.zip": as_zip("rows.csv", as_csv(CHINESE).encode("gbk")),
}


@pytest.fixture(params=FILES)
def questions(request, tmp_path):
    """The questions in a file of some kind."""
    path = tmp_path / request.param
    path.write_bytes(FILES[request.param])
    return path


def test_questions_are_read_in_every_file(questions):
    """`predict questions.csv` said that line 1 is no JSON."""
    found = list(asked_rows(questions, check_asked))
    assert [row["instruction"] for row in found] == ASKED
    assert [row.get("id", row.get("编号", str(n))) for n, row in enumerate(found)] == [
        "0",
        "1",
        "2",
    ]


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet", "rows.json"])
def test_a_link_is_what_it_leads_to(name, tmp_path):
    """A link without an ending to a table was read as lines of text."""
    (tmp_path / name).write_bytes(FILES[name])
    (tmp_path / "link").symlink_to(tmp_path / name)
    assert [row["instruction"] for row in asked_rows(tmp_path / "link", check_asked)] == ASKED


@pytest.mark.parametrize(
    ("row", "asked", "about"),
    [
        ({"instruction": "答题。", "question": "几点了？"}, "答题。", "几点了？"),
        ({"instruction": "谁？", "input": "", "context": "李白来了。"}, "谁？", "李白来了。"),
        ({"instruction": "谁？", "context": ["甲", "乙"]}, "谁？", ""),
        ({"user": "user_123", "question": "几点了？"}, "几点了？", ""),
    ],
)
def test_what_is_asked_is_taken_whole(row, asked, about, tmp_path):
    """The question beside an instruction was left out, and the number of a user was asked."""
    (tmp_path / "rows.jsonl").write_text(json.dumps(row), encoding="utf-8")
    [found] = asked_rows(tmp_path / "rows.jsonl", check_asked)
    assert (found["instruction"], found["input"]) == (asked, about)


def test_a_prompt_alone_is_handed_on_in_every_file(tmp_path):
    """`predict prompts.csv` wanted an instruction."""
    (tmp_path / "rows.csv").write_text("id,prompt\n1,问好\n", encoding="utf-8")
    (tmp_path / "rows.json").write_text('{"data": [{"id": "1", "prompt": "问好"}]}')
    for path in tmp_path.iterdir():
        assert list(asked_rows(path, check_asked)) == [{"id": "1", "prompt": "问好"}]


def test_who_has_an_answer_is_not_asked_again(tmp_path):
    """A table of questions and answers was paid for a second time, because ours is `output`."""
    (tmp_path / "rows.csv").write_text("question,answer\n谁？,李白\n", encoding="utf-8")
    with RecordedTeacher([]) as server:
        teacher = Teacher(server.base_url, server.model, "sk-a-long-key", max_retries=0)
        counts = respond_file(teacher, tmp_path / "rows.csv", tmp_path / "out", progress=False)
        assert server.answered.total() == 0
    assert counts["kept"] == 1
    assert read_jsonl(tmp_path / "out")[0]["output"] == "李白"
    assert "output" not in named({"instruction": "写一句广告", "target": "年轻人"})


def test_a_student_answers_every_file(questions, tmp_path, tiny):
    """All that a row holds comes back, with the answer beside it."""
    counts = predict_file(tiny, questions, tmp_path / "out.jsonl", max_new_tokens=2)
    assert counts["answered"] == 3
    found = read_jsonl(tmp_path / "out.jsonl")
    assert [row["instruction"] for row in found] == ASKED
    assert all("output" in row for row in found)


def test_a_teacher_answers_every_file(questions, tmp_path):
    """The second time nothing is asked, and the file that is there is known as its own."""
    bank = [{"instruction": text, "output": f"第{n}答。"} for n, text in enumerate(ASKED)]
    with RecordedTeacher(bank) as server:
        store = tmp_path / "store.sqlite"
        teacher = Teacher(server.base_url, server.model, "sk-a-long-key", store, max_retries=0)
        for _ in range(2):
            counts = respond_file(teacher, questions, tmp_path / "out.jsonl", progress=False)
        assert server.answered.total() == counts["answered"] == 3
    outputs = [row["output"] for row in read_jsonl(tmp_path / "out.jsonl")]
    assert outputs == ["第0答。", "第1答。", "第2答。"]


def test_days_and_empty_cells_of_a_table_are_written(tmp_path):
    """A column of days ended `predict` after all answers were made: no JSON holds a day."""
    path = tmp_path / "rows.parquet"
    row = {"instruction": "问好", "input": None, "day": date(2026, 5, 1), "share": float("nan")}
    path.write_bytes(as_parquet([row]))
    [found] = asked_rows(path, check_asked)
    assert (found["input"], found["day"], found["share"]) == ("", "2026-05-01", None)
    path.write_bytes(as_parquet([{"instruction": "问好", "picture": b"\xff\xd8"}]))
    with pytest.raises(DataError, match=r"rows.parquet, row 1, .*bytes, expected text"):
        list(asked_rows(path, check_asked))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("rows.csv", "标题,正文\n一,二\n", "line 1: found '标题,正文', expected names of columns"),
        ("rows.csv", "instruction,id\n问好,1\n\n问,2,3\n", "line 4, found 3 fields, expected 2"),
        ("rows.jsonl", '{"instruction": "问好"}\n{"instruction": \n', "line 2"),
        ("rows.jsonl", '{"instruction": ""}\n', "line 1, field instruction: found ''"),
        ("rows.json", "[1, 2]", "item 1, field row: found 1, expected a JSON object"),
        ("rows.csv", "instruction,id\n", "found no rows"),
        ("rows.jsonl", '{"messages": [{"role": "user", "content": "好"}]}', "`convert IN OUT"),
        ("rows.jsonl", '{"role": "user", "content": "好"}', "`convert IN OUT"),
    ],
)
def test_a_fault_is_named_with_its_place(name, text, said, tmp_path):
    """One fault in ten thousand rows, and nothing said where."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        list(asked_rows(tmp_path / name, check_asked))
    assert said in str(caught.value)
    assert str(caught.value).startswith(name)


@pytest.mark.parametrize("ending", [".txt", ".md", "", ".log"])
@pytest.mark.parametrize(
    "first", ["[附] 雨停了。", "{草稿} 雨停了。", "Text, he said, is cheap.", "春\t秋"]
)
def test_lines_of_text_stay_lines(ending, first, tmp_path):
    """A note that begins with a bracket is no JSON, and a sentence with a comma no table."""
    path = tmp_path / f"notes{ending}"
    path.write_text(f"{first}\n第二行，有逗号,和text。\n", encoding="utf-8")
    found = [row["sentence"] for row in sentences(path, "sentence")]
    assert found == [first, "第二行，有逗号,和text。"]


def test_topics_may_stand_in_a_table(tmp_path):
    """Topics out of a spreadsheet."""
    (tmp_path / "topics.csv").write_text("编号,Topic\n1,黄河\n2, 面条\n", encoding="utf-8-sig")
    (tmp_path / "words.csv").write_text("topic,word\n,黄河\n面条,\n", encoding="utf-8-sig")
    (tmp_path / "topics.txt").write_text("黄河\n\n面条\n", encoding="utf-8")
    for path in tmp_path.iterdir():
        assert topics_of_file(path) == ["黄河", "面条"]


@pytest.mark.parametrize(("name", "held"), [("topics.csv", "topic\n"), ("topics.json", "[]")])
def test_a_file_without_topics_is_no_file_of_topics(name, held, tmp_path):
    """`instruct --topics` paid for a set that no topic had guided."""
    (tmp_path / name).write_text(held, encoding="utf-8")
    with pytest.raises(DataError, match=name):
        topics_of_file(tmp_path / name)


def test_a_pipe_is_refused_before_anything_is_read_from_it():
    """It was opened several times, and what the first look had taken was gone."""
    out, into = os.pipe()
    os.write(into, "你好\n再见\n".encode())
    os.close(into)
    with pytest.raises(DataError, match="a pipe or a device, .*write it to a file"):
        list(asked_rows(Path(f"/dev/fd/{out}"), check_asked))
    assert os.read(out, 100) == "你好\n再见\n".encode()
    os.close(out)


def test_a_column_of_a_persons_own_is_found(tmp_path):
    """`annotate comments.csv --column 评论`, with columns that nobody knows beside it."""
    (tmp_path / "comments.csv").write_bytes("星;评论\n5;面很好吃。\n".encode("gbk"))
    assert [row for _, row in units_of(tmp_path / "comments.csv", ("评论",))] == [
        {"星": "5", "评论": "面很好吃。"}
    ]


def test_sentences_with_a_speaker_and_with_odd_cells(tmp_path):
    """Lines of a talk became one list, and a set in a cell a TypeError without a file's name."""
    (tmp_path / "talk.jsonl").write_text('{"role": "user", "content": "兰州很美。"}\n')
    (tmp_path / "cells.csv").write_text(
        "text,labels\n兰州很美。,\"{'a', 'b'}\"\n", encoding="utf-8"
    )
    (tmp_path / "capitals.csv").write_text("ID,Text\n1,兰州很美。\n", encoding="utf-8")
    for path in tmp_path.iterdir():
        assert [row["sentence"] for row in sentences(path, "sentence")] == ["兰州很美。"]
