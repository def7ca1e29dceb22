"""Tell offsets in characters from offsets in UTF-16 units, and put mentions in their place.

In: documents whose places are counted as their tool counts. Out: the same in characters.
JavaScript counts a character beyond the basic plane, such as an emoji, as two; so does what doccano
exports (doccano#2290), and what Label Studio exported until 2022 (label-studio#1347). Used by
`read_any` and `convert`.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from miniluotuo_utils.files import DataError
from miniluotuo_utils.records import map_mentions, mentions

Unit = Literal["characters", "utf16"]
ASTRAL = re.compile("[\U00010000-\U0010ffff]")
ASTRAL_BYTES = re.compile(rb"[\xf0-\xf4]|\\u[dD][89abAB]")


@dataclass(frozen=True)
class Counted:
    """How a file counts: its unit, whether that is `sure`, and how many places could show it."""

    unit: Unit = "characters"
    sure: bool = True
    places: int = 0


def in_characters(text: str, pos: Sequence[int]) -> list[int] | None:
    """Return a place counted in UTF-16 units in characters; None where it cuts one in two.

    >>> in_characters("😀李白", [2, 4]), in_characters("😀李白", [1, 3])
    ([1, 3], None)
    """
    units = text.encode("utf-16-le", "surrogatepass")
    if not 0 <= pos[0] <= pos[1] <= len(units) // 2:
        return None
    try:
        return [len(units[: 2 * place].decode("utf-16-le")) for place in pos]
    except UnicodeDecodeError:
        return None


def in_utf16(text: str, pos: Sequence[int]) -> list[int]:
    """Return a place in characters, counted in UTF-16 units.

    >>> in_utf16("😀李白", [1, 3])
    [2, 4]
    """
    return [place + len(ASTRAL.findall(text[:place])) for place in pos]


def placed(document: Mapping, unit: Unit) -> dict:
    """Return a document with its places in characters, and the names that stand there.

    A name that the document holds stays where it is another: `check_record` names it then.
    DataError for a place outside the text.
    """
    text = document["sentence"]
    units = document.get("offsets", unit) == "utf16" and ASTRAL.search(text)
    found = map_mentions(document, partial(put, text, bool(units)))
    return {key: value for key, value in found.items() if key != "offsets"}


def put(text: str, utf16: bool, thing: dict) -> dict:
    """Return a thing with its place in characters and the name that stands there."""
    pos, name = thing["pos"], thing["name"]
    if pos is None:
        return thing
    if [*map(type, pos)] != [int, int]:
        raise DataError(f"found the place {pos!r:.60}, expected two whole numbers")
    now = in_characters(text, pos) if utf16 else list(pos)
    if now is None or not 0 <= now[0] < now[1] <= len(text):
        one = pos[0] == pos[1]
        hint = (
            "; an end is the place behind the last character: is it one too small?" if one else ""
        )
        raise DataError(
            f"found the place [{pos[0]}, {pos[1]}) of {name or thing.get('type')!r}, expected one "
            f"inside the text, which has {len(text)} characters{hint}"
        )
    cut = text[now[0] : now[1]]
    return thing | {"name": cut if same(cut, name) else name, "pos": now}


def same(cut: str, name: str) -> bool:
    """Return whether a name may be what stands in the text: tools write line ends as spaces."""
    return not name or cut == name or cut.split() == name.split()


def count_of(documents: Iterable[Mapping], prior: Unit = "characters") -> Counted:
    """Return how the places of documents are counted, by what stands there.

    One reading that leaves the text, cuts a character in two or another name out is proof. Else a
    reading whose names begin and end with punctuation less often, or stand elsewhere in the file
    with the same type, is likely. `prior` counts where nothing tells, which is not `sure`.
    """
    # Before the first such character both units are alike: those places show what names there are.
    known, doubtful, proof = set(), [], Counter()
    for text, kind, pos, name in places(documents):
        if not ASTRAL.search(text[: pos[1]]):
            known.add((kind, text[pos[0] : pos[1]]))
            continue
        readings = {"characters": list(pos), "utf16": in_characters(text, pos)}
        cuts = {unit: cut(text, place) for unit, place in readings.items()}
        good = {unit: found for unit, found in cuts.items() if found and found == name}
        good = good or {unit: found for unit, found in cuts.items() if found and same(found, name)}
        if len(good) == 1:
            proof.update(good.keys())
        elif len(good) == 2:
            doubtful.append((kind, good))

    # Proof outweighs likeness, and likeness what a tool is known to do.
    total = proof.total() + len(doubtful)
    if proof["utf16"] != proof["characters"]:
        return Counted(max(proof, key=proof.get), True, total)
    marks = Counter()
    for kind, cuts in doubtful:
        marks.update({unit: likeness(kind, found, known) for unit, found in cuts.items()})
    if marks["utf16"] != marks["characters"]:
        return Counted(max(marks, key=marks.get), False, total)
    return Counted(prior, not total, total)


def places(documents: Iterable[Mapping]) -> Iterator[tuple[str, str, Sequence[int], str]]:
    """Yield (text, type, place, name) of what documents name, unless they say how they count."""
    for document in documents:
        # A document that is malformed is named when it is read, and proves nothing.
        try:
            named = [] if "offsets" in document else [thing for thing, _ in mentions(document)]
        except DataError:
            continue
        if not isinstance(document["sentence"], str):
            continue
        for thing in named:
            pos = thing.get("pos") if isinstance(thing, Mapping) else None
            if isinstance(pos, list) and [*map(type, pos)] == [int, int]:
                kind, name = thing.get("type") or thing.get("role") or "", thing.get("name")
                yield document["sentence"], str(kind), pos, name if isinstance(name, str) else ""


def cut(text: str, pos: Sequence[int] | None) -> str:
    """Return what stands at a place, "" where there is no such place."""
    return text[pos[0] : pos[1]] if pos and 0 <= pos[0] < pos[1] <= len(text) else ""


def likeness(kind: str, name: str, known: set[tuple[str, str]]) -> int:
    """Return how much a text looks like a name: edges without punctuation, known elsewhere."""
    edges = sum(unicodedata.category(end)[0] in "PZC" for end in (name[0], name[-1]))
    return 2 * ((kind, name) in known) - edges
