"""Let a teacher write instructions, guided by examples or topics, and the responses to them.

In: seed rows (and topics) and a `Teacher`. Out: instruction rows, with what was dropped counted.
The English prompts are those of LaMini-LM (Wu et al. 2023, arXiv 2304.14402); the Chinese ones are
our own. Shown in notebook 02.
"""

import html
import random
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from miniluotuo_utils.teacher.client import Teacher, chat, chat_of, question_of, text_of
from miniluotuo_utils.teacher.limits import BudgetReached, commonest
from miniluotuo_utils.teacher.store import Reply
from miniluotuo_utils.text import NearDuplicates, folded

RULES_EN = """You do not need to provide a response to the generated examples.
Each example must include an instruction.
Each generated instruction can be either an imperative sentence or a question.
Each example must start with the label "<example>" and end with the label "</example>"."""
RULES_ZH = """只写示例，不要写它们的回答。
每个示例都要含有一条指令。
指令可以是祈使句，也可以是问句。
每个示例都以标签“<example>”开头，以标签“</example>”结尾。"""
EXAMPLE_GUIDED = {
    "zh": "{examples}\n\n生成 {count} 个多样的示例，与上面给出的示例相似。\n" + RULES_ZH,
    "en": "{examples}\n\nGenerate {count} diverse examples that are similar to the provided "
    "examples.\n" + RULES_EN,
}
TOPIC_GUIDED_ZH = (
    "{examples}\n\n生成 {count} 个多样的示例，与上面给出的示例相似，主题是“{topics}”。\n" + RULES_ZH
)
TOPIC_GUIDED_EN = (
    "{examples}\n\nGenerate {count} diverse examples that are similar to the provided examples "
    'with the topics "{topics}".\n' + RULES_EN
)
TOPIC_GUIDED = {"zh": TOPIC_GUIDED_ZH, "en": TOPIC_GUIDED_EN}
BETWEEN_TOPICS = {"zh": "、", "en": ", "}
RESPOND_SYSTEM_ZH = "你是一个乐于助人的助手。回答给出的指令，在说清楚的前提下尽量简洁。"
RESPOND_SYSTEM = {
    "zh": RESPOND_SYSTEM_ZH,
    "en": "You are a helpful assistant, but you must respond the provided instructions as concise "
    "as possible.",
}

# What a guided reply is taken apart by: <example>, </Example >, ＜example＞, 《example》, <示例>,
# **<example id="1">**, &lt;example&gt;.
TAG = re.compile(
    r"""[*`]{0,3}(?: [<＜《]{1,2} | \[ | 【 | &lt; )\s*
        (?P<closes>[/／\\]?)\s* (?: examples? | 示例 | 例子 )\s*
        [\d一二三四五六七八九十]{0,3} (?: \s[^<>＜＞\[\]]{0,60}? )? \s*
        (?: [>＞》]{1,2} | \] | 】 | &gt; )[*`]{0,3}""",
    re.IGNORECASE | re.VERBOSE,
)
NUMBER = re.compile(
    r"""\s*(?: (?P<number>\d{1,3}) (?: \.(?!\d)     # 1. 写诗, but not 3.5加4
                                  | [．、)）](?!\s?\d) )  # 2、写诗, but not 5、6、7 的和
            | [-*•](?=\s) )\s*                           # - 写诗""",
    re.VERBOSE,
)
LAST_LINE = re.compile(
    r"""\s*\n(?: \s*\d{1,3}[.．、)）]    # the number of the next example, before its tag
             | \s*```\w* )\s*$         # the end of a code fence""",
    re.VERBOSE,
)
NO_TEXT = re.compile(r"```\w*|[\s\d.．、)）(（*•-]")  # between examples, without a meaning: "\n2. "
ITEM = re.compile(r"^[ \t]{0,3}(?:(\d{1,3})[.．、)）](?!\d)|[-*•](?=\s))[ \t]*", re.MULTILINE)


@dataclass
class Guided:
    """What guided generation gave: `rows`, `prompts` sent, `unparsable` pieces, and `failures`.

    `counts` are of requests, failed, generated (parsed examples), of_seed and repeated (dropped as
    duplicates), unique (rows) and unparsable (pieces); generated == unique + of_seed + repeated.
    """

    rows: list[dict]
    counts: dict[str, int]
    prompts: list[str]
    unparsable: list[str]
    failures: list[str]


def example_guided(
    teacher: Teacher,
    seeds: Sequence[Mapping],
    requests: int,
    examples: int = 3,
    count: int = 20,
    seed: int = 0,
    language: str = "zh",
    **sampling: Any,
) -> Guided:
    """Ask for new instructions like the seeds.

    Every request shows `examples` random seeds and asks for `count` more. The first requests stay
    the same when `requests` grows, so that the store pays for them. `sampling` goes to
    `Teacher.ask`. Raises ValueError for fewer seeds than `examples` or an unknown language.
    """
    prompts = guided_prompts(seeds, None, examples, count, seed, language)
    return generated(teacher, list(islice(prompts, requests)), seeds, "example_guided", sampling)


def topic_guided(
    teacher: Teacher,
    seeds: Sequence[Mapping],
    topics: Sequence[str],
    requests: int,
    topics_per_request: int = 3,
    examples: int = 3,
    count: int = 20,
    seed: int = 0,
    language: str = "zh",
    **sampling: Any,
) -> Guided:
    """`example_guided`, with `topics_per_request` random topics in every request.

    LaMini-LM got fewer repeated instructions that way.
    """
    prompts = guided_prompts(seeds, topics, examples, count, seed, language, topics_per_request)
    return generated(teacher, list(islice(prompts, requests)), seeds, "topic_guided", sampling)


def guided_prompts(
    seeds: Sequence[Mapping],
    topics: Sequence[str] | None,
    examples: int,
    count: int,
    seed: int,
    language: str,
    topics_per_request: int = 3,
) -> Iterator[str]:
    """Yield prompts without end, example-guided where `topics` is None, else topic-guided."""
    template = of_language(EXAMPLE_GUIDED if topics is None else TOPIC_GUIDED, language)
    chance = random.Random(seed)
    while True:
        drawn = draw(chance, seeds, examples, "seeds")
        shown = "\n".join(f"<example>{question_of(row)}</example>" for row in drawn)
        named = [] if topics is None else draw(chance, topics, topics_per_request, "topics")
        together = BETWEEN_TOPICS[language].join(named)
        yield template.format(examples=shown, count=count, topics=together)


STOPPED = {
    "target": ("够数了，停下", "the target is reached"),
    "dry": ("再问也没有新的，停下", "nothing new comes any more"),
    "budget": ("预算用完了，停下", "the budget is used up"),
    "failed": ("教师出错，停下", "the teacher failed"),
}


@dataclass
class Grown:
    """What a growing set became, and why it `stopped`: `target`, `dry`, `budget` or `failed`.

    `near` holds (text, the kept text that it repeats, similarity); `curve` has an entry per round:
    requests, generated and unique instructions in all. `reasons` tell, commonest first, why replies
    held no instruction or too few; `error` has the words of what stopped it.
    """

    rows: list[dict] = field(default_factory=list)
    near: list[tuple[str, str, float]] = field(default_factory=list)
    curve: list[dict[str, int]] = field(default_factory=list)
    stopped: str = ""
    reasons: list[str] = field(default_factory=list)
    error: str = ""

    def __str__(self) -> str:
        """Return in a line how far the set has grown, and why no further."""
        last = self.curve[-1] if self.curve else {"requests": 0, "generated": 0}
        chinese, english = STOPPED.get(self.stopped, ("还没停", "not stopped yet"))
        return (
            f"得到 {len(self.rows):,} 条（请求 {last['requests']:,} 次，"
            f"生成 {last['generated']:,} 条）；{chinese}。 "
            f"{len(self.rows):,} rows ({last['requests']:,} requests, "
            f"{last['generated']:,} generated); {english}."
        )

    @property
    def per_request(self) -> float:
        """New instructions that a request brought, on average."""
        return len(self.rows) / max(1, self.curve[-1]["requests"]) if self.curve else 0.0


def grow(
    teacher: Teacher,
    seeds: Sequence[Mapping],
    target: int,
    topics: Sequence[str] | None = None,
    per_round: int = 8,
    examples: int = 3,
    count: int = 20,
    near: float = 0.7,
    least_new: float = 0.1,
    patience: int = 3,
    seed: int = 0,
    language: str = "zh",
    least_per_request: float = 0.5,
    say: Callable[[str], None] = lambda line: None,
    **sampling: Any,
) -> Grown:
    """Grow a set of instructions to `target`: ask in rounds, keep what is new, stop when dry.

    Every parsed instruction is compared with the seeds and all kept ones (Jaccard of character
    3-grams, `near`; short ones by their words). With `topics` the rounds are topic-guided. Dry
    means: in `patience` rounds in a row less than `least_new` of what was generated was new, or a
    request brought fewer than `least_per_request` new ones. `say` is called with a line after each
    round. The same seed asks the same questions in the same order, so a second run goes on from the
    store. What stops a run half-way (a budget, a server that is gone) leaves the rows so far; it is
    raised where there are none. ValueError for seeds or topics that are fewer than a request shows.
    """
    prompts = guided_prompts(seeds, topics, examples, count, seed, language)
    source = "topic_guided" if topics else "example_guided"
    grown, kept = Grown(), Kept([question_of(row) for row in seeds], near)
    dry = requests = 0
    reasons: list[str] = []
    while len(grown.rows) < target and dry < patience:
        asked = list(islice(prompts, per_round))
        try:
            found, why = written_examples(teacher, asked, sampling)
        except ValueError as error:
            end_early(grown, error)
            break
        requests += len(asked)
        reasons += why
        new, repeated = kept.sorted_out(found)
        grown.rows += [new_row(text, source, requests) for text in new]
        grown.near += repeated

        # One poor round is chance; a teacher who has no more to say, or says it in no form that
        # can be read, stays poor.
        poor = len(new) < max(least_new * len(found), least_per_request * len(asked), 1)
        dry = dry + 1 if poor else 0
        grown.curve.append(point(grown, requests))
        say(f"{told(grown, target)}{'; a poor round' * poor}")

    # The last round brings more than was asked for: the rest of it is not kept.
    grown.stopped = grown.stopped or ("target" if len(grown.rows) >= target else "dry")
    grown.reasons = commonest(reasons)
    del grown.rows[target:]
    return grown


def end_early(grown: Grown, error: ValueError) -> None:
    """Keep the rows that a set has when something ends it; where there are none, raise that."""
    if not grown.rows:
        raise error
    grown.stopped = "budget" if isinstance(error, BudgetReached) else "failed"
    grown.error = str(error)


class Kept:
    """The texts of a growing set, seeds included; a new one is kept unless it repeats one."""

    def __init__(self, texts: Sequence[str], near: float) -> None:
        self.texts = list(texts)  # all that `known` has seen, by its numbers
        self.known = NearDuplicates(near, words=True)
        self.known.add(self.texts)

    def sorted_out(self, found: Sequence[str]) -> tuple[list[str], list[tuple[str, str, float]]]:
        """Return the new ones, and (text, the kept text that it repeats, similarity) of others."""
        self.texts += found
        pairs = list(zip(found, self.known.add(found), strict=True))
        repeated = [(text, self.texts[m.number], m.similarity) for text, m in pairs if m]
        return [text for text, match in pairs if match is None], repeated


def point(grown: Grown, requests: int) -> dict[str, int]:
    """Return a point of the curve: requests, generated and unique instructions in all."""
    generated = len(grown.rows) + len(grown.near)
    return {"requests": requests, "generated": generated, "unique": len(grown.rows)}


def told(grown: Grown, target: int) -> str:
    """Return how far a set has grown, in a line."""
    requests = grown.curve[-1]["requests"] if grown.curve else 0
    return (
        f"{len(grown.rows):,} of {target:,} instructions after {requests:,} requests, "
        f"{grown.per_request:.1f} new ones a request"
    )


def written_examples(
    teacher: Teacher, prompts: Sequence[str], sampling: Mapping
) -> tuple[list[str], list[str]]:
    """Return the instructions in the replies to one round, and why some replies hold none.

    ValueError where not one reply came.
    """
    replies = teacher.ask([chat(prompt) for prompt in prompts], **sampling)
    # A server that is down must not pass for a set that has dried up, whatever the store knows.
    asked = [reply for reply in replies if not reply.cached]
    if asked and all(reply.error for reply in asked):
        raise ValueError(
            f"grow: no request of a whole round was answered ({asked[0].error}); what was "
            "answered before is stored. Run again to go on"
        )
    found: list[str] = []
    reasons: list[str] = []
    for reply in replies:
        texts, _ = parse_examples(reply.text) if reply.error is None else ([], [])
        found += texts
        if not texts:
            reasons.append(without_examples(reply))
    return found, reasons


def without_examples(reply: Reply) -> str:
    """Return why a reply brings no instruction.

    >>> without_examples(Reply("好的，没问题！", "stop"))
    "no <example> in it; it begins '好的，没问题！'"
    """
    if reply.error is not None or not reply.text.strip():
        return reply.why_unusable() or ""
    begins = " ".join(reply.text.split())[:40]
    return f"no <example> in it; it begins {begins!r}"


def respond(
    teacher: Teacher,
    rows: Iterable[Mapping],
    language: str = "zh",
    overwrite: bool = False,
    accept: Collection[str] = (),
    **sampling: Any,
) -> tuple[list[dict], list[dict]]:
    """Return the teacher's answers: (instruction rows, rejected), both in the order of `rows`.

    Instruction rows have `instruction, input, output, source` and, where there was one, `history`;
    rejected ones have `reason`, and the `answer` where one came, in place of the output. A row that
    has an output keeps it, and is not asked, unless `overwrite`. `accept` names marks that are good
    enough, such as `refused`.
    """
    rows, system = list(rows), of_language(RESPOND_SYSTEM, language)
    asked = [overwrite or not has_output(row) for row in rows]
    prompts = [chat_of(row, system) for row, ask in zip(rows, asked, strict=True) if ask]
    replies = iter(teacher.ask(prompts, **sampling))
    answered, rejected = [], []
    for row, ask in zip(rows, asked, strict=True):
        pair = {"instruction": row["instruction"], "input": text_of(row.get("input"))}
        if row.get("history"):
            pair["history"] = row["history"]
        if ask:
            pair |= verdict(row, next(replies), teacher.model, accept)
        else:
            pair |= {"output": row["output"], "source": row.get("source") or ""}
        (rejected if "reason" in pair else answered).append(pair)
    return answered, rejected


def has_output(row: Mapping) -> bool:
    """Whether a row has an answer already, whatever it is."""
    return bool(text_of(row.get("output")).strip())


def verdict(
    row: Mapping,
    reply: Reply | None,
    model: str = "teacher",
    accept: Collection[str] = (),
    why: str | None = None,
) -> dict[str, str]:
    """Return what a reply adds to its row: `output` and `source`, or why there is none.

    The source keeps where the instruction comes from and names the model that answered. `why` is
    known of a row without a reply.

    >>> verdict({"instruction": "问好"}, None)
    {'reason': 'no answer yet'}
    >>> verdict({"instruction": "问好", "source": "human"}, Reply("你好。", "stop"), "m")
    {'output': '你好。', 'source': 'human+m'}
    """
    if reply is None:
        return {"reason": why or "no answer yet"}
    if reason := reply.why_unusable(question_of(row), accept):
        return {"reason": reason, **({"answer": reply.text} if reply.text.strip() else {})}
    begun = str(row.get("source") or "").partition("+")[0]
    return {"output": reply.text.strip(), "source": f"{begun}+{model}" if begun else model}


def parse_examples(text: str) -> tuple[list[str], list[str]]:
    """Return (instructions, dropped pieces) of a guided reply. Never raises.

    A forgotten or doubled tag costs nothing where the next tag tells the border. Numbers, bullets,
    stars and code fences around examples go. A last example that was cut off is dropped: half an
    instruction asks for nothing. Without any tag, a numbered list or bullets are the examples.

    >>> parse_examples("1. <example>写诗</example>\\n2. <example>天为什么蓝？\\n3. <example>介绍一")
    (['写诗', '天为什么蓝？'], ['介绍一'])
    >>> parse_examples("好的：\\n1. 写诗\\n2. 天为什么蓝？")
    (['写诗', '天为什么蓝？'], ['好的：'])
    """
    found, dropped, opened, start = [], [], False, 0
    tags = list(TAG.finditer(text))
    if not tags:
        return listed(text)
    for tag in tags:
        piece, closes = text[start : tag.start()], bool(tag["closes"])
        piece = html.unescape(piece) if tag[0].startswith("&") else piece
        start = tag.end()
        # A line before a lone closing tag is an example too; several lines are not, for they may
        # begin with small talk.
        whole = opened or (closes and "\n" not in piece.strip())
        keep(piece, found if whole else dropped)
        opened = not closes
    keep(text[start:], dropped)
    return found, dropped


def listed(text: str) -> tuple[list[str], list[str]]:
    """Return the items of a list without tags, and the words around it.

    Numbers must count from 1; one item is no list.

    >>> listed("- 写诗\\n- 画画\\n\\n希望有帮助！")
    (['写诗', '画画'], ['希望有帮助！'])
    """
    # One that does not count from 1 is a text with numbers in it.
    items = list(ITEM.finditer(text))
    numbers = [int(item[1]) for item in items if item[1]]
    counted = not numbers or numbers == list(range(1, len(items) + 1))
    dropped: list[str] = []
    if len(items) < 2 or not counted:
        keep(text, dropped)
        return [], dropped

    # What stands before the first item, or behind an empty line, is small talk.
    found: list[str] = []
    keep(text[: items[0].start()], dropped)
    ends = [item.start() for item in items[1:]] + [len(text)]
    for item, end in zip(items, ends, strict=True):
        own, _, rest = text[item.end() : end].partition("\n\n")
        keep(own.replace("**", ""), found)
        keep(rest, dropped)
    return found, dropped


def keep(piece: str, pieces: list[str]) -> None:
    """Append `piece` without its number and fences, unless nothing is left of it."""
    if not NO_TEXT.sub("", piece):
        return
    number = NUMBER.match(piece)
    # An instruction that is itself a numbered list keeps its numbers.
    if (
        number
        and number["number"]
        and re.search(rf"\s{int(number['number']) + 1}[.．、)）]", piece)
    ):
        number = None
    piece = LAST_LINE.sub("", piece[number.end() if number else 0 :]).strip()
    if piece.strip("*").strip():
        pieces.append(piece.strip("*").strip() if piece.startswith("**") else piece)


def generated(
    teacher: Teacher, prompts: list[str], seeds: Sequence[Mapping], source: str, sampling: dict
) -> Guided:
    """Ask all prompts, parse the replies and drop what a seed or an earlier reply says already."""
    result = Guided([], {}, prompts, [], [])
    kinds: Counter[str] = Counter()
    # folded text -> what the next one like it counts as
    known = dict.fromkeys((folded(question_of(row)) for row in seeds), "of_seed")
    for number, reply in enumerate(teacher.ask([chat(prompt) for prompt in prompts], **sampling)):
        # A reply cut off at max_tokens is still worth its complete examples; the parser drops the
        # last one.
        if reply.error is not None or not reply.text.strip():
            result.failures.append(f"request {number}: {reply.why_unusable()}")
        texts, dropped = parse_examples(reply.text)
        result.unparsable += dropped
        for text in texts:
            key = folded(text)
            kind = known.get(key, "unique")
            known.setdefault(key, "repeated")
            kinds[kind] += 1
            if kind == "unique":
                result.rows.append(new_row(text, source, number))
    result.counts = {
        "requests": len(prompts),
        "failed": len(result.failures),
        "generated": kinds.total(),
        **{kind: kinds[kind] for kind in ("of_seed", "repeated", "unique")},
        "unparsable": len(result.unparsable),
    }
    return result


def new_row(text: str, source: str, request: int) -> dict:
    """Return a row without an answer yet, with the number of the request that brought it."""
    return {"instruction": text, "input": "", "source": source, "request": request}


def draw(chance: random.Random, things: Sequence, count: int, name: str) -> list:
    """Return `count` different things at random; ValueError where there are fewer."""
    if len(things) < count:
        raise ValueError(
            f"{name}: found {len(things)}, expected at least the {count} that one request shows"
        )
    return chance.sample(things, count)


def of_language(templates: Mapping[str, str], language: str) -> str:
    """Return the template of a language; ValueError for one that has none."""
    if language not in templates:
        raise ValueError(f"language: found {language!r}, expected one of {', '.join(templates)}")
    return templates[language]
