"""Carry a student out of Python: a page in the browser, ONNX, GGUF.

In: a student's name or folder. Out: a folder that is whole or not there. Used by `export` of the
command line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from miniluotuo_utils.export import to_browser, to_gguf, to_onnx
from miniluotuo_utils.students import load_student, merge
from miniluotuo_utils.writing import Touched, claimed

WAYS = ("browser", "onnx", "gguf")


def export(
    student: str | Path,
    out: Path,
    to: str,
    types: Sequence[str] | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> Path:
    """Write a student as `to`, one of `WAYS`, into a new folder, and return it.

    An adapter is merged into its base on the way, in memory. `types` stand in the page's box to
    begin with. Raises what `load_student` raises for a name that is no student, and what the three
    ways raise.
    """
    with claimed([Touched("OUT", out, "folder")], overwrite):
        # The runtime first: without it minutes of loading would be in vain.
        loaded = load_student(student, "cpu")
        if loaded.is_adapter:
            say(
                f"适配器先合并进底座 {loaded.name}，再导出。 The adapter is merged into its base "
                f"{loaded.name} on the way."
            )
            loaded = merge(loaded)
        if to == "browser":
            to_browser(loaded, out, types, overwrite)
        elif to == "gguf":
            to_gguf(loaded, out, overwrite, say)
        else:
            to_onnx(loaded, out, overwrite)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    say(f"{out.name}：{size / 1e6:,.1f} MB，用法见 README.md。 README.md says how to use it.")
    return out
