"""Let a teacher write instructions, guided by examples or topics, and the responses to them.

In: seed rows (and topics) and a `Teacher`. Out: instruction rows, with what was dropped counted.
The English prompts are those of LaMini-LM (Wu et al. 2023, arXiv 2304.14402); the Chinese ones are
our own. Shown in notebook 02.
"""

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from miniluotuo_utils.teacher.client import Teacher, chat, question_of
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

# what a guided reply is taken apart by
TAG = re.compile(r"<\s*(/?)\s*example\s*>", re.IGNORECASE)  # <example>, </Example >
NUMBER = re.compile(
    r"""\s*(?: \d{1,3} (?: [.．](?!\d) | [、)）] )   # 1. 写诗   2、写诗   3）写诗   but not 3.5加4
            | [-*•](?=\s) )\s*                       # - 写诗""",
    re.VERBOSE,
)
LAST_LINE = re.compile(
    r"""\s*\n(?: \s*\d{1,3}[.．、)）]    # the number of the next example, before its tag
             | \s*```\w* )\s*$         # the end of a code fence""",
    re.VERBOSE,
)
NO_TEXT = re.compile(r"```\w*|[\s\d.．、)）(（*•-]")  # between examples, without a meaning: "\n2. "


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

    Topics spread the instructions wider.
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


@dataclass
class Grown:
    """What a growing set became, and why it `stopped`: `target` or `dry`.

    `near` holds (text, the kept text that it repeats, similarity); `curve` has an entry per round:
    requests, generated and unique instructions in all.
    """

    rows: list[dict] = field(default_factory=list)
    near: list[tuple[str, str, float]] = field(default_factory=list)
    curve: list[dict[str, int]] = field(default_factory=list)
    stopped: str = ""


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
    **sampling: Any,
) -> Grown:
    """Grow a set of instructions to `target`: ask in rounds, keep what is new, stop when dry.

    Every parsed instruction is compared with the seeds and all kept ones (Jaccard of character
    3-grams, `near`). With `topics` the rounds are topic-guided. Dry means: in `patience` rounds in
    a row less than `least_new` of what was generated was new. The same seed asks the same questions
    in the same order, so a second run goes on from the store.
    """
    prompts = guided_prompts(seeds, topics or None, examples, count, seed, language)
    source = "topic_guided" if topics else "example_guided"
    grown, known = Grown(), NearDuplicates(near)
    texts = [question_of(row) for row in seeds]  # all that `known` has seen, by its numbers
    known.add(texts)
    dry = requests = 0
    while len(grown.rows) < target and dry < patience:
        found = written_examples(teacher, list(islice(prompts, per_round)), sampling)
        requests += per_round
        texts += found
        pairs = list(zip(found, known.add(found), strict=True))
        new = [new_row(text, source, requests) for text, match in pairs if match is None]
        grown.rows += new
        grown.near += [(text, texts[m.number], m.similarity) for text, m in pairs if m is not None]

        # One poor round is chance; a teacher who has no more to say stays poor.
        poor = len(new) < least_new * max(1, len(found))
        dry = dry + 1 if poor else 0
        grown.curve.append(
            {
                "requests": requests,
                "generated": len(grown.rows) + len(grown.near),
                "unique": len(grown.rows),
            }
        )

    # The last round brings more than was asked for: the rest of it is not kept.
    grown.stopped = "target" if len(grown.rows) >= target else "dry"
    del grown.rows[target:]
    return grown


def written_examples(teacher: Teacher, prompts: Sequence[str], sampling: Mapping) -> list[str]:
    """Return the instructions in the replies to one round; ValueError where not one reply came."""
    replies = teacher.ask([chat(prompt) for prompt in prompts], **sampling)
    # A server that is down must not pass for a set that has dried up.
    if all(reply.error for reply in replies):
        raise ValueError(
            f"grow: no request of a whole round was answered ({replies[0].error}); what was "
            "answered before is stored. Run again to go on"
        )
    parsed = (parse_examples(reply.text)[0] for reply in replies if reply.error is None)
    return list(chain.from_iterable(parsed))


def respond(
    teacher: Teacher, rows: Iterable[Mapping], language: str = "zh", **sampling: Any
) -> tuple[list[dict], list[dict]]:
    """Return the teacher's answers: (instruction rows, rejected), both in the order of `rows`.

    Instruction rows have `instruction, input, output, source`; rejected ones `instruction, input,
    reason` instead.
    """
    rows, system = list(rows), of_language(RESPOND_SYSTEM, language)
    prompts = [chat(question_of(row), system) for row in rows]
    answered, rejected = [], []
    for row, reply in zip(rows, teacher.ask(prompts, **sampling), strict=True):
        added = verdict(row, reply)
        pair = {"instruction": row["instruction"], "input": row.get("input") or "", **added}
        (rejected if "reason" in added else answered).append(pair)
    return answered, rejected


def verdict(row: Mapping, reply: Reply | None) -> dict[str, str]:
    """Return what a reply adds to its row: `output` and `source`, or why there is none.

    >>> verdict({"instruction": "问好"}, None)
    {'reason': 'no answer after all retries'}
    """
    if reply is None:
        return {"reason": "no answer after all retries"}
    if reason := reply.why_unusable(question_of(row)):
        return {"reason": reason}
    return {"output": reply.text.strip(), "source": row.get("source") or "teacher"}


def parse_examples(text: str) -> tuple[list[str], list[str]]:
    """Return (instructions, dropped pieces) of a guided reply. Never raises.

    A forgotten or doubled tag costs nothing where the next tag tells the border. Numbers, bullets
    and code fences around examples go. A last example that was cut off is dropped: half an
    instruction asks for nothing.

    >>> parse_examples("1. <example>写诗</example>\\n2. <example>天为什么蓝？\\n3. <example>介绍一")
    (['写诗', '天为什么蓝？'], ['介绍一'])
    """
    found, dropped, opened, start = [], [], False, 0
    for tag in TAG.finditer(text):
        piece, closes = text[start : tag.start()], bool(tag[1])
        start = tag.end()
        # A line before a lone closing tag is an example too; several lines are not, for they may
        # begin with small talk.
        whole = opened or (closes and "\n" not in piece.strip())
        keep(piece, found if whole else dropped)
        opened = not closes
    keep(text[start:], dropped)
    return found, dropped


def keep(piece: str, pieces: list[str]) -> None:
    """Append `piece` without its number and fences, unless nothing is left of it."""
    if NO_TEXT.sub("", piece):
        number = NUMBER.match(piece)
        pieces.append(LAST_LINE.sub("", piece[number.end() if number else 0 :]).strip())


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
