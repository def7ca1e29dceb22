# ruff: noqa: SIM905 - word lists read better as text
"""Take the prose out of files of a corpus: one function a markup, from a file to its paragraphs.

In: a path and the bytes of a file. Out: paragraphs, not yet filtered. What stays of a format is
its running text: headings, tables, code, links' addresses and pictures go.
"""

from __future__ import annotations

import csv
import html
import json
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from html.parser import HTMLParser
from io import BytesIO, StringIO
from pathlib import PurePosixPath

from miniluotuo_utils.files import DataError

HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
# Brackets that lost what stood in them, a foreign name or a pronunciation: （，）
HOLLOW = re.compile(r"[（(][\s，、；;,：:]*[)）]")
HALF_HOLLOW = re.compile(r"(?<=[（(])[\s，、；;,：:]+")


def decoded(path: str, content: bytes) -> str:
    """Return the text of a file in UTF-8 or GB 18030, with one kind of line end.

    >>> decoded("a.txt", "骆驼\\r\\n".encode("gb18030"))
    '骆驼\\n'
    """
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return content.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
        except UnicodeDecodeError:
            continue
    raise DataError(f"{path}: neither UTF-8 nor GB 18030; leave it out by the source's path rule")


def joined(lines: Iterable[str]) -> str:
    """Return the lines of one paragraph as one; a space only where words of letters would touch.

    >>> joined(["迷你骆驼", "是教程。Read", "it."])
    '迷你骆驼是教程。Read it.'
    """
    text = ""
    for line in filter(None, map(str.strip, lines)):
        # Below U+2E80 stand the scripts that part their words by spaces.
        apart = text and text[-1] < "\u2e80" and line[0] < "\u2e80"
        text += " " + line if apart else line
    return text


# ---- Markdown, notebooks

FRONT_MATTER = re.compile(r"\A\s*---\n.*?\n(?:---|\.\.\.)\s*\n", re.DOTALL)
# {% include x %}, {#anchor}, {: .class}, :::moniker, [!NOTE]
TEMPLATE = re.compile(r"\{%.*?%\}|\{[#:][^}\n]*\}|^\s*:{3,}.*$|\[![A-Za-z]+\]", re.M)
MATHS = re.compile(r"\$\$.*?\$\$", re.DOTALL)


def markdown(text: str) -> list[str]:
    """Return the paragraphs of a Markdown text: links by their words, no code, tables, headings.

    >>> markdown("# 骆驼\\n\\n[骆驼](a.html)住在\\n**沙漠**里。\\n\\n- 会走\\n\\n```\\nx\\n```")
    ['骆驼住在沙漠里。', '会走']
    """
    from markdown_it import MarkdownIt

    text = MATHS.sub("", TEMPLATE.sub("", FRONT_MATTER.sub("", text)))
    paragraphs, skipped = [], 0
    for token in MarkdownIt().enable("table").parse(text):
        if token.type in ("table_open", "table_close", "heading_open", "heading_close"):
            skipped += token.nesting
        elif token.type == "inline" and not skipped:
            paragraphs.append(joined(words(token.children or [])))
    return [paragraph for paragraph in paragraphs if paragraph]


def words(tokens: Iterable) -> list[str]:
    """Return the text of the tokens inside a Markdown paragraph, a line each."""
    lines = [""]
    for token in tokens:
        if token.type in ("softbreak", "hardbreak"):
            lines.append("")
        elif token.type in ("text", "code_inline", "text_special"):
            lines[-1] += token.content
    return lines


def notebook(text: str) -> list[str]:
    """Return the paragraphs of a Jupyter notebook's Markdown cells.

    >>> notebook('{"cells": [{"cell_type": "markdown", "source": ["骆驼", "会走。"]}]}')
    ['骆驼会走。']
    """
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
    sources = [cell["source"] for cell in cells]
    return [
        paragraph
        for source in sources
        for paragraph in markdown(source if isinstance(source, str) else "".join(source))
    ]


# ---- reStructuredText

BULLET = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)]|#\.)\s+")
DIRECTIVE = re.compile(r"\s*\.\.(?:\s+([\w:-]+)::|\s|$)")
# Directives whose body is prose; of all others the body goes with them.
PROSE = {"note", "warning", "important", "tip", "attention", "hint", "caution", "only", "seealso"}
RULE = re.compile(r"\s*([=\-~^\"'*+#.`:])\1+\s*")
FIELD = re.compile(r"\s*:[^:`]+:(?!`)")
ROLES = (
    (re.compile(r":[\w:+-]+:`([^`<]*?)\s*(?:<[^`]*>)?`"), r"\1"),
    (re.compile(r"`([^`<]+?)\s*<[^`]*>`_{0,2}"), r"\1"),
    (re.compile(r"`{1,2}([^`]*)`{1,2}_{0,2}"), r"\1"),
    (re.compile(r"\*{1,2}([^*]+)\*{1,2}"), r"\1"),
    (re.compile(r"\|[^|\s]+\|_?|\\(?=\s)|\[#?\w*\]_"), ""),
)


def rst(text: str) -> list[str]:
    """Return the paragraphs of a reStructuredText, by lines: Sphinx alone knows all directives.

    >>> rst("骆驼\\n====\\n\\n:ref:`骆驼 <camel>`\\n会走。\\n\\n.. code::\\n\\n   x = 1\\n\\n* 例")
    ['骆驼', '骆驼会走。', '例']
    """
    paragraphs: list[list[str]] = [[]]
    deeper_than = None
    for line in text.split("\n"):
        # The body of a directive or of a literal block goes on as long as it stands further in.
        indent = len(line) - len(line.lstrip())
        if deeper_than is not None and (not line.strip() or indent > deeper_than):
            continue
        opened = DIRECTIVE.match(line)
        rule = RULE.fullmatch(line)
        literal = line.rstrip().endswith("::") and not rule
        skips = literal or (opened and opened[1] not in PROSE)
        deeper_than = indent if skips else None

        # What ends a paragraph, and what begins one.
        ends = not line.strip() or opened or rule or is_grid(line)
        if ends or BULLET.match(line) or FIELD.match(line):
            paragraphs.append([])
        if not ends:
            paragraphs[-1].append(BULLET.sub("", line.rstrip()[:-1] if literal else line, count=1))
    return [without_roles(joined(lines)) for lines in paragraphs if lines]


def is_grid(line: str) -> bool:
    """Return whether a line belongs to a table that is drawn with characters."""
    return line.count("|") >= 2 or bool(re.match(r"\s*\+[-=]", line))


def without_roles(text: str) -> str:
    """Return a paragraph of reStructuredText without its inline markup."""
    for pattern, kept in ROLES:
        text = pattern.sub(kept, text)
    return text


# ---- DocBook, HTML

# Elements that end a paragraph, in HTML, DocBook and Mallard.
BLOCKS = set(
    "p para simpara li listitem dd dt td th entry title h1 h2 h3 h4 h5 h6 div section tr br note "
    "item term blockquote refpurpose center figcaption varlistentry chapter sect1 sect2".split()
)
# Elements whose text is no prose.
DROPPED = set(
    "script style pre programlisting screen synopsis table svg head nav footer literallayout "
    "funcsynopsis methodsynopsis informaltable indexterm title refmeta".split()
)


class Prose(HTMLParser):
    """Reads marked-up text leniently: entities of the manual's own and unclosed elements pass."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.paragraphs: list[str] = [""]
        self.dropped: list[str] = []  # open elements without prose

    def handle_starttag(self, tag: str, attrs: list) -> None:
        """Open an element."""
        if tag in DROPPED:
            self.dropped.append(tag)
        if tag in BLOCKS:
            self.paragraphs.append("")

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        """Pass an empty element, such as `<br/>`."""
        if tag in BLOCKS:
            self.paragraphs.append("")

    def handle_endtag(self, tag: str) -> None:
        """Close an element, and those that were left open in it."""
        if tag in self.dropped:
            del self.dropped[self.dropped.index(tag) :]
        if tag in BLOCKS:
            self.paragraphs.append("")

    def handle_data(self, data: str) -> None:
        """Take text."""
        if not self.dropped:
            self.paragraphs[-1] += data

    def handle_entityref(self, name: str) -> None:
        """Take `&lt;`; an entity that only the manual defines is left out."""
        character = html.unescape(f"&{name};")
        self.handle_data(character if len(character) < 3 else "")

    def handle_charref(self, name: str) -> None:
        """Take `&#39;`."""
        self.handle_data(html.unescape(f"&#{name};"))


def docbook(text: str) -> list[str]:
    """Return the paragraphs of an XML, SGML or HTML document.

    >>> docbook("<para>骆驼 &amp; <emphasis>马</emphasis>。</para><screen>ls</screen>&site;")
    ['骆驼 & 马。']
    """
    parser = Prose()
    parser.feed(text)
    parser.close()
    paragraphs = [joined(paragraph.split("\n")) for paragraph in parser.paragraphs]
    return [paragraph for paragraph in paragraphs if paragraph]


# ---- plain text of books and laws

NOTE = re.compile(
    r"\s*(?:[〔\[［【（(]\s*[\d０-９①-⑳]{1,3}\s*[〕\]］】）)]|[⑴-⒇①-⑳㈠-㈩]|※|注释|注：|【注】|校注)"
)
MARK = re.compile(r"[〔\[［][\d０-９①-⑳]{1,3}[〕\]］]|[⑴-⒇①-⑳]")
COMPLETE = '。！？”…：；」』—）)!?."~～'
INDENT = " \u3000\t"


def book(text: str) -> list[str]:
    """Return the paragraphs of a book in plain text, without the notes of its edition.

    Lines that break in the middle of sentences are joined up to the next indented one.

    >>> day = "沙漠里的路很长" * 4
    >>> book(f"　　骆驼〔1〕走了很久，{day}，\\n终于到了。\\n　　它喝水。\\n〔1〕骆驼：动物。")[1:]
    ['它喝水。']
    """
    lines = [line.rstrip() for line in text.split("\n")]
    wrapped = is_wrapped([line for line in lines if line])
    paragraphs: list[list[str]] = [[]]
    for line in lines:
        if not line or line[0] in INDENT or not wrapped or NOTE.match(line):
            paragraphs.append([])
        paragraphs[-1].append(line)
    whole = map(joined, paragraphs)
    return [
        MARK.sub("", paragraph) for paragraph in whole if paragraph and not NOTE.match(paragraph)
    ]


def is_wrapped(lines: list[str]) -> bool:
    """Return whether paragraphs are broken into lines: many long ones end open, some are indented.

    Short ones that end open are titles and verses.
    """
    if not lines:
        return False
    indented = sum(line[0] in INDENT for line in lines) / len(lines)
    broken = sum(len(line) > 25 and line[-1] not in COMPLETE for line in lines) / len(lines)
    return broken > 0.1 and 0.05 < indented < 0.9


def law(text: str) -> list[str]:
    """Return the articles of a law, without what stands above its text.

    >>> law("# 骆驼法\\n\\n2020年施行\\n\\n<!-- INFO END -->\\n\\n## 总则\\n\\n第一条 骆驼会走。")
    ['总则', '第一条 骆驼会走。']
    """
    body = text.partition("<!-- INFO END -->")[2] or text
    lines = [line.lstrip("# ").strip() for line in body.split("\n")]
    return [line for line in lines if line]


def verses(text: str) -> list[str]:
    """Return paragraphs of some 200 characters from a table of verses: book, chapter, verse, text.

    >>> verses("Book,Chapter,Verse,Text\\nGen,1,1,起 初\\nGen,1,2,地是\\nGen,2,1,天地")
    ['起初地是', '天地']
    """
    paragraphs, chapter = [], None
    for row in list(csv.reader(StringIO(text)))[1:]:
        verse = re.sub(r"\s+", "", row[-1])
        if row[:2] != chapter or len(paragraphs[-1]) > 200:
            paragraphs.append("")
            chapter = row[:2]
        paragraphs[-1] += verse
    return paragraphs


# ---- Wikipedia, question answering, dialogues, treebanks

ARTICLE = re.compile(r"<doc id=[^>]*>\n(.*?)</doc>", re.DOTALL)
VARIANTS = re.compile(r"-\{(?:[^{}:|]*[|:])?([^{};]*?)(?:;[^{}]*)?\}-")
LEFTOVER = re.compile(r"formula_\d+|<[^<>]*>")
STUB = 200  # characters: shorter articles are mostly written by bots, all alike


def dump(text: str) -> list[str]:
    """Return the paragraphs of the articles that WikiExtractor wrote, `<doc>` by `<doc>`.

    >>> body = "-{zh-hans:骆驼;zh-hant:駱駝}-（）住在沙漠。" * 30
    >>> dump(f"<doc id='1'>\\n骆驼\\n\\n{body}\\n</doc>")[0][:8]
    '骆驼住在沙漠。骆'
    """
    return [paragraph for body in ARTICLE.findall(text) for paragraph in article(body)]


def json_articles(text: str) -> list[str]:
    """Return the paragraphs of articles in JSON Lines with a field `text`."""
    bodies = [json.loads(line)["text"] for line in text.split("\n") if line.strip()]
    return [paragraph for body in bodies for paragraph in article(body)]


def article(body: str) -> list[str]:
    """Return an article's paragraphs, without its title (the first line); none of a stub's."""
    lines = [line.strip() for line in body.split("\n")[1:]]
    kept = [line for line in lines if len(line) >= 20 and "BULLET::" not in line]
    return [wikitext(line) for line in kept] if sum(map(len, kept)) >= STUB else []


def wikitext(text: str) -> str:
    """Return a paragraph of Wikipedia without what the extraction left over.

    >>> wikitext("骆驼（，英語：camel）和-{zh-cn:出租车;zh-tw:計程車}-（）。")
    '骆驼（英語：camel）和出租车。'
    """
    text = LEFTOVER.sub("", VARIANTS.sub(r"\1", html.unescape(text)))
    return HALF_HOLLOW.sub("", HOLLOW.sub("", text))


def squad(text: str) -> list[str]:
    """Return the passages of a question-answering set in SQuAD's format.

    >>> squad('{"data": [{"paragraphs": [{"context": "骆驼（）会走。"}]}]}')
    ['骆驼会走。']
    """
    found = [passage for one in json.loads(text)["data"] for passage in one["paragraphs"]]
    lines = [line for passage in found for line in passage["context"].split("\n")]
    return [HOLLOW.sub("", line) for line in lines if line.strip()]


SPEAKERS = {"usr": "用户", "sys": "客服"}


def dialogues(text: str) -> list[str]:
    """Return each dialogue as one paragraph, its turns led in by the speaker.

    >>> dialogues('[{"messages": [{"message": "在吗？"}, {"message": "在。"}]}]')
    ['甲：在吗？乙：在。']
    >>> dialogues('{"7": {"messages": [{"role": "usr", "content": "你好。"}]}}')
    ['用户：你好。']
    """
    value = json.loads(text)
    found = value.values() if isinstance(value, dict) else value
    return ["".join(turns(one["messages"])) for one in found]


def turns(messages: list[dict]) -> Iterator[str]:
    """Yield the turns of a dialogue with their speakers; without roles, two that alternate."""
    for number, message in enumerate(messages):
        speaker = SPEAKERS.get(message.get("role", ""), "甲乙"[number % 2])
        yield f"{speaker}：{(message.get('content') or message.get('message')).strip()}"


def conllu(text: str) -> list[str]:
    """Return the sentences of a treebank in CoNLL-U.

    >>> conllu("# sent_id = 1\\n# text = 骆驼会走。\\n1\\t骆驼")
    ['骆驼会走。']
    """
    return [line[9:] for line in text.split("\n") if line.startswith("# text = ")]


# ---- which function for which file

BY_SUFFIX = {
    ".md": markdown,
    ".mdx": markdown,
    ".ipynb": notebook,
    ".rst": rst,
    ".xml": docbook,
    ".sgml": docbook,
    ".html": docbook,
    ".txt": book,
}
MARKUPS: dict[str, Callable[[str], list[str]]] = {
    "law": law,
    "verses": verses,
    "dump": dump,
    "json_articles": json_articles,
    "squad": squad,
    "dialogues": dialogues,
    "conllu": conllu,
}
CHOICES = ("by suffix", *MARKUPS)


def paragraphs_of(path: str, content: bytes, markup: str) -> list[str]:
    """Return the paragraphs of a file; of a .zip, those of all files in it.

    `markup` is one of `CHOICES`. Raises DataError that names the file for one that is not in its
    format.
    """
    if path.endswith(".zip"):
        with zipfile.ZipFile(BytesIO(content)) as archive:
            inner = [(name, archive.read(name)) for name in archive.namelist()]
        return [line for name, data in inner for line in paragraphs_of(name, data, markup)]
    suffix = PurePosixPath(path).suffix.lower()
    extract = BY_SUFFIX.get(suffix) if markup == "by suffix" else MARKUPS[markup]
    if extract is None:
        known = " ".join(BY_SUFFIX)
        raise DataError(f"{path}: found the suffix {suffix!r}, expected one of {known}")
    try:
        return extract(decoded(path, content))
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: not in the format {markup!r}: {error!r}") from error
