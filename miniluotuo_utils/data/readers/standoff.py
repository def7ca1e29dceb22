"""Read marks that stand beside or inside a text: brat's .ann files, CEC's XML.

In: a unit. Out: documents, as `annotated`. Shown in data/README.md.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from miniluotuo_utils.data.opening import HEAD, encoding_of
from miniluotuo_utils.data.readers.annotated import document, linked, thing
from miniluotuo_utils.data.readers.native import Unit, attempt
from miniluotuo_utils.files import DataError

# ---- brat


def brat_texts(path: Path) -> Iterator[Unit]:
    """Yield the text, the annotations and the name of every .txt with an .ann beside it.

    `path` is a folder, or one of the two.
    """
    folder = path.is_dir()
    notes = sorted(path.rglob("*.ann")) if folder else [path.with_suffix(".ann")]
    lone = [one for one in path.rglob("*.txt") if not one.with_suffix(".ann").exists()]
    yield from ((one.relative_to(path).as_posix(), None) for one in sorted(lone) if folder)
    for note in notes:
        name = note.relative_to(path).as_posix() if folder else note.name
        text = note.with_suffix(".txt")
        if not text.is_file() or not note.is_file():
            lost = note if text.is_file() else text
            yield name, DataError(f"found no {lost.name} beside it, expected text and annotations")
            continue
        told = attempt(in_its_encoding, text), attempt(in_its_encoding, note)
        faults = [one for one in told if isinstance(one, DataError)]
        yield name, faults[0] if faults else (*told, name.removesuffix(".ann"))


def brat(native: tuple[str, str, str] | None) -> Iterator[dict]:
    """Read brat's standoff format: T (text-bound), R (relations), E (events); ends exclusive.

    Attributes, normalisations, notes and equivalences are left out, entities in pieces too.
    """
    if native is None:
        yield {"notes": ["a .txt without an .ann beside it, left out"]}
        return
    text, notes, id_ = native
    # The first letter of a line says what it is.
    told: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for line in filter(str.strip, notes.split("\n")):
        mark, _, body = line.partition("\t")
        told[mark[0]].append((mark, body))
    left_out = [
        f"a line {mark} of brat, left out" for mark in told if mark not in "TRE" for _ in told[mark]
    ]
    found, pieces = {}, set()
    for mark, body in told["T"]:
        one = text_bound(mark, body)
        if one is None:
            pieces.add(mark)
            left_out.append("an entity in several pieces, left out")
        else:
            found[mark] = one

    # brat counts the text as it stands; files that went through Windows count a line end as one.
    if "\r\n" in text and not all(fits(text, one) for one in found.values()):
        text = text.replace("\r\n", "\n")

    # What triggers an event is no entity beside it.
    events, triggers = brat_events(told["E"], found, left_out)
    relations = [
        linked(found, ends[0], kind, ends[1])
        for kind, ends in map(brat_relation, told["R"])
        if not pieces & set(ends)
    ]
    left_out += ["a relation of an entity in pieces, left out"] * (len(told["R"]) - len(relations))
    entities = [one for mark, one in found.items() if mark not in triggers]
    more = {"relations": relations or None, "events": events or None}
    yield document(text, left_out, entities=entities, **more) | {"id": id_}


def text_bound(mark: str, body: str) -> dict | None:
    """Return the entity of a line `T1<TAB>type start end<TAB>text`; None for one in pieces."""
    line = re.fullmatch(r"(\S+) (\d+) (\d+)(?P<more>;[\d ;]+)?(\t(?P<name>.*))?", body.strip("\r"))
    if not line:
        shown = f"{mark} {body}".replace("\t", "<TAB>")
        raise DataError(f"found the line {shown!r:.60}, expected T1<TAB>type start end<TAB>text")
    kind, start, end = line.groups()[:3]
    return None if line["more"] else thing(int(start), int(end), kind, line["name"] or "")


def fits(text: str, one: Mapping) -> bool:
    """Return whether a thing's place cuts its name out; brat writes a line end in it as a space."""
    start, end = one["pos"]
    return text[start:end].split() == one["name"].split()


def brat_relation(line: tuple[str, str]) -> tuple[str, list[str]]:
    """Return the type and the two ids of `R1<TAB>type Arg1:T1 Arg2:T2`."""
    kind, *ends = line[1].split()
    if len(ends) != 2:
        raise DataError(f"{line[0]}: found {line[1]!r:.60}, expected a type and two arguments")
    return kind, [end.partition(":")[2] for end in ends]


def brat_events(
    told: Sequence[tuple[str, str]], found: Mapping[str, dict], notes: list[str]
) -> tuple[list[dict], set[str]]:
    """Return the events of `E1<TAB>type:T1 role:T2 …`, and the ids of their triggers."""
    # An event may be an argument of another: what stands for it is its trigger.
    trigger_of = {mark: body.split()[0].partition(":")[2] for mark, body in told}
    events = []
    for _, body in told:
        (kind, trigger), *ends = [part.rsplit(":", 1) for part in body.split()]
        roles, arguments = {role for role, _ in ends}, []
        for role, id_ in ends:
            # Theme, Theme2, …: the number only tells them apart.
            base = re.sub(r"\d+$", "", role)
            if id_ in trigger_of:
                notes.append("an event as an argument, kept as its trigger")
            one = found.get(trigger_of.get(id_, id_))
            if one is None:
                notes.append("an argument in pieces or without an entity, left out")
                continue
            name = base if base in roles else role
            arguments.append({"name": one["name"], "role": name, "pos": one["pos"]})
        if trigger not in found:
            raise DataError(f"event {kind}: found no trigger {trigger}")
        place = found[trigger]
        event = {"type": kind, "trigger": place["name"], "pos": place["pos"]}
        events.append(event | {"arguments": arguments})
    return events, set(trigger_of.values())


# ---- CEC

ROLES = ("Time", "Location", "Participant", "Object", "Means")


def xml_texts(path: Path) -> Iterator[Unit]:
    """Yield the sentences of CEC's XML: of one file, or of every .xml in a folder."""
    files = sorted(path.rglob("*.xml")) if path.is_dir() else [path]
    for file in files:
        text = attempt(in_its_encoding, file)
        if isinstance(text, DataError):
            yield file.name, text
            continue
        # Entities that a file declares can grow without bound.
        if "<!ENTITY" in text:
            yield file.name, DataError("declares entities of its own, which are not opened")
            continue
        # A text has no encoding any more, and ElementTree refuses one that names it.
        try:
            root = ElementTree.fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text))
        except ElementTree.ParseError as error:
            yield file.name, DataError(f"no whole XML ({error})")
            continue
        found = [one for one in root.iter() if one.tag in ("Sentence", "Title")]
        yield from ((f"{file.name}, sentence {n}", one) for n, one in enumerate(found, 1))


def in_its_encoding(path: Path) -> str:
    """Return the text of a file, which may be written in another encoding than UTF-8."""
    raw = path.read_bytes()
    return raw.decode(encoding_of(path.name, raw[:HEAD])).removeprefix("\ufeff")


def cec(native: ElementTree.Element) -> Iterator[dict]:
    """Read a sentence of CEC: `<Event><Time>…</Time><Denoter type="…">…</Denoter>…</Event>`.

    The Denoter is the trigger, the other marked words are arguments, their tag is the role. Blanks
    and line ends between marks are the file's, not the text's.
    """
    sentence = Sentence()
    sentence.walk(native)
    if not sentence.text:
        yield {"notes": ["an empty sentence, left out"]}
        return
    kept = [event for event in sentence.events if event["trigger"]]
    lost = ["an event without a trigger, left out"] * (len(sentence.events) - len(kept))
    yield document(sentence.text, lost, events=kept)


class Sentence:
    """The text and the events of a sentence, as its marks are walked through."""

    def __init__(self) -> None:
        self.text, self.opened, self.events = "", [], []

    def walk(self, element: ElementTree.Element) -> None:
        """Read an element and what stands in it."""
        start = len(self.text)
        if element.tag == "Event":
            kind = element.get("type") or ""
            self.opened.append({"type": kind, "trigger": "", "pos": None, "arguments": []})
        self.say(element.text)
        for child in element:
            self.walk(child)
            self.say(child.tail)
        if element.tag == "Event":
            self.events.append(self.opened.pop())
        elif self.opened and self.text[start:]:
            self.mark(element, start)

    def say(self, words: str | None) -> None:
        """Add words to the text, without their blanks."""
        self.text += re.sub(r"\s+", "", words or "")

    def mark(self, element: ElementTree.Element, start: int) -> None:
        """Put a marked word into the event that it stands in."""
        event, name, pos = self.opened[-1], self.text[start:], [start, len(self.text)]
        if element.tag == "Denoter":
            event |= {"type": element.get("type") or event["type"], "trigger": name, "pos": pos}
        elif element.tag in ROLES:
            event["arguments"].append({"name": name, "role": element.tag, "pos": pos})
