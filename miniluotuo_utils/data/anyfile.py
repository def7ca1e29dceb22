"""Read people's own files through one door, whatever they are. Shown in data/README.md.

In: a path, or the name of a source or a recipe. Out: instruction rows or IE records, checked, with
what the file was taken for and how sure that is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path
from typing import Any

from miniluotuo_utils.choices import choices
from miniluotuo_utils.data.catalog import CATALOG
from miniluotuo_utils.data.loading import loadable, read_named
from miniluotuo_utils.data.mixture import RECIPES, mixed, recipe
from miniluotuo_utils.data.offsets import ASTRAL_BYTES, Counted, Unit, count_of, placed
from miniluotuo_utils.data.opening import AnyFile, opened
from miniluotuo_utils.data.readers import Fault, Reader, dialogues, native, read_units
from miniluotuo_utils.data.readers.native import attempt
from miniluotuo_utils.data.recognition import SAMPLE, Found, reader_of, recognised
from miniluotuo_utils.files import DataError, file_sha256
from miniluotuo_utils.records import TASKS, check_record, check_row, mentions

Say = Callable[[str], object]
REST = (
    "`validate FILE` names every such place; `convert FILE OUT --to records --skip` writes the "
    "rest; in Python `read_any(FILE, faults=[])` reads it"
)


# Formats whose fields people name freely, and the fields that rows are made of.
FREE = ("own_rows", "alpaca", "prompt_response", "question_answer", "input_output")
USED = {*dialogues.INSTRUCTION, *dialogues.INPUT, *dialogues.OUTPUT}
USED |= {"history", "system", "source", "annotation", "rejected"}


# Formats in which a text without relations or events was looked at and has none.
SIDE_BY_SIDE = ("doccano", "label_studio", "brat", "uie", "uie_structure", "tplinker", "triples")


# Formats with places and no names beside them: what stands there is all that shows a wrong count.
UNNAMED = ("doccano", "spans", "spacy_pair")


@dataclass
class Reading:
    """A file of rows or records, read anew each time one goes through it.

    `kind` is rows or records, `task` NER, RE or EE for records. `format` is the reader that the
    file was taken for, `said` tells a person so. `notes` counts, after a reading, what a row or a
    record could not hold, `sources` how many are from which source.
    """

    name: str
    kind: str
    format: str
    said: str
    make: Callable[[Reading, bool], Iterator[dict]]
    files: Sequence[Path] = ()
    task: str | None = None
    faults: list[Fault] | None = None
    notes: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)

    def __iter__(self) -> Iterator[dict]:
        self.notes.clear()
        self.sources.clear()
        for one in self.make(self, False):
            self.sources[one.get("source", "")] += 1
            yield one

    def documents(self) -> Iterator[dict]:
        """Return the documents: sentences with all that stands side by side, of every task."""
        self.notes.clear()
        return self.make(self, True)

    @property
    def noted(self) -> list[str]:
        """What the last reading left out or changed, a line each."""
        return [f"{self.name}: {count:,} × {what}" for what, count in self.notes.items()]

    @property
    def digest(self) -> str:
        """The SHA-256 of the files; of a source or recipe, of its name."""
        if len(self.files) == 1:
            return file_sha256(self.files[0])
        found = [f"{path.name} {file_sha256(path)}" for path in self.files] or [self.name]
        return sha256("\n".join(found).encode()).hexdigest()


class Together:
    """Several readings as one, from the first on each time one goes through it."""

    def __init__(self, readings: Sequence[Reading]) -> None:
        self.readings = readings

    def __iter__(self) -> Iterator[dict]:
        return chain.from_iterable(self.readings)


def read_any(
    path: Path | str,
    format: str | None = None,
    *,
    task: str | None = None,
    offsets: Unit | None = None,
    labels: Sequence[str] | None = None,
    faults: list[Fault] | None = None,
    say: Say | None = print,
) -> Reading:
    """Return the rows or records of a file, whatever its format, to be gone through once or often.

    JSON, JSON Lines, CSV, TSV, Parquet, Arrow, columns, brat's folders, also packed (.gz, .xz) or
    in GBK or UTF-16, of every format in data/README.md. The first units decide; `say` is told what
    the file was taken for and how sure that is. `format` names it instead.

    task: NER, RE or EE, for a file that holds several; else relations or events where there are
      some. offsets: "characters" or "utf16", else what stands there decides. labels: the names of
      numbered tags. faults: a list for malformed units, which otherwise are a DataError that names
      file, place, field, what was found and expected, and the next step.

    Raises FileNotFoundError, and DataError with what was seen and the way out for a file that no
    format fits: an empty one, a web page, a Git LFS pointer, an archive.
    """
    # A folder, a pair of files and XML are opened by their readers.
    path = Path(path)
    special = path.is_dir() or path.suffix in (".ann", ".xml")
    file = AnyFile(path) if special and path.exists() else opened(path)
    found = recognised(file, format)
    reader = reader_of(found.reader)
    if reader.check not in (check_row, check_record):
        raise ValueError(f"the format {found.reader} holds neither rows nor records")
    if labels is None and found.reader == "tag_lists":
        labels = names_of_tags(file)
    if labels is not None:
        reader = replace(reader, convert=partial(reader.convert, names=list(labels)))

    # What a file is said to be is decided before its first row is asked for.
    documents = Documents(file, found, reader, offsets)
    kind = "rows" if reader.check is check_row else "records"
    if kind == "records":
        task = documents.task_of(task)
    said = [taken_for(file, found, kind, task), *documents.said, *documents.unused(kind)]
    said += documents.cut_out if found.reader in UNNAMED else []
    if say:
        for line in said:
            say(line)
    return Reading(
        path.name,
        kind,
        found.reader,
        "\n".join(said),
        partial(checked, documents),
        files_of(path),
        task,
        faults,
    )


def taken_for(file: AnyFile, found: Found, kind: str, task: str | None) -> str:
    """Return what a file was taken for, and how sure that is, in Chinese and English."""
    how = ", ".join([*file.said, *found.said])
    fit = f"{found.fit} of the first {found.seen} fit" if found.seen else "as was asked"
    sure = f"，前 {found.seen} 条里 {found.fit} 条符合" if found.seen else ""
    code = f"，不是 UTF-8，按 {file.encoding.upper()} 读" if file.encoding != "utf-8" else ""
    chinese = {"rows": "指令", "records": f"抽取记录（{task}）"}[kind]
    english = {"rows": "instruction rows", "records": f"IE records ({task})"}[kind]
    shape = f"{found.shape.title}{f' ({how})' if how else ''}"
    return (
        f"{file.name}：当作 {found.shape.title} 来读，{chinese}{code}{sure}。 "
        f"Read as {shape}: {english}, {fit}."
    )


def names_of_tags(file: AnyFile) -> list[str] | None:
    """Return the names of the tags that a table's schema tells."""
    path = file.path
    if path.is_dir():
        path = (sorted(path.glob("data-*.arrow")) or sorted(path.glob("*.parquet")))[0]
        names = native.label_names(path)
    else:
        names = native.label_names(file) if file.table else {}
    return next(iter(names.values()), None)


def files_of(path: Path) -> list[Path]:
    """Return the files that a path stands for: itself, both of brat's pair, all of a folder."""
    if path.is_dir():
        return sorted(one for one in path.rglob("*") if one.is_file())
    pair = [path.with_suffix(".txt"), path.with_suffix(".ann")]
    return pair if path in pair and all(one.is_file() for one in pair) else [path]


@dataclass
class Documents:
    """The documents of a file: sentences with entities, relations and events side by side.

    Their places are in characters, whatever their tool counts in.
    """

    file: AnyFile
    found: Found
    reader: Reader
    offsets: Unit | None = None

    def raw(self, faults: list[Fault] | None) -> Iterator[dict]:
        """Yield documents and rows as their tool counts."""
        how = self.found.units(), self.reader.convert, dict, self.file.name, REST, faults
        return read_units(*how)

    @cached_property
    def counted(self) -> Counted:
        """How the file counts its places; it is read once more only where that can matter."""
        prior = self.found.shape.offsets
        if self.offsets or not prior:
            return Counted(self.offsets or "characters")
        if not self.file.path.is_dir() and not self.file.table and not self.has_astral():
            return Counted()
        documents = (one for one in self.raw([]) if "sentence" in one)
        return count_of(documents, prior)

    def has_astral(self) -> bool:
        """Return whether a character that counts as two stands in the file's text."""
        with self.file.open() as raw:
            last = b""
            for piece in iter(partial(raw.read, 1 << 20), b""):
                if ASTRAL_BYTES.search(last[-8:] + piece):
                    return True
                last = piece
        return self.file.path.suffix == ".ann"

    def task_of(self, asked: str | None) -> str:
        """Return what the file is read for: the task that was asked for, else EE where there are
        events, RE where there are relations, NER. DataError where it holds nothing of the task."""
        held, fields = set(), set()
        for one in islice(self.raw([]), SAMPLE):
            held |= {task for task, name in TASKS.items() if one.get(name)}
            fields |= {task for task, name in TASKS.items() if name in one}
        if asked and fields and asked not in fields:
            found = " and ".join(TASKS[task] for task in TASKS if task in fields)
            raise DataError(
                f"{self.file.name}: found {found}, expected {TASKS[asked]} for the task {asked}; "
                f"it can be read with --task {max(fields, key=[*TASKS].index)}"
            )
        return asked or max(held or fields or {"NER"}, key=[*TASKS].index)

    @property
    def said(self) -> list[str]:
        """What a person should know about how places are counted."""
        counted, name = self.counted, self.file.name
        if not counted.places:
            return []
        sure = "" if counted.sure else ", which the file cannot prove"
        other = "characters" if counted.unit == "utf16" else "utf16"
        if counted.unit == "utf16":
            english = (
                f"an emoji counts as two in it (UTF-16): {counted.places:,} places converted{sure}"
            )
            chinese = f"位置按 UTF-16 计数（表情符号算两个），已换算 {counted.places:,} 处"
        elif not counted.sure:
            english = f"{counted.places:,} places behind an emoji are read in characters{sure}"
            chinese = f"有 {counted.places:,} 处在表情符号之后，按字符计数"
        else:
            return []
        hint = "" if counted.sure else f"；若不对：--read-offsets {other}"
        return [
            f"{name}：{chinese}{hint}。 {english}; "
            f"`convert --read-offsets {other}` reads it otherwise."
        ]

    @property
    def cut_out(self) -> list[str]:
        """Return a line with the first names that the places cut out, for a person to look at."""
        for one in islice(self.raw([]), SAMPLE):
            bare = [thing for thing in one.get("entities") or [] if not thing["name"]]
            known = {"sentence": one.get("sentence"), "entities": bare[:3]}
            whole = attempt(partial(placed, unit=self.counted.unit), known) if bare else known
            if bare and not isinstance(whole, DataError):
                names = "、".join(f"{e['name']}（{e['type']}）" for e in whole["entities"])
                return [f"{self.file.name}：位置上是 at its first places: {names}"]
        return []

    def unused(self, kind: str) -> list[str]:
        """Return a line about the fields of the first unit that a row has no place for."""
        _, unit = next(iter(self.found.units()), ("", None))
        if kind != "rows" or not isinstance(unit, Mapping) or self.found.reader not in FREE:
            return []
        rest = [str(key) for key in unit if str(key).strip().lower() not in {*USED, ""}]
        fields = ", ".join(rest[:8])
        return [f"{self.file.name}：没有用到的字段 unused fields: {fields}"] if rest else []

    def finish(self, reading: Reading, one: dict) -> dict | None:
        """Return a row or a document, whole; None where only a note is left of it."""
        reading.notes.update(one.pop("notes", []))
        if not one:
            return None
        one["source"] = one.get("source") or self.file.stem
        ours = self.found.reader == "own_records" and self.counted.unit == "characters"
        return one if ours or not self.found.shape.offsets else placed(one, self.counted.unit)


def checked(documents: Documents, reading: Reading, side_by_side: bool) -> Iterator[dict]:
    """Yield the rows, or the records of the reading's task, each checked; or whole documents."""

    def finish(one: dict) -> dict | None:
        whole = documents.finish(reading, one)
        if whole is None:
            return None
        if reading.kind == "rows":
            return check_row(whole)
        # A record of ours is of one task; whoever reads it for another is told so by its line.
        if documents.found.reader == "own_records":
            return check_record(whole)
        if not side_by_side:
            if TASKS[reading.task] not in whole and documents.found.reader not in SIDE_BY_SIDE:
                reading.notes[f"a sentence that is not for the task {reading.task}, left out"] += 1
                return None
            return check_record(of_task(whole, reading.task, reading.notes))
        # A document is as many records as it has tasks, and each must hold.
        for task, name in TASKS.items():
            if name in whole:
                check_record(of_task(whole, task, Counter()))
        return whole

    return read_units(
        documents.found.units(),
        documents.reader.convert,
        finish,
        documents.file.name,
        REST,
        reading.faults,
    )


def of_task(document: Mapping, task: str, notes: Counter) -> dict:
    """Return the record of one task of a document; what it leaves out is counted.

    A document with nothing of the task is a record with an empty list: nothing was found there.
    """
    kept = TASKS[task]
    for other, name in TASKS.items():
        lost = document.get(name) or []
        if other == "NER" and task != "NER":
            lost = unrelated(document, kept)
        if name != kept and lost:
            hint = f"--task {other} reads them"
            notes[f"{name} beside what the task {task} asks for, left out ({hint})"] += len(lost)
    rest = {key: value for key, value in document.items() if key not in TASKS.values()}
    return {**rest, kept: document.get(kept) or []}


def unrelated(document: Mapping, field: str) -> list[Mapping]:
    """Return the entities of a document that stand in none of its relations or events."""
    rest = {"sentence": "", field: document.get(field) or []}
    used = {str(thing.get("pos")) for thing, _ in mentions(rest)}
    return [one for one in document.get("entities") or [] if str(one.get("pos")) not in used]


# ---- names of the catalog


def open_data(
    name: Path | str, split: str = "train", say: Say | None = print, **options: Any
) -> Reading:
    """Return the rows or records of a file as `read_any`, of a source of the catalog, or a recipe.

    A file of that name comes first. FileNotFoundError names the nearest sources and recipes.
    """
    path, word = Path(name), str(name)
    if path.exists():
        return read_any(path, say=say, **options)

    # The rows of a source are read anew each time, those of a recipe are mixed anew.
    recipes = {one.stem: one for one in RECIPES.glob("*.tsv")}
    if word in CATALOG:
        if split not in loadable(word).splits:
            split = next(iter(CATALOG[word].splits))
        rows = partial(read_named, word, split, progress=False)
        what = f"{split} of the catalog's {word}"
    elif word in recipes:
        rows, what = partial(lambda parts: iter(mixed(parts)), recipe(word)), f"the recipe {word}"
    else:
        raise FileNotFoundError(
            f"{word}: no file of this name, and neither a source of the catalog nor a recipe; "
            f"{choices(word, [*CATALOG, *recipes])}（没有这个文件，目录和配方里也没有这个名字）"
        )

    # Sources of several tasks are read as the first of them.
    tasks = [task for task in CATALOG[word].tasks if task in TASKS] if word in CATALOG else []
    if say:
        say(f"{word}：取自目录。 Read {what}.")
    files = [recipes[word]] if word in recipes else []
    kind = "records" if tasks else "rows"
    make = partial(lambda make, *_: make(), rows)
    return Reading(word, kind, "catalog", what, make, files, tasks[0] if tasks else None)
