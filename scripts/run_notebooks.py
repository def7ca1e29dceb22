"""Run the notebooks headless, in their order, with live progress and a closing table.

    python scripts/run_notebooks.py --scale smoke --only 01,05 --parameter SEED=7

In: a scale. Out, in `runs/<scale>/`: executed copies in `executed/`, their pages in `html/`, the
times of a whole run in `times.json`. Each solved exercise runs behind its open one: the open one
must say 还没做, the solved one 对.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
from exercises import number_of, read_exercises, unheld, with_solutions
from pages import write_index, write_page
from times import peak_memory, record, write_json

from miniluotuo_utils.choices import choices
from miniluotuo_utils.runtime import SCALES, repository, runs_root
from miniluotuo_utils.terminal import never_fails
from miniluotuo_utils.writing import cannot_write
from notebooks import address, notebooks

SLOWEST_CELL = 6 * 3600  # seconds


class NotebookFailed(RuntimeError):
    """A notebook did not run to its end; the message shows its failing cell and traceback."""


def chosen(only: str | None = None, start: str | None = None) -> list[Path]:
    """The notebooks to run: all, from one on, or those that begin with one of the comma-separated
    numbers of `only`. A whole number means one notebook: 05 is not 05b."""
    books = notebooks()
    names = ", ".join(b.stem for b in books)
    for wanted in [*(only.split(",") if only else []), *([start] if start else [])]:
        if not any(is_meant(b, wanted, books) for b in books):
            raise ValueError(f"no notebook begins with {wanted!r}; there are: {names}")
    if only:
        books = [b for b in books if any(is_meant(b, w, books) for w in only.split(","))]
    return [b for b in books if not start or b.stem[: len(start)] >= start]


def is_meant(book: Path, wanted: str, books: Sequence[Path]) -> bool:
    """Whether `wanted` means this notebook: its number, or how its name begins.

    >>> books = [Path("05_a.ipynb"), Path("05b_b.ipynb")]
    >>> [is_meant(book, "05", books) for book in books], is_meant(books[1], "05b_", books)
    ([True, False], True)
    """
    if wanted in map(number_of, books):
        return number_of(book) == wanted
    return book.stem.startswith(wanted)


def check_parameters(book: Path, parameters: Mapping[str, Any]) -> None:
    """ValueError for a parameter that the notebook does not have: papermill itself would only log
    it and run at full size."""
    from papermill import inspect_notebook

    known = inspect_notebook(str(book))
    for name in parameters:
        if name not in known:
            raise ValueError(f"{book.name} has no parameter {name}; {choices(name, known)}")


def execute(book: Path, folder: Path, parameters: Mapping[str, Any]) -> Path:
    """Run one notebook into `folder`; the executed copy appears only when it ran to the end.

    A failing one is kept as `<name>.failed.ipynb`. Raises NotebookFailed with the failing cell and
    its traceback, or with the exercises that do not hold both forms.
    """
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    target, failed = folder / book.name, folder / f"{book.stem}.failed.ipynb"
    page = folder.parent / "html" / f"{book.stem}.html"
    for old in (target, page, failed):
        old.unlink(missing_ok=True)
    working = folder / f"{book.stem}.partial.ipynb"
    nbformat.write(to_run(book), working)
    os.environ["MINILUOTUO_HEADLESS"] = "1"  # forms become static tables
    try:
        papermill.execute_notebook(
            str(working),
            str(working),
            parameters=dict(parameters),
            cwd=str(book.parent),
            kernel_name="python3",
            progress_bar=sys.stderr.isatty(),
            log_output=False,
            execution_timeout=SLOWEST_CELL,
            extra_arguments=["--log-level=ERROR"],
        )
    except PapermillExecutionError as error:
        working.rename(failed)
        raise NotebookFailed(failure(book, error, failed)) from None
    except (DeadKernelError, CellTimeoutError) as error:
        os.replace(working, failed)
        what = (
            f"{book.name}: {type(error).__name__}; a kernel that dies is most often out of memory: "
            "a smaller scale, batch or student helps"
        )
        raise NotebookFailed(f"{what}\n--- kept as {failed.parent.name}/{failed.name}") from None
    except BaseException:
        working.unlink(missing_ok=True)
        raise
    executed = coalesced(nbformat.read(working, as_version=4))
    nbformat.write(executed, working)
    if broken := unheld(executed):
        os.replace(working, failed)
        what = "\n".join([f"{book.name}: exercises that do not hold both forms", *broken])
        raise NotebookFailed(f"{what}\n--- kept as {failed.parent.name}/{failed.name}")
    os.replace(working, target)
    return target


def to_run(book: Path) -> nbformat.NotebookNode:
    """The notebook, each solved exercise behind its open one where the solutions are at hand."""
    content, number = nbformat.read(book, as_version=4), number_of(book)
    source = book.parent / "solutions" / f"{number}.py"
    if not source.is_file():
        return content
    return with_solutions(content, read_exercises(source), number)


def coalesced(book: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook with neighbouring pieces of one stream joined: a streamed answer is one text,
    not a column of characters."""
    from nbconvert.preprocessors.coalescestreams import CoalesceStreamsPreprocessor

    return CoalesceStreamsPreprocessor().preprocess(book, {})[0]


def failure(book: Path, error: Any, kept: Path) -> str:
    """The failing cell and its traceback as a reader needs them."""
    trace = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))
    lines = trace.splitlines()[-40:]
    return (
        f"{book.name} failed in cell {error.cell_index} with {error.ename}: {error.evalue}\n"
        f"--- the cell\n{error.source}\n--- the end of its traceback\n"
        + "\n".join(lines)
        + f"\n--- kept as {kept.parent.name}/{kept.name}"
    )


def run(
    scale: str = "smoke",
    only: str | None = None,
    start: str | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> int:
    """Run the notebooks at one scale, one after the other; returns 0, or 1 after the first that
    fails."""
    if scale not in SCALES:
        raise ValueError(f"SCALE is {scale!r}; expected one of {', '.join(SCALES)}")
    books, given = chosen(only, start), {"SCALE": scale, **(parameters or {})}
    for book in books:
        check_parameters(book, given)
    folder = runs_root() / scale / "executed"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(error, f"runs/{scale}") from error
    results, peaks = execute_all(books, folder, given)

    # Times of a part, or of other parameters, are not what a header promises.
    seconds = {name: taken for name, taken, result in results if result == "ok"}
    done = record(repository(), seconds, peaks)
    if len(seconds) == len(notebooks()) and not parameters:
        write_json(folder.parent / "times.json", done)
    list_pages(folder, scale, done)
    print(closing(results, [b.stem for b in books], f"runs/{scale}/"))
    return 0 if all(r[2] == "ok" for r in results) else 1


def execute_all(
    books: Sequence[Path], folder: Path, given: Mapping[str, Any]
) -> tuple[list[tuple[str, float, str]], dict[str, float]]:
    """Run notebooks, and write their pages, up to the first that fails.

    Returns (name, seconds, "ok" or "FAILED") of each, and the peak memory, in GiB, of those that
    ran to their end.
    """
    os.environ.setdefault(
        "PYTHONWARNINGS", "error:Glyph"
    )  # a Chinese character without a glyph is a failure
    slug, ref = address(repository())
    where = f"https://github.com/{slug}/blob/{ref}"
    results: list[tuple[str, float, str]] = []
    peaks: dict[str, float] = {}
    for number, book in enumerate(books, 1):
        print(f"[{number}/{len(books)}] {book.stem} …", end="", flush=True)
        started = time.time()
        try:
            with peak_memory() as peak:
                executed = execute(book, folder, given)
        except NotebookFailed as error:
            results.append((book.stem, time.time() - started, "FAILED"))
            print(f" failed after {results[-1][1]:.0f} s\n\n{error}\n")
            break
        results.append((book.stem, time.time() - started, "ok"))
        peaks[book.stem] = peak[0]
        write_page(executed, folder.parent / "html", where)
        print(f" {results[-1][1]:.0f} s")
    return results, peaks


def list_pages(folder: Path, scale: str, done: Mapping[str, Any]) -> None:
    """Write the list of all pages at a scale; `done` is the record of this run."""
    seconds = {name: figures["seconds"] for name, figures in done["notebooks"].items()}
    where = f"{done['processor']}, {done['cores']} cores"
    about = f"{scale} · {done['date']} · {done['commit'] or 'changed files'} · {where}"
    write_index(folder.parent / "html", folder, seconds, about)


def closing(results: Sequence[tuple[str, float, str]], planned: Sequence[str], where: str) -> str:
    """The table that ends a run: notebook, seconds, result, where its page is.

    >>> print(closing([("00_a", 3.2, "ok")], ["00_a", "01_b"], "runs/smoke/"))
    <BLANKLINE>
    notebook                     seconds  result   where to read it
    00_a                             3.2  ok       runs/smoke/html/00_a.html
    01_b                               -  not run
    total                            3.2  1 of 2 ok
    """
    lines = ["", f"{'notebook':<28} {'seconds':>7}  {'result':<7}  where to read it"]
    for name, seconds, result in results:
        good = result == "ok"
        place = f"html/{name}.html" if good else f"executed/{name}.failed.ipynb"
        lines.append(f"{name:<28} {seconds:>7.1f}  {result:<7}  {where}{place}")
    lines += [f"{name:<28} {'-':>7}  not run" for name in planned[len(results) :]]
    good = sum(r[2] == "ok" for r in results)
    lines.append(f"{'total':<28} {sum(r[1] for r in results):>7.1f}  {good} of {len(planned)} ok")
    return "\n".join(lines)


def literal(text: str) -> object:
    """A parameter's value: a literal of JSON or of Python where it is one, else the text itself.

    >>> literal("3"), literal("false"), literal("False"), literal("None"), literal("tiny")
    (3, False, False, None, 'tiny')
    """
    for read in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError):
            return read(text)
    return text


def parameter(text: str) -> tuple[str, object]:
    """Name and value of NAME=VALUE; ValueError for anything else.

    >>> parameter("SEED=7")
    ('SEED', 7)
    """
    name, equals, value = text.partition("=")
    if not (name.isidentifier() and equals):
        raise ValueError(f"--parameter: found {text!r}, expected NAME=VALUE, for example SEED=7")
    return name, literal(value)


def main(argv: Sequence[str] | None = None) -> int:
    """Read the options and run; a mistake of the user is one line, not a traceback."""
    top = argparse.ArgumentParser(
        prog="python scripts/run_notebooks.py", description=__doc__.partition("\n")[0]
    )
    top.add_argument(
        "--scale", default="smoke", choices=SCALES, help="规模 the dial (default: smoke)"
    )
    top.add_argument("--only", help="编号 numbers, e.g. 01,05; left out: all")
    top.add_argument("--from", dest="start", help="从哪一本开始 the first one, e.g. 03")
    top.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="参数格里的一个参数 of the parameters cell; may be given several times",
    )
    args = top.parse_args(argv)
    try:
        given = dict(map(parameter, args.parameter))
        return run(args.scale, args.only, args.start, given)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    never_fails(sys.stdout, sys.stderr)
    sys.exit(main())
