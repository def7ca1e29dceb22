"""Files by pinned URL: from the package, a mirror, the cache or the network, and always checked.

In: a `{"url", "bytes", "sha256"}` of a card. Out: a local path whose bytes are the pinned ones. Shown in notebook 01.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from miniluotuo_utils.records import DataError
from miniluotuo_utils.runtime import PACKAGE, file_sha256, written_whole


def home() -> Path:
    """The download cache: `$MINILUOTUO_HOME`, else `~/.cache/miniluotuo`."""
    return Path(os.environ.get("MINILUOTUO_HOME", "~/.cache/miniluotuo")).expanduser()


def mirrored(url: str) -> str:
    """The place of a URL inside a mirror or the cache: host and path, decoded.

    >>> mirrored("https://raw.githubusercontent.com/a/b/main/%E4%B8%AD.json")
    'raw.githubusercontent.com/a/b/main/中.json'
    """
    parts = urlsplit(url)
    return f"{parts.netloc}{unquote(parts.path)}"


def verify(path: Path, pin: Mapping) -> Path:
    """`path` itself if size and SHA-256 are the pinned ones (null pins are not checked), else DataError."""
    found = path.stat().st_size
    if pin.get("bytes") is not None and found != pin["bytes"]:
        raise DataError(f"{path.name}: found {found:,} bytes, expected {pin['bytes']:,}. The file is damaged or changed at "
                        "its source: delete it and run again")  # fmt: skip
    if pin.get("sha256") and (digest := file_sha256(path)) != pin["sha256"]:
        raise DataError(f"{path.name}: found sha256 {digest[:12]}…, expected {pin['sha256'][:12]}…. The file is damaged or "
                        "changed at its source: delete it and run again")  # fmt: skip
    return path


def fetch(pin: Mapping, progress: bool = True, network: bool = True) -> Path:
    """The local, verified file of one pin. Order: package, mirror folder, cache, mirror URL, network.

    `network=False` stops before the last two.

    Raises DataError for a file whose bytes are wrong, and FileNotFoundError, which lists every place that was tried,
    where the file cannot be had.
    """
    url, mirror = pin["url"], os.environ.get("MINILUOTUO_MIRROR", "").rstrip("/")
    if url.startswith("package:"):
        return verify(PACKAGE / url.removeprefix("package:"), pin)
    place = mirrored(url)
    if mirror and "://" not in mirror:
        if (local := Path(mirror).expanduser() / place).is_file():
            return verify(local, pin)
        tried = [f"mirror folder (MINILUOTUO_MIRROR): no {place}"]
    else:
        tried = []
    cached = home() / place
    if cached.is_file():
        try:
            return verify(cached, pin)
        except DataError as error:
            print(f"cache: {error} (downloading it anew)")
    sources = [f"{mirror}/{place}", url] if "://" in mirror else [url]
    for source in sources if network else []:
        try:
            return download(source, cached, pin, progress)
        except OSError as error:
            tried.append(f"{urlsplit(source).netloc}: {type(error).__name__}")
    raise FileNotFoundError(
        f"{Path(place).name} could not be had ({'; '.join(tried)}). Check the network, or set MINILUOTUO_MIRROR to a folder "
        "that holds it; SCALE = 'smoke' needs neither"
    )


def download(source: str, target: Path, pin: Mapping, progress: bool) -> Path:
    """Download `source` beside `target`, verify it, rename it. The network's errors are OSErrors."""
    import pooch

    getter = pooch.HTTPDownloader(progressbar=progress, timeout=(10, 60))
    with written_whole(target) as partial:
        getter(source, str(partial), None)
        verify(partial, pin)
    return target


def copy_into_mirror(name: str, folder: Path) -> list[Path]:
    """Copy a source's verified files into a mirror folder, laid out as `MINILUOTUO_MIRROR` reads it."""
    import shutil

    from miniluotuo_utils.data.catalog import card

    copied = []
    for pin in (pin for pins in card(name).splits.values() for pin in pins):
        if not pin["url"].startswith("package:"):
            with written_whole(folder / mirrored(pin["url"])) as partial:
                shutil.copyfile(fetch(pin), partial)
            copied.append(folder / mirrored(pin["url"]))
    return copied
