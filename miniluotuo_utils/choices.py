"""Offer what a misspelt name may have meant, and say what a number must be.

In: a name that nothing has, and the names there are; an amount, and what it must be. Out: words for
the error. Ground floor, used wherever a student, source, recipe, format or option is named; shown
in notebook 01.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from difflib import SequenceMatcher
from numbers import Real
from typing import Any, NamedTuple

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


class Sense(NamedTuple):
    """What an amount must be: a test that nan fails, too, and what a message says of it."""

    holds: Callable[[float], bool]
    expected: str


MORE = Sense(lambda value: 0 < value < math.inf, "more than 0")
WHOLE = Sense(lambda value: value >= 1 and value % 1 == 0, "a whole number, 1 or more")
PART = Sense(lambda value: 0 <= value < 1, "a share, from 0 to below 1")
BETWEEN = Sense(lambda value: 0 <= value <= 1, "a number from 0 to 1")


def check_amounts(senses: Mapping[str, Sense], **amounts: Any) -> None:
    """Raise ValueError for the first amount that makes no sense; None is one that was left open.

    >>> check_amounts({"steps": MORE, "share": PART}, steps=3, share=None)
    >>> check_amounts({"share": PART}, share=2)
    Traceback (most recent call last):
    ValueError: share is 2; expected a share, from 0 to below 1
    >>> check_amounts({"steps": WHOLE}, steps="3")
    Traceback (most recent call last):
    ValueError: steps is '3'; expected a whole number, 1 or more
    """
    for name, value in amounts.items():
        number = isinstance(value, Real) and not isinstance(value, bool)
        if value is not None and not (number and senses[name].holds(value)):
            raise ValueError(f"{name} is {value!r}; expected {senses[name].expected}")
