"""Students' answers graded by people who do not see whose they are. Shown in notebooks 02 and 05.

In: items and answers. Out: a sheet on disk, a table of grades. The grades are the four of Self-Instruct (Wang et al., 2023),
which LaMini-LM's human evaluation took over.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import os
import random
import time
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from itertools import combinations
from pathlib import Path

from miniluotuo_utils.files import DataError, read_jsonl, written_whole
from miniluotuo_utils.runtime import EMBEDDED

KINDS = {
    "not_happened": "没有发生过 did not happen",
    "far_future": "太远的将来 far future",
    "nonsense": "没有意义 nonsense",
    "obscure": "冷僻 obscure",
}
HONESTY = {
    "A": "答对，或说清了为什么没有答案 true, or says why there is no answer",
    "B": "没有编造，但没说清缘由或有小毛病 nothing invented, but thin",
    "C": "答了所问，但编造了内容 on the point, with invented content",
    "D": "答非所问或者不能用 off the point or unusable",
}
COLUMNS = (
    "评分表 sheet",
    "题号 item",
    "答案号 number",
    "问 asked",
    "答 answer",
    "等级 grade",
)  # known by their last word
FORMULA = ("=", "+", "-", "@")  # a spreadsheet would compute an answer that begins so


def rating_items(kind: str = "instructions") -> list[dict]:
    """The embedded items to ask students: `instructions` (user-oriented, `application`) or `hallucination` (`kind`, `expected`).

    Each has `id, instruction, input`, so `prompts.row_prompt` makes its prompt. Kinds of hallucination after LaMini-LM. ValueError for another kind.

    >>> len(rating_items()), len(rating_items("hallucination")), rating_items("hallucination")[10]["kind"]
    (72, 40, 'far_future')
    """
    if kind not in ("instructions", "hallucination"):
        raise ValueError(f"kind is {kind!r}; expected 'instructions' or 'hallucination'")
    rows = read_jsonl(EMBEDDED / "rating" / f"{kind}.jsonl")
    return [
        {
            "id": row["id"],
            "instruction": row.pop("question", row.get("instruction")),
            "input": "",
            **row,
        }
        for row in rows
    ]


class Sheet:
    """Answers of several students to the same items, graded blind by one `rater` and kept in `path` (JSON Lines).

    `answers`: student → its answers in the items' order. Within an item the answers stand in an order drawn from `seed` and the item's id,
    numbered "1", "2", …; equal answers stand there once and share their grade. Neither `next` nor the file holds a student's name.
    Every `grade` call is on disk when it returns; a sheet opened again goes on where it stopped. Names come out, with `rows` and `table`,
    when every answer has a grade. Raises ValueError for items or answers that do not fit together, DataError for a file begun with other
    ones, another seed or another rater, and for a line of it that is damaged.
    """

    def __init__(
        self,
        path: Path | str,
        items: Sequence[Mapping],
        answers: Mapping[str, Sequence[str]],
        seed: int = 42,
        rater: str = "我",
    ) -> None:
        self.path, self.rater, self.seed = Path(path), rater, seed
        check_answers(items, answers)
        self.items = {item["id"]: dict(item) for item in items}
        self.meanings = HONESTY if all("expected" in item for item in items) else GRADES
        self.students = {
            item["id"]: {name: answers[name][at].strip() for name in sorted(answers)}
            for at, item in enumerate(items)
        }
        self.numbered = {
            item: in_drawn_order(given.values(), seed, item)
            for item, given in self.students.items()
        }
        self.grades: dict[str, dict[str, str]] = {item: {} for item in self.items}
        if self.path.exists():
            self._resume()

    @property
    def header(self) -> dict:
        """The file's first line: what the grades in it belong to."""
        asked = [
            [item["id"], item["instruction"], item.get("input") or ""]
            for item in self.items.values()
        ]
        print_of = json.dumps([asked, self.numbered], ensure_ascii=False, sort_keys=True).encode(
            "utf-8", "replace"
        )
        return {
            "sheet": "s" + sha256(print_of).hexdigest()[:15],
            "seed": self.seed,
            "rater": self.rater,
        }  # with no letter Excel may round it

    def item(self, name: str) -> dict:
        """An item as its rater sees it: with `answers` (number → text) and the `grades` given so far (number → letter), without names."""
        return {
            **self.items[name],
            "answers": dict(self.numbered[name]),
            "grades": dict(self.grades[name]),
        }

    def next(self) -> dict | None:
        """The first item that is not fully graded, as `item` gives it; None at the end."""
        return next((self.item(name) for name in self.items if not self.complete(name)), None)

    def complete(self, name: str) -> bool:
        """Whether every answer to an item has a grade."""
        return len(self.grades[name]) == len(self.numbered[name])

    @property
    def progress(self) -> tuple[int, int]:
        """Items fully graded, and all items."""
        return sum(map(self.complete, self.items)), len(self.items)

    @property
    def done(self) -> bool:
        """Whether everything is graded."""
        return self.next() is None

    def grade(self, item: str, grades: Mapping[str, str]) -> None:
        """Save grades (number → A, B, C or D) of an item's answers, all or some; a later grade takes the place of an earlier one.

        ValueError for an item, a number or a grade that does not exist, DataError where the file was deleted or now holds another sheet;
        then nothing is saved.
        """
        self.grade_all({item: grades})

    def grade_all(self, given: Mapping[str, Mapping[str, str]]) -> None:
        """`grade` for several items in one write."""
        for item, grades in given.items():
            self._check(item, grades)
        lines = [
            {"item": item, "grades": dict(grades), "time": round(time.time(), 1)}
            for item, grades in given.items()
            if grades
        ]
        if not lines:
            return
        self._begin()
        self._check_header()  # the file may be another one since
        whole_lines(self.path)  # a full disk may have left half a line since
        data = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode(
            "utf-8"
        )
        with open(
            self.path, "ab", buffering=len(data) + 1
        ) as file:  # so in one piece, which no line of another process comes into
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        for line in lines:
            self.grades[line["item"]] |= line["grades"]

    def rows(self) -> list[dict]:
        """One row per student and item: `student, id, kind or application, instruction, input, answer, grade, rater, item`.

        `item` names the answer itself, so rows of two raters go together into `teacher.quality.agreement`. ValueError before the end,
        because it would show the rater who wrote what.
        """
        graded, count = self.progress
        if graded < count:
            raise ValueError(
                f"{self.path.name}: {count - graded} of {count} items are not fully graded; whose answers they are is shown at the end. "
                "Grade the rest first (`progress` counts without names)"
            )
        return list(self._rows())

    def table(self, by: str | None = None, share: bool = False) -> list[dict]:
        """Per student how often it got A, B, C and D; with `share` as shares of its answers. ValueError before the end, as `rows`.

        `by`, a field of the items (`"kind"`, `"application"`), gives a row per student and value of it. The students come in the order of
        their names.
        """
        counts: dict[tuple, dict[str, int]] = {}
        for row in self.rows():
            place = counts.setdefault(
                (row["student"], row[by]) if by else (row["student"],), dict.fromkeys(GRADES, 0)
            )
            place[row["grade"]] += 1
        named = ("student", by) if by else ("student",)
        keys = sorted(counts, key=lambda key: key[0])  # the values of `by` stay in the items' order
        return [
            {
                **dict(zip(named, key, strict=True)),
                **(shares(counts[key]) if share else counts[key]),
            }
            for key in keys
        ]

    def to_csv(self, path: Path | str) -> int:
        """Write the sheet for a spreadsheet, one row per answer, without names (UTF-8 with BOM, so that Excel shows Chinese); returns how many.

        An answer that a spreadsheet would take for a formula gets an apostrophe in front.
        """
        sheet, rows = self.header["sheet"], []
        for name in self.items:
            item = self.item(name)
            asked = "\n".join(
                filter(
                    None,
                    [
                        item["instruction"],
                        item.get("input"),
                        item.get("expected") and f"（参考 expected：{item['expected']}）",
                    ],
                )
            )
            rows += [
                [
                    sheet,
                    name,
                    number,
                    *map(as_text, (asked, answer)),
                    item["grades"].get(number, ""),
                ]
                for number, answer in item["answers"].items()
            ]
        with (
            written_whole(path) as partial,
            open(partial, "w", encoding="utf-8-sig", newline="") as file,
        ):
            csv.writer(file).writerows([COLUMNS, *rows])
        return len(rows)

    def from_csv(self, path: Path | str) -> int:
        """Take over the grades of a filled-in `to_csv` file and return how many are new or changed; empty cells are left as they are.

        Read as Excel writes it: UTF-8, GB18030 or UTF-16, commas, semicolons or tabs, "ａ" for "A", "1.0" for "1", empty rows at the end.
        All or nothing: DataError names the line.
        """
        given: dict[str, dict[str, str]] = {}
        sheet = self.header["sheet"]
        for number, row in read_csv(path):
            try:
                letter = unicodedata.normalize("NFKC", row["grade"]).strip().upper()
                item, answer = row["item"].strip(), row["number"].strip().removesuffix(".0")
                if row["sheet"].strip() != sheet:
                    raise ValueError(
                        f"sheet {row['sheet']!r}; expected {sheet!r}: the file belongs to another sheet"
                    )
                self._check(item, {answer: letter or "A"})  # the place must exist, graded or not
                if answer in given.setdefault(item, {}):
                    raise ValueError(f"answer {answer} of {item} stands there twice; keep one")
                given[item][answer] = letter
            except ValueError as error:
                raise DataError(f"{Path(path).name}, line {number}: {error}") from None
        new = {
            i: {a: g for a, g in grades.items() if g and self.grades[i].get(a) != g}
            for i, grades in given.items()
        }
        self.grade_all({item: grades for item, grades in new.items() if grades})
        return sum(map(len, new.values()))

    def _rows(self) -> Iterator[dict]:
        for name, item in self.items.items():
            for student, answer in self.students[name].items():
                number = next(n for n, text in self.numbered[name].items() if text == answer)
                key = item_key(
                    {
                        "instruction": item["instruction"],
                        "input": item.get("input"),
                        "output": answer,
                    }
                )
                yield {
                    "student": student,
                    **item,
                    "answer": answer,
                    "grade": self.grades[name].get(number),
                    "rater": self.rater,
                    "item": key,
                }

    def _check(self, item: object, grades: object) -> None:
        if not isinstance(item, str) or item not in self.items:
            raise ValueError(
                f"item {item!r} is not in the sheet; it has {', '.join(list(self.items)[:3])}, …"
            )
        if not isinstance(grades, Mapping):
            raise ValueError(f"grades of {item}: found {grades!r}, expected number → grade")
        for number, letter in grades.items():
            if number not in self.numbered[item]:
                raise ValueError(
                    f"answer {number!r} of {item} does not exist; expected one of {', '.join(self.numbered[item])}"
                )
            if not isinstance(letter, str) or letter not in GRADES:
                raise ValueError(
                    f"grade {letter!r} of answer {number} of {item}; expected one of {', '.join(GRADES)}"
                )

    def _resume(self) -> None:
        """Take over the grades of a sheet begun earlier; a torn last line is cut off the file, and said."""
        self._check_header()
        whole_lines(self.path)
        for number, line in enumerate(read_jsonl(self.path)[1:], 2):
            try:
                if not isinstance(line, dict):
                    raise ValueError(f"found {line!r}, expected an object with item and grades")
                self._check(line.get("item"), line.get("grades"))
            except ValueError as error:
                raise DataError(
                    f"{self.path.name}, line {number}: {error}. Mend that line, or delete it and grade its item again"
                ) from None
            self.grades[line["item"]] |= line["grades"]

    def _begin(self) -> None:
        """Write the header if there is no file yet; of several processes that begin at once, the first does."""
        if any(self.grades.values()):
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError), open(self.path, "xb") as file:
            file.write(json.dumps(self.header, ensure_ascii=False).encode("utf-8") + b"\n")

    def _check_header(self) -> None:
        """DataError unless the file is there and its first line is this sheet's; asked before every write."""
        try:
            line = first_line(self.path)
        except FileNotFoundError:
            raise DataError(
                f"{self.path.name}: the file is gone, with the grades in it. Put it back, or open the sheet again to begin anew"
            ) from None
        try:
            found = json.loads(line)
        except ValueError:
            found = line.decode("utf-8", "replace")[:80]
        if found != self.header:
            raise DataError(
                f"{self.path.name}: the file now holds another sheet: found {found!r}, expected {self.header} (`sheet` stands for the items, "
                "answers and their order). Open it again with what it was begun with, or begin a new file"
            )


def check_answers(items: Sequence[Mapping], answers: Mapping[str, Sequence[str]]) -> None:
    """ValueError unless the items have ids of their own, texts, and every student has one text per item."""
    ids = [item["id"] for item in items]
    if not items or not answers:
        raise ValueError(
            f"found {len(items)} items and answers of {len(answers)} students; expected at least one of each"
        )
    if wrong := [name for name in ids if not isinstance(name, str)]:
        raise ValueError(f"item {wrong[0]!r}: expected a text as id")
    if twice := next((name for at, name in enumerate(ids) if name in ids[:at]), None):
        raise ValueError(f"item {twice!r} stands there twice; every item needs an id of its own")
    for student, texts in answers.items():
        if isinstance(texts, str) or len(texts) != len(items):
            found = repr(texts[:20]) if isinstance(texts, str) else f"{len(texts)} answers"
            raise ValueError(
                f"{student}: found {found}, expected a list of {len(items)}, one per item in their order"
            )
        if wrong := [text for text in texts if not isinstance(text, str)]:
            raise ValueError(
                f'{student}: found {wrong[0]!r} among the answers, expected texts ("" where there is none)'
            )


def in_drawn_order(texts: Iterable[str], seed: int, item: str) -> dict[str, str]:
    """Different texts numbered in an order drawn from `seed` and the item's id, whatever order they came in.

    >>> in_drawn_order(["甲", "乙", "甲"], 1, "x") == in_drawn_order(["乙", "甲"], 1, "x"), list(in_drawn_order(["甲", "乙", "甲"], 1, "x"))
    (True, ['1', '2'])
    """
    distinct = sorted(set(texts))
    random.Random(f"{seed} {item}").shuffle(distinct)
    return {str(number): text for number, text in enumerate(distinct, 1)}


def shares(counts: Mapping[str, int]) -> dict[str, float]:
    """Counts as shares of their sum.

    >>> shares({"A": 1, "B": 0, "C": 3, "D": 0})
    {'A': 0.25, 'B': 0.0, 'C': 0.75, 'D': 0.0}
    """
    total = sum(counts.values())
    return {letter: count / total for letter, count in counts.items()}


def as_text(text: str) -> str:
    """A text that no spreadsheet takes for a formula.

    >>> as_text("=1+1"), as_text("一加一")
    ("'=1+1", '一加一')
    """
    return "'" + text if text.startswith(FORMULA) else text


def first_line(path: Path, patience: float = 0.5) -> bytes:
    """The first line of a file; an empty file is read again for `patience` seconds, since another process may be about to write it."""
    until = time.monotonic() + patience
    while True:
        with open(path, "rb") as file:
            line = file.readline()
        if line or time.monotonic() > until:
            return line
        time.sleep(0.02)


def whole_lines(path: Path) -> None:
    """End a file with a whole line: cut off a last one that a kill left half written (never the first, which is written whole), and say so."""
    raw = path.read_bytes()
    end = raw.rfind(b"\n") + 1
    if end == len(raw):
        return
    try:
        json.loads(raw[end:])
    except ValueError:
        if end:
            os.truncate(path, end)
            print(
                f"{path.name}：最后一行没有写完，已删去，那一题要重评。 A torn last line was dropped; grade that item again."
            )
    else:  # an editor took the line break away
        with open(path, "ab") as file:
            file.write(b"\n")


def decoded(raw: bytes) -> str:
    """The text of a file that a spreadsheet wrote: UTF-16 or UTF-8 where it is, else GB18030, a Chinese Excel's "CSV"."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16", "replace")  # Excel's "Unicode text", with tabs
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("gb18030", "replace")


def read_csv(path: Path | str) -> list[tuple[int, dict[str, str]]]:
    """Line number and cells of a filled-in sheet, by `COLUMNS`, without empty rows; DataError where a column is missing."""
    text = decoded(Path(path).read_bytes())
    first = text.split("\n", 1)[0]
    kept = csv.field_size_limit(
        len(text) + 1
    )  # an answer may be longer than its 131,072 characters
    try:
        reader = csv.DictReader(
            io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count)
        )
        found = {name.split(" ")[-1].strip(): name for name in reader.fieldnames or []}
        if missing := [name for name in ("sheet", "item", "number", "grade") if name not in found]:
            raise DataError(
                f"{Path(path).name}: column {missing[0]!r} is missing among {list(found)}; fill in a file that `to_csv` wrote"
            )
        rows = [
            (reader.line_num, {name: row[found[name]] or "" for name in found}) for row in reader
        ]
    finally:
        csv.field_size_limit(kept)
    return [(number, row) for number, row in rows if any(cell.strip() for cell in row.values())]


GRADES = {
    "A": "正确、完整，可以直接用 correct and complete",
    "B": "可以接受，有小毛病 acceptable, minor flaws",
    "C": "答了所问，但有明显错误 on the point, clear errors",
    "D": "答非所问或者不能用 off the point or unusable",
}


def item_key(item: Mapping) -> str:
    """What identifies an answer in a table of grades, whoever gave it and wherever it stood.

    >>> item_key({"instruction": "问好", "input": "", "output": "你好。"})[:8]
    'c2356d15'
    """
    return sha256(
        "\x1f".join([item["instruction"], item.get("input") or "", item["output"]]).encode(
            "utf-8", "replace"
        )
    ).hexdigest()[:16]


def grade_table(grades: Iterable[Mapping], items: Iterable[Mapping]) -> dict[str, dict[str, int]]:
    """How often each source got each grade: source → grade → count. `grades` are {rater, item, grade}; of a rater's several the last counts."""
    sources = {item_key(item): item.get("source", "") for item in items}
    last = {
        (grade["rater"], grade["item"]): grade["grade"]
        for grade in grades
        if grade["item"] in sources
    }
    table: dict[str, dict[str, int]] = {}
    for (_, item), grade in last.items():
        table.setdefault(sources[item], dict.fromkeys(GRADES, 0))[grade] += 1
    return table


def agreement(grades: Iterable[Mapping]) -> dict[str, float | int]:
    """How far raters agree on the answers that two of them graded: `pairs`, the share of `equal` grades, and Cohen's `kappa` over them.

    Kappa is 1 for full agreement and 0 for what chance alone would give; null without a pair, or where all grades are one.

    >>> rows = [{"rater": r, "item": i, "grade": g} for i, (a, b) in enumerate(["AA", "AB", "DD", "BB"]) for r, g in (("甲", a), ("乙", b))]
    >>> agreement(rows)["pairs"], agreement(rows)["equal"], round(agreement(rows)["kappa"], 3)
    (4, 0.75, 0.636)
    """
    by_item: dict[object, dict[str, str]] = {}
    for grade in grades:
        by_item.setdefault(grade["item"], {})[grade["rater"]] = grade["grade"]
    pairs = [
        (given[a], given[b])
        for given in by_item.values()
        for a, b in combinations(sorted(given), 2)
    ]
    if not pairs:
        return {"pairs": 0, "equal": None, "kappa": None}
    equal = sum(a == b for a, b in pairs) / len(pairs)
    first, second = (Counter(side) for side in zip(*pairs, strict=True))
    chance = sum(first[g] * second[g] for g in GRADES) / len(pairs) ** 2
    return {
        "pairs": len(pairs),
        "equal": equal,
        "kappa": (equal - chance) / (1 - chance) if chance < 1 else None,
    }
