"""What counts as the same text. Floor 0, used by data and teacher. In: a text. Out: the key that its duplicates share."""

from __future__ import annotations

import re
import unicodedata

PUNCTUATION = r"""[,.!?;:'"。、“”‘’「」『』《》〈〉【】()\[\]…—~·-]+"""
BETWEEN_DIGITS = re.compile(rf"(?<!\d){PUNCTUATION}|{PUNCTUATION}(?!\d)")  # 3.5 is not 35, and 3-1 is not 31


def folded(text: str) -> str:
    """A text as it is compared: NFKC, lower case, no white space, no punctuation but between digits.

    >>> folded("写一首诗， 题目是“Ｓｕｎ”。"), folded("3.5 + 4 等于几?")
    ('写一首诗题目是sun', '3.5+4等于几')
    """
    joined = re.sub(r"\s+", "", unicodedata.normalize("NFKC", text).casefold())
    return BETWEEN_DIGITS.sub("", joined)
