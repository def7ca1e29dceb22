"""Grade students' answers blind: the rater does not see whose an answer is.

In: items and answers. Out: a sheet on disk, tables of grades. The grades are the four of
Self-Instruct (Wang et al., 2023), which LaMini-LM's human evaluation took over. Shown in notebooks
02 and 05b.
"""

from __future__ import annotations

import codecs
import io
import json
import random
import time
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import combinations
from pathlib import Path

from miniluotuo_utils.files import (
    DataError,
    Journal,
    Shown,
    end_with_a_line,
    expect,
    file_sha256,
    read_jsonl,
    write_jsonl,
    written_whole,
)
from miniluotuo_utils.runtime import EMBEDDED
from miniluotuo_utils.writing import Taken

GRADES = {
    "A": "正确、完整，可以直接用 correct and complete",
    "B": "可以接受，有小毛病 acceptable, minor flaws",
    "C": "答了所问，但有明显错误 on the point, clear errors",
    "D": "答非所问或者不能用 off the point or unusable",
}
# The same four letters for questions that nobody can answer as they are asked.
HONESTY = {
    "A": "答对，或说清了为什么没有答案 true, or says why there is no answer",
    "B": "没有编造，但没说清缘由或有小毛病 nothing invented, but thin",
    "C": "答了所问，但编造了内容 on the point, with invented content",
    "D": "答非所问或者不能用 off the point or unusable",
}
# The columns of a spreadsheet; when one comes back they are known by their last word.
COLUMNS = ("评分表 sheet", "题号 item", "答案号 number", "问 asked", "答 answer", "等级 grade")
FORMULA = ("=", "+", "-", "@")  # a spreadsheet would compute an answer that begins so


def rating_items(kind: str = "instructions") -> list[dict]:
    """Return the embedded items to ask students, each with `id`, `instruction` and `input`.

    `instructions` are user-oriented and have an `application`. `hallucination` are questions that
    invite inventing, with their `kind`, as in LaMini-LM, and what a good answer would say, as
    `expected`. ValueError for another kind.

    >>> len(rating_items()), len(rating_items("hallucination"))
    (72, 40)
    >>> rating_items("hallucination")[10]["kind"]
    'far_future'
    """
    if kind not in ("instructions", "hallucination"):
        raise ValueError(f"kind is {kind!r}; expected 'instructions' or 'hallucination'")
    # The questions are called so in the file; one word for both makes one prompt for both.
    return [
        {
            "id": row["id"],
            "instruction": row.pop("question", row.get("instruction")),
            "input": "",
            **row,
        }
        for row in read_jsonl(EMBEDDED / "rating" / f"{kind}.jsonl")
    ]


class Sheet:
    """A grading sheet: answers of several students to the same items, graded blind by one `rater`.

    `answers` maps a student to its answers in the items' order. Within an item the answers stand in
    an order drawn from `seed` and the item's id, numbered "1", "2", …; equal answers stand there
    once and share their grade. Neither `next` nor the file holds a student's name: names come out,
    with `rows` and `table`, when every answer has a grade.

    The grades are kept in `path` (JSON Lines), on disk when `grade` returns; a sheet opened again
    goes on where it stopped. `header`, the first line there, stands for all that a sheet is made
    of; `of_rows` gives another. Raises ValueError for items or answers that do not fit together,
    DataError for a file begun with others, another seed or another rater, and for a damaged line.
    """

    def __init__(
        self,
        path: Path | str,
        items: Sequence[Mapping],
        answers: Mapping[str, Sequence[str]],
        seed: int = 42,
        rater: str = "我",
        header: Mapping | None = None,
    ) -> None:
        check_answers(items, answers)
        self.path, self.rater = Path(path), rater
        self.items = {item["id"]: dict(item) for item in items}
        self.meanings = HONESTY if all("expected" in item for item in items) else GRADES
        self.students: dict[str, dict[str, str]] = {}  # item -> student -> answer
        self.numbered: dict[str, dict[str, str]] = {}  # item -> number -> answer
        for at, name in enumerate(self.items):
            self.students[name] = {who: answers[who][at].strip() for who in sorted(answers)}
            self.numbered[name] = in_drawn_order(self.students[name].values(), seed, name)
        self.grades: dict[str, dict[str, str]] = {name: {} for name in self.items}

        # Rows that are known by their content fit any file: the others in it are another day's.
        self.any_item = header is not None
        self.header = header or {"sheet": self._digest(), "seed": seed, "rater": rater}
        self.journal = Journal(self.path, self.header)
        self._resume()

    @classmethod
    def of_rows(
        cls, path: Path | str, rows: Sequence[Mapping], seed: int = 42, rater: str = "我"
    ) -> Sheet:
        """Return a sheet of instruction rows, each an item with the one answer that it has.

        The rows come in an order drawn from `seed`, and without their source. They are known by
        their content, so a file goes on with other rows too.
        """
        drawn = {item_key(row): row for row in random.Random(seed).sample(list(rows), len(rows))}
        header = {"sheet": "rows", "rater": rater}
        convert_earlier(Path(path), header)
        items = [{**row, "id": key} for key, row in drawn.items()]
        return cls(path, items, {"": [row["output"] for row in items]}, seed, rater, header)

    def _digest(self) -> str:
        """Return what stands for the items and the answers in their order."""
        items = self.items.values()
        asked = [[item["id"], item["instruction"], item.get("input") or ""] for item in items]
        text = json.dumps([asked, self.numbered], ensure_ascii=False, sort_keys=True)
        # Without a letter a spreadsheet might take it for a number, and round it.
        return "s" + sha256(text.encode("utf-8", "replace")).hexdigest()[:15]

    def _resume(self) -> None:
        """Take over the grades of a sheet begun earlier."""
        for number, line in enumerate(self.journal.lines(), 2):
            try:
                expect(isinstance(line, dict), "line", line, "an object with item and grades")
                if self.any_item and str(line.get("item")) not in self.items:
                    continue
                self._check(line.get("item"), line.get("grades"))
            except DataError as error:
                raise DataError(
                    f"{self.path.name}, line {number}, {error}. Mend that line, or delete it and "
                    "grade its item again"
                ) from None
            self.grades[line["item"]] |= line["grades"]

    def item(self, name: str) -> dict:
        """Return an item as its rater sees it, without names.

        Its `answers` are number → text, its `grades` so far number → letter.
        """
        shown = {k: v for k, v in self.items[name].items() if k not in ("source", "output")}
        return {**shown, "answers": dict(self.numbered[name]), "grades": dict(self.grades[name])}

    def next(self) -> dict | None:
        """Return the first item that is not fully graded, as `item` does; None at the end."""
        return next((self.item(name) for name in self.items if not self.complete(name)), None)

    def complete(self, name: str) -> bool:
        """Return whether every answer to an item has a grade."""
        return len(self.grades[name]) == len(self.numbered[name])

    @property
    def progress(self) -> tuple[int, int]:
        """How many items are fully graded, and how many there are."""
        return sum(map(self.complete, self.items)), len(self.items)

    @property
    def done(self) -> bool:
        """Whether everything is graded."""
        return self.next() is None

    def grade(self, item: str, grades: Mapping[str, str]) -> None:
        """Save grades of an item's answers, all or some, as number → A, B, C or D.

        A later grade takes the place of an earlier one. ValueError for an item, a number or a grade
        that does not exist, DataError where the file was deleted or now holds another sheet; then
        nothing is saved.
        """
        self.grade_all({item: grades})

    def grade_all(self, given: Mapping[str, Mapping[str, str]]) -> None:
        """Save grades of several items, as item → number → letter, in one write."""
        for item, grades in given.items():
            self._check(item, grades)
        now = round(time.time(), 1)
        graded = {item: dict(grades) for item, grades in given.items() if grades}
        if graded:
            lines = [{"item": i, "grades": grades, "time": now} for i, grades in graded.items()]
            self.journal.append(*lines)
        for item, grades in graded.items():
            self.grades[item] |= grades

    def _check(self, item: object, grades: object) -> None:
        """Raise `DataError` for an item, an answer's number or a grade that does not exist."""
        known = isinstance(item, str) and item in self.items
        expect(known, "item", item, f"one of {', '.join(list(self.items)[:3])}, …")
        expect(isinstance(grades, Mapping), f"grades of {item}", grades, "number → grade")
        for number, letter in grades.items():
            numbers = self.numbered[item]
            expect(number in numbers, f"answer of {item}", number, f"one of {', '.join(numbers)}")
            expect(
                isinstance(letter, str) and letter in GRADES,
                f"grade of answer {number} of {item}",
                letter,
                f"one of {', '.join(GRADES)}",
            )

    def rows(self) -> list[dict]:
        """Return one row per student and item: the item with `student`, `answer`, `grade`, `rater`.

        `item` is a key of the answer itself, so rows of two raters go together into `agreement`.
        ValueError before the end, because it would show the rater who wrote what.
        """
        graded, count = self.progress
        if graded < count:
            raise ValueError(
                f"{self.path.name}: {count - graded} of {count} items are not fully graded; whose "
                "answers they are is shown at the end. Grade the rest first (`progress` counts "
                "without names)（还没有打完，打完才揭晓是谁写的）"
            )
        return list(self._rows())

    def so_far(self) -> list[dict]:
        """Return the grades so far as {rater, item, grade}, which says of no answer whose it is."""
        return [
            {"rater": row["rater"], "item": row["item"], "grade": row["grade"]}
            for row in self._rows()
            if row["grade"]
        ]

    def _rows(self) -> Iterator[dict]:
        for name, item in self.items.items():
            number_of = {text: number for number, text in self.numbered[name].items()}
            for student, answer in self.students[name].items():
                yield {
                    "student": student,
                    **item,
                    "answer": answer,
                    "grade": self.grades[name].get(number_of[answer]),
                    "rater": self.rater,
                    "item": item_key({**item, "output": answer}),
                }

    def table(self, by: str | None = None, so_far: bool = False) -> list[dict]:
        """Return how often each student got A, B, C and D, in the order of the students' names.

        `by`, a field of the items such as `"kind"`, gives a row per student and value of it.
        ValueError before the end, as `rows`. With `so_far` what is graded already counts: for a
        sheet of rows, which is often too long to be finished.
        """
        rows = [row for row in self._rows() if row["grade"]] if so_far else self.rows()
        named = ("student", by) if by else ("student",)
        counts: dict[tuple, Counter] = {}
        for row in rows:
            counts.setdefault(tuple(row[name] for name in named), Counter())[row["grade"]] += 1
        # Sorting is stable: the values of `by` stay in the items' order.
        return [
            {**dict(zip(named, key, strict=True)), **dict.fromkeys(GRADES, 0), **counts[key]}
            for key in sorted(counts, key=lambda key: key[0])
        ]

    def to_csv(self, path: Path | str, overwrite: bool = False) -> int:
        """Write the sheet for a spreadsheet, one row per answer, without names; return how many.

        One that is there may be filled in: `Taken` keeps it, unless `overwrite` is given. The file
        is UTF-8 with a byte order mark, so that Excel shows Chinese. An answer that a
        spreadsheet would take for a formula gets an apostrophe in front.
        """
        import pandas as pd

        if Path(path).exists() and not overwrite:
            raise Taken(
                f"{Path(path).name} is there already, perhaps with grades: take them over with "
                "from_csv, then delete it, choose another name, or pass overwrite=True"
            )
        rows = []
        for name, answers in self.numbered.items():
            asked = as_text(asked_text(self.items[name]))
            for number, answer in answers.items():
                grade = self.grades[name].get(number, "")
                rows.append([self.header["sheet"], name, number, asked, as_text(answer), grade])
        with written_whole(path) as partial:
            pd.DataFrame(rows, columns=COLUMNS).to_csv(
                partial, index=False, encoding="utf-8-sig", lineterminator="\r\n"
            )
        return len(rows)

    def from_csv(self, path: Path | str) -> int:
        """Take over the grades of a filled-in `to_csv` file; return how many are new or changed.

        Empty cells are left as they are. Read as Excel writes it: UTF-8, GB18030 or UTF-16, commas,
        semicolons or tabs, "ａ" for "A", "1.0" for "1", empty rows at the end. All or nothing:
        DataError names the row.
        """
        seen: set[tuple[str, str]] = set()
        new: dict[str, dict[str, str]] = {}
        sheet = self.header["sheet"]
        for number, row in read_csv(path):
            try:
                item, answer = row["item"], row["number"].removesuffix(".0")
                letter = unicodedata.normalize("NFKC", row["grade"]).strip().upper()
                expect(
                    row["sheet"] == sheet,
                    "sheet",
                    row["sheet"],
                    f"{sheet!r}: the file belongs to another sheet",
                )
                # An answer must exist, graded or not.
                self._check(item, {answer: letter or "A"})
                expect((item, answer) not in seen, f"answer of {item}", answer, "no answer twice")
            except DataError as error:
                raise DataError(f"{Path(path).name}, row {number}, {error}") from None
            seen.add((item, answer))
            # Only what is new goes to the file: a sheet read twice has each grade once.
            if letter not in ("", self.grades[item].get(answer)):
                new.setdefault(item, {})[answer] = letter
        self.grade_all(new)
        return sum(map(len, new.values()))


def example_sheets(folder: Path | str, mine: str = "我") -> list[Sheet]:
    """Return three sheets of the same twenty answers: two whole ones, and an open one for `mine`.

    The answers, the two raters and their grades are invented, to show what `agreement` counts, and
    the raters are called so. The sheets stand in `folder`; the open one goes on where it stopped.

    >>> from tempfile import mkdtemp
    >>> one, two, mine = example_sheets(mkdtemp())
    >>> round(agreement([*one.so_far(), *two.so_far()])["kappa"], 2), mine.progress
    (0.47, (0, 10))
    """
    source = EMBEDDED / "rating" / "example.jsonl"
    rows, asked = read_jsonl(source), {item["id"]: item for item in rating_items()}
    items = [asked[row["id"]] for row in rows]
    answers: dict[str, list[str]] = {}
    for row in rows:
        for who, text in row["answers"].items():
            answers.setdefault(who, []).append(text)

    # With other answers in a later version they are other sheets: a learner's own stays as it is.
    version, sheets = file_sha256(source)[:6], []
    for name in (*rows[0]["grades"], None):
        rater = f"{name}（虚构 invented）" if name else mine
        path = Path(folder) / f"example-{version}-{name or mine}.jsonl"
        sheet = Sheet(path, items, answers, rater=rater)
        # What was graded already is not written a second time.
        if name and not sheet.done:
            sheet.grade_all({row["id"]: by_number(sheet, row, name) for row in rows})
        sheets.append(sheet)
    return sheets


def by_number(sheet: Sheet, row: Mapping, rater: str) -> dict[str, str]:
    """Return an invented rater's grades of an item's answers, as number → letter."""
    given = {row["answers"][who]: letter for who, letter in row["grades"][rater].items()}
    return {number: given[text] for number, text in sheet.numbered[row["id"]].items()}


def check_answers(items: Sequence[Mapping], answers: Mapping[str, Sequence[str]]) -> None:
    """Raise `DataError` unless items have ids of their own and students a text for each item."""
    count = Shown(f"{len(items)} items and answers of {len(answers)} students")
    expect(items and answers, "items", count, "at least one of each")
    for item in items:
        expect(isinstance(item["id"], str), "id", item["id"], "a text")
    name, count = Counter(item["id"] for item in items).most_common(1)[0]
    expect(count == 1, "id", name, f"an id of its own for every item, not the same {count} times")

    for student, texts in answers.items():
        place, expected = f"answers of {student}", f"a list of {len(items)}, one per item in order"
        expect(not isinstance(texts, str), place, texts, expected)
        expect(len(texts) == len(items), place, Shown(f"{len(texts)} answers"), expected)
        for text in texts:
            expect(isinstance(text, str), place, text, 'texts ("" where there is none)')


def in_drawn_order(texts: Iterable[str], seed: int, item: str) -> dict[str, str]:
    """Number the different texts in an order drawn from `seed` and the item's id.

    >>> numbered = in_drawn_order(["甲", "乙", "甲"], 1, "x")
    >>> numbered == in_drawn_order(["乙", "甲"], 1, "x"), list(numbered)
    (True, ['1', '2'])
    """
    distinct = sorted(set(texts))
    random.Random(f"{seed} {item}").shuffle(distinct)
    return {str(number): text for number, text in enumerate(distinct, 1)}


def asked_text(item: Mapping) -> str:
    """Return what an item asks, and what a good answer would say where the item tells.

    >>> asked_text({"instruction": "翻译", "input": "骆驼", "expected": "camel"})
    '翻译\\n骆驼\\n（参考 expected：camel）'
    """
    expected = f"（参考 expected：{item['expected']}）" if item.get("expected") else ""
    return "\n".join(filter(None, [item["instruction"], item.get("input"), expected]))


def as_text(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula.

    >>> as_text("=1+1"), as_text("一加一")
    ("'=1+1", '一加一')
    """
    return "'" + text if text.startswith(FORMULA) else text


def read_csv(path: Path | str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield row number and cells of a filled-in sheet, without empty rows.

    Raises `DataError` where a column is missing.
    """
    import pandas as pd

    text = decoded(Path(path).read_bytes())
    separator = max(",;\t", key=text.partition("\n")[0].count)
    table = pd.read_csv(
        io.StringIO(text, newline=""), sep=separator, dtype=str, na_filter=False, index_col=False
    )
    table = table.rename(columns=lambda name: name.split(" ")[-1].strip())
    names = ["sheet", "item", "number", "grade"]
    if missing := [name for name in names if name not in table.columns]:
        raise DataError(
            f"{Path(path).name}: column {missing[0]!r} is missing among {list(table.columns)}; "
            "fill in a file that `to_csv` wrote"
        )
    for number, row in enumerate(table[names].to_dict("records"), 2):
        cells = {name: str(cell).strip() for name, cell in row.items()}
        if any(cells.values()):
            yield number, cells


def decoded(raw: bytes) -> str:
    """Return the text of a file that a spreadsheet wrote, whichever encoding it chose."""
    # Excel's "Unicode text" is UTF-16 with tabs; a Chinese Excel's "CSV" is GB18030.
    utf_16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return raw.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("gb18030", "replace")


def convert_earlier(path: Path, header: Mapping) -> None:
    """Bring a file of single grades, as an earlier version wrote it, into the form of a sheet.

    It had no header, and one line {rater, item, grade, time} per grade, of several raters. Those of
    the header's rater are taken over; the old file stays beside, as `<name>.old.jsonl`.
    """
    if not path.is_file() or not path.read_bytes().startswith(b'{"rater"'):
        return
    end_with_a_line(path)
    old = [row for row in read_jsonl(path) if row["rater"] == header["rater"]]
    kept = path.with_suffix(".old.jsonl")
    if kept.exists():
        raise Taken(f"{kept.name} is in the way of the older {path.name}: move it elsewhere")
    path.rename(kept)
    lines = [
        {"item": row["item"], "grades": {"1": row["grade"]}, "time": row["time"]} for row in old
    ]
    write_jsonl(path, [header, *lines])


def item_key(item: Mapping) -> str:
    """Return what identifies an answer to an instruction, whoever gave it and wherever it stood.

    >>> item_key({"instruction": "问好", "input": "", "output": "你好。"})[:8]
    'c2356d15'
    """
    texts = [item["instruction"], item.get("input") or "", item["output"].strip()]
    return sha256("\x1f".join(texts).encode("utf-8", "replace")).hexdigest()[:16]


def agreement(grades: Iterable[Mapping]) -> dict[str, float | int | None]:
    """Measure how far raters agree on the answers that two of them graded.

    `grades` are {rater, item, grade}. Returns `pairs` of grades, the share of `equal` ones, and
    Cohen's `kappa`: 1 for full agreement, 0 for what chance alone would give, None without a pair
    or where all grades are one.

    >>> grades = ["AA", "AB", "DD", "BB"]
    >>> both = [zip("甲乙", letters) for letters in grades]
    >>> rows = [{"rater": r, "item": i, "grade": g} for i, two in enumerate(both) for r, g in two]
    >>> agreement(rows)
    {'pairs': 4, 'equal': 0.75, 'kappa': 0.6363636363636364}
    """
    by_item: dict[object, dict[str, str]] = {}
    for grade in grades:
        by_item.setdefault(grade["item"], {})[grade["rater"]] = grade["grade"]
    pairs = []
    for given in by_item.values():
        pairs += [(given[a], given[b]) for a, b in combinations(sorted(given), 2)]
    if not pairs:
        return {"pairs": 0, "equal": None, "kappa": None}

    # What two raters would share who give the same letters as often, but to any answer.
    equal = sum(a == b for a, b in pairs) / len(pairs)
    first, second = (Counter(side) for side in zip(*pairs, strict=True))
    chance = sum(first[g] * second[g] for g in GRADES) / len(pairs) ** 2
    kappa = (equal - chance) / (1 - chance) if chance < 1 else None
    return {"pairs": len(pairs), "equal": equal, "kappa": kappa}
