"""Say where a module or a name of an earlier version went. Nothing here is shown in a notebook.

In: an import that worked once. Out: an ImportError that names the new place.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder

PACKAGE = "miniluotuo_utils"

# old module -> where its names are now; modules are named without the package
MODULES = {
    "book": "scripts/notebooks.py of a clone",
    "runner": "scripts/run_notebooks.py of a clone",
    "data.pins": "scripts/pin.py of a clone",
    "dedup": "text",
    "refusals": "text",
    "guides": "generation.constrained",
    "presets": "generation.presets",
    "heldout": "evaluation.perplexity",
    "rating": "evaluation.grading",
    "plots": "show.plots",
    "widgets": "show (tables and colours in show.html, forms in show.forms)",
    "instructing": "jobs.instructions",
    "predicting": "jobs.predict",
    "data.leakage": "data.decontamination",
    "data.validation": "jobs.validate",
    "teacher.files": "jobs.respond",
    "teacher.pace": "teacher.limits",
    "teacher.quality": "teacher.diversity (the grades A to D in evaluation.grading)",
    "tokens.caching": "tokens.dataset",
    "students.adapters": "students.methods",
    "students.files": "jobs.train",
    "students.herd": "students.zoo",
    "students.miniatures": "tests/tiny_random.py of a clone",
    "students.progress": "students.checkpoints",
    "students.sizes": "students.estimate",
    "students.table": "students.cards",
    "students.throughput": "students.training (peak FLOP/s in students.devices)",
    "students.trainer": "students.loop",
    "ie.baseline": "ie.dictionary",
    "ie.uncertainty": "ie.significance",
    "ie.wordings": "ie.templates",
}

# module that is still there -> names that it held once -> where they are now
MOVED = {
    "data.catalog": ("data.loading", "files load loadable read renamed table_of"),
    "ie.instructions": ("ie.schema", "Schema distinct field_of labels schema_of"),
    "records": ("files", "DataError batches expect iter_jsonl read_jsonl write_jsonl"),
    "runtime": ("files", "file_sha256"),
    "files": ("writing", "put_in_place remove"),
    "students.zoo": ("students.loading", "Student fingerprint load_student trained_student"),
}
NAMES: dict[str, dict[str, str]] = {}
for _module, (_new, _gone) in MOVED.items():
    NAMES[_module] = {name: f"{_new}.{name}" for name in _gone.split()}
NAMES["runtime"] |= {
    name: f"writing.{name}" for name in ("put_in_place", "remove", "written_whole")
}
NAMES["files"]["lock_of"] = "writing.Alone"
NAMES[""] = {"plots": "show.plots", "widgets": "show"}
NAMES["data"] = {"handed": "data.from_previous"}
NAMES["tokens"] = {"fill": "tokens.packing_efficiency"}
NAMES["ie"] = {"confusability": "ie.hard_negatives", "headline": "ie.micro"}
NAMES["show"] = {
    "marked": "show.highlight",
    "marked_rows": "show.highlight_rows",
    "rater": "show.rating_form",
}


class Moved(MetaPathFinder):
    """The last finder that Python asks for a module: it names the new place of one that moved."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> None:
        """Raise ModuleNotFoundError for a module of `MODULES`; find no other."""
        package, _, module = name.partition(".")
        if package == PACKAGE and module in MODULES:
            new = MODULES[module]
            place = new if new.endswith("of a clone") else f"{PACKAGE}.{new}"
            raise ModuleNotFoundError(f"{name} is now {place}", name=name)


def names(module: str) -> Callable[[str], object]:
    """Return a module's `__getattr__`, which says where each of its names of `NAMES` went.

    >>> names("miniluotuo_utils.records")("read_jsonl")
    Traceback (most recent call last):
    ImportError: miniluotuo_utils.records.read_jsonl is now miniluotuo_utils.files.read_jsonl
    """
    gone = NAMES[module.partition(".")[2]]

    def missing(name: str) -> object:
        if name in gone:
            raise ImportError(f"{module}.{name} is now {PACKAGE}.{gone[name]}", name=module)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return missing


if not any(isinstance(finder, Moved) for finder in sys.meta_path):
    sys.meta_path.append(Moved())
