"""What counts as the same text. Floor 0, used by data and teacher. In: a text. Out: the key that its duplicates share."""

from __future__ import annotations

import unicodedata


def folded(text: str) -> str:
    """NFKC, lower case, letters and digits only: texts that differ in width, case, spaces or punctuation fold alike.

    >>> folded("你好，世界！") == folded("你好 世界")
    True
    """
    return "".join(c for c in unicodedata.normalize("NFKC", text).lower() if c.isalnum())
