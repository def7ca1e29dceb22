"""Read an answer back into items, forgiving what models get wrong. Shown in notebook 05.

In: any string and a task. Out: `Parsed`, with every forgiveness named and counted. Strict JSON is
read as it stands. Top to bottom: which style an answer is in, which of its JSON is the answer, the
line styles, other layouts. `tolerant` and `layouts` make values of texts, `shapes` items of values.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from miniluotuo_utils.files import expect
from miniluotuo_utils.ie.calls import tool_parameters
from miniluotuo_utils.ie.doubts import is_guess, pruned, tells_more, without_asides
from miniluotuo_utils.ie.entities import read_entities
from miniluotuo_utils.ie.events import read_events
from miniluotuo_utils.ie.keys import Asked, is_word, rank
from miniluotuo_utils.ie.layouts import LONGEST, layouts
from miniluotuo_utils.ie.lines import READERS, stripped
from miniluotuo_utils.ie.names import EMPTY_WORDS, is_text, says_nothing
from miniluotuo_utils.ie.relations import read_relations
from miniluotuo_utils.ie.schema import Schema, field_of
from miniluotuo_utils.ie.shapes import may_be_type
from miniluotuo_utils.ie.styles import FENCE, NOTHING, TEXT_END, check_style
from miniluotuo_utils.ie.tolerant import Pairs, Reading, readings
from miniluotuo_utils.text import split_thoughts

# Which style an answer is in.
JSONS = ("json", "yayi")
JSON_LINE = re.compile(r"^[ \t]*(?:[{\[｛［]|```)", re.MULTILINE)  # a line that begins as JSON does
BRACKETED = re.compile(r"[(（]\s{0,9}type\s{0,9}[:：]")  # instructuie's `(type:发射, ...`

# What wraps an answer in lines, and what a backslash guards, so that it is not taken for that.
GUARDED = re.compile(r"\\.", re.DOTALL)
FENCES = re.compile(rf"({GUARDED.pattern})|{FENCE}", re.DOTALL)
ENDING = re.compile(rf"({GUARDED.pattern})|{TEXT_END}\s*\Z", re.DOTALL)
# Tags around an answer (`<answer>`, as reasoning models are taught), and `\boxed{…}`.
AROUND = re.compile(
    r"<(answer|final|final_answer|result|output|response|tool_call|json|答案|结果)>(.*?)(?:</\1>|\Z)",
    re.DOTALL | re.IGNORECASE,
)
BOXED = re.compile(r"\\boxed\{(.*)\}", re.DOTALL)

# Of several values the last words before each say which is the answer and which a draft.
FINAL = re.compile(
    r"最终|最后|答案|所以|因此|综上|修正|更正|改正|改为|应为|应该|正确|整理|输出|结果|如下|完整"
    r"|final|answer|result|output|correct|therefore|revised|updated",
    re.IGNORECASE,
)
DRAFT = re.compile(
    r"例如|比如|譬如|示例|样例|例子|举例|格式|模板|草稿|初稿|初步|假设|如果|也许|可能|错误|不对|比方"
    r"|e\.g\.|example|instance|draft|format|template|first attempt|initial|wrong",
    re.IGNORECASE,
)
# A line over the answer, with a draft before it: `核对以后，最终结果：`, `## 最终结果`.
SETTLED = r"[^\n，,：:]{0,6}(?:最终|修正|更正|改正|核对后|修改后|final|revised)[^\n，,。：:]{0,10}"
FINAL_LINE = re.compile(
    rf"^[ \t*>]*(?:[^\n：:]{{0,12}}[，,])?{SETTLED}(?:[：:][* \t]*|(?<=\*\*))$|^#+{SETTLED}$",
    re.MULTILINE | re.IGNORECASE,
)
# A prompt that a model made up behind its answer, and one that it left without an answer.
PROMPT = re.compile(r"^[#*]* ?(?:输入|句子|文本|原文|input|sentence|text)[ *]*[：:]", re.M | re.I)
BEGINS = re.compile(r"\s*(?:```\w*\s*)?[{\[｛［|]")
UNANSWERED = re.compile(
    r"^[ \t#*]*(?:输出|答案|答|结果|output|answer)[ \t*]*[：:]\s*\Z", re.M | re.I
)
# Code that would make the answer when it is run.
PROGRAM = re.compile(
    r"^[ \t]*(?:import \w|from \w+ import|def \w+\(|for \w+ in |print\()", re.MULTILINE
)
# Between values that stand side by side: marks, bullets, numbers, 和.
BESIDE = re.compile(
    rf"(?:\s|{FENCE}|[,，、;；.。\-*•·|]|\d{{1,3}}[.、)）]?|和|以及|及|and)*", re.IGNORECASE
)


SHAPES = {"NER": read_entities, "RE": read_relations, "EE": read_events}
# The same items so many times in a row are a loop; no gold answer of 12 data sets has more than 3.
LOOP, CYCLE = 5, 8


@dataclass
class Parsed:
    """An answer as read: `items`, and `repairs` (name -> how often).

    `ok` is False only when nothing could be read.
    """

    items: list[dict]
    repairs: dict[str, int]
    ok: bool


# ---- which style an answer is in


def parse(
    answer: str | None, task: str, style: str = "json", schema: Schema | None = None
) -> Parsed:
    """Read an answer of a style, or in any shape that leaves no doubt; never raises for a string.

    Items: NER `{name, type}`, RE `{head, type, tail}`,
    EE `{type, trigger, arguments: [{name, role}]}`.
    `schema`: the types that were asked for, such as a row's `types`, for EE better the whole schema
    with its roles. It tells a type from a name; a type outside of it stays what it is and counts as
    `unasked_type`. Without it only common types are told from names.

    Thoughts (`text.split_thoughts`) are dropped, and what stands above 最终结果 or goes on with a
    prompt of the model's own; of several objects the last after words such as
    答案, or all that stand side by side. What is in another style is read as repair other_style,
    what is in none of ours (tables, lists, headings, tags, tuples) as repair layout. Words for
    nothing (无, 没有实体) are an empty answer. A shape that is unknown is not ok.

    Repairs of JSON: prefix_text, suffix_text, code_fence, punctuation, quotes, inner_quotes,
    comment, comma, colon, bracket, truncated, bare_word, number, python_literal, repeated_key.
    Of shapes: object_list, single_value, wrapper, pairs, triples, columns, nested, places,
    flat_roles, lost_role, aside, swapped (type and name), joined_names, only_type,
    extra_key, bare_trigger,
    null_value, spaces, unasked_type, dropped_item. Of several values: joined, draft; of thoughts:
    thoughts; of what a student says over and over: loop. Of lines: code_fence, suffix_text,
    punctuation, quotes, comma, bullet, empty_word, null_value, swapped, line_break (a missing one),
    truncated, dropped_item.
    What a line style cannot tell is where a cut name ended: its last name may be half a name.

    >>> parse("答案：{'人物'：[“李白”，“杜", "NER").items
    [{'name': '李白', 'type': '人物'}]
    >>> parsed = parse("作者: 静夜思, 李白", "RE", "plain")
    >>> parsed.items, parsed.repairs
    ([{'head': '静夜思', 'type': '作者', 'tail': '李白'}], {'other_style': 1})
    >>> parse("| 实体 | 类型 |\\n|---|---|\\n| 李白 | 人物 |", "NER").items
    [{'name': '李白', 'type': '人物'}]
    """
    field_of(task)
    check_style(style)
    asked = Asked.of(task, schema)
    answer = "" if answer is None else answer  # as servers say that a model wrote nothing
    expect(isinstance(answer, str), "answer", answer, "the text that a model wrote")
    listed = not isinstance(schema, str)
    expect(listed, "schema", schema, "a list of types, for EE with their roles")

    # Thoughts, prompts that were made up and tags go first: in them stands no answer.
    thoughts, told = split_thoughts(answer)
    first = without_prompts(told, asked)
    call = tool_parameters(first) if len(first) <= LONGEST else None
    text = untagged(call or first)

    # A draft is read only where nothing that stands below it can be.
    final = after_draft(text)
    parsed = read(final or text, task, style, asked)
    if final and not parsed.ok:
        final, parsed = None, read(text, task, style, asked)
    named = {"thoughts": thoughts, "suffix_text": first != told, "wrapper": call, "draft": final}
    parsed.repairs.update({name: 1 for name, there in named.items() if there})
    return without_loop(parsed)


def untagged(text: str) -> str:
    r"""Return an answer without the tags or the box around it.

    >>> untagged(r"<answer>李白</answer>"), untagged(r"所以是\boxed{李白}")
    ('李白', '李白')
    """
    if len(text) > LONGEST:
        return text
    tagged = list(AROUND.finditer(text))
    if tagged and not re.search(r"[{\[\"]", text[: tagged[-1].start()]):
        text = tagged[-1][2]
    boxed = BOXED.search(text)
    return boxed[1] if boxed else text


def without_prompts(text: str, asked: Asked) -> str:
    r"""Return an answer without the prompts that a model goes on with once it has answered.

    >>> asked = Asked.of("NER", ["人物"])
    >>> without_prompts('{"人物": ["李白"]}\n输入：杜甫来了。\n输出：{"人物": ["杜甫"]}', asked)
    '{"人物": ["李白"]}\n'
    """
    prompt = PROMPT.search(text)
    # What begins with its items is no prompt that was repeated before it is answered.
    label = re.split("[：:]", text.lstrip(" \n-*#"), maxsplit=1)[0]
    begins = BEGINS.match(text) is not None or asked.is_type(label)
    return text[: prompt.start()] if prompt and begins else text


def after_draft(text: str) -> str | None:
    r"""Return what stands below the last line that says it is final, if something is above it.

    >>> after_draft("初步：\n- 李白：地点\n最终结果：\n- 李白：人物")
    '\n- 李白：人物'
    """
    lines = list(FINAL_LINE.finditer(text)) if len(text) <= LONGEST else []
    above = text[: lines[-1].start()] if lines else ""
    below = text[lines[-1].end() :] if lines else ""
    drafted = re.search(r"(?m)^\s*[-*|•]\s|[{\[]|[：:][^\S\n]*\S", above)
    return below if drafted and below.strip() else None


def read(text: str, task: str, style: str, asked: Asked) -> Parsed:
    """Return an answer as it is read, without thoughts and tags around it."""
    # What reads as nothing may be an answer in a text inside of JSON.
    parsed = best([beyond_doubt(one, asked) for one in attempts(text, task, style, asked)])
    inner = None if parsed.ok or len(text) > LONGEST else inside(text)
    if inner is not None:
        found = best([beyond_doubt(one, asked) for one in attempts(inner, task, style, asked)])
        if found.ok:
            parsed = Parsed(found.items, {**found.repairs, "wrapper": 1}, True)
    return parsed


def beyond_doubt(parsed: Parsed, asked: Asked) -> Parsed:
    """Return a reading, or a refusal where it is a guess."""
    if parsed.items and is_guess(parsed.items, parsed.repairs, asked):
        return Parsed([], parsed.repairs, False)
    return parsed


def without_loop(parsed: Parsed) -> Parsed:
    """Return an answer that ends where it begins to say the same items over and over.

    >>> looping = Parsed([{"name": "他", "type": "人物"}] * 17, {}, True)
    >>> without_loop(looping).items, looping.repairs
    ([{'name': '他', 'type': '人物'}], {'loop': 1})
    """
    items = parsed.items
    for period in range(1, CYCLE + 1):
        same = 0  # items in a row that equal the one a period before
        for number in range(period, len(items)):
            same = same + 1 if items[number] == items[number - period] else 0
            if same == period * (LOOP - 1):
                parsed.items = items[: number - same + 1]
                parsed.repairs["loop"] = 1
                return parsed
    return parsed


def attempts(text: str, task: str, style: str, asked: Asked) -> Iterator[Parsed]:
    """Yield readings of an answer, the likeliest first, until one reads all of it."""
    known = frozenset(asked.types.values())
    whole, doubtful = False, []
    for reading in likely_styles(text, task, style):
        if reading in JSONS:
            parsed, whole = json_answer(text, asked, reading)
        elif reading != style and (whole or len(text) > LONGEST):
            continue
        else:
            parsed = line_answer(text, asked, reading, known, reading == style)
        if reading != style:
            parsed.repairs["other_style"] = 1
        # What looks like another layout waits until the others were tried.
        elif reading not in JSONS and parsed.items and is_doubtful(text, parsed, asked):
            doubtful.append(parsed)
            continue
        yield parsed
        # Another style could read no more than everything.
        if beyond_doubt(parsed, asked).items and not parsed.repairs.get("dropped_item"):
            return
    if says_nothing(FENCES.sub("", text)):
        yield Parsed([], {"empty_word": 1}, True)
    elif not whole:
        yield from other_layouts(text, asked)
    yield from doubtful


def best(found: Sequence[Parsed]) -> Parsed:
    """Return the first reading that has items, else the first that is ok, else the first."""
    return max(found, key=lambda parsed: (bool(parsed.items), parsed.ok))


def inside(text: str) -> str | None:
    """Return what stands in JSON as a text; else None.

    >>> inside('{"result": "人物：李白"}')
    '人物：李白'
    """
    # `[{\\"name\\": …}]`: escaped for another text that was left out.
    if '\\"' in text and not re.search(r'(?<!\\)"', text):
        return text.replace('\\"', '"')
    if text.strip().startswith('"'):
        value = next(iter(readings(f"[{text.strip()}]")), None)
        return (
            value.value[0] if value and len(value.value) == 1 and is_text(value.value[0]) else None
        )
    value = next(iter(readings(text)), None)
    found = value.value if value and isinstance(value.value, Pairs) else ()
    texts = [one for key, one in found if is_text(one) and wraps(key)]
    return texts[0] if len(texts) == 1 else None


def wraps(key: object) -> bool:
    """Tell whether all of an answer may stand under a key as a text."""
    return rank(key, "any") is not None or rank(key, "arguments") is not None


def likely_styles(answer: str, task: str, style: str) -> list[str]:
    """Return the styles to read an answer as, in turn: its own, unless it has marks of another.

    >>> likely_styles('{"人物":["李白"]}', "NER", "plain")
    ['json', 'plain', 'instructuie']
    >>> likely_styles("人物：李白", "NER", "json")
    ['json', 'plain', 'instructuie']
    """
    # A Chinese colon or an arrow is a mark of plain, brackets with a type are of instructuie.
    bare = GUARDED.sub("", answer)
    bracketed = BRACKETED.search(bare) is not None
    looks_plain = not bracketed and ("：" in bare or "→" in bare)
    by_marks = ["plain", "instructuie"] if looks_plain else ["instructuie", "plain"]
    if style in JSONS:
        return [style, *by_marks]

    # A relation reads alike in both line styles, so its own comes first whatever the marks.
    doubtful = task == "EE" and bracketed
    if task == "NER":
        doubtful = ";" in bare if style == "plain" else ":" not in bare
    own_first = sorted(by_marks, key=lambda other: other != style)
    lines = by_marks if doubtful else own_first
    if JSON_LINE.search(answer):
        return ["json", *lines]
    return [*lines, "json"] if "{" in bare else lines


# ---- answers in lines and in other layouts


def line_answer(answer: str, asked: Asked, style: str, known: frozenset[str], own: bool) -> Parsed:
    """Read an answer in a line style. Not in its `own` style, it counts only if every line fits."""
    # What wraps the lines goes first: a code fence, a token that ends texts, spaces.
    unfenced = FENCES.sub(r"\1", answer)
    text = ENDING.sub(r"\1", unfenced)
    repairs: Counter = Counter()
    repairs["code_fence"] += unfenced != answer
    repairs["suffix_text"] += text != unfenced
    text = stripped(text)
    if text in EMPTY_WORDS:
        repairs["empty_word"] += text != NOTHING[style]
        # Another style's 没有 is more likely the beginning of a sentence than an answer.
        accepted = (NOTHING[style],) if own else ("无", "None")
        return Parsed([], dict(+repairs), text in accepted)

    items = list(READERS[style](text, asked.task, known, repairs))
    if own:
        # `答案：李白`: a word for a part of the answer is no type that nobody asked for.
        good = [item for item in items if item["type"] in known or not misread(item, asked)]
        repairs["dropped_item"] += len(items) - len(good)
        items = good
    elif repairs["dropped_item"] or not all(plausible(item, asked) for item in items):
        return Parsed([], {}, False)
    nothing_told = bool(repairs["null_value"]) and not repairs["dropped_item"]
    return Parsed(items, dict(+repairs), bool(items) or nothing_told)


def is_doubtful(text: str, parsed: Parsed, asked: Asked) -> bool:
    """Tell whether an answer in its own line style looks like another layout all the same.

    >>> parsed = Parsed([{"name": "[李白]", "type": "人物"}], {}, True)
    >>> is_doubtful("人物: [李白]", parsed, Asked.of("NER", ["人物"]))
    True
    """
    bare = GUARDED.sub("", text)
    if asked.task == "EE" and BRACKETED.search(bare):
        return False
    if re.search(r"(?m)^(?:[^：:\n]{0,40}[：:])?\s*[\[{［｛]", bare):
        return True
    if parsed.repairs and re.match(r"\s*[(<]\s*[(\w]", bare):
        return True
    # `人物: 李白 | 地点: 碎叶`
    kinds = "|".join(re.escape(kind) for kind in asked.types.values() if kind)
    if kinds and re.search(rf"[|｜。]\s*(?:{kinds})\s*[：:]", bare):
        return True
    strange = [item for item in parsed.items if asked.types and asked.known(item["type"]) is None]
    names = [item[part] for item in parsed.items for part in ("name", "head") if part in item]
    return bool(strange) or (bool(parsed.repairs) and any(map(is_word, names)))


def misread(item: Mapping, asked: Asked) -> bool:
    """Tell whether a line's label is a key, or its name the type: `答案：李白`, `李白：人物`."""
    label = item["type"]
    swapped = "name" in item and asked.is_type(item["name"]) and not asked.is_type(label)
    return is_word(label) or re.search(r"[{}\[\]\"<>|*#]", label) is not None or swapped


def plausible(item: Mapping, asked: Asked) -> bool:
    """Tell whether a line in another style than was asked for has a type beyond doubt."""
    label = item["type"]
    # `人物：[李白]`, `人物：李白 | 地点：碎叶`: marks of another layout stand in the names.
    names = [item[part] for part in ("name", "head", "tail", "trigger") if part in item]
    if any(
        re.search(r"[：:|｜`]|^[\[({<（［]|\*\*|</|->|→|.[(（].+[)）]\Z", name)
        for name in [*names, label]
    ):
        return False
    if asked.types or asked.task != "EE":
        common = not asked.types and asked.is_type(label) and asked.label(label) == label
        return label in asked.types.values() or common
    return may_be_type(label, asked) and not re.search(r"[*|#\s]", label)


def other_layouts(text: str, asked: Asked) -> Iterator[Parsed]:
    """Yield the readings of an answer that is a table, a list, tags, …; all of it goes first."""
    strict, doubtful = replace(asked, strict=True), []
    for value in layouts(ENDING.sub(r"\1", text), strict):
        repairs: Counter = Counter()
        items = list(SHAPES[asked.task](pruned(value, asked), strict, repairs))
        items = without_asides(items, repairs)
        parsed = Parsed(items, {"layout": 1, **+repairs}, bool(items) or said_none(repairs))
        if items and is_guess(items, parsed.repairs, asked):
            continue
        if items and not repairs["dropped_item"]:
            yield parsed
            return
        # Where something was not read, what was must be beyond doubt.
        if (
            items
            and asked.types
            and all(asked.is_type(item["type"]) for item in items)
            or not items
            and parsed.ok
        ):
            doubtful.append(parsed)
    yield from doubtful


def said_none(repairs: Counter) -> bool:
    """Tell whether every type was answered with a word for nothing."""
    return bool(repairs["null_value"]) and not repairs["dropped_item"]


# ---- answers in JSON


def json_answer(answer: str, asked: Asked, style: str) -> tuple[Parsed, bool]:
    """Return the reading of an answer as JSON, and whether all of it is JSON."""
    found: list[tuple[Reading, Parsed]] = []
    # What an answer rejects itself goes before its items are looked for.
    for reading in readings(answer):
        repairs = Counter(reading.repairs)
        items = list(SHAPES[asked.task](pruned(reading.value, asked), asked, repairs))
        nothing = not (repairs["dropped_item"] or repairs["truncated"])
        # A list of objects is no repair where yayi asks for one, and a dict of lists is.
        if style == "yayi" and asked.task != "NER":
            repairs["other_style"] += bool(items) and not repairs["object_list"]
            repairs["object_list"] = 0
        nothing = nothing and not stands_beside(reading.value, repairs)
        ok = (bool(items) or nothing) and not is_program(answer, items, repairs)
        found.append((reading, Parsed(items, repairs, ok)))
    # A prompt at the end that has no answer: all of it were examples.
    if not found or UNANSWERED.search(answer[found[-1][0].end :]):
        return Parsed([], {}, False), bool(found)

    # The last value is the answer, or all that stand side by side.
    text = answer.strip()
    whole = len(found) == 1 and found[0][0].end - found[0][0].start >= 0.8 * len(text)
    whole = whole and re.match(r"\{|\[\s*[\[{\"]", text) is not None
    chosen = answered(answer, [pair for pair in found if pair[1].ok])
    parsed = together(answer, chosen) if chosen else together(answer, found[:1])
    left = sum(pair[1].ok for pair in found) - len(chosen)
    if left > 0 and chosen:
        parsed.repairs["draft"] = left
    elif chosen and tells_more(answer[chosen[-1][0].end :], parsed.items, asked):
        return Parsed([], parsed.repairs, False), True
    return parsed, whole


def is_program(answer: str, items: Sequence[dict], repairs: Counter) -> bool:
    """Tell whether a value is code: a bare word is a variable, an empty list will be filled."""
    return bool((repairs["bare_word"] or not items) and PROGRAM.search(answer))


def stands_beside(value: object, repairs: Counter) -> bool:
    """Tell whether a value holds only what stands beside an answer, or what nobody can read."""
    alone = isinstance(value, Pairs) and 0 < len(value) <= repairs["extra_key"]
    lost = repairs["bare_word"] or (repairs["extra_key"] and repairs["object_list"])
    return alone or bool(lost)


def answered(answer: str, found: Sequence[tuple[Reading, Parsed]]) -> list[tuple[Reading, Parsed]]:
    """Return those values of an answer that are the answer: the last, or all side by side."""
    groups: list[list] = []
    marks: list[str] = []
    end = 0
    # Values side by side are one answer; each other one begins a group of its own.
    for reading, parsed in found:
        lead = answer[end : reading.start]
        end = reading.end
        mark = mark_of(lead)
        if groups and beside(lead, mark, marks[-1], groups[-1], parsed):
            groups[-1].append((reading, parsed))
        else:
            groups.append([(reading, parsed)])
            marks.append(mark)

    # What is called the answer goes before what is not, and what is called a draft is the last.
    final = [group for group, mark in zip(groups, marks, strict=True) if mark == "final"]
    plain = [group for group, mark in zip(groups, marks, strict=True) if not mark]
    if final:
        return final[-1]
    told = [group for group in plain or groups if has_items(group)]
    return (told or plain or groups or [[]])[-1]


def has_items(group: Sequence[tuple[Reading, Parsed]]) -> bool:
    """Tell whether a group of values holds an item."""
    return any(parsed.items for _, parsed in group)


def mark_of(lead: str) -> str:
    """Return what the words before a value call it: "final", "draft" or "".

    >>> mark_of("例如 "), mark_of("，所以答案是 "), mark_of("人物：")
    ('draft', 'final', '')
    """
    last = lead[-40:]
    final = max((m.end() for m in FINAL.finditer(last)), default=0)
    draft = max((m.end() for m in DRAFT.finditer(last)), default=0)
    if final == draft:
        return ""
    return "final" if final > draft else "draft"


def beside(lead: str, mark: str, before: str, group: Sequence, parsed: Parsed) -> bool:
    """Tell whether a value goes on with the ones before it, instead of taking their place."""
    if BESIDE.fullmatch(lead):
        return True
    if mark or before == "draft" or len(lead.strip()) > 24:
        return False
    # `人物：{…} 地点：{…}`: other types, or other items under numbers.
    label = lead.strip().strip("：:#*`\n -").rpartition("\n")[2]
    told = {item["type"] for _, other in group for item in other.items}
    fresh = told.isdisjoint(item["type"] for item in parsed.items)
    return fresh or (bool(re.search(r"\d|[一二三四五六七八九十]\Z", label)) and is_word(label))


def together(answer: str, found: Sequence[tuple[Reading, Parsed]]) -> Parsed:
    """Return values that stand side by side as one answer, with what stands around them."""
    items = [item for _, parsed in found for item in parsed.items]
    repairs: Counter = Counter()
    for _, parsed in found:
        repairs.update(parsed.repairs)
    repairs["joined"] += len(found) - 1
    around = {"prefix_text": answer[: found[0][0].start], "suffix_text": answer[found[-1][0].end :]}
    for name, text in around.items():
        rest = re.sub(FENCE, "", text)
        repairs["code_fence"] |= rest != text  # its two ends are one fence
        repairs[name] += bool(rest.strip())
    return Parsed(items, dict(+repairs), any(parsed.ok for _, parsed in found))
