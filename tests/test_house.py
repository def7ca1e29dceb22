"""The house: which rooms may import which, how its code reads, and that what moved says so."""

import ast
import importlib
from pathlib import Path

import pytest

from miniluotuo_utils.moved import MODULES, NAMES

PACKAGE = Path(__file__).resolve().parents[1] / "miniluotuo_utils"

# from the ground up; rooms of one floor do not import each other
FLOORS = (
    ("moved", "extras", "choices", "terminal", "progress"),
    ("writing",),
    ("files", "prompts", "text"),
    ("runtime", "records"),
    ("tokens", "data", "teacher"),
    ("students",),
    ("generation",),
    ("ie", "evaluation"),
    ("show", "export"),
    ("jobs",),
    ("__main__",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def imports(path: Path) -> list[tuple[int, str]]:
    """Line and module (without the package's name) of every import of the package in a file, inside
    functions too."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.ImportFrom)
            and (node.module or "").partition(".")[0] == PACKAGE.name
        ):
            inside = node.module.partition(".")[2]
            for alias in node.names:
                whole = ".".join(part for part in (inside, alias.name) if part)
                found.append((node.lineno, whole if is_module(whole) else inside))
    return found


def is_module(name: str) -> bool:
    """Whether a dotted name is a file or folder of the package."""
    place = PACKAGE.joinpath(*name.split("."))
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()


def sources() -> dict[str, Path]:
    """Module name -> file, for everything in the package but the faces (`__init__`) and the
    embedded task."""
    files = [
        p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py" and "embedded" not in p.parts
    ]
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in files}


def test_no_room_imports_upwards_or_sideways():
    """An arrow that climbs makes two rooms one: neither can then be read, tested or replaced
    alone."""
    broken = []
    for name, path in sources().items():
        room = name.partition(".")[0]
        for line, module in imports(path):
            other = module.partition(".")[0]
            if other and other != room and FLOOR[other] >= FLOOR[room]:
                place = f"{path.relative_to(PACKAGE.parent)}:{line}"
                broken.append(f"{place} imports {module}: {other} is no lower than {room}")
    assert not broken, "\n".join(broken)


def test_no_circle_of_files():
    """Two files that import each other are one file in two pieces."""
    files = sources()
    arrows = {name: {m for _, m in imports(path) if m in files} for name, path in files.items()}
    while free := [name for name, targets in arrows.items() if not targets]:
        arrows = {name: targets - set(free) for name, targets in arrows.items() if name not in free}
    tied = [
        f"{files[name].relative_to(PACKAGE.parent)}:{line} imports {module}"
        for name in arrows
        for line, module in imports(files[name])
        if module in arrows
    ]
    assert not tied, "\n".join(tied)


def test_nothing_locks_files_in_a_way_that_windows_lacks():
    """`import fcntl` at the top of one module kept the whole package off Windows."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert not {"fcntl", "msvcrt"} & set(names), path.name


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_that_moved_names_its_new_place(module):
    """People copied `from miniluotuo_utils.presets import ...` out of a notebook: it must not only
    fail."""
    with pytest.raises(ModuleNotFoundError, match="is now"):
        importlib.import_module(f"miniluotuo_utils.{module}")
    new = MODULES[module].split(" ")[0]
    assert is_module(new) or (PACKAGE.parent / new).is_file()


@pytest.mark.parametrize(
    ("module", "name", "new"), [(m, n, new) for m, gone in NAMES.items() for n, new in gone.items()]
)
def test_a_name_that_moved_names_its_new_place(module, name, new):
    """`from miniluotuo_utils.records import read_jsonl` worked once; where it does no longer, it
    says why."""
    place, _, newest = f"miniluotuo_utils.{new}".rpartition(".")
    assert is_module(new) or hasattr(importlib.import_module(place), newest)
    try:
        getattr(importlib.import_module(f"miniluotuo_utils.{module}".rstrip(".")), name)
    except ImportError as error:
        assert f"miniluotuo_utils.{new}" in str(error)


TAUGHT = (Path(__file__).parent / "taught_imports.txt").read_text(encoding="utf-8").splitlines()[1:]


@pytest.mark.parametrize("line", TAUGHT)
def test_an_import_that_was_taught_works_or_says_where_it_went(line):
    """Cells that people copied out of the course go on in their own notebooks for years."""
    module, name = line.split()
    try:
        exec(f"from {module} import {name}", {})
    except ImportError as error:
        assert "is now" in str(error)


def test_no_two_test_files_have_one_name():
    """pytest stops before the first test where two folders hold a file of the same name."""
    names = [path.name for path in (PACKAGE.parent / "tests").rglob("test_*.py")]
    assert not {name for name in names if names.count(name) > 1}


# ---- code that one reads


COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
SEPARATE = (ast.Dict, ast.List, ast.Tuple, ast.Set, ast.Call)  # each part is read on its own
LONGEST = 25  # statements of a function
PARAGRAPHS = 15  # statements from which a function has a comment for each of its thoughts


def inline_ifs(node: ast.AST) -> int:
    """How many `a if b else c` a reader meets in one expression."""
    counts = [
        inline_ifs(child) for child in ast.iter_child_nodes(node) if not isinstance(child, ast.stmt)
    ]
    together = max(counts, default=0) if isinstance(node, SEPARATE) else sum(counts)
    return together + isinstance(node, ast.IfExp)


def hard_lines(path: Path) -> list[str]:
    """What makes a file slow to read, as `line: what`."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    found = [
        f"{n}: fmt: skip"
        for n, line in enumerate(lines, 1)
        if "fmt: skip" in line and "table" not in line
    ]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, COMPREHENSIONS):
            inner = [n for n in ast.walk(node) if n is not node and isinstance(n, COMPREHENSIONS)]
            found += [f"{n.lineno}: a comprehension in a comprehension" for n in inner]
        if isinstance(node, ast.stmt) and inline_ifs(node) > 1:
            found.append(f"{node.lineno}: two inline ifs in one expression")
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = sum(isinstance(n, ast.stmt) for n in ast.walk(node)) - 1
            remarks = [
                n for n in range(node.lineno, node.end_lineno) if lines[n].lstrip().startswith("#")
            ]
            if size > LONGEST:
                found.append(f"{node.lineno}: {node.name} has {size} statements, at most {LONGEST}")
            if size > PARAGRAPHS and len(remarks) < 2:
                found.append(
                    f"{node.lineno}: {node.name} has {size} statements and no comment a paragraph"
                )
    return found


@pytest.mark.parametrize("name", sorted(sources()))
def test_a_file_reads_easily(name):
    """Density was the house's worst fault: 59 nested comprehensions and 13 comments in 9,044
    lines."""
    path = sources()[name]
    assert not hard_lines(path), "\n".join(f"{path.name}:{line}" for line in hard_lines(path))
