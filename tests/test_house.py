"""The house: which rooms may import which, and that what moved says where it went."""

import ast
import importlib
from pathlib import Path

import pytest

from miniluotuo_utils.moved import MODULES, NAMES

PACKAGE = Path(__file__).resolve().parents[1] / "miniluotuo_utils"

# from the ground up; rooms of one floor do not import each other
FLOORS = (
    ("moved",),
    ("files", "prompts", "text"),
    ("runtime", "records"),
    ("tokens", "data", "teacher"),
    ("students",),
    ("generation",),
    ("ie", "evaluation"),
    ("show",),
    ("jobs",),
    ("__main__",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def imports(path: Path) -> list[tuple[int, str]]:
    """Line and module (without the package's name) of every import of the package in a file, inside functions too."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == PACKAGE.name:
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
    """Module name -> file, for everything in the package but the faces (`__init__`) and the embedded task."""
    files = [p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py" and "embedded" not in p.parts]
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in files}


def test_no_room_imports_upwards_or_sideways():
    """An arrow that climbs makes two rooms one: neither can then be read, tested or replaced alone."""
    broken = []
    for name, path in sources().items():
        room = name.partition(".")[0]
        for line, module in imports(path):
            other = module.partition(".")[0]
            if other and other != room and FLOOR[other] >= FLOOR[room]:
                broken.append(f"{path.relative_to(PACKAGE.parent)}:{line} imports {module}: {other} is no lower than {room}")
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


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_that_moved_names_its_new_place(module):
    """People copied `from miniluotuo_utils.presets import ...` out of a notebook: it must not only fail."""
    with pytest.raises(ModuleNotFoundError, match="is now"):
        importlib.import_module(f"miniluotuo_utils.{module}")
    new = MODULES[module].split(" ")[0]
    assert is_module(new) or (PACKAGE.parent / new).is_file()


@pytest.mark.parametrize(("module", "name", "new"), [(m, n, new) for m, gone in NAMES.items() for n, new in gone.items()])
def test_a_name_that_moved_names_its_new_place(module, name, new):
    """`from miniluotuo_utils.records import read_jsonl` worked once; where it does no longer, it says why."""
    place, _, newest = new.rpartition(".")
    assert hasattr(importlib.import_module(f"miniluotuo_utils.{place}"), newest)
    try:
        getattr(importlib.import_module(f"miniluotuo_utils.{module}"), name)
    except ImportError as error:
        assert f"miniluotuo_utils.{new}" in str(error)
