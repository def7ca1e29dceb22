"""People grade answers: the embedded items, the blind sheet on disk, its spreadsheet, its form."""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniluotuo_utils import files, show
from miniluotuo_utils.evaluation.grading import (
    GRADES,
    HONESTY,
    Sheet,
    agreement,
    as_text,
    example_sheets,
    rating_items,
)
from miniluotuo_utils.files import DataError, read_jsonl
from miniluotuo_utils.prompts import row_prompt
from miniluotuo_utils.runtime import EMBEDDED
from miniluotuo_utils.teacher.diversity import nearest_seed
from miniluotuo_utils.text import NearDuplicates

KINDS = ("not_happened", "far_future", "nonsense", "obscure")
ITEMS = [
    {
        "id": f"q{n}",
        "instruction": f"问题{n}",
        "input": "材料" if n == 1 else "",
        "topic": "甲类" if n < 2 else "乙类",
    }
    for n in range(3)
]
ANSWERS = {
    "学生大": ["大零", "大一", "同样"],
    "学生小": ["小零", "=1+1", "同样"],
    "学生原": ["", "原一", "原二"],
}


@pytest.fixture
def path(tmp_path):
    """Where a sheet is kept."""
    return tmp_path / "grades" / "sheet.jsonl"


def number_of(sheet: Sheet, item: str, text: str) -> str:
    """Under which number an answer stands."""
    return next(n for n, answer in sheet.item(item)["answers"].items() if answer == text)


def fill(sheet: Sheet, letter: str = "A") -> Sheet:
    """Give every answer that has no grade one."""
    while item := sheet.next():
        sheet.grade(item["id"], {n: letter for n in item["answers"] if n not in item["grades"]})
    return sheet


def test_the_embedded_items_are_what_the_readme_says():
    """Five items of one application weigh five times; a question near a seed measures memory."""
    instructions, questions = rating_items(), rating_items("hallucination")
    assert len(instructions) == 72
    assert max(Counter(row["application"] for row in instructions).values()) <= 2
    assert Counter(row["kind"] for row in questions) == dict.fromkeys(KINDS, 10)
    assert list(dict.fromkeys(r["kind"] for r in questions)) == list(KINDS)
    assert all(
        row["expected"].endswith("。") and row["instruction"].endswith("？") for row in questions
    )
    rows = instructions + questions
    assert len({row["id"] for row in rows}) == len({row["instruction"] for row in rows}) == 112
    assert all(row_prompt(row) for row in rows)
    assert set(instructions[0]) == {"id", "application", "instruction", "input"}
    texts = [row["instruction"] for row in rows]
    known = [
        row["instruction"]
        for name in ("seeds", "bank")
        for row in read_jsonl(EMBEDDED / f"{name}.jsonl")
    ]
    near = NearDuplicates(0.5)
    near.add(known)
    assert near.add(texts) == [None] * 112, (
        "near what a student was trained on, or near one another"
    )
    assert max(nearest_seed(texts, known)) < 0.25, (
        "near what a student was trained on, or near one another"
    )
    with pytest.raises(
        ValueError, match="kind is 'all'; expected 'instructions' or 'hallucination'"
    ):
        rating_items("all")


def test_a_sheet_hides_names_and_shuffles(path):
    """A rater who knows that the large student always stands first grades the name."""
    items = [{"id": f"q{n}", "instruction": f"问题{n}", "input": ""} for n in range(60)]
    answers = {f"学生{s}": [f"{s}说{n}" for n in range(60)] for s in "大中小"}
    sheet = Sheet(path, items, answers)
    firsts = Counter(sheet.item(item["id"])["answers"]["1"][0] for item in items)
    assert set(firsts) == set("大中小"), firsts
    assert min(firsts.values()) > 8, firsts
    again = Sheet(path, items, dict(reversed(answers.items())))
    assert again.numbered == sheet.numbered
    assert Sheet(path, items, answers, seed=1).numbered != sheet.numbered
    sheet.grade("q0", {"1": "A", "2": "B", "3": "C"})
    sheet.grade("q1", {"1": "A"})
    assert "学生" not in path.read_text(encoding="utf-8") + json.dumps(
        sheet.next(), ensure_ascii=False
    )
    for names in (sheet.rows, sheet.table):
        hidden = "59 of 60 items are not fully graded; whose answers they are is shown at the end"
        with pytest.raises(ValueError, match=hidden):
            names()


def test_grades_are_counted_by_hand(path):
    """The paper's table: student by grade; equal answers are graded once and count for both."""
    sheet = Sheet(path, ITEMS, ANSWERS)
    assert len(sheet.item("q0")["answers"]) == 3
    assert len(sheet.item("q2")["answers"]) == 2
    assert sheet.progress == (0, 3)
    sheet.grade(
        "q0", {number_of(sheet, "q0", t): g for t, g in (("大零", "A"), ("小零", "C"), ("", "D"))}
    )
    sheet.grade("q2", {number_of(sheet, "q2", "同样"): "B"})
    assert sheet.next()["id"] == "q1"
    assert sheet.progress == (1, 3)
    assert not sheet.done
    fill(sheet, "D")
    assert sheet.table() == [
        {"student": "学生原", "A": 0, "B": 0, "C": 0, "D": 3},
        {"student": "学生大", "A": 1, "B": 1, "C": 0, "D": 1},
        {"student": "学生小", "A": 0, "B": 1, "C": 1, "D": 1},
    ]
    assert sheet.table("topic")[2] == {
        "student": "学生大",
        "topic": "甲类",
        "A": 1,
        "B": 0,
        "C": 0,
        "D": 1,
    }
    by = {(row["student"], row["topic"]): row for row in sheet.table("topic")}
    assert by["学生小", "甲类"]["C"] == by["学生小", "甲类"]["D"] == by["学生小", "乙类"]["B"] == 1
    assert len(by) == 6
    rows = sheet.rows()
    assert len(rows) == 9
    assert {r["answer"] for r in rows if r["grade"] == "B"} == {"同样"}
    assert {r["student"] for r in rows if r["grade"] == "A"} == {"学生大"}


def test_answers_that_differ_by_a_line_break_are_one(path):
    """A student that ends with a line break was graded apart, and told by it."""
    sheet = Sheet(path, ITEMS, {"甲": ["好\n", " ", "三"], "乙": [" 好", "", "三"]})
    assert sheet.numbered == {"q0": {"1": "好"}, "q1": {"1": ""}, "q2": {"1": "三"}}


def test_a_later_grade_counts_and_a_sheet_goes_on(path):
    """A second sitting began at the first item again; a corrected grade counted twice."""
    sheet = Sheet(path, ITEMS, ANSWERS)
    sheet.grade("q0", {"1": "D"})
    sheet.grade("q0", {"1": "A", "2": "B"})
    again = Sheet(path, ITEMS, ANSWERS)
    assert again.next()["id"] == "q0"
    assert again.next()["grades"] == {"1": "A", "2": "B"}
    again.grade("q0", {"3": "C"})
    assert again.next()["id"] == "q1"
    assert Sheet(path, ITEMS, ANSWERS).progress == (1, 3)
    assert fill(again, "B").done
    assert sum(row["A"] for row in again.table()) == sum(row["C"] for row in again.table()) == 1
    assert again.next() is None
    assert Sheet(path, ITEMS, ANSWERS).done


def test_every_grade_is_on_disk_before_the_call_returns(path):
    """A kernel that dies right after a click lost the grades that were still in a buffer."""
    code = (
        "import os, sys, json; from miniluotuo_utils.evaluation.grading import Sheet\n"
        "sheet = Sheet(*json.loads(sys.argv[1]))\nsheet.grade('q1', {'2': 'B'}); os._exit(9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps([str(path), ITEMS, ANSWERS])], check=False
    )
    assert done.returncode == 9
    assert Sheet(path, ITEMS, ANSWERS).item("q1")["grades"] == {"2": "B"}


def test_a_grade_is_forced_to_the_disk(path, monkeypatch):
    """What only the system's cache holds is lost with the power."""
    synced, sync = [], os.fsync
    monkeypatch.setattr(
        files.os, "fsync", lambda number: (sync(number), synced.append(path.read_bytes()))
    )
    Sheet(path, ITEMS, ANSWERS).grade("q0", {"1": "A"})
    assert synced
    assert synced[-1] == path.read_bytes()
    assert b'"1": "A"' in synced[-1]


@pytest.mark.parametrize("cut", [1, 2, 5, 30])
def test_a_torn_last_line_is_dropped_and_said(path, capsys, cut):
    """A line half written at a power cut made the sheet unreadable, or glued to the next grade."""
    sheet = Sheet(path, ITEMS, ANSWERS)
    sheet.grade("q0", {"1": "A"})
    sheet.grade("q0", {"2": "B"})
    os.truncate(path, path.stat().st_size - cut)
    again = Sheet(path, ITEMS, ANSWERS)
    kept = {"1": "A", "2": "B"} if cut == 1 else {"1": "A"}  # only the line break was lost
    assert again.item("q0")["grades"] == kept
    assert ("最后一行没有写完" in capsys.readouterr().out) == (cut > 1)
    again.grade("q0", {"3": "C"})
    assert Sheet(path, ITEMS, ANSWERS).item("q0")["grades"] == kept | {"3": "C"}


def test_a_half_line_left_by_a_full_disk_does_not_spoil_the_next(path):
    """After a failed write in the same sitting the next grade was glued to half a line."""
    sheet = Sheet(path, ITEMS, ANSWERS)
    sheet.grade("q0", {"1": "A"})
    with open(path, "a", encoding="utf-8") as file:
        file.write('{"item": "q0", "gra')
    sheet.grade("q0", {"2": "B"})
    assert Sheet(path, ITEMS, ANSWERS).item("q0")["grades"] == {"1": "A", "2": "B"}


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 7},
        {"rater": "乙"},
        {"items": ITEMS[:2], "answers": {n: a[:2] for n, a in ANSWERS.items()}},
        {"answers": {**ANSWERS, "学生大": ["大零", "大一", "改了"]}},
        {"items": [{**ITEMS[0], "instruction": "别的"}, *ITEMS[1:]]},
    ],
)
def test_a_sheet_begun_with_something_else_is_refused(path, other):
    """Grades of last week's answers were counted for this week's."""
    Sheet(path, ITEMS, ANSWERS).grade("q0", {"1": "A"})
    before = path.read_bytes()
    with pytest.raises(
        DataError,
        match=r"sheet\.jsonl was begun with another .*, now .*choose another file",
    ):
        Sheet(path, **{"items": ITEMS, "answers": ANSWERS} | other)
    assert path.read_bytes() == before


def test_two_raters_do_not_share_a_file(path):
    """Two sheets begun at one path wrote their grades into one file, under the first's header."""
    one, two = (
        Sheet(path, ITEMS, ANSWERS, rater="甲"),
        Sheet(path, ITEMS, ANSWERS, rater="乙", seed=7),
    )
    one.grade("q0", {"1": "A"})
    before = path.read_bytes()
    with pytest.raises(
        DataError,
        match=r"seed \(42, now 7\), rater \('甲', now '乙'\): give the same again",
    ):
        two.grade("q0", {"1": "D"})
    assert path.read_bytes() == before
    assert not any(two.grades.values())
    path.unlink()
    with pytest.raises(DataError, match=r"sheet\.jsonl: the file is gone, with what was in it"):
        one.grade("q0", {"2": "A"})
    assert not path.exists()
    assert one.item("q0")["grades"] == {"1": "A"}
    two.grade("q0", {"1": "D"})  # nothing of its own is lost
    with pytest.raises(DataError, match="begun with another"):
        one.grade("q0", {"2": "A"})


def test_processes_that_begin_at_once_lose_nothing(path):
    """Each wrote the header and renamed it: a crash, or one's grades replaced by an empty sheet."""
    code = (
        "import sys, json, time; from miniluotuo_utils.evaluation.grading import Sheet\n"
        "sheet = Sheet(*json.loads(sys.argv[1])); print(flush=True); sys.stdin.readline()\n"
        "sheet.grade(sys.argv[2], {'1': 'B'}); sheet.grade(sys.argv[2], {'2': 'C'})"
    )
    given = json.dumps([str(path), ITEMS, ANSWERS])
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, given, item], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for item in ("q0", "q1", "q2")
    ]
    for process in started:
        process.stdout.readline()
    for process in started:
        process.stdin.write(b"\n")
        process.stdin.flush()
    assert [process.wait(60) for process in started] == [0, 0, 0]
    for process in started:
        process.stdin.close()
        process.stdout.close()
    assert Sheet(path, ITEMS, ANSWERS).grades == dict.fromkeys(
        ("q0", "q1", "q2"), {"1": "B", "2": "C"}
    )


def test_the_first_to_begin_has_the_file(path):
    """Between asking for the file and making it another process may have made it."""
    one, two = Sheet(path, ITEMS, ANSWERS), Sheet(path, ITEMS, ANSWERS, rater="乙")
    with two.journal.alone():
        held = threading.Thread(target=one.grade, args=("q0", {"1": "A"}))
        held.start()
        time.sleep(0.1)
        assert not path.exists(), "one writer at a time"
    held.join()
    with pytest.raises(DataError, match="begun with another"):
        two.grade("q0", {"1": "D"})
    assert len(read_jsonl(path)) == 2


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("[1]", r"field line: found \[1\], expected an object"),
        ('{"item": ["q0"], "grades": {}}', r"field item: found \['q0'\], expected one of q0"),
        ("{}", "field item: found None"),
        ('{"item": "q0", "grades": {"1": []}}', r"field grade of answer 1 of q0: found \[\]"),
        ('{"item": "q0", "grades": {"9": "A"}}', "field answer of q0: found '9'"),
        ("{", "Expecting"),
    ],
)
def test_a_damaged_line_is_named(path, line, found):
    """A line that an editor broke gave an AttributeError, and nobody knew of which file."""
    Sheet(path, ITEMS, ANSWERS).grade("q0", {"1": "A"})
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole + line + "\n" + whole.splitlines()[1] + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"sheet\.jsonl, line 3[,:] " + found):
        Sheet(path, ITEMS, ANSWERS)


def test_a_file_that_is_no_sheet_is_left_alone(tmp_path):
    """Dropping a "torn" line once would have emptied somebody's notes."""
    notes = tmp_path / "notes.txt"
    for text in ("买菜", "买菜\n", '{"a": 1}\n', ""):
        notes.write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match="notes.txt"):
            Sheet(notes, ITEMS, ANSWERS)
        assert notes.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("item", "grades", "found"),
    [
        ("q9", {"1": "A"}, "item: found 'q9', expected one of q0, q1, q2"),
        ("q0", {"4": "A"}, "answer of q0: found '4', expected one of 1, 2, 3"),
        ("q0", {"1": "A", "2": "E"}, "answer 2 of q0: found 'E', expected one of A, B, C, D"),
        ("q0", {"1": "a"}, "grade of answer 1 of q0: found 'a'"),
        ("q0", None, "grades of q0: found None"),
        ("q0", {"1": []}, r"grade of answer 1 of q0: found \[\]"),
    ],
)
def test_a_wrong_grade_saves_nothing(path, item, grades, found):
    """Half of a refused call was saved."""
    sheet = Sheet(path, ITEMS, ANSWERS)
    with pytest.raises(ValueError, match=found):
        sheet.grade_all({"q1": {"1": "A"}, item: grades})
    sheet.grade("q0", {})
    assert not path.exists()
    assert not any(sheet.grades.values())


@pytest.mark.parametrize(
    ("items", "answers", "found"),
    [
        (ITEMS, {"甲": ["一", "二"]}, "甲: found 2 answers, expected a list of 3"),
        (ITEMS, {"甲": "一二三"}, "甲: found '一二三', expected a list of 3"),
        (ITEMS, {"甲": ["一", None, "三"]}, "answers of 甲: found None, expected texts"),
        (ITEMS, {}, "answers of 0 students"),
        ([], {"甲": []}, "found 0 items"),
        ([{**ITEMS[0], "id": 7}], {"甲": ["一"]}, "id: found 7, expected a text"),
        (
            [*ITEMS[:2], ITEMS[0]],
            {"甲": ["一", "二", "三"]},
            "id: found 'q0', expected an id of its own",
        ),
    ],
)
def test_answers_that_do_not_fit_are_refused(path, items, answers, found):
    """One answer too few shifted all that follow to the wrong question."""
    with pytest.raises(ValueError, match=found):
        Sheet(path, items, answers)


def cells(path) -> list[list[str]]:
    """The cells of a CSV file as a spreadsheet reads them."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def test_a_spreadsheet_goes_out_blind_and_comes_back(path, tmp_path, monkeypatch):
    """Excel shows UTF-8 without a BOM as garbage, computes "=1+1", and sends rows back sorted."""
    sheet, out = Sheet(path, ITEMS, ANSWERS), tmp_path / "sheet.csv"
    sheet.grade("q0", {"1": "B"})
    assert sheet.to_csv(out) == 8
    assert out.read_bytes().startswith(b"\xef\xbb\xbf")
    assert "学生" not in out.read_text(encoding="utf-8")
    head, *rows = cells(out)
    assert [r[5] for r in rows] == ["B", *[""] * 7]
    assert "'=1+1" in [r[4] for r in rows]
    assert "问题1\n材料" in [r[3] for r in rows]
    random.Random(1).shuffle(rows)
    for row in rows[:6]:
        row[5] = " ｄ"
    with open(out, "w", encoding="gb18030", newline="") as file:
        csv.writer(file, delimiter=";").writerows([head, *rows])
    before = {tuple(r[1:3]) for r in rows[:6]}
    synced, sync = [], os.fsync
    monkeypatch.setattr(files.os, "fsync", lambda number: (sync(number), synced.append(number)))
    assert sheet.from_csv(out) == 6, "all in one write, or a kill leaves half of them"
    assert len(synced) == 1, "all in one write, or a kill leaves half of them"
    saved = path.read_bytes()
    assert sheet.from_csv(out) == 0
    assert path.read_bytes() == saved
    assert all(row.get("grades", row) for row in read_jsonl(path))
    assert {
        (item, n)
        for item in sheet.items
        for n, g in Sheet(path, ITEMS, ANSWERS).grades[item].items()
        if g == "D"
    } == before


@pytest.mark.parametrize(
    ("encoding", "delimiter"),
    [("utf-8", ","), ("utf-8-sig", ";"), ("gb18030", ","), ("utf-16", "\t"), ("gb18030", "\t")],
)
def test_what_excel_makes_of_a_sheet_is_read(path, tmp_path, encoding, delimiter):
    """Empty rows, "1.0" for "1", a rare character, a cell over 131,072 characters lost the file."""
    items = [{"id": f"{name}", "instruction": "，；问" * 9, "input": ""} for name in ("𠮷1", "㐂2")]
    sheet, out = (
        Sheet(path, items, {"甲": ["=A1", "长" * 140_000], "乙": ['好,;\t\n"', ""]}),
        tmp_path / "sheet.csv",
    )
    assert sheet.to_csv(out) == 4
    assert sheet.from_csv(out) == 0
    assert not path.exists()
    assert sheet.header["sheet"].startswith("s")
    limit = csv.field_size_limit()
    csv.field_size_limit(10**6)
    head, *rows = cells(out)
    csv.field_size_limit(limit)
    filled = [
        [*row[:2], f"{row[2]}.0", *row[3:5], letter]
        for row, letter in zip(rows, "ＡbCd", strict=True)
    ]
    with open(out, "w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([head, *filled, [""] * 6, [" ", *[""] * 5]])
    assert sheet.from_csv(out) == 4
    assert csv.field_size_limit() == limit
    assert [grade for item in sheet.items for grade in sheet.item(item)["grades"].values()] == list(
        "ABCD"
    )


def test_no_cell_is_a_formula():
    """A spreadsheet computes what begins with one of four signs; a list begins with "-"."""
    assert [as_text(f"{sign}1") for sign in "=+-@"] == ["'=1", "'+1", "'-1", "'@1"]


@pytest.mark.parametrize(
    ("column", "value", "found"),
    [
        (0, "0" * 16, "sheet: found '0{16}', expected '.*': the file belongs to another sheet"),
        (1, "q7", "item: found 'q7'"),
        (2, "9", "answer of q0: found '9'"),
        (5, "好", "grade of answer 2 of q0: found '好'"),
        (2, "1", "answer of q0: found '1', expected no answer twice"),
    ],
)
def test_a_wrong_spreadsheet_is_refused_whole(path, tmp_path, column, value, found):
    """An import that stopped in the middle left nobody knows which grades."""
    sheet, out = Sheet(path, ITEMS, ANSWERS), tmp_path / "sheet.csv"
    sheet.to_csv(out)
    head, *rows = cells(out)
    rows[0][5] = "A"
    rows[1][column] = value
    with open(out, "w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    with pytest.raises(DataError, match="sheet.csv, row 3, field " + found):
        sheet.from_csv(out)
    assert not path.exists()
    out.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(DataError, match="column 'sheet' is missing"):
        sheet.from_csv(out)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=4), st.data())
def test_any_answers_survive_sheet_and_spreadsheet(tmp_path_factory, pairs, data):
    """Line separators, quotes and commas in an answer shifted the cells behind it."""
    folder = tmp_path_factory.mktemp("sheet")
    items = [{"id": f"q{n}", "instruction": f"问{n}", "input": ""} for n in range(len(pairs))]
    answers = {"甲": [a for a, _ in pairs], "乙": [b for _, b in pairs]}
    sheet, other = (
        Sheet(folder / "a.jsonl", items, answers),
        Sheet(folder / "b.jsonl", items, answers),
    )
    while item := sheet.next():
        sheet.grade(item["id"], {n: data.draw(st.sampled_from("ABCD")) for n in item["answers"]})
    rows = sheet.to_csv(folder / "a.csv")
    assert other.from_csv(folder / "a.csv") == rows
    assert other.rows() == sheet.rows()
    assert Sheet(folder / "b.jsonl", items, answers).table() == sheet.table()


def test_two_raters_are_compared(path, tmp_path):
    """Two sheets of two raters must name the same answer the same, though their orders differ."""
    one = fill(Sheet(path, ITEMS, ANSWERS, rater="甲"))
    two = Sheet(tmp_path / "b.jsonl", ITEMS, ANSWERS, rater="乙", seed=7)
    for item, text, letter in (
        ("q0", "大零", "A"),
        ("q0", "小零", "A"),
        ("q0", "", "A"),
        ("q1", "大一", "D"),
        ("q1", "原一", "A"),
    ):
        two.grade(item, {number_of(two, item, text): letter})
    assert agreement([*one.rows(), *fill(two).rows()]) == {"pairs": 8, "equal": 7 / 8, "kappa": 0.0}


def test_hallucination_is_graded_by_honesty_and_counted_by_kind(path):
    """ "I do not know" is a poor answer to a recipe and a good one to next century's weather."""
    items = rating_items("hallucination")
    sheet = Sheet(path, items, {"大": ["不知道。"] * 40, "小": [f"是{n}。" for n in range(40)]})
    assert sheet.meanings is HONESTY
    assert Sheet(path, ITEMS, ANSWERS).meanings is GRADES
    assert list(HONESTY) == list(GRADES)
    for item in items:
        sheet.grade(
            item["id"],
            {
                n: "B" if text == "不知道。" else "C"
                for n, text in sheet.item(item["id"])["answers"].items()
            },
        )
    table = sheet.table("kind")
    sheet.to_csv(path.with_suffix(".csv"))
    assert items[3]["expected"] in cells(path.with_suffix(".csv"))[7][3], (
        "a grader needs to know what is true"
    )
    assert [(row["student"], row["kind"], row["B"], row["C"]) for row in table] == [
        ("大", k, 10, 0) for k in KINDS
    ] + [("小", k, 0, 10) for k in KINDS]


def radios(box) -> list:
    """The radio buttons of a form, answer by answer."""
    return [child.children[1] for child in box.children[1].children]


def test_the_form_is_driven_without_a_browser(path, monkeypatch):
    """Clicks that save only at the end; a next that leaves answers out; names before the end."""
    monkeypatch.delenv("MINILUOTUO_HEADLESS", raising=False)
    sheet = Sheet(path, ITEMS, ANSWERS)
    box = show.rating_form(sheet)
    asked, (back, on, _) = box.children[0], box.children[2].children
    assert "0 / 3" in asked.value
    assert "问题0" in asked.value
    assert back.disabled
    assert on.disabled
    assert [r.value for r in radios(box)] == [None] * 3
    assert "（空 empty）" in "".join(child.children[0].value for child in box.children[1].children)
    for place, letter in enumerate("AB"):
        radios(box)[place].value = letter
    assert on.disabled, "saved at the click"
    assert Sheet(path, ITEMS, ANSWERS).item("q0")["grades"] == {"1": "A", "2": "B"}, (
        "saved at the click"
    )
    half = show.rating_form(Sheet(path, ITEMS, ANSWERS))
    assert [r.value for r in radios(half)] == ["A", "B", None], (
        "a second sitting shows what was given"
    )
    radios(box)[2].value = "D"
    assert not on.disabled
    on.click()
    assert "问题1" in asked.value
    assert "材料" in asked.value
    assert "1 / 3" in asked.value
    assert on.disabled
    assert not back.disabled
    back.click()
    assert [r.value for r in radios(box)] == list("ABD")
    assert not on.disabled
    assert back.disabled
    radios(box)[0].value = "C"
    on.click()
    on.click()
    assert "问题1" in asked.value, "the second of two quick clicks skips nothing"
    assert "学生" not in asked.value, "the second of two quick clicks skips nothing"
    for _ in range(2):
        for radio in radios(box):
            radio.value = "B"
        on.click()
    assert "评完了" in asked.value
    assert "学生大" in asked.value
    assert on.disabled
    assert sheet.done
    assert sorted(g for row in sheet.rows() if row["id"] == "q0" for g in row["grade"]) == [
        "B",
        "C",
        "D",
    ]
    for ended in (box, show.rating_form(sheet)):
        buttons = ended.children[2].children[:2]
        for button in buttons:
            button.click()
        assert "评完了" in ended.children[0].value, "names are known"
        assert not ended.children[1].children, "names are known"
        assert all(button.disabled for button in buttons), "names are known"


def test_a_grader_reads_what_a_letter_means(path, monkeypatch):
    """ "C" is another thing for a recipe and for next century's weather."""
    monkeypatch.delenv("MINILUOTUO_HEADLESS", raising=False)
    (radio, *_) = radios(show.rating_form(Sheet(path, ITEMS, ANSWERS)))
    assert [label for label, _ in radio.options] == [f"{g} {text}" for g, text in GRADES.items()]
    questions = rating_items("hallucination")
    sheet = Sheet(path, questions, {"大": ["不知道。"] * 40})
    (radio,) = radios(show.rating_form(sheet))
    assert [label for label, _ in radio.options] == [f"{g} {text}" for g, text in HONESTY.items()]
    assert "参考 expected：两人相隔" in show.rating_form(sheet).children[0].value


def test_typed_letters_grade_one_answer_after_another(path, monkeypatch):
    """Two hundred answers by mouse: nobody finishes."""
    monkeypatch.delenv("MINILUOTUO_HEADLESS", raising=False)
    sheet = Sheet(path, ITEMS, ANSWERS)
    asked, _, buttons = show.rating_form(sheet).children
    for letter in ("A", "b", "9", "", "ｃ", "D"):
        buttons.children[2].value = letter
    assert sheet.item("q0")["grades"] == {"1": "A", "2": "B", "3": "D"}
    assert "问题1" in asked.value


def test_the_headless_form_is_a_plain_table(path, monkeypatch):
    """A widget's placeholder in a page tells nothing; an answer's HTML must not be run."""
    monkeypatch.setenv("MINILUOTUO_HEADLESS", "1")
    sheet = Sheet(path, ITEMS, {**ANSWERS, "坏": ["<script>", "", ""]})
    page = show.rating_form(sheet).data
    assert page.count("A / B / C / D") == 4 + 4 + 3
    assert "问题1<br>材料" in page
    assert "（空 empty）" in page
    assert "<script>" not in page
    assert "学生" not in page
    assert "学生大" in show.rating_form(fill(sheet)).data
    answers = {"大": ["不知道。"] * 40}
    questions = Sheet(path.with_name("h.jsonl"), rating_items("hallucination"), answers)
    assert "参考 expected：两人相隔" in show.rating_form(questions).data


def test_two_whole_sheets_show_what_agreement_is(tmp_path):
    """A form that nobody has filled in printed kappa None: a class saw that nothing came out."""
    one, two, mine = example_sheets(tmp_path)
    assert one.done
    assert two.done
    assert all("虚构 invented" in sheet.rater for sheet in (one, two))
    assert mine.next()
    found = agreement([*one.rows(), *two.rows()])
    assert found["pairs"] == 20
    assert 0 < found["kappa"] < found["equal"] < 1, "what chance gives is taken off"
    totals = {row["student"]: row["A"] for row in one.table()}
    assert totals["教师 teacher"] > totals["学生 student"]


def test_the_third_rater_is_the_learner(tmp_path):
    """A second Run all graded the examples again, or took what the learner had given."""
    mine = example_sheets(tmp_path)[2]
    name = mine.next()["id"]
    mine.grade(name, {"1": "A", "2": "C"})
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    *invented, again = example_sheets(tmp_path)
    assert again.item(name)["grades"] == {"1": "A", "2": "C"}
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    text = repr(show.agreement_table(*invented, again))
    assert "甲（虚构 invented） · 乙（虚构 invented） | 20 | 0.65 | 0.47" in text
    assert "甲（虚构 invented） · 我 | 2 |" in text


def test_the_table_of_agreement_names_no_student(tmp_path):
    """The learner grades the same answers next: whose they are must not stand above."""
    one, two, mine = example_sheets(tmp_path)
    page = show.agreement_table(one, two).data
    assert not any(who in page for who in one.students[next(iter(one.items))])
    assert page.count("<b>") == len(GRADES), "the diagonal"
    assert "看法不同的 7 个" in page
    open_one = repr(show.agreement_table(one, mine))
    assert "| 0 | — | —" in open_one
    assert "看法不同" not in open_one
