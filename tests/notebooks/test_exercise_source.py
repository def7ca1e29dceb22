"""Exercises: one source, an open and a solved form that cannot drift, and a run that holds both."""

import json
from pathlib import Path

import exercises as maker
import nbformat
import pytest
import run_notebooks as runner
from hypothesis import given
from hypothesis import strategies as st

import notebooks as book

ROOT = Path(__file__).resolve().parents[2]

SOURCE = '''# 笔记本 07 的练习 The exercises of notebook 07.

# %% [markdown]
# **1** 这句话有几个字？
#
# *How many characters has it?*

# %%
from miniluotuo_utils.show import check

### BEGIN SOLUTION
letters = [c for c in sentence]
my_answer = len(letters)
### END SOLUTION
check(my_answer, 9, {27: "数的是字节 · these are bytes"})

# %% [markdown]
# **2** 写一个函数。
#
# *Write a function.*

# %%
def double(n):
    """Twice a number."""
    ### BEGIN SOLUTION
    twice = 2 * n
    return twice
    ### END SOLUTION


check(double, [(2, 4), (0, 0)])
'''

OPENED = [
    """from miniluotuo_utils.show import check

my_answer = ...
check(my_answer, 9, {27: "数的是字节 · these are bytes"})""",
    '''def double(n):
    """Twice a number."""
    ...


check(double, [(2, 4), (0, 0)])''',
]


def cell(source: str, name: str, *tags: str) -> nbformat.NotebookNode:
    """A code cell."""
    return nbformat.v4.new_code_cell(source, id=name, metadata={"tags": list(tags)})


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A clone with one notebook of two exercises, not written into it yet."""
    folder = tmp_path / "clone" / "notebooks"
    (folder / "solutions").mkdir(parents=True)
    cells = [
        nbformat.v4.new_markdown_cell("# 七 · Seven", id="c07-00"),
        cell("SCALE = 'smoke'", "c07-01", "parameters"),
        cell("sentence = '茶圣陆羽著有茶经。'", "c07-02"),
        nbformat.v4.new_markdown_cell("下一本 *Next*", id="c07-03"),
    ]
    metadata = {"kernelspec": maker.SPECIFICATION}
    written = nbformat.v4.new_notebook(cells=cells, metadata=metadata)
    nbformat.write(written, folder / "07_seven.ipynb")
    (folder / "solutions" / "07.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.setattr(runner, "notebooks", lambda: book.notebooks(folder.parent))
    monkeypatch.setenv("MINILUOTUO_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return folder.parent


def cells_of(path: Path) -> list[nbformat.NotebookNode]:
    """The cells of a notebook."""
    return nbformat.read(path, as_version=4).cells


def test_committed_exercises_are_those_of_their_sources():
    """A solution that was mended in one of three places is wrong in two."""
    for path, text in maker.generated(ROOT).items():
        assert path.read_text(encoding="utf-8") == text, "run `notebooks.py exercises`"
    solved = {path.stem for path in (ROOT / "notebooks" / "solutions").glob("*.ipynb")}
    assert solved == {source.stem for source in maker.sources(ROOT).values()}


def test_the_open_form_holds_blanks_and_the_solved_one_answers(root):
    """The course printed the solution of every exercise under its task."""
    seven, solved = root / "notebooks" / "07_seven.ipynb", root / "notebooks/solutions/07.ipynb"
    assert maker.write_exercises(root) == [seven, solved]
    assert maker.write_exercises(root) == []
    names = ["c07-00", "c07-01", "c07-02", "c07-x1-task", "c07-x1", "c07-x2-task", "c07-x2"]
    assert [c.id for c in cells_of(seven)] == [*names, "c07-03"]
    written = [c for c in cells_of(seven) if maker.OPEN_TAG in book.tags(c)]
    assert [c.source for c in written if c.cell_type == "code"] == OPENED
    assert "SOLUTION" not in solved.read_text(encoding="utf-8")
    header, task, code, *_ = cells_of(solved)
    assert "07.py" in header.source
    assert "讲师可以不发" in header.source
    assert task.source == "**1** 这句话有几个字？\n\n*How many characters has it?*"
    assert "my_answer = len(letters)" in code.source


def test_an_exercise_keeps_the_place_that_it_was_moved_to(root):
    """A lecturer puts exercise 1 behind the section that it is about; the next run put it back."""
    maker.write_exercises(root)
    seven = root / "notebooks" / "07_seven.ipynb"
    moved = nbformat.read(seven, as_version=4)
    first = [c for c in moved.cells if c.id in ("c07-x1-task", "c07-x1")]
    rest = [c for c in moved.cells if c not in first]
    moved.cells = [*rest[:2], *first, *rest[2:]]
    nbformat.write(moved, seven)
    source = root / "notebooks" / "solutions" / "07.py"
    source.write_text(SOURCE.replace("几个字", "多少字"), encoding="utf-8")
    maker.write_exercises(root)
    names = ["c07-00", "c07-01", "c07-x1-task", "c07-x1", "c07-02", "c07-x2-task", "c07-x2"]
    assert [c.id for c in cells_of(seven)] == [*names, "c07-03"]
    assert "多少字" in cells_of(seven)[2].source

    source.write_text(SOURCE[: SOURCE.index("# %% [markdown]\n# **2**")], encoding="utf-8")
    maker.write_exercises(root)
    assert "c07-x2" not in [c.id for c in cells_of(seven)], "an exercise that is gone goes"


def test_a_solution_names_the_line_of_its_fault(tmp_path):
    """A lost mark put the solution into the open cell."""
    path = tmp_path / "07.py"
    for old, new, told in (
        ("    ### END SOLUTION\n", "", "line 25: ### BEGIN SOLUTION without its ### END"),
        ("### BEGIN SOLUTION\nletters", "letters", "line 13: ### END SOLUTION without its"),
        (
            "my_answer = len",
            "### BEGIN SOLUTION\nmy_answer = len",
            "line 13: ### BEGIN SOLUTION before",
        ),
        ("# *Write", "*Write", "line 20: a line of Markdown must begin with #"),
        ("check(double", "print(double", "line 23: expected check"),
        ("2 * n", "2 *", "line 26: invalid syntax"),
        ("# %%\nfrom", "# %% [markdown]\n# from", "line 4: expected a Markdown cell"),
        (
            "### BEGIN SOLUTION\nletters",
            "### BEGIN SOLUTION\ndef my_answer(): pass\nletters",
            "line 12: put the first line of my_answer before",
        ),
    ):
        assert old in SOURCE
        path.write_text(SOURCE.replace(old, new, 1), encoding="utf-8")
        with pytest.raises(ValueError, match=f"07.py: {told}"):
            maker.read_exercises(path)


def test_a_blank_for_each_name_that_is_used_later():
    """`precision` and `recall` are asked for; what the solution needs on its way is not told."""
    code = (
        "right = 3\n"
        "def f1(right, pred, gold):\n"
        "    ### BEGIN SOLUTION\n"
        "    precision, recall = right / pred, right / gold\n"
        "    for unused in ():\n"
        "        pass\n"
        "    ### END SOLUTION\n"
        "    return 2 * precision * recall / (precision + recall)\n"
        "check(f1, [])\n"
        "### BEGIN SOLUTION\n"
        "way = 1\n"
        "first = way\n"
        "### END SOLUTION\n"
        "unused = check(first, 1)\n"
    )
    assert maker.opened(code) == (
        "right = 3\n"
        "def f1(right, pred, gold):\n"
        "    precision = ...\n"
        "    recall = ...\n"
        "    return 2 * precision * recall / (precision + recall)\n"
        "check(f1, [])\n"
        "first = ...\n"
        "unused = check(first, 1)"
    )


LINES = st.sampled_from(
    [
        maker.BEGIN,
        f"    {maker.BEGIN}",
        maker.END,
        "a = 1",
        "check(a, 1)",
        "def f():",
        "    a = 2",
        "",
    ]
)


@given(st.lists(LINES, max_size=9))
def test_no_part_of_a_solution_is_left_in_the_open_form(lines):
    """Whatever the marks look like: an error, or a cell without what the marks hold."""
    try:
        text = maker.opened("\n".join(lines))
    except SyntaxError as error:
        assert 1 <= error.lineno <= len(lines) + 1
        return
    assert "SOLUTION" not in text
    inside = sum(end - begin - 1 for begin, end in maker.regions(lines))
    kept = [line for line in text.splitlines() if not line.strip().endswith("...")]
    assert len(kept) <= len(lines) - inside


def executed(root: Path) -> list[nbformat.NotebookNode]:
    """Run the one notebook; its cells."""
    assert runner.run("smoke") == 0
    return cells_of(root.parent / "runs" / "smoke" / "executed" / "07_seven.ipynb")


def test_a_run_holds_both_forms_and_refresh_takes_neither(root, capsys):
    """An exercise that cannot be solved, or that says 对 to those who did nothing."""
    maker.write_exercises(root)
    ran = executed(root)
    assert [c.id for c in ran if "x1" in c.id] == ["c07-x1-task", "c07-x1", "c07-x1-solved"]
    said = {c.id: maker.said(c) for c in ran if c.cell_type == "code"}
    assert said["c07-x1"] == said["c07-x2"] == ["还没做 · not done yet"]
    assert said["c07-x1-solved"] == said["c07-x2-solved"] == ["对 · right"]
    left = json.loads((root.parent / "runs/smoke/times.json").read_text(encoding="utf-8"))
    assert left["notebooks"]["07_seven"].keys() == {"seconds", "peak_gib"}
    before = (root / "notebooks" / "07_seven.ipynb").read_text(encoding="utf-8")
    list(book.refresh(root, root.parent / "runs" / "smoke" / "executed"))
    assert (root / "notebooks" / "07_seven.ipynb").read_text(encoding="utf-8") == before
    assert not maker.write_exercises(root)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("2 * n", "3 * n", "cell c07-x2-solved: found 不对，因为"),
        ("check(my_answer, 9", "my_answer = 9; check(my_answer, 9", "cell c07-x1: found 对"),
        ("check(my_answer, 9", "print(my_answer)  # check(", "cell c07-x1: found nothing"),
    ],
)
def test_a_run_fails_where_a_form_does_not_hold(root, capsys, old, new, told):
    """`make run` was green whatever the exercises said."""
    source = root / "notebooks" / "solutions" / "07.py"
    source.write_text(SOURCE.replace(old, new, 1), encoding="utf-8")
    maker.write_exercises(root)
    assert runner.run("smoke") == 1
    text = capsys.readouterr().out
    assert "exercises that do not hold both forms" in text
    assert told in text


def test_no_other_cell_says_that_something_is_right():
    """A cell that checks the course's own answer tells learners that they have done well."""
    output = nbformat.v4.new_output("stream", text="对 · right\n")
    own = nbformat.v4.new_code_cell("check(own, own)", id="c07-02", outputs=[output])
    found = maker.unheld(nbformat.v4.new_notebook(cells=[own]))
    assert found == ["cell c07-02: found 对 · right, and it is no exercise"]


def test_a_course_without_its_solutions_runs(root, capsys):
    """A lecturer takes the folder away before the lesson."""
    maker.write_exercises(root)
    for path in (root / "notebooks" / "solutions").iterdir():
        path.unlink()
    assert maker.write_exercises(root) == []
    ran = executed(root)
    assert "c07-x1-solved" not in [c.id for c in ran]
    assert [maker.said(c) for c in ran if c.id == "c07-x1"] == [["还没做 · not done yet"]]
