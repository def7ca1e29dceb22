"""Tell one base from another, so that an adapter is never put on weights it was not trained on.

In: a folder of weights. Out: a fingerprint, which stands in an adapter's `base.json` beside the
base's name and is compared when the adapter is loaded. Used by `load_student` and `save`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from miniluotuo_utils.files import DataError, json_file
from miniluotuo_utils.students.zoo import ZOO

NOTE = "base.json"
WHOLE = 64 << 20  # bytes of weights up to which every one is read
PIECE = 4 << 10  # bytes read at one place of larger weights
APART = 4 << 20  # bytes from one piece to the next
FEWEST = 16  # pieces of a tensor at least


class Tensor(NamedTuple):
    """Where a tensor stands in a file; `facts` are its name, type and shape."""

    facts: str
    file: Path
    start: int
    size: int


def weights_fingerprint(folder: Path) -> str:
    """Return what tells a folder's weights from others: a sha256 in hexadecimal, "" without any.

    It covers name, type, shape and bytes of every tensor in the safetensors files, however they
    are spread over files. Weights of more than 64 MiB are sampled: of each tensor the first and
    the last 4 KiB and some between, at most 4 MiB apart. That costs 0.1 % of the reading, and it
    notices any training and any other conversion, but not a few numbers changed by hand in between.
    Old `.bin` weights are taken as one tensor a file, since their names cannot be read safely.
    """
    tensors = sorted(tensors_of(folder))
    whole = sum(tensor.size for tensor in tensors) <= WHOLE
    digest = sha256()
    for tensor in tensors:
        digest.update(f"{tensor.facts}\n".encode())
        with open(tensor.file, "rb") as file:
            for place, size in places(tensor.size, whole):
                file.seek(tensor.start + place)
                digest.update(file.read(size))
    return digest.hexdigest() if tensors else ""


def check_weights(folder: Path) -> None:
    """Raise DataError where a folder's safetensors are not whole, or one of several is not there.

    Only their heads are read: a download that broke, a copy onto a disk that was full.
    """
    from safetensors import SafetensorError, safe_open

    index = folder / "model.safetensors.index.json"
    names = set(json_file(index, dict).get("weight_map", {}).values()) if index.is_file() else set()
    for path in sorted({*folder.glob("*.safetensors"), *(folder / name for name in names)}):
        try:
            with safe_open(path, "np"):
                pass
        except (OSError, SafetensorError) as error:
            found = f"damaged or cut ({error})" if path.is_file() else "nothing there"
            raise DataError(
                f"学生文件夹 {folder.name} 不完整：{path.name} 不在，或者断了；重新下载或拷贝。 "
                f"{folder.name}/{path.name}: found {found}, expected whole weights: download or "
                "copy the folder again"
            ) from None


def tensors_of(folder: Path) -> Iterator[Tensor]:
    """Yield the tensors that transformers would load from a folder."""
    files = sorted(folder.glob("model*.safetensors"))
    for path in files:
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
        header.pop("__metadata__", None)
        for name, found in header.items():
            start, end = found["data_offsets"]
            facts = json.dumps([name, found["dtype"], found["shape"]])
            yield Tensor(facts, path, 8 + size + start, end - start)
    for path in [] if files else sorted(folder.glob("pytorch_model*.bin")):
        size = path.stat().st_size
        yield Tensor(json.dumps([path.name, size]), path, 0, size)


def places(size: int, whole: bool) -> list[tuple[int, int]]:
    """Return (start, bytes) of what is read of `size` bytes.

    >>> places(10, whole=False)
    [(0, 10)]
    >>> [start for start, _ in places(1 << 20, whole=False)][:2], places(1 << 20, False)[-1]
    ([0, 69632], (1044480, 4096))
    """
    if whole or size <= FEWEST * PIECE:
        return [(0, size)]
    count = max(FEWEST, 2 + size // APART)
    return [(number * (size - PIECE) // (count - 1), PIECE) for number in range(count)]


def write_base(folder: Path, name: str, revision: str | None, weights: str) -> None:
    """Note in an adapter folder which base it belongs to; nothing where its weights are on no disk.

    A base that was trained or merged in memory has no fingerprint: no folder holds it.
    """
    if weights:
        note = {"base": name, "revision": revision, "weights": weights}
        (folder / NOTE).write_text(json.dumps(note, indent=1), encoding="utf-8")


def base_note(folder: Path) -> dict[str, Any]:
    """Return what an adapter folder notes about its base; {} where it notes nothing."""
    path = folder / NOTE
    return json_file(path, dict) if path.is_file() else {}


def check_base(folder: Path, note: Mapping[str, Any], name: str, weights: str) -> None:
    """Raise ValueError for an adapter folder that belongs to another base than the one loaded.

    `weights` is the loaded base's fingerprint. An adapter that names none (others' tools write
    none) is taken as it is, but for a base that ships with this package: what ships changes.
    """
    noted, advice = note.get("weights"), "train the adapter again on this base"
    if noted == weights or not weights:
        return
    if noted:
        at = f" of revision {note['revision']}" if note.get("revision") else ""
        raise ValueError(
            f"{folder.name}/{NOTE}, field weights: found {noted[:12]}…, {name} here has "
            f"{weights[:12]}…: the adapter was trained on another base. Put that base{at} in a "
            f"folder beside the adapter and name it ./FOLDER in adapter_config.json, or {advice}"
        )
    if name in ZOO and not ZOO[name].hub:
        raise ValueError(
            f"{folder.name}: found no {NOTE} with the base's fingerprint, expected one: {name} "
            "ships with this package and is another model in other versions, or the adapter was "
            f"trained on a {name} that had been changed in memory. Take the package's version it "
            f"was trained with, or {advice}"
        )
