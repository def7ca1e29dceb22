"""Keep the measured times of the notebooks, and write them where readers look for them.

In: `runs/<scale>/times.json` of a whole `make run`. Out: `benchmarks/results/notebooks.json`, the
headers of the notebooks, the tables of both READMEs.
"""

from __future__ import annotations

import json
import os
import platform
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import nbformat

from miniluotuo_utils.files import written_whole
from miniluotuo_utils.runtime import SCALES, commit, printed_by

KEPT = "benchmarks/results/notebooks.json"
TWINS = {"README.md": "commit", "README_zh.md": "提交"}


def processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def clean_commit(root: Path) -> str | None:
    """Return the clone's commit, None where files were changed since: no commit took that time."""
    changed = printed_by("git", "status", "--porcelain", "--untracked-files=no", folder=root)
    return None if changed else commit()


def record(root: Path, seconds: Mapping[str, float], peaks: Mapping[str, float]) -> dict:
    """Return what a whole run tells: when, of which commit, where, and each notebook's figures."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    books = {
        name: {"seconds": round(seconds[name], 1), "peak_gib": round(peaks[name], 2)}
        for name in seconds
    }
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": clean_commit(root),
        "processor": processor(),
        "cores": cores,
        "notebooks": books,
    }


@contextmanager
def peak_memory(pause: float = 0.3) -> Iterator[list[float]]:
    """Give a list whose one number is the largest memory of all child processes so far, in GiB.

    Looks every `pause` seconds; memory that two of them share counts twice.
    """
    import psutil

    peak, ended = [0.0], threading.Event()

    def look() -> None:
        while not ended.wait(pause):
            total = 0
            for child in psutil.Process().children(recursive=True):
                # A child may end between the list and the look.
                try:
                    total += child.memory_info().rss
                except psutil.Error:
                    continue
            peak[0] = max(peak[0], total / 2**30)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()


def keep_times(root: Path, runs: Path) -> list[Path]:
    """Take the times of the last whole runs into the kept table; returns what changed.

    ValueError for a run of files that were changed after their commit.
    """
    kept = read_times(root)
    new = dict(kept)
    for scale in SCALES:
        path = runs / scale / "times.json"
        if path.is_file():
            new[scale] = json.loads(path.read_text(encoding="utf-8"))
            if not new[scale]["commit"]:
                raise ValueError(
                    f"runs/{scale}/times.json: no commit, files were changed when it ran. "
                    f"Commit them, then run all notebooks again"
                )
    if new == kept:
        return []
    return [write_json(root / KEPT, new)]


def write_json(path: Path, content: object) -> Path:
    """Write a JSON file, whole or not at all."""
    with written_whole(path) as partial:
        partial.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", "utf-8")
    return path


def read_times(root: Path) -> dict[str, dict]:
    """Return the kept table, scale -> record; empty where none was kept yet."""
    path = root / KEPT
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


# ---- where they are read


def duration(seconds: float) -> tuple[str, str]:
    """Return a time in Chinese and English; minutes from two on.

    >>> duration(9.6), duration(84.9), duration(1030)
    (('10 秒', '10 s'), ('85 秒', '85 s'), ('17 分钟', '17 min'))
    """
    if seconds >= 120:
        return f"{seconds / 60:.0f} 分钟", f"{seconds / 60:.0f} min"
    return f"{seconds:.0f} 秒", f"{seconds:.0f} s"


def by_scale(times: Mapping[str, dict], name: str, shown: str) -> list[tuple[str, str, str]]:
    """Return scale, Chinese and English words of a notebook's figure, where it was measured."""
    found = []
    for scale in SCALES:
        figures = times.get(scale, {}).get("notebooks", {}).get(name)
        if figures and shown == "seconds":
            found.append((scale, *duration(figures["seconds"])))
        elif figures and figures.get("peak_gib"):
            found.append((scale, *[f"{figures['peak_gib']:.1f} GiB"] * 2))
    return found


def sentence(times: Mapping[str, dict], name: str, shown: str) -> str:
    """Return what a header says of one figure: each scale, what was not measured, and on what.

    >>> run = {"date": "2026-11-28", "commit": "3fe5da5", "processor": "AMD EPYC", "cores": 2}
    >>> times = {"smoke": {**run, "notebooks": {"00_a": {"seconds": 9.6, "peak_gib": 0.8}}}}
    >>> print(sentence(times, "00_a", "peak_gib"))
    `smoke` 0.8 GiB；`cpu`、`t4`、`full` 没有测过 *0.8 GiB at smoke; cpu, t4, full not measured*
    >>> sentence(times, "00_a", "seconds").partition("；")[0]
    '`smoke` 10 秒（2 核 AMD EPYC，2026-11-28，3fe5da5）'
    """
    measured = by_scale(times, name, shown)
    chinese, english = [], []
    for scale, words, in_english in measured:
        run = times[scale] | times[scale]["notebooks"][name]  # its own cores, where others
        where = (f"{run['processor']}", run["date"], run["commit"])
        machine = f"（{run['cores']} 核 {'，'.join(where)}）" if shown == "seconds" else ""
        chinese.append(f"`{scale}` {words}{machine}")
        english.append(f"{in_english} at {scale}")
    missing = [scale for scale in SCALES if scale not in {scale for scale, *_ in measured}]
    first, second = ["，".join(chinese)] * bool(chinese), [", ".join(english)] * bool(english)
    if missing:
        first.append("、".join(f"`{scale}`" for scale in missing) + " 没有测过")
        second.append(", ".join(missing) + " not measured")
    return f"{'；'.join(first)} *{'; '.join(second)}*"


def marked(mark: str, text: str) -> str:
    """Return a text between its marks."""
    return f"<!-- {mark} -->{text}<!-- /{mark} -->"


def timed_header(header: str, times: Mapping[str, dict], name: str) -> str:
    """Return a header with the measured figures between their marks.

    A row 时间 without marks is replaced and gets them; memory is written where its marks stand.
    """
    if "<!-- times -->" not in header:
        row = r"^(\| 时间 \*Time\* \| ).*( \|)$"
        header = re.sub(row, rf"\1{marked('times', '')}\2", header, flags=re.MULTILINE)
    for mark, shown in (("times", "seconds"), ("memory", "peak_gib")):
        new = marked(mark, sentence(times, name, shown))
        header = re.sub(rf"<!-- {mark} -->.*?<!-- /{mark} -->", lambda _, new=new: new, header)
    if "<!-- times -->" not in header:
        raise ValueError(f"{name}: found no row of its header that begins with '| 时间 *Time* |'")
    return header


def timed_readme(text: str, run: Mapping, word: str, name: str) -> str:
    """Return a README with the seconds of a run in the last column, and what they are of below.

    `word` is what it calls a commit. ValueError where the table lacks a notebook of the run.
    """
    for book, figures in run["notebooks"].items():
        row = rf"^(\| \[{book}\].*\| )[^|]*( \|)$"
        cell = rf"\g<1>{duration(figures['seconds'])[1]}\2"
        text, count = re.subn(row, cell, text, flags=re.MULTILINE)
        if count != 1:
            raise ValueError(f"{name}: found {count} rows of {book}, expected one | [{book}]… |")
    comma = "，" if word == "提交" else ", "
    source = rf"[^()（）]*{comma}\d{{4}}-\d\d-\d\d{comma}{word} \w+"
    new = comma.join((run["processor"], run["date"], f"{word} {run['commit']}"))
    cores = rf"{run['cores']}\1\g<2>{new}"
    text, count = re.subn(rf"\d+( cores| 核)(.*?[(（]){source}", cores, text, count=1)
    if count != 1:
        raise ValueError(f"{name}: found no 'N cores … (processor, date, {word} …)' at the table")
    return text


def write_times(root: Path, books: list[Path]) -> list[Path]:
    """Write the kept times into the headers and both READMEs; returns what changed.

    ValueError where no run at smoke was kept.
    """
    times, changed = read_times(root), []
    if "smoke" not in times:
        raise ValueError(
            f"{KEPT}: found no times at smoke; run all notebooks (make run), then this again"
        )
    for path in books:
        book = nbformat.read(path, as_version=4)
        header = timed_header(book.cells[0].source, times, path.stem)
        if header != book.cells[0].source:
            book.cells[0].source = header
            nbformat.write(book, path)
            changed.append(path)
    for name, word in TWINS.items():
        text = (root / name).read_text(encoding="utf-8")
        new = timed_readme(text, times["smoke"], word, name)
        if new != text:
            (root / name).write_text(new, encoding="utf-8")
            changed.append(root / name)
    return changed
