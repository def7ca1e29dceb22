"""Score files of predicted IE records against files of gold ones. Intervals alone need numpy.

In: two files, aligned by line. Out: one result as a dict, and as plain text.
Shown in jobs/README.md.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from miniluotuo_utils.data.anyfile import Reading, read_any
from miniluotuo_utils.data.readers import READERS
from miniluotuo_utils.data.readers.native import UNREADABLE
from miniluotuo_utils.files import json_file
from miniluotuo_utils.ie import compare, interval, micro, score_files, table
from miniluotuo_utils.ie.scoring import placed

TEXTS = ("sentence", "text", "content", "originalText")  # what formats call the sentence


def scored(
    gold: Path,
    pred: Path,
    task: str,
    mode: str = "span",
    *,
    typed: bool = False,
    aliases: Path | None = None,
    schema: Path | None = None,
    native: str | None = None,
    spread: bool = False,
    against: Path | None = None,
    strict: bool = False,
) -> tuple[dict, str]:
    """Return the result of one comparison of files, and the same as tables of plain text.

    `spread` adds a bootstrap interval, `against` a paired comparison with a third file. Predictions
    that are slightly off are scored, see `Files.predictions`, but not if `strict`. Raises
    ValueError for files that do not fit each other, and for an unknown reader.
    """
    # Said before the files are read: large ones take minutes.
    if spread or against:
        check_numpy()
    read, asked = Files(task, native), {"typed": typed, "aliases": json_file(aliases, dict)}
    read_pred = read if strict else partial(read.predictions, gold=gold)
    how = {"read": read, "read_pred": read_pred, "strict": strict, **asked}
    result = score_files(gold, pred, task, mode, json_file(schema, list, dict), **how)
    tables = [table(result)]
    read.tell()

    if spread:
        result["interval"] = interval(read(gold), read_pred(pred), task, mode, **asked)
        tables.append(interval_table(result["interval"]))
    if against:
        # Scoring the third file alone first names the line where it does not fit.
        score_files(gold, against, task, mode, **how)
        sides = read(gold), read_pred(pred), read_pred(against)
        result["against"] = compare(*sides, task, mode, **asked)
        tables.append(contrast_table(result["against"], pred.name, against.name))
    return result, "\n\n".join(tables)


def check_numpy() -> None:
    """ValueError where numpy, which draws the resamples, is not installed."""
    try:
        import numpy  # noqa: F401
    except ImportError:
        raise ValueError(
            "--interval and --against need numpy, which is not installed: pip install numpy"
        ) from None


class Files:
    """Read the IE records of a task from files of any format; `format` says which, where asked.

    What a file was taken for, and what its records cannot hold, is said once, on stderr. Nothing is
    said of records of ours, nor where a person named the format.
    """

    def __init__(self, task: str, format: str | None) -> None:
        self.task, self.format = task, format
        self.read: dict[Path, Reading] = {}

    def __call__(self, path: Path) -> Reading:
        """Return the records of a file; ValueError where it holds none."""
        if path in self.read:
            return self.read[path]
        reading = read_any(path, self.format, task=self.task, say=None)
        if reading.kind == "rows":
            raise ValueError(
                f"{path.name}: found instruction rows ({reading.format}), expected IE records in "
                "our shape or another format: doccano, Label Studio, spo_list, columns"
            )
        if self.format is None and reading.format != "own_records":
            print(reading.said, file=sys.stderr)
        self.read[path] = reading
        return reading

    def predictions(self, path: Path, gold: Path) -> Iterable[Mapping]:
        """Return the predictions of a file, of which some may be slightly off.

        Where one has a place beyond its text, or no text at all, the file is read in its own or in
        gold's format with the sentences of gold, and wrong places become null (`ie.scoring`).
        """
        try:
            reading = self(path)
            for _ in reading:
                pass
        except ValueError as error:
            known = self.read.get(path) or self(gold)
            return rescued(path, self.format or known.format, self(gold), error)
        return reading

    def tell(self) -> None:
        """Say what the records of the files could not hold."""
        for line in (line for reading in self.read.values() for line in reading.noted):
            print(line, file=sys.stderr)


def rescued(
    path: Path, format: str, gold: Iterable[Mapping], fault: ValueError
) -> Iterator[Mapping]:
    """Yield predictions with the sentences of gold; raise `fault` where that is not enough."""
    reader, golds = READERS[format], iter(gold)
    for _, unit in reader.units(path):
        sentence = next(golds, {}).get("sentence")
        if isinstance(unit, Mapping) and not any(key in unit for key in TEXTS):
            unit = {**unit, **dict.fromkeys(TEXTS, sentence)}
        try:
            found = list(reader.convert(unit))
        except UNREADABLE:
            raise fault from None
        if len(found) != 1:
            raise fault
        yield placed({"sentence": sentence, **found[0]})


def interval_table(spread: Mapping) -> str:
    """Write the result of `ie.interval` as plain text."""
    lines = ["95 % interval, sentences drawn with replacement"]
    for label, found in micro(spread):
        for rate, (low, high) in found.items():
            lines.append(f"{label} {rate:<10} {low:.4f} to {high:.4f}")
    return "\n".join(lines)


def contrast_table(contrast: Mapping, one: str, other: str) -> str:
    """Write the result of `ie.compare` as plain text."""
    lines = [f"{other} against {one}"]
    for label, found in micro(contrast):
        low, high = found["interval"]
        lines.append(
            f"{label} F1 {found['a']:.4f}, {found['b']:.4f}: "
            f"difference {found['difference']:+.4f}, 95 % {low:+.4f} to {high:+.4f}, "
            f"not better in {found['not_better']:.1%} of resamples, permutation p {found['p']:.4f}"
        )
    return "\n".join(lines)
