"""Choose topics for topic-guided generation among Wikipedia's categories, as LaMini-LM did.

In: (title, sub-categories, pages), or a dump of Wikipedia's category table. Out: topics, English by
LaMini-LM's rule, Chinese by one of our own. Shown in notebook 02; `instruct --topics` reads a dump.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from miniluotuo_utils.files import DataError, byte_lines

# Nobody writes spaces between Chinese words, so there characters are counted.
CHINESE = re.compile(r"[\u4e00-\u9fff]{2,6}")  # 中国茶文化
UPKEEP = re.compile(
    "(?:^|的)(?:需要|含有|缺少|使用|带有|包含)"  # 需要清理的条目, 缺少来源的传记
    "|条目|页面|模板|维基|分类|重定向|消歧义|小作品|列表|用户"  # 日本小作品, 用户模板
)

# a row of the dump: (id,'title',pages,sub-categories,files), as in (1,'中国茶文化',80,12,0)
ENTRY = re.compile(r"\((\d+),'((?:[^'\\]|\\.|'')*)',(-?\d+),(-?\d+),(-?\d+)\)")


class Category(NamedTuple):
    """A category as the dump counts it.

    `pages` includes its sub-categories and files, as MediaWiki's `cat_pages` does.
    """

    title: str
    subcategories: int
    pages: int


def read_categories(path: Path) -> Iterator[Category]:
    """Yield the rows of a dump of MediaWiki's `category` table, in constant memory.

    The file is `…-category.sql`, plain or .gz. Raises DataError if it holds no such row, or is
    packed and not whole.
    """
    found = 0
    for line in byte_lines(path):
        if not line.startswith(b"INSERT INTO `category`"):
            continue
        for entry in ENTRY.finditer(line.decode(errors="replace")):
            found += 1
            # SQL escapes quotes by a backslash or by doubling; MediaWiki writes _ for a space.
            title = re.sub(r"\\(.)", r"\1", entry[2]).replace("''", "'")
            yield Category(title.replace("_", " "), int(entry[4]), int(entry[3]))
    if not found:
        raise DataError(
            f"{path.name}: found no INSERT INTO `category`, expected the dump of MediaWiki's "
            "category table, as in zhwiki-latest-category.sql.gz（不是维基百科分类表的转储）"
        )


def topics_of(categories: Iterable[Category], language: str = "zh") -> list[str]:
    """Return the titles that make topics, in order.

    English, as in LaMini-LM: fewer than 3 words, more than 10 sub-categories, more than 50 pages.
    Chinese: 2 to 6 Chinese characters and nothing else (so no years, no Latin), no maintenance
    category, and the same numbers.

    >>> rows = [Category("中国茶文化", 12, 80), Category("2019年电影", 40, 900)]
    >>> topics_of([*rows, Category("茶", 20, 99), Category("需要清理的条目", 99, 999)])
    ['中国茶文化']
    >>> rows = [Category("Tea culture", 11, 51), Category("Tea in China", 30, 99)]
    >>> topics_of([*rows, Category("Tea", 10, 99)], "en")
    ['Tea culture']
    """
    if language not in ("zh", "en"):
        raise ValueError(f"language: found {language!r}, expected zh or en")
    large = [c.title for c in categories if c.subcategories > 10 and c.pages > 50]
    if language == "en":
        return [title for title in large if len(title.split()) < 3]
    return [title for title in large if CHINESE.fullmatch(title) and not UPKEEP.search(title)]
