"""Offer what a misspelt name may have meant.

In: a name that nothing has, and the names there are. Out: words for the error. Ground floor, used
wherever a student, source, recipe, format or option is named; shown in notebook 01.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

FEW = 10  # names that an error lists; of more it offers the nearest
OFFERED = 3


def nearest(found: object, known: Iterable[str], count: int = OFFERED) -> list[str]:
    """Return the names that are most like `found`, the likest first.

    Case, spaces and punctuation do not count; a name that holds the other one comes first.

    >>> nearest("Qwen2.5_1.5B", ["qwen2.5-0.5b", "tiny", "qwen2.5-1.5b", "qwen3-0.6b"], 2)
    ['qwen2.5-1.5b', 'qwen2.5-0.5b']
    >>> nearest("chip", ["cluener", "chip-cdn", "ccks"], 1)
    ['chip-cdn']
    """
    wanted = plain(str(found))
    return sorted(known, key=lambda name: -likeness(wanted, plain(name)))[:count]


def plain(name: str) -> str:
    """Return a name as it is compared."""
    return "".join(char for char in name.casefold() if char.isalnum()) or name


def likeness(one: str, other: str) -> float:
    """Return how like two names are: 0 to 1, and 1 more where one holds the other."""
    inside = bool(one and other) and (one in other or other in one)
    return SequenceMatcher(None, one, other).ratio() + inside


def choices(found: object, known: Iterable[str]) -> str:
    """Return what an error offers for an unknown name: a few names all, else the nearest three.

    >>> choices("dora", ["full", "lora"])
    'expected one of full, lora'
    >>> choices("tinny", ["tiny", *map(str, range(70))]).partition(",")[0]
    'the nearest of 71 names are tiny'
    """
    names = list(known)
    if len(names) <= FEW:
        return f"expected one of {', '.join(names)}"
    return f"the nearest of {len(names)} names are {', '.join(nearest(found, names))}"


def check_choice(what: str, found: object, known: Iterable[str]) -> None:
    """Raise ValueError for a name that is not among those known, and offer others.

    >>> check_choice("method", "dora", ["full", "lora"])
    Traceback (most recent call last):
    ValueError: method is 'dora'; expected one of full, lora
    """
    names = list(known)
    if found not in names:
        raise ValueError(f"{what} is {found!r}; {choices(found, names)}")
