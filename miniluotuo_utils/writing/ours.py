"""Tell a folder that we wrote from anybody else's, file by file.

In: a folder. Out: its list of files, hidden in it, or what in it is not ours. Used by `guard` and
`written_whole`.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256
from pathlib import Path

MARK = ".mini-luotuo.json"  # lists what we wrote into a folder; hidden, and so no data
# What systems and libraries leave in every folder, and nobody misses.
LEFT = re.compile(
    r"(.*/)?(\.DS_Store|Thumbs\.db|desktop\.ini)|(.*/)?cache-[0-9a-f]{16}\w*\.arrow"
    r"|\.cache/huggingface/.*"
)
PIECE = 1 << 16  # bytes
PIECES = 16

# What versions without the mark wrote into the folders of students and of token rows.
EARLIER = re.compile(
    r"(generation_|adapter_|tokenizer_)?config\.json|(adapter_)?model.*\.safetensors(\.index\.json)?"
    r"|(base|vocab|tokenizer|added_tokens|special_tokens_map|run|state|dataset_info)\.json"
    r"|training\.jsonl|README\.md|chat_template\.jinja|merges\.txt|vocab\.txt|.*\.model"
    r"|data-\d+-of-\d+\.arrow"
)


def sign(folder: Path, *names: str) -> None:
    """Write into a folder the list of its files, so that later it can be told whose they are.

    Of a folder that others write into, too, only those that are named.
    """
    paths = [folder / name for name in names] or plain_files(folder)
    files = {path.relative_to(folder).as_posix(): sample(path) for path in paths}
    note = {"written_by": "miniluotuo_utils", "files": files}
    (folder / MARK).write_text(json.dumps(note, ensure_ascii=False, indent=1), encoding="utf-8")


def foreign(folder: Path) -> str:
    """Return what in a folder is not as we wrote it, "" where everything is.

    A `run.json` of ours may have been added, and what systems leave in every folder.
    """
    files = signed(folder)
    if files is None:
        return foreign_to_earlier(folder)
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        known = name == MARK or LEFT.fullmatch(name) or path.is_dir()
        if path.is_symlink() or not (known or name in files or is_run_note(path)):
            return f"{name}, which we did not write"
        if name in files and path.is_file() and sample(path) != files[name]:
            return f"{name}, which was changed since we wrote it"
    return ""


def signed(folder: Path) -> dict[str, str] | None:
    """Return the files that we wrote into a folder and what tells each; None where nothing says."""
    try:
        return json.loads((folder / MARK).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def changed(folder: Path) -> str:
    """Return which of the files that we wrote into a folder somebody has changed, "" for none."""
    for name, held in (signed(folder) or {}).items():
        if (folder / name).is_file() and sample(folder / name) != held:
            return name
    return ""


def foreign_to_earlier(folder: Path) -> str:
    """Return what says that an earlier version did not write a folder, "" where it did."""
    for path in sorted(folder.iterdir()):
        known = EARLIER.fullmatch(path.name) or LEFT.fullmatch(path.name)
        if path.is_symlink() or not path.is_file() or not known:
            return f"{path.name}, and nothing says that we wrote it"
    # What `save` wrote into the student's page, and what every step of a training has.
    said = {"README.md": "由 Mini-Luotuo 的 `save` 写出", "training.jsonl": '"supervised": '}
    for name, words in said.items():
        note = folder / name
        if note.is_file() and words in note.read_text(encoding="utf-8", errors="replace"):
            return ""
    return "" if is_run_note(folder / "run.json") else "nothing that says that we wrote it"


def is_unfinished(folder: Path) -> bool:
    """Return whether a folder was written by the training that still stands beside it.

    It was killed before it could clean up: the same command may write the same folder once more.
    """
    settings = folder.with_name(folder.name + ".training") / "settings.json"
    try:
        wanted = sha256(settings.read_bytes()).hexdigest()
        return json.loads((folder / "run.json").read_text(encoding="utf-8"))["settings"] == wanted
    except (OSError, ValueError, KeyError, TypeError):
        return False


def is_run_note(path: Path) -> bool:
    """Return whether a file is a `run.json` as `runtime.record_run` and `train` write it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.name == "run.json" else None
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and {"versions", "commit"} <= found.keys()


def plain_files(folder: Path) -> list[Path]:
    """Return the files below a folder, in order, without links and our mark."""
    found = sorted(folder.rglob("*"))
    return [p for p in found if p.is_file() and not p.is_symlink() and p.name != MARK]


def sample(path: Path) -> str:
    """Return what tells a file from others: its size and up to 16 pieces of its bytes, hashed.

    A file of up to 1 MiB is read as a whole. Of larger ones each training changes every piece.
    """
    size = path.stat().st_size
    step = max(PIECE, size // PIECES)
    digest = sha256(str(size).encode())
    with open(path, "rb") as file:
        for start in range(0, size, step):
            file.seek(start)
            digest.update(file.read(PIECE))
    return digest.hexdigest()[:32]
