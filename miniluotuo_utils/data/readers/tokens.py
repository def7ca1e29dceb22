"""Read tokens and their tags: columns of any kind, Hugging Face's lists, W2NER's indices.

In: a unit. Out: records, whose source the caller adds. Shown in data/README.md.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby, islice
from pathlib import Path

from miniluotuo_utils.data.readers.native import Unit, text_lines
from miniluotuo_utils.data.readers.spans import chunks, entity, joined, record
from miniluotuo_utils.files import DataError

TAG = re.compile(r"[OBIMESLUW]|o|[BIMESLUWbimesluw][-_].+|.+[-_][BIMESLUW]")
TOKENS = ("tokens", "words", "chars", "sentence", "text")
TAGS = ("ner_tags", "tags", "labels", "ner", "bio", "label")
# Names of the columns of tables of tokens.
FIRST = ("token", "word", "char", "character", "tokens", "words", "字", "词", "字符")
LAST = ("tag", "label", "ner", "ner_tag", "ner_tags", "bio", "tags", "labels", "标签", "标注")
SENTENCES = ("sentence #", "sentence_id", "sent_id", "sentence", "句子", "句子编号", "sentence_idx")
SAME = {"L": "E", "U": "S", "W": "S"}  # BILOU and BMEWO call the last and the only token so
IDEOGRAPH = re.compile("[\u3400-\u9fff\U00020000-\U0003ffff]")
SAMPLE = 400  # lines that decide what the columns are
# Lines that hold no token: CoNLL-2003's documents, MultiCoNER's numbers, CoNLL-U's comments.
HEADING = re.compile(r"-DOCSTART-.*|# id .*|# ?[\w.]+ = .*")
SEPARATORS = ("\t", None, ",", "|", "/")  # None: any white space
BROKEN = "a tag that continues nothing, read as the beginning of an entity"


def between(tokens: Sequence[str]) -> str:
    """Return what stands between the tokens of a sentence: nothing in Chinese, else a space.

    >>> between(["李", "白"]), between(["New", "York"]), between(["N", "B", "A"])
    ('', ' ', '')
    """
    characters = all(len(token) <= 1 for token in tokens)
    return "" if characters or IDEOGRAPH.search("".join(tokens)) else " "


def mark_of(tag: str) -> tuple[str, str]:
    """Return the mark and the type of a tag of BIO, BMES, BIOES, BILOU or BMEWO.

    >>> mark_of("B_PER"), mark_of("U-LOC "), mark_of("I"), mark_of("PER-B")
    (('B', 'PER'), ('S', 'LOC'), ('I', ''), ('B', 'PER'))
    """
    tag = tag.strip()
    if not TAG.fullmatch(tag):
        raise DataError(
            f"found the tag {tag!r}, expected O or B-, I-, M-, E-, S-, L-, U- and a type"
        )
    # PER-B, which some write, only where it is not B-PER.
    if len(tag) > 1 and not re.match(r"[BIMESLUW][-_]", tag, re.IGNORECASE):
        tag = f"{tag[-1]}-{tag[:-2]}"
    mark = tag[0].upper()
    return SAME.get(mark, mark), tag[2:]


def token_tags(tokens: Sequence[str], tags: Sequence[str]) -> dict:
    """Return the record of a sentence of tokens with one tag each."""
    if len(tokens) != len(tags) or not tokens:
        raise DataError(f"found {len(tokens)} tokens and {len(tags)} tags, expected as many, not 0")
    sentence, spans = joined(tokens, between(tokens))
    marks = [mark_of(tag) for tag in tags]
    before = [("O", ""), *marks]
    broken = sum(
        mark in "MIE" and (last in "OES" or kind != old)
        for (mark, kind), (last, old) in zip(marks, before, strict=False)
    )
    found = record(sentence, entities=chunks(sentence, spans, marks))
    return found | ({"notes": [BROKEN] * broken} if broken else {})


def tag_lists(native: Mapping, names: Sequence[str] | None = None) -> Iterator[dict]:
    """Read Hugging Face's `tokens, ner_tags`: tags by name, or by number with their `names`."""
    tokens, tags, field = tokens_and_tags(native)
    if any(isinstance(tag, int) for tag in tags):
        if not names:
            raise DataError(
                f"field {field}: found numbers, and nothing says which tags they are; "
                "give the names in their order: --labels O B-PER I-PER ... "
                '(labels=["O", "B-PER", ...])'
            )
        tags = [numbered(tag, names) for tag in tags]
    id_ = {"id": native["id"]} if "id" in native else {}
    yield token_tags(tokens, tags) | id_


def tokens_and_tags(native: Mapping) -> tuple[list, list, str]:
    """Return the tokens, the tags and the field of the tags; KeyError without them.

    Both may be one text: the tags with blanks between, the tokens so too, or each a character.

    >>> tokens_and_tags({"text": "李白", "labels": "B-PER I-PER"})
    (['李', '白'], ['B-PER', 'I-PER'], 'labels')
    """
    field = list_field(native, TAGS)
    given = list_field({name: native[name] for name in native if name != field}, TOKENS)
    tokens, tags = native[given], native[field]
    tags = tags.split() if isinstance(tags, str) else tags
    if isinstance(tokens, str):
        tokens = list(tokens) if len(tokens) == len(tags) else tokens.split()
    return tokens, tags, field


def list_field(native: Mapping, names: Sequence[str]) -> str:
    """Return the first of the fields that holds a list, else the first with a text."""
    kinds = (list, str)
    found = (name for kind in kinds for name in names if isinstance(native.get(name), kind))
    return next(found, names[0])


def inline_tags(native: str) -> Iterator[dict]:
    """Read a sentence a line, its tags behind its words: `李白/B-PER 生于/O 碎叶/B-LOC`."""
    pairs = [cell.rpartition("/") for cell in native.split()]
    yield token_tags([token for token, _, _ in pairs], [tag for _, _, tag in pairs])


def numbered(tag: int, names: Sequence[str]) -> str:
    """Return the name of a numbered tag."""
    if not 0 <= tag < len(names):
        raise DataError(f"found tag {tag}, but there are {len(names)} names of tags")
    return names[tag]


def w2ner(native: Mapping) -> Iterator[dict]:
    """Read W2NER: `sentence[token], ner[{index[], type}]`; an entity in pieces is left out."""
    tokens = native["sentence"]
    sentence, spans = joined(tokens, between(tokens))
    found, notes = [], []
    for one in native["ner"]:
        index = one["index"]
        if index == list(range(index[0], index[0] + len(index))):
            place = spans[index[0]][0], spans[index[-1]][1]
            found.append(entity(sentence, *place, one["type"]))
        else:
            notes.append("an entity in several pieces, left out")
    yield record(sentence, entities=found) | ({"notes": notes} if notes else {})


def sentences_of(units: Iterator[Unit]) -> Iterator[Unit]:
    """Yield the tokens and tags of each sentence of a table with a row a token.

    A column numbers the sentences, of which some tables fill the first row alone.
    """
    place, before, run = "", None, []
    for here, row in units:
        if isinstance(row, DataError):
            yield here, row
            continue
        token, tag, number = (row[column_named(row, wanted)] for wanted in TABLE)
        # Another number ends the sentence before; an empty cell goes on with it.
        if number and number != before and run:
            yield place, as_lists(run)
            run = []
        place, before = place if run else here, number or before
        run.append((token, tag))
    if run:
        yield place, as_lists(run)


def as_lists(run: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Return tokens with their tags as Hugging Face has them."""
    return {"tokens": [token for token, _ in run], "ner_tags": [tag for _, tag in run]}


def column_named(row: Mapping, wanted: Sequence[str]) -> str:
    """Return the column of a row that has one of the wanted names; KeyError without one."""
    names = {name.lower(): name for name in row}
    return names[next((name for name in wanted if name in names), wanted[0])]


TABLE = (FIRST, LAST, SENTENCES)


# ---- columns


def columns_of(path: Path) -> tuple[str | None, int, int, int] | None:
    """Return how a file of columns is cut: separator, column of tokens, column of tags, how many.

    None for a file that is none. The column of tags is the last that holds only tags; the column of
    tokens is the first that holds neither tags nor running numbers.
    """
    lines = (line for _, line in text_lines(path) if isinstance(line, str))
    sample = [line for line in islice(lines, SAMPLE) if line.strip() and not heading(line)]
    for separator in SEPARATORS:
        cut = [cells(line, separator) for line in sample]
        count, often = Counter(map(len, cut)).most_common(1)[0] if cut else (0, 0)
        if count < 2 or count > 10 or often < 0.8 * len(cut):
            continue
        # A sentence a line, with words and tags in turns, is no column.
        if separator not in ("\t", None) and any(" " in cell for line in cut for cell in line[1:]):
            continue
        # A running number in front is no token.
        columns = list(zip(*[line for line in cut if len(line) == count], strict=True))
        tags = [n for n in range(count) if are_tags(columns[n])]
        counted = count > 2 and numbers(columns[0])
        others = [n for n in range(counted, count) if n not in tags[-1:]]
        if tags and others:
            return separator, others[0], tags[-1], count
    return None


def heading(line: str, shape: tuple[str | None, int, int] | None = None) -> bool:
    """Return whether a line of columns holds no token: a document's, a comment, names of columns.

    One that begins with # is a token where it has the shape of the others (separator, column of
    tags, cells) and a tag in its place; where nobody knows the shape yet, a tag behind one cell.

    >>> [*map(heading, ["-DOCSTART- -X- O", "# text = 李白", "#\\tO", "word,tag", "# O"])]
    [True, True, False, True, False]
    """
    if HEADING.match(line):
        return True
    parts = [part.strip().lower() for part in re.split(r"[\t ,|]+", line.strip())]
    if line.startswith("#"):
        separator, tag, count = shape or (None, -1, 2)
        found = cells(line, separator) if shape else parts
        return len(found) != count or not TAG.fullmatch(found[tag].upper())
    return len(parts) > 1 and parts[-1] in LAST and not {*parts}.isdisjoint(FIRST)


def cells(line: str, separator: str | None) -> list[str]:
    """Return the cells of a line; a blank in front, where blanks part cells, is a token itself.

    >>> cells("李 B-PER", None), cells("  O", None), cells("李\\\\tB-PER ", "\\\\t")
    (['李', 'B-PER'], [' ', 'O'], ['李', 'B-PER'])
    """
    found = line.split(separator)
    if separator is None:
        return [line[0], *found] if line[:1].isspace() else found
    return [found[0], *map(str.strip, found[1:])]


def are_tags(cells: Sequence[str]) -> bool:
    """Return whether a column holds nothing but tags, and O or a type among them."""
    kinds = set(cells)
    return all(map(TAG.fullmatch, kinds)) and any(kind == "O" or len(kind) > 1 for kind in kinds)


def numbers(cells: Sequence[str]) -> bool:
    """Return whether a column counts the tokens of its sentences."""
    return (
        all(map(str.isdecimal, cells)) and len(cells) > 1 and cells[:2] in (("0", "1"), ("1", "2"))
    )


def column_blocks(
    path: Path, separator: str | None, token: int, tag: int, count: int
) -> Iterator[Unit]:
    """Yield the tokens and the tags of each sentence: the lines between empty ones."""
    shape = separator, tag, count

    def parts(pair: tuple[int, str | DataError]) -> bool:
        line = pair[1]
        return isinstance(line, str) and (not line.strip() or heading(line, shape))

    for empty, group in groupby(text_lines(path), parts):
        if empty:
            continue
        # One line that cannot be read makes its whole sentence unsure.
        run = list(group)
        faults = [pair for pair in run if isinstance(pair[1], DataError)]
        if faults:
            yield f"line {faults[0][0]}", faults[0][1]
            continue

        # A line with fewer cells than the others would shift what follows.
        cut = [(number, cells(line, separator)) for number, line in run]
        short = [(n, found) for n, found in cut if len(found) <= max(token, tag)]
        if short:
            number, found = short[0]
            fault = f"found {found!r:.60}, expected a token and a tag; is an empty line missing?"
            yield f"line {number}", DataError(fault)
        else:
            yield f"line {run[0][0]}", [(found[token], found[tag]) for _, found in cut]


def column_pairs(native: Sequence[tuple[str, str]]) -> Iterator[dict]:
    """Read the tokens and tags of one sentence."""
    tokens, tags = zip(*native, strict=True)
    yield token_tags(tokens, tags)


def column_units(path: Path) -> Iterator[Unit]:
    """Yield the sentences of a file of columns, cut as it asks for itself."""
    found = columns_of(path)
    if found is None:
        yield "file", DataError("found no columns of tokens and tags")
    else:
        yield from partial(column_blocks, path)(*found)
