"""Read answers that are calls: Python code of GoLLIE and CodeKGC, tools' calls of GLM and Qwen.

In: the text of an answer. Out: values as of JSON (objects as `Pairs`, lists, texts). The code is
parsed and never run. Shown in notebook 05.
"""

from __future__ import annotations

import ast
import json
import re
import warnings

from miniluotuo_utils.ie.keys import Asked, is_word
from miniluotuo_utils.ie.tolerant import Number, Pairs

DEEPEST = 12  # calls within calls
# What GLM and Qwen's coders are given a tool's parameters in.
PARAMETER = re.compile(
    r"<arg_key>([^<>]{1,40})</arg_key>\s*<arg_value>(.*?)</arg_value>"
    r"|<parameter=([^<>]{1,40})>(.*?)</parameter>",
    re.DOTALL,
)
SAID = ("mention", "span", "text", "word")
OWN = {"NER": "type", "RE": "relation", "EE": "event_type"}


def tool_parameters(text: str) -> str | None:
    """Return the parameters of tools' calls as JSON, an object for each call; None without any.

    >>> tool_parameters('<function=find><parameter=人物>["李白"]</parameter></function>')
    '{"人物": ["李白"]}'
    """
    calls = [PARAMETER.findall(call) for call in re.split(r"</tool_call>|</function>", text)]
    return "\n".join(map(parameters, filter(None, calls))) or None


def parameters(found: list[tuple[str, str, str, str]]) -> str:
    """Return the parameters of one call as an object of JSON."""
    return "{" + ", ".join(parameter(*groups) for groups in found) + "}"


def parameter(key: str, value: str, name: str, held: str) -> str:
    """Return one parameter as a pair of JSON; what is no JSON itself is a text."""
    value = (value or held).strip()
    told = value if value.startswith(("[", "{")) else json.dumps(value, ensure_ascii=False)
    return f"{json.dumps(key or name, ensure_ascii=False)}: {told}"


def python_calls(text: str, asked: Asked) -> list | None:
    """Return the outermost calls of Python code, None where the text is no code.

    >>> python_calls('r = [人物(span="李白")]', Asked.of("NER", ["人物"]))
    [[('type', '人物'), ('span', '李白')]]
    >>> python_calls('Triple(Entity("李白"), Rel("出生地"), Entity("碎叶"))', Asked.of("RE", None))
    [['李白', '出生地', '碎叶']]
    """
    if "(" not in text:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text.strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    values = [call_value(call, asked) for call in outermost(tree, DEEPEST)]
    return values if values and None not in values else None


def outermost(node: ast.AST, depth: int) -> list[ast.Call]:
    """Return the calls of a piece of code that stand in no other call; none of `x.append(…)`."""
    found: list[ast.Call] = []
    for child in ast.iter_child_nodes(node) if depth else ():
        if isinstance(child, ast.Call) and isinstance(child.func, ast.Name):
            found.append(child)
        else:
            found += outermost(child, depth - 1)
    return found


def call_value(call: ast.Call, asked: Asked) -> object:
    """Return one call as an object under its keywords, or as the list of what it is given."""
    name = call.func.id
    texts = [plain_value(one, asked) for one in call.args]
    words = Pairs((one.arg, plain_value(one.value, asked)) for one in call.keywords if one.arg)
    if not words:
        return positional(name, texts, asked)
    if texts:
        return None
    # GoLLIE's events: `收购(mention="买下", 收购方=["腾跃"])`.
    if asked.task == "EE" and not is_word(name):
        words = Pairs(("trigger" if key in SAID else key, value) for key, value in words)
    kind = any(asked.is_type(value) for _, value in words if isinstance(value, str))
    return words if is_word(name) or kind else Pairs([(OWN[asked.task], name), *words])


def positional(name: str, texts: list, asked: Asked) -> object:
    """Return `人物("李白")`, `出生地("李白", "碎叶")`, `Entity("李白", "人物")` as data."""
    if not texts or not all(isinstance(text, str) for text in texts):
        return None
    if asked.is_type(name) and len(texts) == (1 if asked.task == "NER" else 2):
        own = Pairs([("type", name), ("name", texts[0])])
        return own if asked.task == "NER" else [texts[0], name, texts[1]]
    return texts if len(texts) in (2, 3) else None


def plain_value(node: ast.AST, asked: Asked) -> object:
    """Return a literal as a value; a call of one text within another call is that text."""
    if isinstance(node, ast.Constant):
        number = isinstance(node.value, int | float) and not isinstance(node.value, bool)
        return Number(node.value) if number else node.value
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return [plain_value(one, asked) for one in node.elts]
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return Pairs((plain_value(k, asked), plain_value(v, asked)) for k, v in pairs if k)
    if isinstance(node, ast.Call) and len(node.args) + len(node.keywords) == 1:
        inner = [*node.args, *(word.value for word in node.keywords)]
        return plain_value(inner[0], asked)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return call_value(node, asked)
    return node.id if isinstance(node, ast.Name) else None
