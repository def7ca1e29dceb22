"""Topics for topic-guided generation: Wikipedia categories by LaMini-LM's rule, a rule of our own for Chinese, and word lists with frequencies.

In: (title, sub-categories, pages), a category table's dump, or THUOCL rows. Out: topics. Shown in notebook 02.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from miniluotuo_utils.files import DataError

MOST_WORDS, LEAST_SUBCATEGORIES, LEAST_PAGES = (
    2,
    11,
    51,
)  # LaMini-LM: fewer than 3 words, more than 10 sub-categories and 50 pages
SHORTEST, LONGEST = (
    2,
    6,
)  # Chinese characters in a topic; words mean nothing where nobody writes spaces
UPKEEP = re.compile(
    "(?:^|的)(?:需要|含有|缺少|使用|带有|包含)|条目|页面|模板|维基|分类|重定向|消歧义|小作品|列表|用户"
)
ENTRY = re.compile(r"\((\d+),'((?:[^'\\]|\\.|'')*)',(-?\d+),(-?\d+),(-?\d+)\)")


class Category(NamedTuple):
    """A category as the dump counts it; `pages` includes its sub-categories and files, as MediaWiki's `cat_pages` does."""

    title: str
    subcategories: int
    pages: int


def read_categories(path: Path) -> Iterator[Category]:
    """The rows of MediaWiki's `category` table dump (`…-category.sql`, plain or .gz), one at a time, in constant memory.

    Raises DataError for a file that holds no such row, or that breaks off.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    found = 0
    try:
        with opened(path, "rt", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("INSERT INTO `category`"):
                    for entry in ENTRY.finditer(line):
                        found += 1
                        title = (
                            re.sub(r"\\(.)", r"\1", entry[2]).replace("''", "'").replace("_", " ")
                        )
                        yield Category(title, int(entry[4]), int(entry[3]))
    except (OSError, EOFError) as error:
        raise DataError(
            f"{path.name}: breaks off after {found:,} categories ({error}); download it anew"
        ) from None
    if not found:
        raise DataError(
            f"{path.name}: found no INSERT INTO `category`, expected the dump of MediaWiki's category table"
        )


def topics_of(
    categories: Iterable[Category],
    language: str = "zh",
    subcategories: int = LEAST_SUBCATEGORIES,
    pages: int = LEAST_PAGES,
) -> list[str]:
    """The titles that make topics, in order.

    English, as in LaMini-LM: fewer than 3 words, more than 10 sub-categories, more than 50 pages. Chinese: 2 to 6 Chinese characters and
    nothing else (so no years, no Latin), no maintenance category, and the same numbers.

    >>> topics_of([Category("中国茶文化", 12, 80), Category("2019年电影", 40, 900), Category("茶", 20, 99), Category("需要清理的条目", 99, 999)])
    ['中国茶文化']
    >>> topics_of([Category("Tea culture", 11, 51), Category("Tea in China", 30, 99), Category("Tea", 10, 99)], "en")
    ['Tea culture']
    """
    if language not in ("zh", "en"):
        raise ValueError(f"language: found {language!r}, expected zh or en")
    fits = chinese_title if language == "zh" else (lambda title: len(title.split()) <= MOST_WORDS)
    return [
        c.title
        for c in categories
        if c.subcategories >= subcategories and c.pages >= pages and fits(c.title)
    ]


def chinese_title(title: str) -> bool:
    """Whether a title is 2 to 6 Chinese characters and no maintenance category."""
    return bool(
        re.fullmatch(f"[\\u4e00-\\u9fff]{{{SHORTEST},{LONGEST}}}", title)
    ) and not UPKEEP.search(title)


def frequent_words(rows: Iterable[Mapping], least: int = 1000) -> list[str]:
    """Words of a list with document frequencies (THUOCL) that make topics: 2 to 6 Chinese characters, in at least `least` documents.

    >>> frequent_words([{"word": "茶叶", "frequency": 9000}, {"word": "茶", "frequency": 9000}, {"word": "金骏眉", "frequency": None}])
    ['茶叶']
    """
    return [
        row["word"]
        for row in rows
        if (row["frequency"] or 0) >= least and chinese_title(row["word"])
    ]
