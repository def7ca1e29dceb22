"""Clean a file, and mix files by a recipe: what notebook 01 does, for files.

In: a file in any format, or a recipe. Out: JSON Lines. Used by `clean` and `mix`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path

from miniluotuo_utils.data import read_any
from miniluotuo_utils.data.cleaning import NEAR, Report, sieved
from miniluotuo_utils.data.mixture import mixed
from miniluotuo_utils.data.mixture import recipe as portions_of
from miniluotuo_utils.data.steps import CHINESE
from miniluotuo_utils.files import iter_jsonl, write_jsonl
from miniluotuo_utils.jobs.quality import Quality
from miniluotuo_utils.writing import Touched, guard

REPORT = ".report.json"  # the ending of what was done to a part


def clean_file(
    source: Path | str,
    out: Path | str,
    near: float = NEAR,
    format: str | None = None,
    quality: str | None = None,
    overwrite: bool = False,
    say: Callable[[str], object] | None = None,
) -> Report:
    """Write what `data.clean` leaves of a file's rows or records, in order; return its report.

    `near` is the likeness from which a row repeats an earlier one. `quality` names a student that
    judges rows and labels (`jobs.quality`), None asks none. Raises what `read_any` raises, and
    `Taken` where `out` is there already.
    """
    source, out = Path(source), Path(out)
    guard([Touched("IN", source, "reads"), Touched("OUT", out, "file")], overwrite)
    judge = Quality(quality, say) if quality else None
    kept, report = sieved(read_any(source, format, say=say), near=near, quality=judge)
    write_jsonl(out, kept, overwrite=overwrite)
    for line in words(report, out.name) if say else []:
        say(line)
    return report


def clean_part(source: Path, out: Path) -> None:
    """Do to a file of rows what looks at one row alone; the report stands beside what is left."""
    kept, report = sieved(iter_jsonl(source), only_steps=True)
    write_jsonl(out, kept, overwrite=True)
    out.with_suffix(REPORT).write_text(json.dumps(vars(report)), encoding="utf-8")


def clean_together(
    parts: Sequence[Path], out: Path, near: float, name: str, say: Callable[[str], object]
) -> None:
    """Write what is left of parts that `clean_part` wrote, without what repeats an earlier row.

    It is what `clean_file` writes of the whole.
    """
    report = Report()
    for part in parts:
        told = json.loads(part.with_suffix(REPORT).read_text(encoding="utf-8"))
        report.before += told["before"]
        for counts, more in ((report.mended, told["mended"]), (report.removed, told["removed"])):
            counts.update({step: counts.get(step, 0) + number for step, number in more.items()})
    kept, last = sieved(chain.from_iterable(map(iter_jsonl, parts)), (), near)
    report.removed |= last.removed
    report.after = last.after
    write_jsonl(out, kept, overwrite=True)
    for line in words(report, name):
        say(line)


def words(report: Report, name: str) -> list[str]:
    """Return lines that say, in both languages, how many rows each step mended or removed.

    >>> words(Report(3, 1, {"markup": 1}, {"duplicate": 2, "leaked": 0}), "a.jsonl")[1]
    '改了 mended: 网页残留 markup 1；去掉 removed: 重复 duplicate 2'
    """
    lines = [
        f"{report.before:,} 条 → {report.after:,} 条，在 rows, kept in {name}",
        f"改了 mended: {counted(report.mended)}；去掉 removed: {counted(report.removed)}",
    ]
    if doubtful := report.examples.get("doubtful"):
        from miniluotuo_utils.show.doubts import in_words

        lines += [f"可疑的 doubtful: {in_words(one['row'], one)}" for one in doubtful]
    return lines


def counted(steps: Mapping[str, int]) -> str:
    """Return the steps that did something, each with its number; "0" where none did."""
    done = [(step, count) for step, count in steps.items() if count]
    return "，".join(f"{CHINESE[step]} {step} {count:,}" for step, count in done) or "0"


def mix_file(
    recipe: str | Path, out: Path | str, seed: int | None = None, overwrite: bool = False
) -> int:
    """Write the rows of a recipe, by name or by the path of a table; return how many.

    Raises ValueError for an unknown recipe, DataError for a source that is not as it says, and
    `Taken` where `out` is there already.
    """
    table = [Touched("RECIPE", Path(recipe), "reads")] if str(recipe).endswith(".tsv") else []
    guard([*table, Touched("OUT", Path(out), "file")], overwrite)
    return write_jsonl(out, mixed(portions_of(recipe, seed)), overwrite=overwrite)
