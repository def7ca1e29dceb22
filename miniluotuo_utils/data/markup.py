"""Take the HTML out of a text that was scraped: tags, `&nbsp;` and other entities.

In: a text that is not about HTML. Out: the text with line ends for paragraphs. Shown in notebook
01.
"""

import re
from html import unescape

# What stands around scraped prose. Any other tag means that the text is a page or code.
LINES = (
    "p|br|div|li|tr|h[1-6]|hr|ul|ol|dl|dt|dd|table|tbody|thead|blockquote|section|article|"
    "center|pre"
)
WORDS = "b|strong|i|em|u|s|span|a|font|img|small|big|td|th|sub|sup|strike|del|ins|mark|label"
ATTRIBUTES = r"""(?:\s+[\w:-]+(?:\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>]+))?)*"""
TAG = re.compile(rf"<\s?/?\s?(?P<name>{LINES}|{WORDS}){ATTRIBUTES}\s*/?\s?>", re.IGNORECASE)
ANY_TAG = re.compile(r"<[/!]?[A-Za-z][A-Za-z0-9-]*[^<>]*>")
# Bold alone may be what was asked for; paragraphs and blanks of a page are not.
SURE = re.compile(rf"<\s?/?\s?(?:{LINES}|sup|sub)\b|&nbsp;|&#160;", re.IGNORECASE)
ENTITY = re.compile(r"&(?:amp;)*(?:#\d{1,6}|#[xX][0-9A-Fa-f]{1,5}|[A-Za-z][A-Za-z0-9]{1,30});")
POWER = re.compile(r"<sup>\s*([^<>]{1,12}?)\s*</sup>", re.IGNORECASE)
CODE = re.compile(
    r"```|`|<!DOCTYPE|<html|<script|<style|<\?xml|\bdef |\bfunction\b|\bimport ", re.IGNORECASE
)
# A row that speaks of these shows its tags.
ABOUT = re.compile(
    r"HTML|XML|CSS|JavaScript|\bJS\b|PHP|\bJSX\b|\bVue|React|Markdown|标签|标记|网页|网站|页面|前端|"
    r"粗体|加粗|斜体|下划线|高亮|突出显示|代码|元素|转义|实体|按钮|表单|表格|超链接|编程|程序|脚本|源码|正则|爬虫|"
    r"tag|web ?page|website|code|element",
    re.IGNORECASE,
)


def about_markup(*asked: str) -> bool:
    """Return whether a question is about HTML or code, so that tags are what is said."""
    return any(map(ABOUT.search, asked))


def has_code(text: str) -> bool:
    """Return whether a text holds code."""
    return CODE.search(text) is not None


def without_markup(text: str) -> str:
    r"""Return a text without the HTML that was left in it.

    A text with any tag that prose does not have is a page, and stays as it is; so does one that
    holds nothing else, and one whose only tags make words bold.

    >>> without_markup("<p>第一段&nbsp;&amp; 更多</p><br/>第二段：x<sup>2</sup>")
    '第一段 & 更多\n第二段：x^2'
    >>> without_markup("a<b 且 c>d，List<String>，<输入>，AT&T")
    'a<b 且 c>d，List<String>，<输入>，AT&T'
    """
    before, found = None, text
    # What was escaped twice shows its tags after the first time.
    while found != before:
        before, found = found, once(found)
    return found if re.search(r"\w", found) else text


def once(text: str) -> str:
    """Return a text without its tags, and its entities as characters."""
    tags = list(ANY_TAG.finditer(text))
    if tags and not (SURE.search(text) and all(TAG.fullmatch(tag[0]) for tag in tags)):
        return text
    if tags:
        text = POWER.sub(r"^\1", text)
        text = TAG.sub(line_end, text)
        text = re.sub(r"[ \t\xa0]*\n\s*", "\n", text).strip()
    return ENTITY.sub(character, text)


def line_end(tag: re.Match) -> str:
    """Return what takes the place of a tag: a line end after a block, else nothing."""
    block = re.fullmatch(LINES, tag["name"], re.IGNORECASE)
    return "\n" if block else ""


def character(entity: re.Match) -> str:
    """Return the character that an entity stands for, a space for `&nbsp;`, else itself."""
    found = unescape(unescape(entity[0]))
    return " " if found in "\xa0\u2002\u2003\u2009" else found
