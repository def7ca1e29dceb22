"""Translate a file of English IE records into Chinese; a killed run goes on from the store.

In: records in any format, or a source of the catalog. Out: Chinese records, and what became of the
others. Used by `translate` of the command line; notebook 02 shows the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.data.anyfile import open_data
from miniluotuo_utils.data.catalog import CATALOG
from miniluotuo_utils.data.licences import TRANSLATED
from miniluotuo_utils.files import DataError, write_jsonl, written_whole
from miniluotuo_utils.jobs.respond import REPLACE
from miniluotuo_utils.teacher.translation import KEPT, Translated, translate
from miniluotuo_utils.text import markdown
from miniluotuo_utils.writing import Touched, claimed

if TYPE_CHECKING:
    from miniluotuo_utils.students.translator import Translator
    from miniluotuo_utils.teacher import Teacher


def translate_file(
    teacher: Teacher | Translator,
    source: Path | str,
    target: Path,
    rejected: Path | None = None,
    names: Mapping[str, str] | None = None,
    replace: bool = False,
    say: Callable[[str], object] = lambda line: None,
    **sampling: Any,
) -> Translated:
    """Write the Chinese records of `source` to `target`, in order, and return them with the report.

    `source` is a file of any format or a name of the catalog, whose card then gives types and roles
    their Chinese names; `names` gives others. A record all of whose names have a place is written,
    its source marked `-zh`; the others go to `rejected`, each with its `reason`. Every reply is in
    the teacher's store first: called again after a kill, only what is missing is asked.

    Raises DataError for a file without records, `Taken` (a ValueError) before anything is asked
    where two paths are one file, or where `target` would lose a line, unless `replace`.
    """
    touched = [
        Touched("IN", Path(source), "reads"),
        Touched("OUT", target, "again", lambda row: "sentence" in row),
        *(
            [Touched("rejected", rejected, "again", lambda row: "reason" in row)]
            if rejected
            else []
        ),
        *([Touched("store", teacher.store.path, "store")] if teacher.store.path else []),
    ]
    with claimed(touched, replace):
        records = list(records_of(source, say))
        known = {**names_of(records), **(names or {})}
        found = translate(teacher, records, known, **sampling)
        keeps = "" if replace else REPLACE
        with written_whole(target, keeps=keeps) as partial:
            marked = ({**one, "source": one["source"] + TRANSLATED} for one in found.records)
            write_jsonl(partial, marked)
        if rejected:
            with written_whole(rejected, keeps=keeps) as partial:
                write_jsonl(partial, found.reports)
    return found


def records_of(source: Path | str, say: Callable[[str], object]) -> Iterator[dict]:
    """Yield the records of a file or a source; DataError for one that holds rows."""
    reading = open_data(source, say=say)
    if reading.kind != "records":
        raise DataError(
            f"{reading.name}：是指令，不是抽取记录。 found instruction rows, expected IE records "
            "with the places of their names: marks round them come back as places"
        )
    yield from reading


def names_of(records: list[dict]) -> dict[str, str]:
    """Return the Chinese names that the catalog gives to types and roles of the records' sources.

    >>> names_of([{"source": "wnut17"}])["location"]
    '地点'
    """
    names: dict[str, str] = {}
    for name in {one["source"] for one in records}:
        names |= (CATALOG[name].type_names or {}) if name in CATALOG else {}
    return names


def span_table(found: Translated) -> str:
    """Return what became of the places of all names, most frequent first, as a Markdown table."""
    total = max(1, found.spans.total())
    kept = [(KEPT, found.spans[KEPT])]
    lost = [pair for pair in found.spans.most_common() if pair[0] != KEPT]
    lines = [[what, f"{count:,}", f"{count / total:.1%}"] for what, count in kept + lost]
    return markdown(["位置 spans", "个数", "份额 share"], lines)
