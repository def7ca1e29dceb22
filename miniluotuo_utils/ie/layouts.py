"""Read what models write instead of JSON: lists, headings, YAML, tables, tags, tuples, calls.

In: the text of an answer. Out: values as of JSON (objects as `Pairs`, lists, texts), for `shapes`
to read. A line of prose is no value. Shown in notebook 05.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from miniluotuo_utils.ie.calls import python_calls
from miniluotuo_utils.ie.keys import EDGES, NUMBERED, Asked, is_word, rank
from miniluotuo_utils.ie.relations import OF
from miniluotuo_utils.ie.tolerant import Pairs

LONGEST = 10_000  # characters: a longer text that is no JSON is a loop
FENCED = re.compile(r"^[ \t]*(?:```|~~~)[^\n]*$", re.MULTILINE)
PROSE = re.compile(r"[，。？！,?!]")
# `✅ 人物：李白`, `❌ 时间：无`, and TOML's `[[entities]]`.
SYMBOL = r"[✅✔✓☑📍📌🔹🔸👤🏢🕒📅⭐▶➤►■◆●\U0001f300-\U0001faff]\ufe0f?"
SYMBOLS = re.compile(rf"^([ \t]*(?:(?:[-*•]|\d{{1,3}}[.、)）])\s+)?){SYMBOL}\s*", re.MULTILINE)
DENIED = re.compile(
    r"^[ \t]*(?:[❌✗✘✖🚫]\ufe0f?[^\n：:]{0,20}[：:]\s*(?:无|没有|未提及|None)?[。.]?"
    r"|\[\[[\w.]{1,30}\]\])[ \t]*$",
    re.MULTILINE,
)


def layouts(text: str, asked: Asked) -> Iterator[object]:
    """Yield the values that a text may hold when it is read as one layout after another."""
    if len(text) > LONGEST:
        return
    text = SYMBOLS.sub(r"\1", DENIED.sub("", FENCED.sub("", text)))
    for read in READ:
        value = read(text, asked)
        if value:
            yield value


# ---- tables


RULE = set("|｜+:-— \t")


def table(text: str, asked: Asked) -> list | None:
    """Return the rows of a Markdown table, each an object under the header's words.

    >>> table("| 实体 | 类型 |\\n|---|---|\\n| 李白 | 人物 |", Asked.of("NER", None))
    [[('实体', '李白'), ('类型', '人物')]]
    """
    lines = text.split("\n")
    rules = [
        n for n, line in enumerate(lines) if "|" in line and "--" in line and set(line) <= RULE
    ]
    rows: list = []
    for rule in rules:
        body = []
        for line in lines[rule + 1 :]:
            if "|" not in line and "｜" not in line:
                break
            body.append(cells(line))
        rows += headed([cells(lines[rule - 1]) if rule else [], *body], asked)
    return rows


def cells(line: str) -> list[str]:
    """Return the cells of a table's line."""
    return [cell.strip(" \t*`") for cell in re.split(r"[|｜]", line.strip().strip("|｜"))]


def headed(rows: list[list[str]], asked: Asked) -> list:
    """Return rows as objects under the first row's words; as lists where those are data."""
    head, *body = rows
    if not any(is_word(cell) or asked.is_type(cell) or asked.is_role(cell) for cell in head):
        return rows
    if sum(asked.is_type(cell) for cell in head) == 1 and not any(map(is_word, head)):
        return rows
    return [row_of(head, row) for row in body if len(row) == len(head)]


def row_of(head: list[str], row: list[str]) -> Pairs:
    """Return a row as an object under the header's words, without its empty cells."""
    pairs = zip(head, row, strict=True)
    return Pairs((key, listed(cell)) for key, cell in pairs if cell.strip("-—/ "))


def listed(cell: str) -> object:
    """Return a cell as a text, or as a list where it joins several."""
    pieces = re.split(r"、|<br\s*/?>|；|;", cell)
    return (
        cell
        if len(pieces) == 1 or "《" in cell
        else [piece.strip() for piece in pieces if piece.strip()]
    )


def separated(text: str, asked: Asked) -> list | None:
    """Return the rows of lines that commas, tabs or bars separate, with a header or without.

    >>> separated("实体,类型\\n李白,人物", Asked.of("NER", None))
    [[('实体', '李白'), ('类型', '人物')]]
    """
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    for mark in ("\t", "|", ",", "，", ";"):
        told = [line for line in lines if mark in line and ":" not in line and "：" not in line]
        # One line may lead to the others; brackets are for `tuples`.
        if not told or len(told) < len(lines) - 1 or any(line[0] in "[{(（<-" for line in told):
            continue
        rows = split_rows(told, mark)
        if len(rows) > 1 and sum(map(is_word, rows[0])) >= 2:
            return headed(rows, asked)
        if len(rows) > 1:
            return rows
    return spaced(lines)


def split_rows(lines: list[str], mark: str) -> list[list[str]]:
    """Return the cells of lines, none where the lines have not one number of them."""
    try:
        rows = list(csv.reader(lines, delimiter=mark))
    except csv.Error:
        return []
    even = len({len(row) for row in rows}) == 1 and len(rows[0]) > 1
    return [list(map(str.strip, row)) for row in rows] if even else []


def spaced(lines: list[str]) -> list | None:
    """Return tokens with their BIO tags, one a line: `李 B-人物`."""
    rows = [line.split() for line in lines]
    if len(rows) > 1 and all(len(row) == 2 for row in rows):
        good = all(re.fullmatch(r"O|[BIMESLU][-_].+", row[1]) for row in rows)
        return rows if good else None
    slashed = [token.rpartition("/")[::2] for line in lines for token in line.split()]
    good = slashed and all(re.fullmatch(r"O|[BIMESLU][-_].+", tag) for _, tag in slashed)
    return [list(pair) for pair in slashed] if good else None


# ---- tags

ELEMENT = re.compile(
    r"<(/?)([^\s<>/=|,，]{1,40})((?:\s+[^\s<>=]+\s*=\s*(?:\"[^\"<>]*\"|'[^'<>]*'))*)\s*(/?)>"
)
ATTRIBUTE = re.compile(r"([^\s<>=]+)\s*=\s*[\"']([^\"']*)[\"']")


@dataclass
class Element:
    """An element of tags: its name, attributes, text and the elements inside."""

    name: str
    attributes: list[tuple[str, str]]
    inside: list[Element] = field(default_factory=list)
    text: str = ""


def tags(text: str, asked: Asked) -> object:
    """Return what stands in tags: `<人物>李白</人物>生于…`, `<entity type="人物">李白</entity>`.

    >>> tags('<entity type="人物">李白</entity>在<地点>碎叶</地点>', Asked.of("NER", None))
    [[('type', '人物'), ('text', '李白')], [('地点', ['碎叶'])]]
    """
    root = Element("", [])
    stack, at = [root], 0
    for found in ELEMENT.finditer(text):
        stack[-1].text += text[at : found.start()]
        at = found.end()
        if not found[1]:
            stack[-1].inside.append(Element(found[2], ATTRIBUTE.findall(found[3])))
            if not found[4] and len(stack) < 16:
                stack.append(stack[-1].inside[-1])
        elif stack[-1].name == found[2] and len(stack) > 1:
            stack.pop()
    whole = root.inside and len(stack) == 1
    return [value_of(one) for one in root.inside] if whole else None


def value_of(element: Element) -> object:
    """Return an element as an object: its attributes, its text, what stands inside of it."""
    text = element.text.strip()
    if not element.inside and not element.attributes:
        # Inside of an item `<name>李白</name>` is a part, on its own `<人物>李白</人物>` a type.
        return Pairs([(element.name, text if is_word(element.name) else [text])])
    pairs = Pairs([*element.attributes, *inner_pairs(element)])
    if text and not element.inside:
        pairs.append(("text", text))

    # `<人物 name="李白"/>`: a type with an item; `<arguments>…</arguments>`: a part of its item.
    if not is_word(element.name) and pairs and all(is_word(key) for key, _ in pairs):
        return Pairs([(element.name, [pairs])])
    nested = element.inside and not element.attributes and not any(map(is_part, element.inside))
    listed = rank(element.name, "arguments") is not None
    return Pairs([(element.name, pairs)]) if nested and listed else pairs


def is_part(element: Element) -> bool:
    """Tell whether an element is a part of an item: a word with a text."""
    return not element.inside and not element.attributes and is_word(element.name)


def inner_pairs(element: Element) -> list[tuple]:
    """Return what stands inside of an element: the parts of an item, or a list of items."""
    names = [one.name for one in element.inside]
    apart = len(set(names)) == len(names)
    if apart and all(map(is_part, element.inside)):
        return [(one.name, one.text.strip()) for one in element.inside]
    inner = [value_of(one) for one in element.inside]
    if not apart and (parts := mixed_parts(element, inner)):
        return parts
    single = all(isinstance(value, Pairs) and len(value) == 1 for value in inner)
    if apart and single and len({value[0][0] for value in inner}) == len(inner):
        return [value[0] for value in inner]
    return [(names[0] if len(set(names)) == 1 else element.name, inner)]


def mixed_parts(element: Element, inner: list) -> list[tuple] | None:
    """Return parts of which one comes again: `<trigger>…</trigger><argument …>…` and so on."""
    lone = [(one.name, one.text.strip()) for one in element.inside if is_part(one)]
    many = [value for one, value in zip(element.inside, inner, strict=True) if not is_part(one)]
    kinds = {one.name for one in element.inside if not is_part(one)}
    whole = len(kinds) == 1 and len({name for name, _ in lone}) == len(lone) > 0
    return [*lone, (kinds.pop(), many)] if whole else None


# ---- marks inside of a sentence

INLINE = re.compile(
    r"[\[【［〔]([^\[\]【】［］〔〕|｜\n]{1,60}?)\s*[|｜/]\s*([^\[\]【】［］〔〕|｜\n]{1,30}?)[\]】］〕]"
)
LINK = re.compile(r"\[([^\[\]\n]{1,60}?)\][ \t]*[(（]([^()（）\n]{1,30}?)[)）]")
SLASHED = re.compile(r"([^\s/、，,；;]{1,60}?)\s?/\s?([^\s/、，,；;。]{1,20})(?=[\s、，,；;。]|\Z)")
ASIDES = re.compile(
    r"(?:^|[\s、，,；;。])([^\s、，,；;。()（）\[\]【】：:]{1,60}?)[ \t]*"
    r"[(（【\[]((?:[^()（）【】\[\]\s]|[(（][^()（）\s]{1,16}[)）]){1,30}?)[)）】\]](?=$|[\s、，,；;。])"
)


def marked(text: str, asked: Asked) -> list | None:
    """Return names marked in running text: `［李白｜人物］`, `[李白](人物)`, `李白/人物 …`."""
    return pairs_by((INLINE, LINK, SLASHED), text, asked)


def with_asides(text: str, asked: Asked) -> list | None:
    """Return names with their types behind them: `李白（人物）、碎叶（地点）`."""
    return pairs_by((ASIDES,), text, asked)


def pairs_by(patterns: Sequence[re.Pattern], text: str, asked: Asked) -> list | None:
    """Return the pairs that a pattern finds, where one of each is a type beyond doubt."""
    if asked.task != "NER":
        return None
    for pattern in patterns:
        pairs = [list(map(undressed, found)) for found in pattern.findall(text)]
        good = [pair for pair in pairs if asked.is_type(pair[0]) != asked.is_type(pair[1])]
        if good and (len(good) == len(pairs) or pattern in (INLINE, LINK)):
            return good
    return None


def undressed(text: str) -> str:
    """Return a text without quotes and marks around it."""
    return text.strip("\"'“”*`")


IS = re.compile(r"(?:.{0,10}[中里]的)?(.+?)(?:是一[个种位]|是|为|属于|包括|包含|有)：?(.+)")


def facts(text: str, asked: Asked) -> list | None:
    """Return what sentences say of names: `李白是人物，碎叶是地点。`, `李白的出生地是碎叶。`."""
    if asked.task == "EE" or len(text) > 400:
        return None
    pieces = [MARK.sub("", piece.strip(), count=1) for piece in re.split(r"[，。；,;\n]", text)]
    read = related if asked.task == "RE" else classed
    found = [read(piece, asked) for piece in pieces if piece]
    return None if None in found else [item for told in found for item in told]


def related(piece: str, asked: Asked) -> list | None:
    """Return the triple of `李白的出生地是碎叶`."""
    told = OF.fullmatch(piece)
    return [list(told.groups())] if told and asked.is_type(told[2]) else None


def classed(piece: str, asked: Asked) -> list | None:
    """Return the pairs of `李白是人物` or `人物是李白和杜甫`: a name is what is no type."""
    told = IS.fullmatch(piece)
    if not told or asked.is_type(told[1]) == asked.is_type(told[2]):
        return None
    if re.search("不|没有|并非", piece):
        return None
    name, kind = told.groups() if asked.is_type(told[2]) else told.groups()[::-1]
    return [[undressed(one), kind] for one in re.split("、|和|以及", name)]


COT = re.compile(r"^\s*\d+[.)]\s*(.+?)\s*\|\s*(True|False)\s*\|\s*(.+?)\s*(?:\|.*)?$", re.MULTILINE)
BRAT = re.compile(r"^T\d+\t(\S+) \d+ \d+(?:;\d+ \d+)*\t(.+)$", re.MULTILINE)


def delimited(text: str, asked: Asked) -> list | None:
    """Return brat's lines, and GraphRAG's records: `("entity"<|>李白<|>人物<|>…)`."""
    if asked.task == "NER" and (found := BRAT.findall(text)):
        return [Pairs([("type", kind), ("name", name)]) for kind, name in found]
    # spaCy-llm: `1. 李白 | True | 人物 | reason`, with False for what is none.
    if asked.task == "NER" and (said := COT.findall(text)):
        return [Pairs([("type", kind), ("name", one)]) for one, so, kind in said if so == "True"]
    found = []
    for piece in re.split(r"##|\n", text):
        parts = [
            part.strip(" \t()（）\"'“”") for part in re.split(r"<\|(?:[^|<>]{0,2}\|)?>", piece)
        ]
        if len(parts) >= 3 and parts[0] == "entity" and asked.task == "NER":
            found.append(Pairs([("name", parts[1]), ("type", parts[2])]))
    return found


# ---- linearised structures

SEL_MARKS = {"<extra_id_0>": "(", "<extra_id_1>": ")", "<extra_id_5>": ":"}
SEL = re.compile(r"\s*([()])|\s*([^()：:]+?)\s*[：:]\s*([^()]*?)\s*(?=[()]|\Z)")


def linearised(text: str, asked: Asked) -> object:
    """Return UIE's structured extraction language, `((人物: 李白 (出生地: 碎叶)))`, or REBEL's."""
    if "<triplet>" in text:
        pattern = r"<triplet>\s*(.+?)\s*<subj>\s*(.+?)\s*<obj>\s*(.+?)\s*(?=<|\Z)"
        return [
            Pairs([("head", h), ("tail", t), ("relation", r)])
            for h, t, r in re.findall(pattern, text)
        ]
    for mark, plain in SEL_MARKS.items():
        text = text.replace(mark, plain)
    text = text.strip().replace("（", "(").replace("）", ")")
    if not re.match(r"\(\s*\(", text) or not text.endswith(")"):
        return None
    nodes = sel_nodes(text)
    return sel_value(nodes, asked) if nodes else None


def sel_nodes(text: str) -> list | None:
    """Return [label, span, nodes inside] of every outermost node; None where the text is broken."""
    root: list = ["", "", []]
    stack = [root]
    at = 0
    # A bracket opens or closes a node; all else is the label and the span of the open one.
    while at < len(text):
        # What is neither breaks the text off.
        found = SEL.match(text, at)
        if not found or found.end() == at:
            return None if text[at:].strip() else root[2]
        at = found.end()
        if found[1] == "(":
            stack[-1][2].append(["", "", []])
            stack.append(stack[-1][2][-1])
        elif found[1] == ")":
            if len(stack) == 1:
                return None
            stack.pop()
        else:
            stack[-1][:2] = found[2], found[3]
    return root[2] if len(stack) == 1 else None


def sel_value(nodes: list, asked: Asked) -> list:
    """Return the nodes of SEL as objects; a node without a label holds others."""
    found: list = []
    for label, span, inside in nodes:
        if not label:
            found += sel_value(inside, asked)
        elif asked.task == "NER":
            found.append(Pairs([("type", label), ("name", span)]))
        elif asked.task == "RE":
            found += [Pairs([("head", span), ("relation", k), ("tail", t)]) for k, t, _ in inside]
        else:
            roles = [Pairs([("role", role), ("argument", name)]) for role, name, _ in inside]
            found.append(Pairs([("event_type", label), ("trigger", span), ("arguments", roles)]))
    return found


CALLED = re.compile(r"(?<![.\w])([\w\u4e00-\u9fff]{1,30})\s*\(([^()]*)\)")
KEYWORD = re.compile(r"([\w\u4e00-\u9fff]+)\s*=\s*([\"'])(.*?)\2")
LITERAL = re.compile(r"[\"']([^\"']+)[\"']")


def calls(text: str, asked: Asked) -> list | None:
    """Return calls of Python (GoLLIE, KnowCoder): `Person(span="李白")`, `人物("李白")`."""
    found = [called(name, inside, asked) for name, inside in CALLED.findall(text)]
    if asked.task == "EE" and None in found:
        return None
    return None if asked.task == "RE" and None in found else [one for one in found if one]


def called(name: str, inside: str, asked: Asked) -> list | None:
    """Return one call as an object or a list: its name is a type, unless it is a word for one."""
    words = Pairs((key, value) for key, _, value in KEYWORD.findall(inside))
    # With keywords: `Entity(name="李白", type="人物")`, `Person(span="李白")`.
    if words and re.sub(
        r"[\s,，]|[\w\u4e00-\u9fff]+\s*=\s*(?:None|\[\])", "", KEYWORD.sub("", inside)
    ):
        return None
    if words and is_word(name):
        return words
    if words:
        own = {"NER": "type", "RE": "relation", "EE": "event_type"}[asked.task]
        key = [("name", words[0][1])] if asked.task == "NER" else words
        return Pairs([(own, name), *key]) if asked.task != "NER" or len(words) == 1 else None

    # Without: `人物("李白")`, `出生地(李白, 碎叶)`.
    literals = LITERAL.findall(inside)
    if asked.task == "NER" and len(literals) == 1:
        return Pairs([("type", name), ("name", literals[0])])
    if asked.task == "RE" and len(literals) == 2:
        return [literals[0], name, literals[1]]
    ends = [part.strip() for part in re.split(r"[,，]", inside)]
    if asked.task == "RE" and not literals and len(ends) == 2 and asked.is_type(name):
        return [ends[0], name, ends[1]]
    return literals if len(literals) in (2, 3) else None


TUPLE = re.compile(r"[(（<〈\[]((?:[^()（）<>〈〉\[\]\n]|[(（][^()（）\n]{1,20}[)）])+)[)）>〉\]]")


def tuples(text: str, asked: Asked) -> list | None:
    """Return tuples without quotes: `(李白, 出生地, 碎叶)`, one a line or joined.

    >>> tuples("(李白, 人物), (碎叶, 地点)", Asked.of("NER", None))
    [['李白', '人物'], ['碎叶', '地点']]
    """
    found, rest = [], TUPLE.sub("", text)
    for inside in TUPLE.findall(text):
        pieces = [piece.strip(" \t\"'“”‘’「」") for piece in re.split(r"[,，;；|｜]", inside)]
        if len(pieces) < 2 or not all(pieces):
            return None
        found.append(pieces)
    # Between the tuples stand marks, numbers, words for nothing, or a line that leads to them.
    rest = re.sub(r"(?:NAN|NaN|None|无)|^.*[:：]\s*$", "", rest, flags=re.MULTILINE)
    return found if found and not re.sub(r"[\s\d.,，、;；。\-*•\[\]()（）]", "", rest) else None


# ---- lists, headings, YAML


@dataclass
class Node:
    """A line of an outline: how deep it stands, its label and value, what stands below it."""

    depth: float
    label: str | None
    value: str
    bullet: bool
    below: list[Node] = field(default_factory=list)


MARK = re.compile(
    r"(?:[*+](?=\s)|[-–—](?![-–—\d])|[•·●▪◦]|\d{1,3}[.、)）]|[(（]\d{1,3}[)）]|[一二三四五六七八九十]{1,3}[、.．]|[①-⑳])\s*"
)
HEADING = re.compile(r"(#{1,6})\s*(.+?)\s*#*\Z")
LABELLED = re.compile(r"([^：:]{1,24}?)\s*(?:[：:]|\s=\s)\s*(.*)\Z", re.DOTALL)
PIECES = re.compile(
    r"\s*[，,；;|｜。]\s*(?=[^，,；;|｜。：:\s]{1,16}\s*[：:])"
    r"|[ \t]{1,4}(?=[^\s：:]{1,16}[：:])"
)
LEADS = re.compile(
    r"如下|以下|下面|结果|抽取|提取|识别|分析|根据|句子|文本|here|following|extract", re.IGNORECASE
)
TITLED = re.compile(r"[\[【［]([^\[\]【】［］]{1,16})[\]】］]\s*[：:]?\s*(\S.*)\Z", re.DOTALL)
BOLD = re.compile(r"(\*\*|__)((?:(?!\1).)+)\1")


def outline(text: str, asked: Asked) -> object:
    """Return lists, headings and YAML as nested values.

    >>> outline("### 人物\\n- 李白\\n- 杜甫\\n### 地点\\n- 碎叶", Asked.of("NER", None))
    [('人物', ['李白', '杜甫']), ('地点', ['碎叶'])]
    >>> outline("- name: 李白\\n  type: 人物", Asked.of("NER", None))
    [[('name', '李白'), ('type', '人物')]]
    """
    nodes = [node for line in text.split("\n") for node in nodes_of(line, asked)]
    return tree_value(nested(nodes)) if nodes else None


def nodes_of(line: str, asked: Asked) -> Iterator[Node]:
    """Yield the node of a line; several where a line holds several labels. Prose yields none."""
    indent = len(line.expandtabs(4)) - len(line.expandtabs(4).lstrip())
    text = line.strip()
    if not text or set(text) <= set("-=*_#~ "):
        return
    heading = HEADING.match(text)
    mark = None if heading else MARK.match(text)

    # What stands behind the mark of a heading or a list; a mark alone is a text.
    body = text[mark.end() :] if mark else text
    body = heading[2] if heading else body or text

    # A heading and a line in bold stand over what follows them.
    plain = re.sub(r"`([^`]*)`", r"\1", BOLD.sub(r"\2", body))
    if heading or BOLD.fullmatch(body.rstrip("：: ")):
        label = MARK.sub("", plain, count=1) if heading else plain
        yield Node(len(heading[1]) if heading else 8 + indent, label.strip(EDGES), "", False)
        return
    for number, piece in enumerate(labelled_pieces(plain, asked)):
        bullet = bool(mark) and not number
        node = node_of(piece, 10 + indent + bool(mark), bullet, bool(mark), asked)
        if node:
            yield node


def node_of(piece: str, depth: int, bullet: bool, marked: bool, asked: Asked) -> Node | None:
    """Return the node of one piece of a line, None for prose."""
    # A label stands before a colon, or in brackets.
    found = LABELLED.match(piece)
    titled = TITLED.match(piece)
    if titled and asked.is_type(titled[1]):  # `【人物】李白`
        found = titled
    label = found[1].strip(" \t\"'“”") if found else ""
    if not found and is_prose(piece, asked) and not marked:
        return None
    if found and (not label or PROSE.search(label)):
        return None
    value = unquoted(found[2] if found else piece)
    # `抽取结果如下：` leads to what follows it; `一、人物` stands over it.
    if found and not value and LEADS.search(label) and not fits(label, asked):
        return None
    if not found and asked.is_type(value) and asked.task != "RE":
        return Node(depth - 1.5, value.strip(EDGES), "", False)
    return Node(depth, label if found else None, value, bullet)


def unquoted(text: str) -> str:
    """Return a text without blanks and without the quotes around all of it."""
    text = text.strip()
    return text[1:-1] if len(text) > 2 and text[0] + text[-1] in ('""', "''", "“”", "‘’") else text


def is_prose(text: str, asked: Asked) -> bool:
    """Tell whether a line without a label is a sentence, and none that spells out a relation."""
    fact = OF.fullmatch(text)
    told = fact is not None and asked.is_type(fact[2])
    return not told and re.search(r"[。！？]|，.*，", text) is not None


def labelled_pieces(text: str, asked: Asked) -> list[str]:
    """Split `实体：李白，类型：人物` where each piece begins with a label.

    >>> labelled_pieces("实体：李白，类型：人物", Asked.of("NER", None))
    ['实体：李白', '类型：人物']
    """
    pieces = PIECES.split(text)
    labels = [LABELLED.match(piece) for piece in pieces]
    # `论元：航天器：天目一号；地点：酒泉` is one label over others.
    if labels[0] and LABELLED.match(labels[0][2]):
        return [text]
    return pieces if len(pieces) > 1 and all(m and fits(m[1], asked) for m in labels) else [text]


def fits(label: str, asked: Asked) -> bool:
    """Tell whether a label is a word for a part, a type or a role."""
    return is_word(label) or asked.is_type(label) or asked.is_role(label)


def nested(nodes: list[Node]) -> list[Node]:
    """Put each node below the one that it belongs to, and return those that belong to none."""
    root = Node(-1, None, "", False)
    stack = [root]
    for node in nodes:
        while len(stack) > 1 and not belongs(node, stack[-1]):
            stack.pop()
        stack[-1].below.append(node)
        stack.append(node)
    return root.below


def belongs(node: Node, above: Node) -> bool:
    """Tell whether a node stands below another: deeper, or a text below a bare label."""
    if node.depth > above.depth:
        return True
    bare = above.label is not None and not above.value
    return node.depth == above.depth and bare and node.label is None and not above.bullet


def tree_value(nodes: list[Node]) -> object:
    """Return nodes side by side: an object where all have labels, else a list."""
    nodes = [node for node in nodes if node.label is None or node.value or node.below]
    pairs = [pair_of(node) for node in nodes]
    if not all(isinstance(pair, tuple) for pair in pairs):
        return [Pairs([pair]) if isinstance(pair, tuple) else pair for pair in pairs]
    bullets = [node.bullet and bool(node.below) and bool(node.value) for node in nodes]
    if any(bullets):
        return [
            Pairs([(node.label, node.value), *rest_of(node)])
            if node.value and node.below
            else Pairs([pair])
            for node, pair in zip(nodes, pairs, strict=True)
        ]
    return grouped_pairs(pairs)


def rest_of(node: Node) -> list[tuple]:
    """Return the pairs below a node that has a value of its own."""
    value = tree_value(node.below)
    return list(value) if isinstance(value, Pairs) else [(node.label, value)]


def grouped_pairs(pairs: list[tuple]) -> object:
    """Return pairs as one object, or as a list of them where the parts of an item come again."""
    groups = [Pairs()]
    for key, value in pairs:
        seen = {seen for seen, _ in groups[-1]}
        if is_word(key) and (key in seen or comes_again(key, groups[-1])):
            groups.append(Pairs())
        groups[-1].append((key, value))
    return groups if len(groups) > 1 else groups[0]


def comes_again(label: str, group: Pairs) -> bool:
    """Tell whether `实体2` begins an item of its own, after `实体1` and its type."""
    stem = NUMBERED.sub("", label)
    whole = any(rank(seen, "type") is not None for seen, _ in group)
    return whole and stem != label and any(NUMBERED.sub("", seen) == stem for seen, _ in group)


def pair_of(node: Node) -> object:
    """Return a node as (label, value), or as what it holds where it has no label."""
    if node.label is None:
        if not node.below:
            return node.value
        return (node.value, tree_value(node.below))
    if node.below and not node.value:
        return (node.label, tree_value(node.below))
    if node.below:
        return Pairs([(node.label, node.value), *rest_of(node)])
    return (node.label, inline_value(node.value))


def inline_value(text: str) -> object:
    """Return the value behind a label: a list in brackets, or the text."""
    found = re.fullmatch(r"[\[［【](.*)[\]］】]", text)
    if not found:
        return text.strip("`").rstrip("。；;，, ")
    pieces = [piece.strip(" \t\"'“”‘’") for piece in re.split(r"[,，、;；]", found[1])]
    return [piece for piece in pieces if piece]


READ = (
    *(table, python_calls, tags, linearised, tuples, separated, marked, delimited),
    *(calls, facts, outline, with_asides),
)
