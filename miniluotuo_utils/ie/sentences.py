"""Make sentences of a person's own text, and part labelled ones into training and test.

In: a text or a text file; IE records. Out: sentences, each once, with the paragraph they stand in;
two lists of records of which the second repeats nothing of the first. Shown in notebook 07.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from miniluotuo_utils.files import DataError
from miniluotuo_utils.ie.names import SURROGATE
from miniluotuo_utils.ie.windows import windows
from miniluotuo_utils.text import folded, jaccard, shingles

LONGEST = 200  # characters of a sentence; a longer one is cut, at a comma where there is one
NEAR = 0.5  # Jaccard similarity of 3-grams from which two sentences may not be parted

# A sentence goes as far as its closing quotes; a line end ends one; `3.5` and `a.m.` do not.
ENDS = re.compile(r"[^。！？!?…\n]*(?:[。！？!?…]+[”’」』）)]*|\n|\Z)")
OPENERS, CLOSERS = "“「『（(《", "”」』）)》"
# `8:30` and `1,000` stay whole.
COMMAS = re.compile(r".*?(?:[，；;、：]|[,:](?!\d)|\Z)", re.DOTALL)
LINE_END = re.compile("\r\n?|[\u2028\u2029\x0b\x0c\x85]")
UNSEEN = {0xFEFF: None, 0x200B: None}  # a byte order mark within the text, a space without width
PRIVATE = re.compile("[\ue000-\uf8ff]")  # what rubbish read as GB18030 is full of
HANZI = re.compile("[\u4e00-\u9fff]")
CHINESE = 3  # characters in UTF-8 that do not come about by chance
SHARE = 1 / 4  # of the sentences: no single document of a text holds more


def split_sentences(text: str, longest: int = LONGEST) -> list[str]:
    """Return the sentences of a text in order, without spaces around them; each one once.

    A sentence ends behind 。！？… with the quotes that close behind it, and at a line end, but not
    inside of quotes or brackets; straight quotes, of which nobody knows whether they open or close,
    are no quotes here. One of more than `longest` characters is cut. Characters that nobody sees
    are left out, or two sentences that look alike would be two. A `DataError` names the character
    of a half surrogate pair, which no file can hold.

    >>> split_sentences("他问：“走吗？现在。”没人答。\\n\\n第二天，下雨了！第二天，下雨了！")
    ['他问：“走吗？现在。”', '没人答。', '第二天，下雨了！']
    """
    if not isinstance(text, str):
        raise DataError(f"found {type(text).__name__}, expected a text（要一段文字）")
    if broken := SURROGATE.search(text):
        raise DataError(
            f"character {broken.start():,} is half of a surrogate pair, which no file can hold: "
            "take it out, or read the file as UTF-8（第 "
            f"{broken.start():,} 个字符只有半个，删掉它，或者按 UTF-8 重新读）"
        )
    found: dict[str, None] = {}
    for sentence in whole_sentences(clean(text)):
        for piece in shortened(sentence.strip(), longest):
            if any(character.isalnum() for character in piece):
                found.setdefault(piece)
    return list(found)


def clean(text: str) -> str:
    """Return a text with \\n as its only line end and without characters that nobody sees."""
    return LINE_END.sub("\n", text).translate(UNSEEN)


def whole_sentences(text: str) -> Iterable[str]:
    """Yield the sentences of a text; what stands in quotes or brackets is not cut.

    A quote that nobody closes ends with its line.
    """
    held, depth = "", 0
    for match in ENDS.finditer(text):
        piece = match.group()
        held += piece
        depth += sum(map(piece.count, OPENERS)) - sum(map(piece.count, CLOSERS))
        if depth <= 0 or piece.endswith("\n"):
            yield held
            held, depth = "", 0
    if held:
        yield held


def shortened(sentence: str, longest: int) -> list[str]:
    """Return a sentence in pieces of at most `longest` characters, cut behind commas if it can be.

    >>> shortened("一二三，四五六，七八", 8)
    ['一二三，四五六，', '七八']
    """
    if len(sentence) <= longest:
        return [sentence]
    pieces = [""]
    for match in COMMAS.finditer(sentence):
        if len(pieces[-1]) + len(match.group()) > longest:
            pieces.append("")
        pieces[-1] += match.group()
    # A piece without commas is cut anywhere.
    parts = []
    for piece in filter(None, pieces):
        parts += [piece[start:end] for start, end in windows(piece, longest)]
    return parts


def read_records(
    path: Path | str, longest: int = LONGEST, say: Callable[[str], object] | None = print
) -> list[dict]:
    """Return the sentences of a text file (`split_sentences`) as IE records with no entities yet.

    `document` is the number of the paragraph that a sentence stands in, for `part`: sentences of
    one notice share names and dates. Paragraphs end at empty lines. Where there are none, or one
    would hold more than a quarter of the sentences, every line counts as one.

    Read as UTF-8, with or without a byte order mark, as UTF-16 with one, or as GB18030, which old
    Windows programs write; `say` is told as which, with the first sentence, since GB18030 gives
    rubbish a meaning. `DataError` for no file, one without a sentence, and one in another encoding.

    >>> file = Path(__file__).parents[1] / "embedded" / "notice.txt"
    >>> sorted(read_records(file, say=None)[0])
    ['document', 'entities', 'sentence', 'source']
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file（没有这个文件；要一个文本文件，不是文件夹）")
    text, encoding = decoded(path.read_bytes(), path.name)
    pieces = documents_of(text, longest)
    if not pieces or any("\0" in sentence for sentence in pieces):
        raise DataError(f"{path.name}: found no sentence of text in it（里面没有句子）")
    if say:
        count = len(set(pieces.values()))
        say(
            f"{path.name}：按 {encoding} 读，{len(pieces)} 句，{count} 段 "
            f"read as {encoding}, {len(pieces)} sentences in {count} documents\n"
            f"第一句 the first: {next(iter(pieces))}"
        )
    return [
        {"sentence": sentence, "source": path.name, "document": number, "entities": []}
        for sentence, number in pieces.items()
    ]


def documents_of(text: str, longest: int) -> dict[str, int]:
    """Return the sentences of a text, each with the number of its paragraph, the first one's.

    >>> documents_of("甲。乙。\\n丙。\\n丁。戊。\\n乙。", LONGEST)
    {'甲。': 0, '乙。': 0, '丙。': 1, '丁。': 2, '戊。': 2}
    """
    pieces: dict[str, int] = {}
    for pattern in (r"\n\s*\n", r"\n"):
        pieces.clear()
        for number, block in enumerate(re.split(pattern, clean(text).strip())):
            for sentence in split_sentences(block, longest):
                pieces.setdefault(sentence, number)
        if max(Counter(pieces.values()).values(), default=0) <= SHARE * len(pieces):
            break
    return pieces


def decoded(data: bytes, name: str) -> tuple[str, str]:
    """Return the text of a file and its encoding; DataError for one that is none of ours."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        with suppress(UnicodeDecodeError):
            return data.decode("utf-16"), "UTF-16"
    try:
        return data.decode("utf-8-sig"), "UTF-8"
    except UnicodeDecodeError as error:
        at = error.start
    # Chinese up to the fault was UTF-8, and is damaged; GB18030 would make other characters of it.
    begun = len(HANZI.findall(data[:at].decode("utf-8", "ignore"))) >= CHINESE
    with suppress(UnicodeDecodeError):
        text = data.decode("gb18030")
        if not begun and not PRIVATE.search(text):
            return text, "GB18030"
    raise DataError(
        f"{name}: not UTF-8 from byte {at + 1:,} on, and not UTF-16 or GB18030: save it as UTF-8"
        f"（第 {at + 1:,} 个字节起不是 UTF-8，别的编码也认不出来：另存为 UTF-8 再读）"
    )


def part(
    records: Sequence[Mapping], test: float = 0.3, seed: int = 42, near: float = NEAR
) -> tuple[list[dict], list[dict]]:
    """Part labelled records into training and test, so that the test repeats nothing of training.

    Sentences that nearly repeat each other (Jaccard similarity of 3-grams from `near` on: a notice
    that comes every week with another date) stay together, and so do records with one `document`.
    Whole groups are drawn until the test holds `test` of the sentences, or one more group would be
    too many. Both lists are in the records' order. ValueError for a share that leaves one side
    empty.
    """
    if not 0 < test < 1:
        raise ValueError(f"test is {test!r}; expected a share between 0 and 1（0 到 1 之间）")

    # Groups, not sentences, are drawn.
    groups: dict[int, list[int]] = {}
    for number, group in enumerate(groups_of(records, near)):
        groups.setdefault(group, []).append(number)
    drawn = list(groups.values())
    random.Random(seed).shuffle(drawn)

    # A group that is too large is passed over: a smaller one behind it may fit.
    wanted, chosen = round(test * len(records)), set()
    for group in drawn:
        if len(chosen) + len(group) <= wanted:
            chosen.update(group)
    if not chosen or len(chosen) == len(records):
        raise ValueError(
            f"{len(records)} records in {len(drawn)} groups that nearly repeat each other: "
            f"no share of about {test} can be taken out（句子太少，或者都太像，分不开）"
        )
    train = [dict(r) for number, r in enumerate(records) if number not in chosen]
    return train, [dict(r) for number, r in enumerate(records) if number in chosen]


def groups_of(records: Sequence[Mapping], near: float) -> list[int]:
    """Return for each record the number of its group: of the first record that it is tied to.

    >>> texts = ["周六上午九点花展开幕，欢迎。", "晚上下雨。", "周日上午九点花展开幕，欢迎。"]
    >>> groups_of([{"sentence": text} for text in texts], 0.5)
    [0, 1, 0]
    """
    # Each record leads to an earlier one of its group, or to itself: then it is the first.
    owner = list(range(len(records)))

    def first(number: int) -> int:
        while owner[number] != number:
            number = owner[number]
        return number

    def tie(one: int, other: int) -> None:
        low, high = sorted((first(one), first(other)))
        owner[high] = low

    # Alike, or of one document: either ties.
    texts = [record["sentence"] for record in records]
    documents: dict[object, int] = {}
    for number, others in enumerate(neighbours(texts, near)):
        for other in others:
            tie(number, other)
        if (document := records[number].get("document")) is not None:
            tie(number, documents.setdefault(document, number))
    return [first(number) for number in range(len(records))]


def neighbours(texts: Sequence[str], near: float) -> Iterator[list[int]]:
    """Yield for each text the numbers of all earlier ones that it nearly repeats.

    All pairs count: of three notices the last may be like the second, and not like the first.
    """
    holders: dict[str, list[int]] = {}
    seen: list[set[str]] = []
    for number, text in enumerate(texts):
        own = shingles(folded(text) or text)
        shared: Counter[int] = Counter()
        for shingle in own:
            shared.update(holders.setdefault(shingle, []))
            holders[shingle].append(number)
        seen.append(own)
        yield [n for n in shared if jaccard(own, seen[n]) >= near]
