"""Tell prose from JSON in an answer: what is asked of sentences is not asked of JSON.

In: an answer. Out: what of it is prose; whether it is JSON, or JSON that was cut. Shown in notebook
01.
"""

import ast
import json
import re
import warnings

FENCED = re.compile(r"```[a-zA-Z]*[ \t]*\n?(.*?)```", re.DOTALL)
# Where JSON may begin: at the start, on a line of its own, after a colon.
OPENS = re.compile(r"(?:^|[:：])[ \t]*(?=[{\[])", re.MULTILINE)
# Extraction answers in other styles, line by line: (type:…, trigger:…), 类型：触发词；角色=论元,
# person: …; place: …
RECORDS = re.compile(
    r"^[ \t]*(?:\((?:type|name|类型|名称)[:：].*\)"
    r"|[^：:=；\n]{1,20}[：:][^；\n]*(?:；[^=；，。\n]{1,20}=[^；\n]*)+"
    r"|(?:[^\s:;，。]{1,16}: [^;\n]{1,60}; )+[^\s:;，。]{1,16}: [^;\n]{1,60})[ \t]*$",
    re.MULTILINE,
)
DECODER = json.JSONDecoder()
BEGINS = re.compile(r'\s*(?:\{\s*(?:"|$)|\[\s*(?:[{\["]|$))')


def is_json(text: str) -> bool:
    """Return whether a text is a JSON object or list.

    >>> [is_json(text) for text in ('{"人物": []}', "[]", "3", "{x}")]
    [True, True, False, False]
    """
    try:
        return text.lstrip().startswith(("{", "[")) and DECODER.decode(text) is not None
    except (ValueError, RecursionError):
        return False


def is_data(text: str) -> bool:
    """Return whether a text is JSON, or the same in Python's quotes.

    >>> is_data("{'人物': ['李白']}"), is_data("{李白}")
    (True, False)
    """
    if is_json(text) or not text.lstrip().startswith(("{", "[")):
        return is_json(text)
    try:
        # A backslash that Python does not know is no reason to warn.
        with warnings.catch_warnings(action="ignore"):
            return isinstance(ast.literal_eval(text.strip()), dict | list)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False


def unfenced(text: str) -> str:
    """Return what stands in the code fence that is the whole text, else the text."""
    fence = FENCED.fullmatch(text.strip())
    return fence[1] if fence else text


def prose(text: str) -> str:
    r"""Return an answer without the JSON objects and lists that it holds.

    They stand in a code fence, on a line of their own or after a colon; each may go over lines.

    >>> prose('{"人物": ["李白"]}'), prose('结果：[{"类型": "出生"}]\n就这些。')
    ('', '结果：\n就这些。')
    >>> prose("质押：质押；数量=三股；日期=五月")
    ''
    >>> prose("[注] 括号里的话不是 JSON。")
    '[注] 括号里的话不是 JSON。'
    """
    text = RECORDS.sub("", text)
    if "{" not in text and "[" not in text:
        return text
    text = FENCED.sub(lambda fence: "" if is_data(fence[1]) else fence[0], text)
    if is_data(text):
        return ""
    at, kept = 0, []
    for opening in OPENS.finditer(text):
        end = json_end(text, opening.end()) if opening.end() >= at else None
        if end is not None:
            kept.append(text[at : opening.end()])
            at = end
    return ("".join(kept) + text[at:]).strip()


def json_end(text: str, start: int) -> int | None:
    """Return where the JSON that begins at a place ends, None where none begins or more follows.

    Behind it stands nothing, a comma or a full stop.
    """
    try:
        _, end = DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    rest = re.compile(r"[,，;；。]?[ \t]*(?=\n|\Z)").match(text, end)
    return rest.end() if rest else None


def cut_json(text: str) -> bool:
    """Return whether a text is the beginning of JSON whose end is missing.

    >>> cut_json('{"人物": ["李白", "杜'), cut_json('{"人物": ["李白"]}'), cut_json('{"a": b}')
    (True, False, False)
    """
    text = text.strip()
    if not BEGINS.match(text):
        return False
    try:
        DECODER.raw_decode(text)
    except json.JSONDecodeError as error:
        return error.pos >= len(text) or error.msg.startswith("Unterminated string")
    except RecursionError:
        pass
    return False
