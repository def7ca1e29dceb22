"""Fetch files by pinned URL: from the package, a mirror, the cache or the network, always checked.

In: a `{"url", "bytes", "sha256"}` of a card. Out: a local path whose bytes are the pinned ones.
Shown in notebook 01.
"""

import errno
import os
import shutil
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from gzip import BadGzipFile
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from miniluotuo_utils.files import DataError, file_sha256, written_whole
from miniluotuo_utils.progress import progress_bar
from miniluotuo_utils.runtime import PACKAGE, mirror
from miniluotuo_utils.writing import Alone, Taken

AT_ONCE = 4  # files fetched side by side
TRIES = 3  # per file, each going on where the last one broke off
# Faults of this machine's disk, which no other address would mend.
LOCAL = (errno.ENOSPC, errno.ENOTDIR, errno.EACCES, errno.EROFS, errno.EISDIR, errno.EDQUOT)
# What a person can do.
CHANGED = (
    "文件坏了，或者在来源那边改过：删掉它再运行。 "
    "The file is damaged or changed at its source: delete it and run again"
)
NO_NETWORK = (
    "This session is offline (HF_HUB_OFFLINE=1, as SCALE = 'smoke' sets it): put the files into a "
    "folder with `python -m miniluotuo_utils download NAME --mirror DIR` where there is a network, "
    "and set MINILUOTUO_MIRROR to it（这里不联网：在有网络的地方下载进一个文件夹，再指给它）"
)
NOT_FOUND = (
    "Check the network, or set MINILUOTUO_MIRROR to a folder that holds them; "
    "SCALE = 'smoke' needs neither（看看网络，或者指一个镜像文件夹；smoke 两样都不用）"
)


def home() -> Path:
    """Return the download cache: `$MINILUOTUO_HOME`, else `~/.cache/miniluotuo`."""
    chosen = os.environ.get("MINILUOTUO_HOME", "").strip()
    return Path(chosen or "~/.cache/miniluotuo").expanduser()


def offline() -> bool:
    """Return whether `HF_HUB_OFFLINE`, which `setup("smoke")` sets, forbids the network."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def mirrored(url: str) -> str:
    """Return the place of a URL inside a mirror or the cache: its host and path, decoded.

    Files that a person fetches (`manual:`) stand in `manual/`, packages of npm in `npm/`. Raises
    DataError for an address that leads out of the folder.

    >>> mirrored("https://raw.githubusercontent.com/a/b/main/%E4%B8%AD.json")
    'raw.githubusercontent.com/a/b/main/中.json'
    >>> mirrored("manual:baike2018qa/train.json")
    'manual/baike2018qa/train.json'
    >>> mirrored("npm:@huggingface/tokenizers@0.2.0")
    'npm/@huggingface/tokenizers@0.2.0'
    """
    parts = urlsplit(url)
    host, path = parts.netloc or parts.scheme, unquote(parts.path).lstrip("/")
    if not (inside(path) and inside(host.split(":")[0])):
        raise DataError(f"{url}: the address leaves its folder; mend the card")
    # Two downloads that differ only in their query are two files.
    query = f"?{quote(parts.query, safe='=&')}" if parts.query else ""
    return f"{host}/{path}{query}"


def inside(name: str) -> bool:
    r"""Return whether a relative name stays in the folder that it is written to.

    >>> inside("a/b.json"), inside("../b.json"), inside("/b.json"), inside("a/../../b")
    (True, False, False, False)
    >>> inside("C:/b"), inside("a\\..\\..\\b")
    (False, False)
    """
    path = PurePosixPath(name.replace("\\", "/"))
    return (
        bool(path.parts)
        and not path.is_absolute()
        and ".." not in path.parts
        and ":" not in path.parts[0]
    )


def verify(path: Path, pin: Mapping) -> Path:
    """Return `path` if its size and SHA-256 are the pinned ones; a null pin is not checked.

    Raises DataError where they are not; it names the whole path, since that is what to delete.
    """
    size = path.stat().st_size
    if pin.get("bytes") is not None and size != pin["bytes"]:
        raise DataError(f"{path}: found {size:,} bytes, expected {pin['bytes']:,}. {CHANGED}")
    if pin.get("sha256") and (digest := file_sha256(path)) != pin["sha256"]:
        raise DataError(
            f"{path}: found sha256 {digest[:12]}…, expected {pin['sha256'][:12]}…. {CHANGED}"
        )
    return path


def local(pin: Mapping) -> Path | None:
    """Return the verified file of a pin if it is on this machine, else None.

    It is looked for in the package, a mirror folder and the cache. A damaged file in the cache is
    passed over with a word, because a download replaces it. A damaged one in a mirror folder
    raises DataError, because nothing would.
    """
    if pin["url"].startswith("package:"):
        return verify(PACKAGE / pin["url"].removeprefix("package:"), pin)
    place = mirrored(pin["url"])
    if mirror() and "://" not in mirror():
        folder = Path(mirror()).expanduser()
        if not folder.is_dir():
            raise FileNotFoundError(
                f"MINILUOTUO_MIRROR is {mirror()!r}, and there is no such folder (seen from "
                f"{Path.cwd().name}/). Give its whole path: notebooks run in their own folder"
                "（没有这个镜像文件夹，要写完整路径）"
            )
        if (folder / place).is_file():
            return verify(folder / place, pin)

    cached = home() / place
    try:
        return verify(cached, pin) if cached.is_file() else None
    except DataError as error:
        print(f"cache: {error} (it is passed over)")
        return None


def addresses(url: str) -> list[str]:
    """Return where a URL is asked for, in order: a mirror's address, then its own host.

    The hub's own host is the one that `HF_ENDPOINT` names. A `manual:` file has no host.
    """
    found = [f"{mirror()}/{mirrored(url)}"] if "://" in mirror() else []
    hub = os.environ.get("HF_ENDPOINT", "").rstrip("/")
    if hub and url.startswith("https://huggingface.co/"):
        url = hub + url.removeprefix("https://huggingface.co")
    return found if url.startswith("manual:") else [*found, url]


def fetch_all(pins: Sequence[Mapping], progress: bool = True, network: bool = True) -> list[Path]:
    """Return the local, verified files of many pins, in their order.

    Each is looked for in the package, a mirror folder, the cache, at a mirror's address and on the
    network; `network=False` stops before the last two. Raises DataError for a file whose bytes are
    wrong, and FileNotFoundError that lists every file that cannot be had and where it was sought.
    """
    found: dict[str, Any] = {pin["url"]: local(pin) for pin in pins}
    # By address: two threads must not write one file.
    wanted = {pin["url"]: pin for pin in pins if found[pin["url"]] is None}
    if wanted:
        sizes = [pin["bytes"] for pin in wanted.values()]
        # One bar of bytes for all files of a call.
        total = sum(sizes) if all(sizes) else None
        bar = progress_bar(
            total=total, unit="B", unit_scale=True, unit_divisor=1024, shown=progress
        )
        with bar, ThreadPoolExecutor(AT_ONCE) as pool:
            results = pool.map(lambda pin: outcome(pin, bar, network), wanted.values())
            found |= zip(wanted, results, strict=True)

    missing = [error for error in found.values() if isinstance(error, FileNotFoundError)]
    if missing:
        listed = "; ".join(map(str, missing[:5]))
        more = f"; and {len(missing) - 5} more" if missing[5:] else ""
        advice = NO_NETWORK if network and offline() else NOT_FOUND
        raise FileNotFoundError(
            f"{len(missing)} of {len(pins)} files could not be had: {listed}{more}. {advice}"
        )
    return [found[pin["url"]] for pin in pins]


def outcome(pin: Mapping, bar: Any, network: bool) -> Path | FileNotFoundError:
    """Return the downloaded file of a pin, or why it could not be had.

    The error is returned, not raised, so that one call can list every file that is missing.
    """
    tried = ["not in the mirror folder"] if mirror() and "://" not in mirror() else []
    for source in addresses(pin["url"]) if network and not offline() else []:
        try:
            return download(source, home() / mirrored(pin["url"]), pin, bar)
        except OSError as error:
            if error.errno in LOCAL:
                raise OSError(
                    error.errno,
                    f"cannot write the download cache ({error.strerror}); "
                    "free some space or set MINILUOTUO_HOME to another folder",
                ) from None
            status = getattr(getattr(error, "response", None), "status_code", None)
            reason = f"HTTP {status}" if status else type(error).__name__
            tried.append(str(error) if npm(source) else f"{urlsplit(source).netloc}: {reason}")

    # A person must know the whole place of a file that they put there themselves.
    place = mirrored(pin["url"])
    name = place if pin["url"].startswith("manual:") else Path(place).name
    return FileNotFoundError(f"{name} ({'; '.join(tried) or 'not in the cache'})")


def download(source: str, target: Path, pin: Mapping, bar: Any) -> Path:
    """Download `source` beside `target`, verify it, rename it. The network's errors are OSErrors.

    A part of a pinned file (`<name>.part`) is gone on with, after a broken line or in a later
    session. A part of an unpinned one is not: the source may have changed meanwhile.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    with Alone(target, wait=-1):
        # Another process may have fetched it while this one waited.
        if target.is_file() and pin.get("sha256") and file_sha256(target) == pin["sha256"]:
            return target
        # Only a checksum can prove that two halves are of one file.
        if not pin.get("sha256"):
            part.unlink(missing_ok=True)
        if npm(source):
            receive_package(source, part)
        else:
            receive_rest(source, part, bar)
        try:
            verify(part, pin)
        except DataError:
            part.unlink()
            raise
        os.replace(part, target)
    return target


def receive_rest(source: str, part: Path, bar: Any) -> None:
    """Receive what `part` lacks, and after a broken line what then still lacks."""
    for attempt in range(1, TRIES + 1):
        try:
            return receive(source, part, bar)
        except OSError as error:
            # A host that answered (404) answers the same again; without a first byte it is down.
            answered = getattr(error, "response", None) is not None
            if attempt == TRIES or answered or not part.exists():
                raise


def receive(source: str, part: Path, bar: Any) -> None:
    """Add to `part` what it lacks of `source` (HTTP Range), or begin anew if the server does."""
    import requests

    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(source, headers=headers, stream=True, timeout=(10, 60)) as answer:
        # 416: nothing lacks, or `part` is of another file; the checksum will tell.
        if answer.status_code == 416:
            return
        answer.raise_for_status()
        goes_on = answer.status_code == 206
        bar.update(have if goes_on else 0)
        with open(part, "ab" if goes_on else "wb") as file:
            for block in answer.iter_content(1 << 16):
                file.write(block)
                bar.update(len(block))


def npm(source: str) -> bool:
    """Return whether an address is a package of npm: `npm:NAME@VERSION`."""
    return source.startswith("npm:")


def receive_package(source: str, part: Path) -> None:
    """Let npm put the archive of a package at `part`, from wherever a person has it look.

    No program of the package is run. Raises OSError, in one sentence, where npm cannot.
    """
    name = shutil.which("npm")
    if name is None:
        raise OSError(
            "npm is not installed（没有装 npm，它随 Node.js 一起来 it comes with Node.js）"
        )
    with TemporaryDirectory(dir=part.parent) as place:
        command = [name, "pack", source.removeprefix("npm:"), "--ignore-scripts", "--silent"]
        done = subprocess.run(
            [*command, "--pack-destination", place],
            cwd=place,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        found = [*Path(place).glob("*.tgz")]
        if done.returncode or len(found) != 1:
            said = (done.stderr or done.stdout).strip()[-300:]
            raise OSError(f"npm pack {source.removeprefix('npm:')}: {said or 'failed'}")
        os.replace(found[0], part)


ARCHIVES = (".tar.gz", ".tgz", ".tar", ".zip")
READABLE = (".json", ".jsonl", ".txt", ".csv", ".parquet", ".conll", ".bmes")
LARGEST = 20 << 30  # bytes that one archive may unpack to
# What a damaged or encrypted archive raises.
BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    BadGzipFile,
    zlib.error,
    EOFError,
    RuntimeError,
)


def members(path: Path) -> list[Path]:
    """Return the file itself, or an archive's unpacked data members in the order of their names.

    They are unpacked once, into the cache. Raises DataError for a damaged archive, for one without
    data, and for a member that would leave its folder; then nothing is unpacked.
    """
    if not path.name.endswith(ARCHIVES):
        return [path]
    folder = home() / "unpacked" / f"{path.name}-{file_sha256(path)[:12]}"
    if not folder.is_dir():
        with written_whole(folder) as partial:
            unpack(path, partial)
    # macOS packs a hidden file of its own beside each of a person's, and one of ours lists all.
    found = [
        p
        for p in sorted(folder.rglob("*"))
        if p.suffix in READABLE and "__MACOSX" not in p.parts and not p.name.startswith(".")
    ]
    if not found:
        raise DataError(
            f"{path.name}: found no member with one of the endings {', '.join(READABLE)}; "
            "is it the right archive?"
        )
    return found


def unpack(path: Path, folder: Path) -> None:
    """Unpack a tar or zip archive into `folder`.

    Raises DataError for one that is damaged, encrypted or oversized, or leads out of the folder.
    """
    folder.mkdir(parents=True)
    try:
        if path.name.endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                allow([(i.filename, i.file_size, True) for i in archive.infolist()], path)
                archive.extractall(folder)
            return
        with tarfile.open(path) as archive:
            allow([(m.name, m.size, m.isfile() or m.isdir()) for m in archive], path)
            # tarfile takes a bad header, or the file's end, for the end of the archive.
            archive.fileobj.seek(archive.offset)
            if archive.fileobj.read(512) != bytes(512):
                raise EOFError("it breaks off in the middle")
            # Read on to the end, so that gzip compares its checksum.
            while archive.fileobj.read(1 << 20):
                pass
            # Python has filters from 3.11.4 on; before, what is allowed above has to do.
            archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
            archive.extractall(folder)
    except BROKEN as error:
        raise DataError(
            f"{path}: not a whole archive that can be read ({error}); delete it and run again"
        ) from None


def allow(found: Sequence[tuple[str, int, bool]], path: Path) -> None:
    """Raise DataError unless every (name, size, is plain) stays inside and all are of sane size."""
    if strange := [name for name, _, plain in found if not (plain and inside(name))]:
        raise DataError(
            f"{path.name}: the member {strange[0]!r} leads out of its folder or is no plain file; "
            "nothing was unpacked"
        )
    if (total := sum(size for _, size, _ in found)) > LARGEST:
        raise DataError(
            f"{path.name}: its members make {total >> 30} GiB, more than {LARGEST >> 30}; "
            "is it hostile? Nothing was unpacked"
        )


def copy_into_mirror(pins: Sequence[Mapping], folder: Path) -> list[Path]:
    """Copy verified files into a mirror folder, laid out as `MINILUOTUO_MIRROR` reads it.

    Raises `Taken` for a file of other bytes that is there already: an older one of its source, or a
    person's own.
    """
    wanted = [pin for pin in pins if not pin["url"].startswith("package:")]
    copied = [folder / mirrored(pin["url"]) for pin in wanted]
    for source, target in zip(fetch_all(wanted), copied, strict=True):
        if target.is_file() and file_sha256(target) == file_sha256(source):
            continue
        if target.exists():
            raise Taken(
                f"{target.name} is in the mirror already, with other bytes than the verified file: "
                "delete it there, or choose another folder"
            )
        with written_whole(target, overwrite=False) as partial:
            shutil.copyfile(source, partial)
    return copied
