"""Files by pinned URL: from the package, a mirror, the cache or the network, and always checked.

In: a `{"url", "bytes", "sha256"}` of a card. Out: a local path whose bytes are the pinned ones. Shown in notebook 01.
"""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from miniluotuo_utils.files import DataError, file_sha256, written_whole
from miniluotuo_utils.runtime import PACKAGE

LOCAL = (errno.ENOSPC, errno.ENOTDIR, errno.EACCES, errno.EROFS, errno.EISDIR, errno.EDQUOT)
AT_ONCE, TRIES = (
    4,
    3,
)  # files fetched side by side; attempts per file, each going on where the last one broke off
ARCHIVES = (".tar.gz", ".tgz", ".tar", ".zip")


def home() -> Path:
    """The download cache: `$MINILUOTUO_HOME`, else `~/.cache/miniluotuo`."""
    return Path(os.environ.get("MINILUOTUO_HOME", "~/.cache/miniluotuo")).expanduser()


def offline() -> bool:
    """Whether the network is out of bounds: `HF_HUB_OFFLINE`, Hugging Face's own switch, which `setup("smoke")` sets."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def mirrored(url: str) -> str:
    """The place of a URL inside a mirror or the cache: host and path, decoded; `manual:` files stand in `manual/`.

    >>> mirrored("https://raw.githubusercontent.com/a/b/main/%E4%B8%AD.json"), mirrored("manual:baike2018qa/train.json")
    ('raw.githubusercontent.com/a/b/main/中.json', 'manual/baike2018qa/train.json')
    """
    parts = urlsplit(url)
    path = unquote(parts.path).lstrip("/")
    if inside(path) and inside(parts.netloc.split(":")[0] or "manual"):
        return f"{parts.netloc or parts.scheme}/{path}" + (
            f"?{quote(parts.query, safe='=&')}" if parts.query else ""
        )
    raise DataError(f"{url}: the address leaves its folder; mend the card")


def inside(name: str) -> bool:
    r"""Whether a member's name stays in the folder it is unpacked to.

    >>> [inside(n) for n in ("a/b.json", "../b.json", "/b.json", "a/../../b", "C:/b", "a\\..\\..\\b")]
    [True, False, False, False, False, False]
    """
    path = PurePosixPath(name.replace("\\", "/"))
    return (
        bool(path.parts)
        and not path.is_absolute()
        and ".." not in path.parts
        and ":" not in path.parts[0]
    )


def verify(path: Path, pin: Mapping) -> Path:
    """`path` itself if size and SHA-256 are the pinned ones (null pins are not checked), else DataError."""
    found = path.stat().st_size
    if pin.get("bytes") is not None and found != pin["bytes"]:
        raise DataError(
            f"{path.name}: found {found:,} bytes, expected {pin['bytes']:,}. The file is damaged or changed at "
            "its source: delete it and run again"
        )
    if pin.get("sha256") and (digest := file_sha256(path)) != pin["sha256"]:
        raise DataError(
            f"{path.name}: found sha256 {digest[:12]}…, expected {pin['sha256'][:12]}…. The file is damaged or "
            "changed at its source: delete it and run again"
        )
    return path


def local(pin: Mapping) -> Path | None:
    """The verified file of a pin if it is on this machine: in the package, a mirror folder or the cache; else None.

    A damaged file in the cache is passed over, and said; one in a mirror folder is a DataError, since nobody would replace it.
    """
    url, mirror = pin["url"], os.environ.get("MINILUOTUO_MIRROR", "")
    if url.startswith("package:"):
        return verify(PACKAGE / url.removeprefix("package:"), pin)
    place = mirrored(url)
    if mirror and "://" not in mirror and not Path(mirror).expanduser().is_dir():
        raise FileNotFoundError(
            f"MINILUOTUO_MIRROR is {mirror!r}, and there is no such folder (seen from {Path.cwd().name}/). "
            "Give its whole path: notebooks run in their own folder"
        )
    if mirror and "://" not in mirror and (path := Path(mirror).expanduser() / place).is_file():
        return verify(path, pin)
    if (cached := home() / place).is_file():
        try:
            return verify(cached, pin)
        except DataError as error:
            print(f"cache: {error} (it is passed over)")
    return None


def addresses(url: str) -> list[str]:
    """Where a URL is asked for, in order: a mirror address, then its own host, which for the hub is `HF_ENDPOINT`."""
    mirror, hub = (
        os.environ.get("MINILUOTUO_MIRROR", "").rstrip("/"),
        os.environ.get("HF_ENDPOINT", "").rstrip("/"),
    )
    own = (
        hub + url.removeprefix("https://huggingface.co")
        if hub and url.startswith("https://huggingface.co/")
        else url
    )
    return ([f"{mirror}/{mirrored(url)}"] if "://" in mirror else []) + (
        [] if url.startswith("manual:") else [own]
    )


def fetch_all(pins: Sequence[Mapping], progress: bool = True, network: bool = True) -> list[Path]:
    """The local, verified files of many pins, in their order: see `fetch`.

    FileNotFoundError lists every file that could not be had.
    """
    found = {pin["url"]: local(pin) for pin in pins}
    wanted = list({pin["url"]: pin for pin in pins if found[pin["url"]] is None}.values())
    if wanted:
        sizes = [pin["bytes"] for pin in wanted]
        with (
            progress_bar(sum(sizes) if all(sizes) else None, progress) as bar,
            ThreadPoolExecutor(AT_ONCE) as pool,
        ):
            found |= zip(
                (pin["url"] for pin in wanted),
                pool.map(lambda pin: outcome(pin, bar, network), wanted),
                strict=True,
            )
    missing = [error for error in found.values() if isinstance(error, FileNotFoundError)]
    if missing:
        listed = "; ".join(map(str, missing[:5])) + (
            f"; and {len(missing) - 5} more" if missing[5:] else ""
        )
        raise FileNotFoundError(
            f"{len(missing)} of {len(pins)} files could not be had: {listed}. {advice(network)}"
        )
    return [found[pin["url"]] for pin in pins]


def progress_bar(total: int | None, shown: bool) -> Any:
    """One bar of bytes for all files of a call."""
    from tqdm.auto import tqdm

    return tqdm(total=total, unit="B", unit_scale=True, disable=not shown, leave=False)


def advice(network: bool) -> str:
    """What a person can do about a missing file."""
    if network and offline():
        return (
            "This session is offline (HF_HUB_OFFLINE=1, as SCALE = 'smoke' sets it): put the files into a folder with `python -m miniluotuo_utils "
            "download NAME --mirror DIR` where there is a network, and set MINILUOTUO_MIRROR to it"
        )
    return "Check the network, or set MINILUOTUO_MIRROR to a folder that holds them; SCALE = 'smoke' needs neither"


def outcome(pin: Mapping, bar: Any, network: bool) -> Path | FileNotFoundError:
    """The downloaded file of a pin, or why it could not be had."""
    tried = (
        []
        if "://" in os.environ.get("MINILUOTUO_MIRROR", "") or "MINILUOTUO_MIRROR" not in os.environ
        else ["not in the mirror folder"]
    )
    for source in addresses(pin["url"]) if network and not offline() else []:
        try:
            return download(source, home() / mirrored(pin["url"]), pin, bar)
        except OSError as error:
            if error.errno in LOCAL:
                raise OSError(
                    error.errno,
                    f"cannot write the download cache ({error.strerror}); free some space or set MINILUOTUO_HOME to "
                    "another folder",
                ) from None
            status = getattr(getattr(error, "response", None), "status_code", None)
            tried.append(
                f"{urlsplit(source).netloc}: {f'HTTP {status}' if status else type(error).__name__}"
            )
    place = mirrored(pin["url"])
    return FileNotFoundError(
        f"{place if pin['url'].startswith('manual:') else Path(place).name} ({'; '.join(tried) or 'not in the cache'})"
    )


def fetch(pin: Mapping, progress: bool = True, network: bool = True) -> Path:
    """The local, verified file of one pin. Order: package, mirror folder, cache, mirror address, network.

    `network=False` stops before the last two. Raises DataError for a file whose bytes are wrong, and FileNotFoundError,
    which says where it was looked for, where the file cannot be had.
    """
    return fetch_all([pin], progress, network)[0]


def download(source: str, target: Path, pin: Mapping, bar: Any) -> Path:
    """Download `source` beside `target`, verify it, rename it. The network's errors are OSErrors.

    What is there of a pinned file (`<name>.part`) is gone on with, after a broken line or in a later session; of an unpinned
    file it is not, because the source may have changed meanwhile.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with alone(target) as part:
        if target.is_file() and pin.get("sha256") and file_sha256(target) == pin["sha256"]:
            return target  # another process had it first
        return whole_part(source, part, target, pin, bar)


@contextmanager
def alone(target: Path) -> Iterator[Path]:
    """The `.part` of a target, while no other process of this machine writes to it."""
    part = target.with_name(target.name + ".part")
    if sys.platform == "win32":
        yield part
        return
    import fcntl

    lock = (
        Path(tempfile.gettempdir())
        / f"miniluotuo-{sha256(str(target.resolve()).encode()).hexdigest()[:16]}.lock"
    )
    with open(lock, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield part


def whole_part(source: str, part: Path, target: Path, pin: Mapping, bar: Any) -> Path:
    """Receive the rest of `part`, verify it, rename it to `target`."""
    if not pin.get("sha256"):
        part.unlink(missing_ok=True)
    for attempt in range(1, TRIES + 1):
        try:
            receive(source, part, bar)
            break
        except OSError as error:
            answered = getattr(error, "response", None) is not None
            if attempt == TRIES or answered or not part.exists():
                raise
    try:
        verify(part, pin)
    except DataError:
        part.unlink()
        raise
    os.replace(part, target)
    return target


def receive(source: str, part: Path, bar: Any) -> None:
    """Add to `part` what it lacks of `source` (HTTP Range), or begin anew where the server does not go on."""
    import requests

    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(source, headers=headers, stream=True, timeout=(10, 60)) as answer:
        if (
            answer.status_code == 416
        ):  # nothing lacks, or `part` is of another file; the checksum tells
            return
        answer.raise_for_status()
        goes_on = answer.status_code == 206
        bar.update(have if goes_on else 0)
        with open(part, "ab" if goes_on else "wb") as file:
            for block in answer.iter_content(1 << 16):
                file.write(block)
                bar.update(len(block))


READABLE = (".json", ".jsonl", ".txt", ".csv", ".parquet", ".conll", ".bmes")
LARGEST = 20 << 30  # bytes that one archive may unpack to
BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    EOFError,
    zlib.error,
    RuntimeError,
    NotImplementedError,
    gzip.BadGzipFile,
)


def members(path: Path) -> list[Path]:
    """The file itself, or an archive's unpacked data members in the order of their names.

    They are unpacked once, into the cache. DataError for a damaged archive, for one without data, and for a member that would leave
    its folder; then nothing is unpacked.
    """
    if not path.name.endswith(ARCHIVES):
        return [path]
    folder = home() / "unpacked" / f"{path.name}-{file_sha256(path)[:12]}"
    if not folder.is_dir():
        with written_whole(folder) as partial:
            unpack(path, partial)
    found = sorted(
        p
        for p in folder.rglob("*")
        if p.suffix in READABLE and "__MACOSX" not in p.parts and not p.name.startswith("._")
    )
    if not found:
        raise DataError(
            f"{path.name}: found no member with one of the endings {', '.join(READABLE)}; is it the right archive?"
        )
    return found


def unpack(path: Path, folder: Path) -> None:
    """Unpack a tar or zip archive into `folder`; DataError for a damaged, encrypted or oversized one, or for a member that leads out of it."""
    folder.mkdir(parents=True)
    try:
        if path.name.endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                allow(
                    [(i.filename, i.file_size, inside(i.filename)) for i in archive.infolist()],
                    path,
                )
                archive.extractall(folder)
        else:
            with tarfile.open(path) as archive:
                allow(
                    [
                        (m.name, m.size, inside(m.name) and (m.isfile() or m.isdir()))
                        for m in archive
                    ],
                    path,
                )
                archive.fileobj.seek(archive.offset)
                if archive.fileobj.read(512) != bytes(
                    512
                ):  # tarfile takes a bad header, or the file's end, for the archive's
                    raise EOFError("it breaks off in the middle")
                while archive.fileobj.read(
                    1 << 20
                ):  # to the end, so that a gzip's checksum is compared
                    pass
                archive.extractall(folder, filter="data")
    except BROKEN as error:
        raise DataError(
            f"{path.name}: not a whole archive that can be read ({error}); delete it and run again"
        ) from None


def allow(found: Sequence[tuple[str, int, bool]], path: Path) -> None:
    """DataError unless every (name, size, stays inside) is a plain file inside the folder and all together are of a sane size."""
    if strange := [name for name, _, stays in found if not stays]:
        raise DataError(
            f"{path.name}: the member {strange[0]!r} leads out of its folder or is no plain file; nothing was unpacked"
        )
    if (total := sum(size for _, size, _ in found)) > LARGEST:
        raise DataError(
            f"{path.name}: its members make {total >> 30} GiB, more than {LARGEST >> 30}; is it hostile? Nothing was unpacked"
        )


def copy_into_mirror(pins: Sequence[Mapping], folder: Path) -> list[Path]:
    """Copy verified files into a mirror folder, laid out as `MINILUOTUO_MIRROR` reads it."""
    copied = []
    for pin in pins:
        if not pin["url"].startswith("package:"):
            source = local(pin) or fetch(pin)
            with written_whole(folder / mirrored(pin["url"])) as partial:
                shutil.copyfile(source, partial)
            copied.append(folder / mirrored(pin["url"]))
    return copied
