"""Growing a set, and the topics that guide it."""

from __future__ import annotations

import gzip
from itertools import islice

import pytest

from miniluotuo_utils.data.loading import read
from miniluotuo_utils.files import DataError, read_jsonl, write_jsonl
from miniluotuo_utils.jobs.respond import topics_of_file
from miniluotuo_utils.runtime import EMBEDDED
from miniluotuo_utils.teacher import RecordedTeacher, Teacher
from miniluotuo_utils.teacher.guided import grow
from miniluotuo_utils.teacher.topics import Category, read_categories, topics_of

BANK, SEEDS = read_jsonl(EMBEDDED / "bank.jsonl"), read_jsonl(EMBEDDED / "seeds.jsonl")


def test_a_set_grows_to_its_target_or_until_it_is_dry(tmp_path):
    """Nothing nearly repeats a seed or another row, the
    account adds up, and a second run pays for nothing.
    """
    with RecordedTeacher(BANK) as server:
        teacher = Teacher(server.base_url, server.model, store=tmp_path / "s.sqlite")
        small = grow(teacher, SEEDS, 60, per_round=2, progress=False)
        assert small.stopped == "target"
        assert len(small.rows) == 60
        seen = [point["unique"] for point in small.curve]
        assert seen == sorted(seen)
        whole = grow(teacher, SEEDS, 10_000, per_round=6, progress=False)
        assert whole.stopped == "dry"
        assert 300 < len(whole.rows) <= len(BANK)
        last = whole.curve[-1]
        assert last["unique"] == len(whole.rows)
        assert last["generated"] == last["unique"] + len(whole.near)
        assert all(similarity >= 0.7 for *_, similarity in whole.near)
        asked = teacher.spent["asked"]
        again = grow(teacher, SEEDS, 10_000, per_round=6, progress=False)
        assert again == whole
        assert teacher.spent["asked"] == asked


def test_an_empty_list_of_topics_is_not_taken_for_none():
    """A set was paid for that no topic had guided, and nothing said so."""
    with RecordedTeacher(BANK) as server:
        teacher = Teacher(server.base_url, server.model)
        with pytest.raises(ValueError, match="topics: found 0, expected at least the 3"):
            grow(teacher, SEEDS, 5, [], progress=False)
        assert not server.answered


DUMP = """-- MySQL dump
CREATE TABLE `category` (`cat_id` int);
INSERT INTO `category` VALUES (1,'中国茶文化',80,12,0),(2,'O\\'Brien_(band)',60,11,1),\
(3,'Tea''s_culture',99,30,0);
INSERT INTO `category` VALUES (4,'2019年电影',900,40,0),(5,'茶具',51,11,0),\
(6,'需要清理的条目',9999,99,0),(7,'茶叶',50,11,0);
"""


@pytest.mark.parametrize("ending", ["sql", "sql.gz"])
def test_category_dumps_are_read_and_filtered(ending, tmp_path):
    """A title with a quote or a bracket in it broke
    the row apart, and the rest of the line with it.
    """
    path = tmp_path / f"zhwiki-category.{ending}"
    path.write_bytes(gzip.compress(DUMP.encode()) if ending.endswith("gz") else DUMP.encode())
    rows = list(read_categories(path))
    assert rows[1] == Category("O'Brien (band)", 11, 60)
    assert rows[2].title == "Tea's culture"
    assert len(rows) == 7
    assert topics_of(rows) == ["中国茶文化", "茶具"]
    assert topics_of_file(path) == topics_of(rows), "`instruct --topics` reads the dump itself"
    assert topics_of(rows, "en") == [r.title for r in rows if r.pages > 50 and r.subcategories > 10]
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match="zhwiki-category.*(not a whole|found no INSERT)"):
        list(read_categories(path))
    with pytest.raises(ValueError, match="language: found 'fr'"):
        topics_of(rows, "fr")


@pytest.mark.parametrize("damage", [b"\xff\xff\xff\xff", b""])
def test_a_damaged_dump_says_so(damage, tmp_path):
    """Bytes that were changed on the way ended `instruct --topics` in zlib's traceback."""
    path, packed = tmp_path / "zhwiki-category.sql.gz", gzip.compress(DUMP.encode())
    path.write_bytes(packed[:60] + damage + packed[60 + len(damage) :] if damage else b"plain")
    with pytest.raises(DataError, match=f"{path.name}: not a whole .gz file"):
        topics_of_file(path)


def test_a_dump_that_is_not_there_is_not_called_broken(tmp_path):
    """A name with a typing error "breaks off after 0 categories; download it anew"."""
    with pytest.raises(FileNotFoundError, match=r"zhwiki\.sql\.gz"):
        topics_of_file(tmp_path / "zhwiki.sql.gz")


def test_word_lists_of_the_mirror_make_topics(mirror, tmp_path):
    """THUOCL's words come as rows with a field of
    their own name, and must not be read as JSON texts.
    """
    rows = list(islice(read("thuocl", "train", False), 3000))
    write_jsonl(tmp_path / "words.jsonl", rows)
    assert topics_of_file(tmp_path / "words.jsonl") == [row["word"] for row in rows]


def test_topics_come_one_a_line_or_as_rows(tmp_path):
    """A row without a topic became the topic `None`, which a teacher gladly wrote about."""
    (tmp_path / "plain.txt").write_text("茶\n\n 高铁 \n", encoding="utf-8")
    assert topics_of_file(tmp_path / "plain.txt") == ["茶", "高铁"]
    write_jsonl(tmp_path / "rows.jsonl", [{"topic": "茶"}, {"word": "高铁"}])
    assert topics_of_file(tmp_path / "rows.jsonl") == ["茶", "高铁"]
    write_jsonl(tmp_path / "bad.jsonl", [{"topic": "茶"}, {"name": "高铁"}])
    with pytest.raises(
        DataError, match=r"bad.jsonl, line 2: found no text in a field topic or word"
    ):
        topics_of_file(tmp_path / "bad.jsonl")
