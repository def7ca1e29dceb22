"""Tell a reading that is a guess from one beyond doubt, so that it is refused.

In: the items of an answer and the repairs that it took. Out: whether anyone would sign for them.
What strict JSON says under types that were asked for is never doubted, but for templates that the
model only copied. Shown in notebook 05.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from miniluotuo_utils.ie.keys import Asked, is_word, key
from miniluotuo_utils.ie.names import no_name, says_nothing
from miniluotuo_utils.ie.tolerant import Pairs

# What stands in a template or a schema instead of a name: `<人物名称>`, 机构的名称, `...`, 张三.
TEMPLATE = re.compile(
    r"[<＜{｛\[【][^<>＜＞{}｛｝]{0,20}[>＞}｝\]】]|…+|\.{2,}|[xX×*_]{2,}|(?:string|str|text|list)"
    r"|(?:[\w\s、]{0,12}的)?(?:实体|人物|地点|机构|组织)?(?:名称|姓名|名字|地名|人名|机构名|文本|原文|内容)"
    r"|(?:实体|名称|人物|地点|机构|关系|头实体|尾实体|角色|论元|触发词)(?:[0-9一二三A-C]|名)?"
    r"|(?:日期|时间)(?:或|和|/).{1,6}|(?:entity|name|type)(?:\s?(?:name|text|\d))?",
    re.IGNORECASE,
)
# In a name that was taken out of a line or a table: marks of a layout that was not understood.
MARKS = re.compile(
    r"\s[|｜/]\s|[|｜]\s*\Z|->|→|=>|<[|/]|\*\*|```|[？?！!。]\s*\S|\t|==|(?:结果|如下|实体)[：:]"
)
DENIES = re.compile(
    r"(?:可能|也许|大概|或许|似乎|不|并非|不再|没有|没|(?<!除)非|not|isn't)\Z", re.IGNORECASE
)
# What a schema says of a role: 接受任命的人.
EXPLAINS = re.compile(
    r"[\w\s、]{2,12}的(?:人|人员|一方|机构|组织|公司|词|动词|地点|地方|时间|日期|数量|金额|对象)"
)
# What a type means instead of a name: `节日：指有纪念意义的日子`.
DEFINED = re.compile(r"(?:是指|指的是|指|表示|用于|用来)\w{2,20}的\w{1,10}(?:[，,；;：:].*)?")
GUESSED = ("layout", "other_style", "pairs", "swapped", "bare_word")
EXPLAINED = re.compile(r"([^()（）]+?)\s*[(（][^()（）]+[)）]")
COMMON_KINDS = Asked.of("NER", None).is_type
LETTER = re.compile(r"\w")
# Words before items that come on top of the answer.
DENIED = re.compile("没有|未|无|不")
MORE = re.compile(
    r"另外|此外|还有|补充|遗漏|漏掉|漏了|除此之外|additionally|also|missed", re.IGNORECASE
)


def is_guess(items: Sequence[Mapping], repairs: Mapping[str, int], asked: Asked) -> bool:
    """Tell whether items read with these repairs may be something else than the answer.

    >>> asked = Asked.of("NER", ["人物"])
    >>> is_guess([{"name": "✅", "type": "人物"}], {"layout": 1, "pairs": 1}, asked)
    True
    >>> is_guess([{"name": "李白", "type": "人物"}], {"layout": 1, "pairs": 1}, asked)
    False
    """
    # No type of the answer was asked for: it answers another question, or in other words.
    if asked.types and items and all(asked.known(item["type"]) is None for item in items):
        return True
    names = [name for item in items for name in names_of(item)]
    # A second answer in other words (English below Chinese), and a type that says there is none.
    if repairs.get("joined") and repairs.get("unasked_type"):
        return True
    if repairs.get("object_list") and any(no_name(item["type"]) for item in items):
        return True
    # All that an event holds was lost.
    bare = asked.task == "EE" and not any(item["arguments"] for item in items)
    if bare and repairs.get("dropped_item"):
        return True
    if is_schema(names, repairs, asked):
        return True
    guessed = any(repairs.get(repair) for repair in GUESSED)
    return bool(repairs.get("lost_role")) or (guessed and is_misplaced(items, repairs, asked))


def is_schema(names: Sequence[str], repairs: Mapping[str, int], asked: Asked) -> bool:
    """Tell whether names are what a template or a schema says in their place."""
    # `{"导演": {"head": "电影", "tail": "人物"}}`
    if asked.task == "RE" and repairs.get("single_value") and all(map(COMMON_KINDS, names)):
        return True
    # Strict JSON may well say that a name is 姓名, but not that it is `<人物>`.
    strict = re.compile("[<＜].*[\u4e00-\u9fff].*[>＞]")
    copied = [is_template(one) and (bool(repairs) or strict.fullmatch(one)) for one in names]
    said = [is_template(one) or EXPLAINS.fullmatch(one) for one in names]
    most = 2 * sum(map(bool, copied)) > len(names)
    return most or (bool(repairs) and len(names) > 1 and all(said))


def is_misplaced(items: Sequence[Mapping], repairs: Mapping[str, int], asked: Asked) -> bool:
    """Tell whether names and types of lines or tables hold marks of a layout or its other parts."""
    names = [name for item in items for name in names_of(item)]
    # `收购（触发词：买下）` was cut at its colon; one explanation may as well be part of a name.
    labels = [*names, *(item["type"] for item in items)]
    if any(item["type"] and not LETTER.search(item["type"]) for item in items):
        return True
    if any(len(re.findall("[(（]", name)) != len(re.findall("[)）]", name)) for name in labels):
        return True
    if repairs.get("layout") and any(re.search(r"的.*[)）]\Z", name) for name in names):
        return True
    # `导演：潮声记 - 甲；主演：潮声记 - 乙`: the second relation was left in a name.
    if any(asked.is_type(re.split("[:：]", name)[0]) for name in names if re.search("[:：]", name)):
        return True
    return any(map(is_odd_name, names)) or any(holds_role(item, asked) for item in items)


def names_of(item: Mapping) -> Iterator[str]:
    """Yield the names of an item."""
    yield from (item[part] for part in ("name", "head", "tail", "trigger") if part in item)
    yield from (argument["name"] for argument in item.get("arguments", ()))


def is_template(name: str) -> bool:
    """Tell whether a name is one of a template: `<人物名称>`, 机构的名称, 实体1.

    >>> is_template("<人物名称>"), is_template("机构的名称"), is_template("名古屋")
    (True, True, False)
    """
    return TEMPLATE.fullmatch(name.strip()) is not None


def without_asides(items: Sequence[dict], repairs: Counter) -> list[dict]:
    """Return entities of lines without what brackets explain behind several of their names.

    >>> names = ["周明远（教师）", "厦门（福建的城市）"]
    >>> found = without_asides([{"name": name, "type": "词"} for name in names], Counter())
    >>> [item["name"] for item in found]
    ['周明远', '厦门']
    """
    asides = [EXPLAINED.fullmatch(item.get("name", "")) for item in items]
    if sum(map(bool, asides)) < 2:
        return list(items)
    repairs["aside"] += sum(map(bool, asides))
    pairs = zip(items, asides, strict=True)
    return [{**item, "name": aside[1]} if aside else item for item, aside in pairs]


def is_odd_name(name: str) -> bool:
    """Tell whether a name has marks of a layout in it, no letter at all, or ends in a denial.

    >>> is_odd_name("✓"), is_odd_name("周明远 | True"), is_odd_name("北京")
    (True, True, False)
    """
    letters = any(unicodedata.category(char)[0] in "LN" for char in name)
    odd = MARKS.search(name) or DENIES.search(name) or DEFINED.fullmatch(name)
    return not letters or odd is not None


def holds_role(item: Mapping, asked: Asked) -> bool:
    """Tell whether an argument with its role was left inside of a trigger or a name."""
    found = re.split(r"[=＝：:]", item.get("trigger", ""))
    if len(found) > 1 and asked.task == "EE":
        return True
    for name in (one["name"] for one in item.get("arguments", ())):
        pieces = re.split(r"[，,；;、\s]", name)
        labels = [
            re.split(r"[=＝：:]", piece)[0] for piece in pieces if re.search("[=＝：:]", piece)
        ]
        if any(asked.is_role(label) for label in labels):
            return True
    return False


def tells_more(text: str, items: Sequence[Mapping], asked: Asked) -> bool:
    """Tell whether words beside the JSON of an answer hold items that are not in it.

    >>> asked = Asked.of("NER", ["人物", "地点"])
    >>> tells_more("另外，碎叶是地点。", [{"name": "李白", "type": "人物"}], asked)
    True
    >>> tells_more("说明：没有地点。", [{"name": "李白", "type": "人物"}], asked)
    False
    """
    if len(text) > 2_000 or not items:
        return False
    told = {item["type"] for item in items}
    for sentence in re.split(r"[。\n]", text):
        more = MORE.search(sentence)
        rest = sentence[more.end() :] if more and not DENIED.search(sentence) else ""
        if any(kind and kind in rest for kind in asked.types.values()):
            return True
        # `地点：碎叶` under an object that has no 地点.
        label, colon, value = sentence.replace("：", ":").strip(" *-#•\t").partition(":")
        fresh = bool(colon) and asked.is_type(label) and asked.label(label) not in told
        if fresh and value.strip(" *") and not says_nothing(value) and "{" not in value:
            return True
    return False


# Flags of an item, without case and `_`, and what they say where the item is none.
FLAGS = re.compile(
    r"(?:is)?(?:an?)?(?:entity|relation|event|triple|valid|correct|true|holds?|exists?|keep|kept"
    r"|accepted|confirmed|present|match(?:ed)?|relevant|included)"
    r"|(?:是否)?为?(?:实体|关系|事件|有效|成立|存在|正确|保留|采纳|符合|相关)"
)
VERDICTS = ("status", "decision", "verdict", "判断", "判定", "结论", "状态", "处理")
NO, YES = (False, "false", "no", "否", "不是", "不"), (True, "true", "yes", "是")


def is_denied(value: Pairs) -> bool:
    """Tell whether an object says of itself that it is none.

    >>> is_denied(Pairs([("name", "李白"), ("is_valid", False)]))
    True
    >>> is_denied(Pairs([("name", "李白"), ("rejected", True)]))
    True
    """
    return any(isinstance(key, str) and denies(key, found) for key, found in value)


def denies(flag: str, found: object) -> bool:
    """Tell whether a flag of an item takes it back: `valid: false`, `excluded: 是`, `判断: 否`."""
    said = found.strip().casefold() if isinstance(found, str) else found
    # `{"entity": "NO"}` is a name, `{"entity": false}` is none.
    if FLAGS.fullmatch(key(flag)):
        return found is False if is_word(flag) else said in NO
    verdict = key(flag) in VERDICTS and isinstance(said, str)
    return said in YES and is_rejected(flag) or verdict and (said in NO or is_rejected(said))


REJECTED = re.compile(
    r"reject|exclud|discard|ignored|negative|invalid|candidate|uncertain|not_entit|non_entit|removed"
    r"|irrelevant|unrelated|none_of"
    r"|排除|剔除|舍弃|候选|非实体|不确定|无效|忽略|删除|错误|存疑|未采纳|未归类"
    r"|不属于(?:任何|以上|上述|所列)|(?:以上|都|均)不是|不是实体|不符合(?:要求|条件|类型)|无关(?:实体|词)?\Z",
    re.IGNORECASE,
)


def is_rejected(key: object) -> bool:
    """Tell whether a key says that what stands under it is not the answer: rejected, 排除.

    >>> is_rejected("rejected_entities"), is_rejected("已排除"), is_rejected("entities")
    (True, True, False)
    """
    return isinstance(key, str) and not is_word(key) and REJECTED.search(key) is not None


def pruned(value: object, asked: Asked, depth: int = 0) -> object:
    """Return a value without the objects that deny themselves, and what stands under rejected keys.

    >>> pruned([Pairs([("name", "碎叶"), ("valid", False)])], Asked.of("NER", None))
    []
    """
    if depth > 8 or not isinstance(value, list):
        return value
    if isinstance(value, Pairs):
        if is_denied(value):
            return []
        kept = ((k, v) for k, v in value if not is_rejected(k) or asked.known(k) is not None)
        return Pairs((k, pruned(v, asked, depth + 1)) for k, v in kept)
    kept = (one for one in value if not (isinstance(one, Pairs) and is_denied(one)))
    return [pruned(one, asked, depth + 1) for one in kept]
