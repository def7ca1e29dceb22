"""Open a person's file whatever it is packed in and written in, or say why it is no data.

In: a path. Out: a file that the readers see unpacked and in UTF-8, and what was done to it.
Used by `read_any`; shown in data/README.md.
"""

import bz2
import codecs
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from miniluotuo_utils.files import DataError

HEAD = 1 << 16  # bytes that are looked at
# What systems put into archives beside the data.
BESIDE = re.compile(r"__MACOSX/.*|(.*/)?\.[^/]*|(.*/)?(Thumbs\.db|desktop\.ini)|.*/")


def only_member(path: Path, mode: str = "rb") -> BinaryIO:
    """Open the one file of a zip archive, as doccano exports them; DataError for others."""
    name = member_name(path)
    try:
        return zipfile.ZipFile(path).open(name)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise no_archive(path, error) from None


def member_name(path: Path) -> str:
    """Return the name of the one file of a zip archive; DataError for another archive."""
    try:
        archive = zipfile.ZipFile(path)
        names = [name for name in archive.namelist() if not BESIDE.fullmatch(name)]
        office = "[Content_Types].xml" in names
        if len(names) != 1 or office:
            inside = ", ".join(names[:5]) + (", …" if names[5:] else "")
            what = "an Excel table or a Word file" if office else f"a zip archive with {inside}"
            raise DataError(
                f"{path.name}: {what}: unpack it and name a file in it, or save the table as CSV "
                "(UTF-8)（先解压；表格另存为 CSV）"
            )
        return names[0]
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise no_archive(path, error) from None


def no_archive(path: Path, error: Exception) -> DataError:
    """Return what is said of an archive that cannot be opened."""
    return DataError(
        f"{path.name}: a zip archive or an Excel table that cannot be opened ({error}): get it "
        "again, unpack it, or save the table as CSV (UTF-8)"
    )


PACKED: dict[bytes, tuple[str, Callable]] = {
    b"PK\x03\x04": ("zip", only_member),
    b"\x1f\x8b": ("gzip", gzip.open),
    b"\xfd7zXZ\x00": ("xz", lzma.open),
    b"BZh": ("bzip2", bz2.open),
}
TABLES = {b"PAR1": "parquet", b"ARROW1": "arrow", b"\xff\xff\xff\xff": "arrow"}
# The first bytes of files that hold no rows as they are -> what they are, and the way out.
REFUSED = {
    b"version https://git-lfs": (
        "a Git LFS pointer, not the data itself: run `git lfs pull` in its clone, or download the "
        "file from its page"
    ),
    b"\xd0\xcf\x11\xe0": "an old Excel or Word file: save it as CSV (UTF-8)",
    b"%PDF": "a PDF: copy its text into JSON Lines",
    b"SQLite format 3": "an SQLite database: export the table as CSV or JSON Lines",
    b"\x93NUMPY": "a NumPy array, which holds no rows of text",
    b"7z\xbc\xaf": "a 7z archive: unpack it",
    b"Rar!": "a RAR archive: unpack it",
    b"(\xb5/\xfd": "packed with zstd: unpack it with `zstd -d`",
    b"\x78\x9c": "packed with zlib, as spaCy's .spacy files are: write their `doc.to_json()`",
    b"\x80\x04": "a Python pickle, which can run code and is not opened: save it as JSON Lines",
    b"\x80\x05": "a Python pickle, which can run code and is not opened: save it as JSON Lines",
}
HTML = re.compile(rb"\s*(<!doctype html|<html|<head)\b", re.IGNORECASE)
MARKS = {
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
# Codes of Chinese text -> the first bytes of its commonest characters, and of punctuation. Our own
# rule, since charset-normalizer takes files of a row or two in GBK for other codes.
CHINESE = {
    "gb18030": (range(0xB0, 0xD8), range(0xA1, 0xA4)),
    "big5": (range(0xA4, 0xC7), range(0xA1, 0xA3)),
}
FOUR_BYTES = re.compile(rb"[\x81-\xfe][0-9][\x81-\xfe][0-9]")  # GB 18030: an emoji, among others
LIKELY = 0.9  # of its letters: other codes read as GBK give rare characters


@dataclass(frozen=True)
class AnyFile:
    """A file as readers see it: `open` gives it unpacked and in UTF-8.

    `table` is parquet or arrow, "" for text. `said` tells what was done, for a person.
    """

    path: Path
    pack: Callable | None = None
    encoding: str = "utf-8"
    table: str = ""
    said: tuple[str, ...] = field(default=())

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def stem(self) -> str:
        """The file's name up to its first dot: of rows.jsonl.gz it is rows."""
        return self.path.name.partition(".")[0] or self.path.name

    def open(self, mode: str = "rb") -> BinaryIO:
        """Return the file, unpacked, in UTF-8."""
        if self.pack:
            raw: BinaryIO = io.BufferedReader(Guarded(self.pack(self.path, mode), self.name))
        else:
            raw = self.path.open(mode)
        if self.encoding == "utf-8":
            return raw
        return io.BufferedReader(Recoded(raw, self.encoding, self.name))


class Guarded(io.RawIOBase):
    """A packed file whose faults are DataErrors that name it."""

    def __init__(self, inner: BinaryIO, name: str) -> None:
        self.inner, self.file_name = inner, name

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, *place: int) -> int:
        return self.inner.seek(*place)

    def tell(self) -> int:
        return self.inner.tell()

    def readinto(self, buffer: memoryview) -> int:
        try:
            piece = self.inner.read(len(buffer))
        except (EOFError, OSError, lzma.LZMAError, zlib.error, zipfile.BadZipFile) as error:
            raise DataError(
                f"{self.file_name}: not a whole packed file ({error}); get or pack it again"
            ) from None
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self.inner.close()
        super().close()


class Recoded(io.RawIOBase):
    """A text file of another encoding as UTF-8."""

    def __init__(self, inner: BinaryIO, encoding: str, name: str) -> None:
        self.inner, self.file_name = inner, name
        self.decoder, self.left = codecs.getincrementaldecoder(encoding)(), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        while not self.left:
            piece = self.inner.read(HEAD)
            try:
                self.left = self.decoder.decode(piece, final=not piece).encode()
            except UnicodeError as error:
                raise DataError(
                    f"{self.file_name}: begins as another encoding than UTF-8 and does not go on "
                    f"so ({error.reason}); save the file as UTF-8"
                ) from None
            if not piece:
                break
        size = min(len(buffer), len(self.left))
        buffer[:size], self.left = self.left[:size], self.left[size:]
        return size

    def close(self) -> None:
        self.inner.close()
        super().close()


def opened(path: Path | str) -> AnyFile:
    """Return a file for the readers; DataError with the way out for what is no data.

    Packed files (.gz, .xz, .bz2, a .zip of one file) are known by their bytes, whatever their name,
    and so are Parquet, Arrow, UTF-16 and UTF-32. Chinese text in GBK (GB 18030) or Big5 is read
    too, and that is said.
    """
    # First what it is packed in, by its bytes: names lie.
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"no file {path}: is the name right, and the folder?（没有这个文件）"
        )
    if path.is_dir():
        raise DataError(f"{path.name}: a folder, expected a file: name one in it（这是文件夹）")
    # It is opened several times, and what a pipe gave is gone then.
    if not path.is_file():
        raise DataError(
            f"{path.name}: a pipe or a device, which can be read only once: write it to a file "
            "first（管道只能读一遍：先存成文件）"
        )
    file, said = AnyFile(path), []
    with file.open() as raw:
        head = raw.read(HEAD)
    for mark, (word, pack) in PACKED.items():
        if head.startswith(mark):
            said.append(f"unpacked ({word})")
            file = AnyFile(path, pack)
            with file.open() as raw:
                head = raw.read(HEAD)
            break
    refuse(path.name, head)

    # Then what it holds, and what its text is written in.
    table = next((kind for mark, kind in TABLES.items() if head.startswith(mark)), "")
    encoding = "utf-8" if table else encoding_of(path.name, head)
    if encoding != "utf-8":
        said.append(f"not UTF-8: read as {encoding.upper()}; save it as UTF-8 to be sure")
    return AnyFile(path, file.pack, encoding, table, tuple(said))


def refuse(name: str, head: bytes) -> None:
    """Raise DataError for a file that holds no rows: what it is, and what to do."""
    if not head.strip(b" \t\r\n\xef\xbb\xbf"):
        raise DataError(
            f"{name}: the file is empty; was it saved, or is it another file?（文件是空的）"
        )
    if HTML.match(head):
        raise DataError(
            f"{name}: a web page (HTML), not data: the download gave a page, perhaps for signing "
            "in. Use the address behind its download or raw button（这是网页，不是数据）"
        )
    if head[257:262] == b"ustar":
        raise DataError(f"{name}: a tar archive: unpack it (`tar -xf`) and name a file in it")
    for mark, what in REFUSED.items():
        if head.startswith(mark):
            raise DataError(f"{name}: {what}")


def encoding_of(name: str, head: bytes) -> str:
    """Return the encoding of a text from its beginning; DataError where it is none that we know.

    >>> encoding_of("a", "李白".encode("utf-16")), encoding_of("a", "李白生于碎叶。".encode("gbk"))
    ('utf-16', 'gb18030')
    """
    for mark, encoding in MARKS.items():
        if head.startswith(mark):
            return encoding
    # UTF-16 without its mark: half of the bytes of punctuation, digits and line ends are 0.
    if b"\x00" in head:
        even, odd = head[0::2].count(0), head[1::2].count(0)
        likely = "utf-16-be" if even > odd else "utf-16-le"
        most, least = max(even, odd), min(even, odd)
        if most > 8 * least and 50 * most > len(head) and decodes(head, likely):
            return likely
        raise DataError(f"{name}: binary, no text that we know: save the data as JSON Lines")

    # A file with a few damaged lines is still UTF-8: its lines are named one by one.
    lines = [line for line in head.split(b"\n")[:-1] or [head] if not line.isascii()]
    good = sum(decodes(line, "utf-8") for line in lines)
    if 2 * good >= len(lines):
        return "utf-8"
    likely = {encoding: chinese(head, *ranges) for encoding, ranges in CHINESE.items()}
    best = max(likely, key=likely.get)
    if likely[best] < LIKELY or not decodes(head, best):
        raise DataError(
            f"{name}: not UTF-8, and neither GBK nor Big5 makes Chinese of it: open it where it "
            "looks right and save it as UTF-8（另存为 UTF-8）"
        )
    return best


def decodes(text: bytes, encoding: str) -> bool:
    """Return whether bytes are a text in an encoding; its end may cut a character in two."""
    try:
        codecs.getincrementaldecoder(encoding)().decode(text)
    except UnicodeDecodeError:
        return False
    return True


def chinese(text: bytes, common: range, marks: range) -> float:
    """Return how many of the two-byte characters are common ones or punctuation, 0 to 1."""
    found = FOUR_BYTES.sub(b"", text)
    pairs = re.findall(rb"[\x81-\xfe][\x40-\xfe]", found)
    return sum(pair[0] in common or pair[0] in marks for pair in pairs) / max(1, len(pairs))
