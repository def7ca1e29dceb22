"""Write a student as a static page that extracts in the browser, without a server of its own.

In: a student. Out: a folder for any static host: one page, the student as ONNX in float32, its
tokenizer, and a runtime from npm, pinned by hash. Used by `export --to browser`; shown in
notebook 07. Why this runtime: benchmarks/README.md, by `ways_out.py`.
"""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from miniluotuo_utils.data.catalog import card
from miniluotuo_utils.data.download import fetch_all
from miniluotuo_utils.export.asking import exported, write_asking, write_tokenizer
from miniluotuo_utils.export.onnx import cache_shape, write_onnx
from miniluotuo_utils.ie.slicing import SLICE_SIZES
from miniluotuo_utils.ie.templates import templates_of

if TYPE_CHECKING:
    from miniluotuo_utils.students import Student

PAGE = Path(__file__).with_name("page.html")
RUNTIME = "browser-runtime"  # its card in the catalog
# Of each package what the page loads, and its licence where it has a file for it.
TAKEN = {
    "onnxruntime-web": (
        "dist/ort.wasm.min.mjs",
        "dist/ort-wasm-simd-threaded.mjs",
        "dist/ort-wasm-simd-threaded.wasm",
    ),
    "@huggingface/tokenizers": ("dist/tokenizers.min.mjs", "LICENSE"),
}
TYPES = ("人物", "地点", "机构", "时间", "作品")  # in the box to begin with
# The page's own JSON: what its boxes begin with for relations and events.
BOXES = {"RE": "出生地，作者，位于", "EE": "发射：航天器，地点，时间；获奖：获奖者，奖项"}


def to_browser(
    student: Student,
    folder: Path | str,
    types: Sequence[str] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a student as a page; return its folder, which any static server shows.

    The runtime is fetched before the student is written (`runtime_files`). Nothing in the folder
    asks another host. `types` stand in the box to begin with.

    Raises ValueError for an encoder–decoder and an adapter, DataError for a family that the
    exporter fails on, FileNotFoundError where the runtime cannot be had,
    `Taken` where something stands that we did not write, or, without `overwrite`, an earlier page;
    OSError where the disk is full.
    """
    folder = Path(folder)
    with exported(student, folder, "browser", overwrite) as whole:
        packages = runtime_files()  # minutes of work come after what may be missing
        (whole / "runtime").mkdir()
        for name, package in packages.items():
            unpack(package, TAKEN[name], whole / "runtime")
        write_tokenizer(student, whole / "student")
        write_onnx(student, whole / "student" / "model.onnx")

        # The page has none of our code: what it must know of prompts stands in one file.
        page = {
            "name": student.name.removeprefix("./"),
            "cache": cache_shape(student.model.config),
            "slices": SLICE_SIZES,
            "instructions": {task: templates_of(task)[0] for task in SLICE_SIZES},
            "boxes": {"NER": "，".join(types or TYPES), **BOXES},
        }
        write_asking(student, whole / "student" / "asking.json", **page)
        text = README.format(name=page["name"], notice=notice())
        (whole / "README.md").write_text(text, encoding="utf-8")
        shutil.copyfile(PAGE, whole / "index.html")  # last
    return folder


def runtime_files(network: bool = True) -> dict[str, Path]:
    """Return the packages of the page's runtime by name: from a mirror, the cache, or npm.

    Raises FileNotFoundError, with the way out, where one cannot be had.
    """
    found = card(RUNTIME)
    try:
        paths = fetch_all(found.pins, network=network)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"网页要的运行时不在手边：在有网络、有 npm 的地方运行 download {RUNTIME}。 The page's "
            f"runtime is not at hand: run `python -m miniluotuo_utils download {RUNTIME}` where "
            f"there is a network and npm. {error}"
        ) from None
    return dict(zip(found.splits, paths, strict=True))


def unpack(package: Path, names: Sequence[str], folder: Path) -> None:
    """Copy some files of an npm package into a folder, without the folders that they stand in."""
    with tarfile.open(package) as archive:
        for name in names:
            with archive.extractfile(f"package/{name}") as source:
                target = folder / name.rpartition("/")[2]
                target.write_bytes(source.read())


def notice() -> str:
    """Return which packages the runtime is from, and under which licences."""
    found = card(RUNTIME)
    specs = [pin["url"].removeprefix("npm:") for pin in found.pins]
    return f"{', '.join(specs)}: {found.licence}"


README = """# {name}：网页 · A page

把这个文件夹放到任何静态网站上，或者在这里运行，再打开 http://127.0.0.1:8000 ：
*Put this folder on any static host, or run this here and open http://127.0.0.1:8000 :*

```bash
python -m http.server 8000 --bind 127.0.0.1
```

抽取在浏览器里做，句子不离开这台设备；打开过一次，断了网也能用，直到关掉这一页。
*The browser itself extracts: sentences do not leave the device. Once the page is open, it needs no
network.*

`runtime/` 来自 npm *from npm*: {notice}
"""
