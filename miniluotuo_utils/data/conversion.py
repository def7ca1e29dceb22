"""Convert people's files from one format to another.

In: a file that `read_any` reads. Out: a file for another tool, written whole, and what it could not
hold, counted. Shown in data/README.md.
"""

from __future__ import annotations

import gzip
import json
import lzma
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from miniluotuo_utils.choices import choices
from miniluotuo_utils.data.anyfile import Say, read_any
from miniluotuo_utils.data.offsets import Unit
from miniluotuo_utils.data.readers import Fault
from miniluotuo_utils.data.writers import WHOLE, WRITERS, Writer
from miniluotuo_utils.files import DataError, json_line, written_whole
from miniluotuo_utils.progress import progress_bar
from miniluotuo_utils.records import TASKS, map_mentions
from miniluotuo_utils.writing import Touched, guard

PACKS = {".gz": gzip.open, ".xz": lzma.open}


def convert(
    source: Path | str,
    out: Path | str,
    from_: str | None = None,
    to: str = "records",
    *,
    task: str | None = None,
    offsets: Unit | None = None,
    labels: list[str] | None = None,
    read_offsets: Unit | None = None,
    skip: bool = False,
    overwrite: bool = False,
    say: Say | None = print,
) -> dict:
    """Write a file in another format, and return what was counted.

    to: records (ours, rows too), doccano, label-studio, brat (a folder), bio, bmes, bilou, uie for
      annotated text; alpaca (a JSON list of three keys), sharegpt, messages for instruction rows.
    from_, task, labels: as for `read_any`, read_offsets as its `offsets`. offsets: how places are
      counted in `out`, characters or utf16; left out, doccano gets UTF-16 units, as it counts
      itself, the others characters.
    skip: malformed units are left out and counted; else the first is a DataError.

    What `out` cannot hold is left out, counted in `notes` and told to `say`: nested entities in
    columns, entities without relations in records of relations. DataError where it could hold
    nothing at all: relations in columns, rows as doccano. `Taken` (a ValueError) where `out` is
    there already, unless `overwrite` is given and it holds JSON Lines or is a folder as we wrote
    it.

    Returns `items` (documents or rows read), `written`, `faults`, `notes`.
    """
    # Nothing is written before it is known that it can be.
    source, out = Path(source), Path(out)
    if to not in WRITERS:
        raise ValueError(f"cannot write {to!r}; {choices(to, WRITERS)}")
    writer, faults = WRITERS[to], [] if skip else None
    role = "folder" if writer.form == "folder" else "whole"
    guard([Touched("IN", source, "reads"), Touched("OUT", out, role)], overwrite)
    reading = read_any(
        source, from_, task=task, offsets=read_offsets, labels=labels, faults=faults, say=say
    )
    check_kind(writer, to, reading.kind, source.name)
    counts = {"items": 0, "written": 0, "faults": 0, "notes": Counter()}
    unit = offsets or writer.offsets

    # Only our own records are of one task; the other formats hold what stands side by side.
    whole = iter(reading) if to == "records" or reading.kind == "rows" else reading.documents()
    said = progress_bar(whole, unit="条 items", shown=bool(say))
    items = written_items(said, writer, to, unit, counts)
    if writer.form == "folder":
        write_folder(out, items, overwrite)
    else:
        write_file(out, items, writer.form, overwrite)
    counts["faults"] = len(faults or [])
    counts["notes"] += reading.notes
    if say:
        tell(say, out, counts, faults or [])
    return counts | {"notes": dict(counts["notes"])}


def check_kind(writer: Writer, to: str, kind: str, name: str) -> None:
    """Raise DataError for rows that are to become annotated text, or the other way round."""
    if writer.kind in (kind, "both"):
        return
    fitting = [key for key, one in WRITERS.items() if one.kind in (kind, "both")]
    made = ""
    if kind == "records":
        made = (
            "; instruction rows are made of records by `build_instructions` of "
            "miniluotuo_utils.ie (notebook 05)"
        )
    raise DataError(
        f"{name} holds {'instruction rows' if kind == 'rows' else 'IE records'}, and {to} is for "
        f"the other kind; expected --to {', '.join(fitting)}{made}"
    )


def written_items(
    whole: Iterable[Mapping], writer: Writer, to: str, unit: str, counts: dict
) -> Iterator[tuple[Mapping, Any]]:
    """Yield (document or row, item for the file), and count both, and what cannot be held."""
    texts = set()
    for number, one in enumerate(whole, 1):
        counts["items"] += 1
        held = dict(one)
        # UIE's rows belong together by their text alone.
        if to == "uie":
            key = hash(one["sentence"])
            if key in texts:
                counts["notes"]["a text that stands twice: UIE's rows of both are one text's"] += 1
            texts.add(key)

        # Where nothing says that a model wrote it, it would come back as gold.
        mark = held.get("annotation") or WHOLE
        if mark != WHOLE and not writer.marks:
            counts["notes"][f"the mark that it is {mark}, which {to} cannot hold, left out"] += 1

        # A document may hold more than the format; a row or a record of ours is written as it is.
        if writer.kind != "rows" and to != "records":
            held = map_mentions(one, with_type)
            held = holdable(held, writer, to, counts["notes"], number)
            held |= {"offsets": unit, "number": number}
        for item in writer.write(held, counts["notes"]):
            counts["written"] += 1
            yield one, item


def with_type(thing: Mapping) -> dict:
    """Return a mention with a type, "" where it has none, and a place, null where it has none."""
    kind = thing.get("type")
    return {"pos": None, **thing, "type": kind if isinstance(kind, str) else ""}


def holdable(one: Mapping, writer: Writer, to: str, notes: Counter, number: int) -> dict:
    """Return a document with what a format can hold; DataError where that is nothing of it."""
    lost = [name for name in TASKS.values() if name not in writer.holds and one.get(name)]
    fields = [name for name in writer.holds if name in one]
    if lost and not any(one.get(name) for name in fields):
        raise DataError(
            f"item {number}: found {' and '.join(lost)} and nothing else, which {to} cannot hold; "
            f"expected {' or '.join(writer.holds)}. "
            f"{', '.join(k for k, w in WRITERS.items() if lost[0] in w.holds)} can hold them"
        )
    for name in lost:
        notes[f"{name}, which {to} cannot hold, left out"] += len(one[name])
    kept = {key: value for key, value in one.items() if key not in lost}
    return kept if fields else kept | {writer.holds[0]: []}


def write_file(
    path: Path, items: Iterable[tuple[Mapping, Any]], form: str, overwrite: bool = False
) -> None:
    """Write items as lines, as one JSON list, or as they are; .gz and .xz are packed.

    A name that ends in .jsonl gets lines, one that ends in .json a list, but for Alpaca, whose
    readers want one list.
    """
    ending = path.with_suffix("").suffix if path.suffix in PACKS else path.suffix
    if form in ("list", "lines"):
        form = {".jsonl": "lines", ".json": "list"}.get(ending, form)
    form = form.removeprefix("one ")
    with written_whole(path, overwrite) as partial, text_file(partial, path.suffix) as file:
        count = -1
        for count, (_, item) in enumerate(items):
            if form == "list":
                file.write("[\n" if count == 0 else ",\n")
                file.write(json.dumps(item, ensure_ascii=False))
            else:
                file.write(item if form == "text" else json_line(item))
        if form == "list":
            file.write("[]\n" if count < 0 else "\n]\n")


@contextmanager
def text_file(path: Path, ending: str) -> Iterator[TextIO]:
    """Open a text file to write, packed where its name says so."""
    opener: Callable = PACKS.get(ending, open)
    with opener(path, "wt", encoding="utf-8", newline="\n") as file:
        yield file


def write_folder(
    path: Path, items: Iterable[tuple[Mapping, tuple[str, str]]], overwrite: bool = False
) -> None:
    """Write pairs of text and annotations into a folder, named by number and id.

    The number comes first, so that the files are read in the order of the documents.
    """
    with written_whole(path, overwrite) as partial:
        partial.mkdir(parents=True)
        for number, (document, (text, notes)) in enumerate(items, 1):
            name = file_name(document.get("id"), number)
            (partial / f"{name}.txt").write_text(text, encoding="utf-8", newline="")
            (partial / f"{name}.ann").write_text(notes, encoding="utf-8", newline="")


def file_name(id_: object, number: int) -> str:
    """Return a file's name from its number, and the id if every system takes it in a name.

    >>> file_name("doc/1", 7), file_name("doc-1", 7)
    ('000007', '000007-doc-1')
    """
    name = str(id_) if isinstance(id_, str | int) else ""
    return f"{number:06}" + (f"-{name}" if re.fullmatch(r"\w[\w-]{0,60}", name) else "")


def tell(say: Say, out: Path, counts: Mapping, faults: list[Fault]) -> None:
    """Say what was written, and what was not."""
    say(f"{out.name}：写了 {counts['written']:,} 条。 {counts['written']:,} items written.")
    for what, count in counts["notes"].items():
        say(f"{out.name}: {count:,} × {what}")
    for fault in faults[:5]:
        say(f"skipped {fault}")
    if faults[5:]:
        say(f"... and {len(faults) - 5:,} more")
