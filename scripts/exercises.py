"""Make a notebook's exercises from one source, `notebooks/solutions/NN.py`.

In: percent cells, a task in Markdown and its solved code in turn, nbgrader's two marks around what
a learner is to write. Out: the open cells in the notebook, the solved ones in
`notebooks/solutions/NN.ipynb`. A source is plain text, so that a change can be read in a diff, and
Jupytext, VS Code, PyCharm and Spyder run it cell by cell.

    # %% [markdown]
    # **1** 这句话有几个字？
    #
    # *How many characters has it?*

    # %%
    ### BEGIN SOLUTION
    my_answer = len(sentence)
    ### END SOLUTION
    check(my_answer, 9)

The open form has `my_answer = ...` in their place: a blank for each name of the solution that the
rest of the cell uses, a lone `...` where it uses none (the body of a function). As in nbgrader, a
blank is indented as its first mark.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
OPEN_TAG, SOLVED_TAG = "exercise", "solution"
SPECIFICATION = {"display_name": "Python 3", "language": "python", "name": "python3"}

HEADER = (
    "# {number} 练习的答案 · Solutions to the exercises of {number}\n\n"
    "由 `python scripts/notebooks.py exercises` 从 `{number}.py` 生成，要改请改那一份；"
    "讲师可以不发这个文件夹。先运行 [{stem}](../{stem}.ipynb)，再在它的内核里运行下面的格子"
    "（Jupyter 菜单：内核 → 更换内核 → 正在运行的那一个），或者复制过去。\n\n"
    "*Generated from `{number}.py` by `python scripts/notebooks.py exercises`: edit that file. "
    "A lecturer may withhold this folder. Run the notebook first, then these cells in its kernel "
    "(Kernel → Change Kernel → the running one), or copy them there.*"
)


@dataclass(frozen=True)
class Exercise:
    """One exercise: its task in Markdown, and its code with a learner's part open and solved."""

    task: str
    opened: str
    solved: str


def sources(root: Path) -> dict[Path, Path]:
    """Return the notebooks that have exercises, each with the source of these.

    ValueError for a source without its notebook.
    """
    found = {}
    for source in sorted((root / "notebooks" / "solutions").glob("*.py")):
        books = list((root / "notebooks").glob(f"{source.stem}_*.ipynb"))
        if len(books) != 1:
            raise ValueError(
                f"notebooks/solutions/{source.name}: found {len(books)} notebooks, "
                f"expected one notebooks/{source.stem}_….ipynb"
            )
        found[books[0]] = source
    return found


def read_exercises(path: Path) -> list[Exercise]:
    """Read a source. ValueError names the file, the line and what is wrong there."""
    cells = list(percent_cells(path.read_text(encoding="utf-8").splitlines()))
    found = []
    for at in range(0, len(cells), 2):
        try:
            found.append(exercise(cells[at : at + 2]))
        except SyntaxError as error:
            raise ValueError(f"{path.name}: line {error.lineno}: {error.msg}") from None
    return found


def percent_cells(lines: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    r"""Yield first line, kind and text of each percent cell; what precedes the first is a remark.

    >>> list(percent_cells(["# a remark", "# %% [markdown]", "# # 一", "#", "# %%", "n = 1", ""]))
    [(3, 'markdown', '# # 一\n#'), (6, 'code', 'n = 1')]
    """
    starts = [at for at, line in enumerate(lines) if re.match(r"# ?%%", line)]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        text = "\n".join(lines[start + 1 : end])
        kind = "markdown" if "[markdown]" in lines[start] else "code"
        # Line numbers count from the first line of the text, as an editor shows it.
        yield start + 2 + len(text) - len(text.lstrip("\n")), kind, text.strip("\n")


def exercise(cells: Sequence[tuple[int, str, str]]) -> Exercise:
    """Return the exercise of a Markdown and a code cell. SyntaxError names the line."""
    first = cells[0][0]
    if [kind for _, kind, _ in cells] != ["markdown", "code"]:
        raise wrong(first, "expected a Markdown cell with the task, then a code cell")
    (_, _, task), (start, _, code) = cells
    solved = "\n".join(line for line in code.splitlines() if line.strip() not in (BEGIN, END))
    return Exercise(uncommented(task, first), opened(code, start), solved)


def wrong(line: int, message: str) -> SyntaxError:
    """Return the error of one line of a source."""
    return SyntaxError(message, (None, line, None, None))


def uncommented(text: str, first: int = 1) -> str:
    r"""Return the Markdown of a percent cell. SyntaxError for a line that is no comment.

    >>> uncommented("# **1** 有几个字？\n#\n# *How many?*")
    '**1** 有几个字？\n\n*How many?*'
    """
    for number, line in enumerate(text.splitlines(), first):
        if line.strip() and not line.startswith("#"):
            raise wrong(number, "a line of Markdown must begin with #")
    return "\n".join(re.sub("^# ?", "", line) for line in text.splitlines())


def opened(code: str, first: int = 1) -> str:
    r"""Return a code cell with a blank in the place of each solution.

    SyntaxError for marks that do not pair, for a cell without a solution or without its check.

    >>> print(opened("### BEGIN SOLUTION\nn = len('茶')\n### END SOLUTION\ncheck(n, 1)"))
    n = ...
    check(n, 1)
    >>> body = "    ### BEGIN SOLUTION\n    return x\n    ### END SOLUTION"
    >>> print(opened(f"def f(x):\n{body}\ncheck(f, [])"))
    def f(x):
        ...
    check(f, [])
    """
    lines, tree = code.splitlines(), parsed(code, first)
    out, at = [], 0
    for start, end in regions(lines, first):
        indent = lines[start][: lines[start].index("#")]
        names = names_left_open(tree, start + 1, end + 1, first)
        blanks = [f"{name} = ..." for name in names] or ["..."]
        out += [*lines[at:start], *(indent + blank for blank in blanks)]
        at = end + 1
    text = "\n".join([*out, *lines[at:]])

    if not at:
        raise wrong(first, f"expected a part between {BEGIN} and {END}")
    if "check(" not in text:
        raise wrong(first, "expected check(…) behind the solution, for the learner to try")
    parsed(text, first)
    return text


def parsed(code: str, first: int) -> ast.Module:
    """Parse a cell. SyntaxError names the line of the source."""
    try:
        return ast.parse(code)
    except SyntaxError as error:
        raise wrong(first + (error.lineno or 1) - 1, error.msg) from None


def regions(lines: Sequence[str], first: int = 1) -> list[tuple[int, int]]:
    """Return where the two marks of each solution stand. SyntaxError where they do not pair."""
    found, begun = [], None
    for at, line in enumerate(lines):
        mark = line.strip()
        if mark == BEGIN and begun is not None:
            raise wrong(first + at, f"{BEGIN} before the end of the last one")
        if mark == END and begun is None:
            raise wrong(first + at, f"{END} without its {BEGIN}")
        if mark == BEGIN:
            begun = at
        elif mark == END:
            found.append((begun, at))
            begun = None
    if begun is not None:
        raise wrong(first + begun, f"{BEGIN} without its {END}")
    return found


def names_left_open(tree: ast.Module, start: int, end: int, first: int) -> list[str]:
    """Return the names that a solution sets and the rest of its function, or cell, uses.

    `start` and `end` are the lines of its marks. SyntaxError for a function that is defined inside
    and used outside: a blank has no arguments.
    """
    # The innermost function around the marks: names of other functions are other names.
    scope: ast.AST = tree
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.lineno < start and end <= node.end_lineno + 1:
            scope = node
    names = [node for node in ast.walk(scope) if isinstance(node, ast.Name)]
    used = {n.id for n in names if isinstance(n.ctx, ast.Load) and not start < n.lineno < end}

    for node in ast.walk(scope):
        inside = isinstance(node, ast.FunctionDef | ast.ClassDef) and start < node.lineno < end
        if inside and node.name in used:
            line = first + node.lineno - 1
            raise wrong(line, f"put the first line of {node.name} before {BEGIN}")

    # In the order in which the solution sets them.
    stored = [n for n in names if isinstance(n.ctx, ast.Store) and start < n.lineno < end]
    stored.sort(key=lambda name: (name.lineno, name.col_offset))
    return list(dict.fromkeys(name.id for name in stored if name.id in used))


# ---- notebooks


def cell_id(number: str, at: int) -> str:
    """Return the id of an exercise's open cell: it never changes, wherever the cell stands.

    >>> cell_id("05b", 1)
    'c05b-x1'
    """
    return f"c{number}-x{at}"


def number_of(path: Path) -> str:
    """Return the number of a notebook, or of its source.

    >>> number_of(Path("05b_more.ipynb")), number_of(Path("05.py"))
    ('05b', '05')
    """
    return path.stem.partition("_")[0]


def with_exercises(book: NotebookNode, exercises: Sequence[Exercise], number: str) -> NotebookNode:
    """Put the tasks and open cells into a notebook.

    A cell that is there keeps its place; a new one comes behind the exercise before it, the first
    one before the notebook's last cell. Exercises that are gone from the source go.
    """
    new = []
    for at, one in enumerate(exercises, 1):
        name = cell_id(number, at)
        new.append(nbformat.v4.new_markdown_cell(one.task, id=f"{name}-task"))
        new.append(nbformat.v4.new_code_cell(one.opened, id=name))
    for cell in new:
        cell.metadata["tags"] = [OPEN_TAG]
    wanted = {cell.id: cell for cell in new}
    kept = [c for c in book.cells if c.id in wanted or OPEN_TAG not in c.metadata.get("tags", [])]
    cells = [wanted.get(cell.id, cell) for cell in kept]

    place, there = len(cells) - 1, {cell.id for cell in cells}
    for cell in new:
        if cell.id in there:
            place = cells.index(cell) + 1
        else:
            cells.insert(place, cell)
            place += 1
    book.cells = cells
    return book


def solutions(exercises: Sequence[Exercise], book: Path) -> NotebookNode:
    """Return the notebook of the solved exercises of `book`."""
    number = number_of(book)
    header = HEADER.format(number=number, stem=book.stem)
    cells = [nbformat.v4.new_markdown_cell(header, id=f"s{number}-00")]
    for at, one in enumerate(exercises, 1):
        cells.append(nbformat.v4.new_markdown_cell(one.task, id=f"s{number}-x{at}-task"))
        cells.append(nbformat.v4.new_code_cell(one.solved, id=f"s{number}-x{at}"))
    metadata = {"kernelspec": SPECIFICATION, "language_info": {"name": "python"}}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def generated(root: Path) -> dict[Path, str]:
    """Return what the notebooks and the solutions should be, by their sources, as text."""
    found = {}
    for path, source in sources(root).items():
        exercises = read_exercises(source)
        book = nbformat.read(path, as_version=4)
        found[path] = as_text(with_exercises(book, exercises, number_of(path)))
        found[source.with_suffix(".ipynb")] = as_text(solutions(exercises, path))
    return found


def as_text(book: NotebookNode) -> str:
    """Return a notebook as it stands on disk."""
    return nbformat.writes(book).rstrip("\n") + "\n"


def write_exercises(root: Path) -> list[Path]:
    """Write the open exercises into the notebooks, and the solutions; returns what changed."""
    changed = []
    for path, text in generated(root).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


# ---- a run that holds both forms


def with_solutions(book: NotebookNode, exercises: Sequence[Exercise], number: str) -> NotebookNode:
    """Put each solved cell behind its open one, to be run in the same kernel."""
    solved = {cell_id(number, at): one.solved for at, one in enumerate(exercises, 1)}
    cells = []
    for cell in book.cells:
        cells.append(cell)
        if cell.id in solved:
            cells.append(nbformat.v4.new_code_cell(solved[cell.id], id=f"{cell.id}-solved"))
            cells[-1].metadata["tags"] = [SOLVED_TAG]
    book.cells = cells
    return book


def unheld(book: NotebookNode) -> list[str]:
    """Return where an executed notebook breaks its promise: an open exercise is not done yet, a
    solved one is right, and no other cell says so."""
    from miniluotuo_utils.show.exercises import OPEN, RIGHT

    wanted, cells, found = {OPEN_TAG: OPEN, SOLVED_TAG: RIGHT}, [], []
    for cell in book.cells:
        tag = next((tag for tag in wanted if tag in cell.metadata.get("tags", [])), None)
        verdicts = said(cell) if cell.cell_type == "code" else []
        if tag and cell.cell_type == "code":
            cells.append((cell, tag))
            if not verdicts or set(verdicts) != {wanted[tag]}:
                words = " / ".join(verdicts) or "nothing"
                found.append(f"cell {cell.id}: found {words}, expected {wanted[tag]}")
        elif RIGHT in verdicts:
            found.append(f"cell {cell.id}: found {RIGHT}, and it is no exercise")

    # A lecturer may have taken all solutions away, but not some of them.
    solved = {cell.id for cell, tag in cells if tag == SOLVED_TAG}
    alone = [c.id for c, tag in cells if tag == OPEN_TAG and f"{c.id}-solved" not in solved]
    return found + [f"cell {name}: no solution in the source" for name in alone if solved]


def said(cell: NotebookNode) -> list[str]:
    """Return the lines of `check` among what a cell printed."""
    from miniluotuo_utils.show.exercises import OPEN, RIGHT, WRONG

    printed = "".join(o.text for o in cell.outputs if o.output_type == "stream")
    return [line for line in printed.splitlines() if line.startswith((OPEN, RIGHT, WRONG))]
