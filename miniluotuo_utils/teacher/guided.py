"""Instructions and answers written by a teacher: example-guided, topic-guided, and the responses to them.

In: seed rows (and topics) and a `Teacher`. Out: instruction rows, with what was dropped counted. The English prompts are
those of LaMini-LM (Wu et al. 2023, arXiv 2304.14402); the Chinese ones are our own. Shown in notebook 02.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.prompts import joined
from miniluotuo_utils.teacher.client import chat
from miniluotuo_utils.teacher.recorded import NOT_RECORDED
from miniluotuo_utils.text import NearDuplicates, folded

if TYPE_CHECKING:
    from miniluotuo_utils.teacher.client import Teacher
    from miniluotuo_utils.teacher.store import Reply

RULES_EN = """You do not need to provide a response to the generated examples.
Each example must include an instruction.
Each generated instruction can be either an imperative sentence or a question.
Each example must start with the label "<example>" and end with the label "</example>"."""
EXAMPLE_GUIDED_EN = (
    "{examples}\n\nGenerate {count} diverse examples that are similar to the provided examples.\n"
    + RULES_EN
)
TOPIC_GUIDED_EN = (
    "{examples}\n\nGenerate {count} diverse examples that are similar to the provided examples "
    'with the topics "{topics}".\n' + RULES_EN
)
RULES_ZH = """只写示例，不要写它们的回答。
每个示例都要含有一条指令。
指令可以是祈使句，也可以是问句。
每个示例都以标签“<example>”开头，以标签“</example>”结尾。"""
EXAMPLE_GUIDED_ZH = "{examples}\n\n生成 {count} 个多样的示例，与上面给出的示例相似。\n" + RULES_ZH
TOPIC_GUIDED_ZH = (
    "{examples}\n\n生成 {count} 个多样的示例，与上面给出的示例相似，主题是“{topics}”。\n" + RULES_ZH
)
RESPOND_SYSTEM_EN = "You are a helpful assistant, but you must respond the provided instructions as concise as possible."
RESPOND_SYSTEM_ZH = "你是一个乐于助人的助手。回答给出的指令，在说清楚的前提下尽量简洁。"
EXAMPLE_GUIDED = {"zh": EXAMPLE_GUIDED_ZH, "en": EXAMPLE_GUIDED_EN}
TOPIC_GUIDED = {"zh": TOPIC_GUIDED_ZH, "en": TOPIC_GUIDED_EN}
RESPOND_SYSTEM = {"zh": RESPOND_SYSTEM_ZH, "en": RESPOND_SYSTEM_EN}
BETWEEN_TOPICS = {"zh": "、", "en": ", "}

TAG = re.compile(r"<\s*(/?)\s*example\s*>", re.IGNORECASE)
NUMBER = re.compile(r"\s*(?:\d{1,3}(?:[.．](?!\d)|[、)）])|[-*•](?=\s))\s*")
NO_TEXT = re.compile(
    r"```\w*|[\s\d.．、)）(（*•-]"
)  # what stands between examples without meaning anything


@dataclass
class Guided:
    """What guided generation gave: `rows`, `counts`, the `prompts` sent, what was `unparsable`, and `failures`.

    `counts`: requests, failed, generated (parsed examples), of_seed and repeated (dropped as duplicates), unique (rows),
    unparsable (pieces); generated == unique + of_seed + repeated.
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
    subset: str | None = None,
    **sampling: Any,
) -> Guided:
    """New instructions like the seeds: every request shows `examples` random seeds and asks for `count` more.

    For collections of tasks (P3, FLAN), `subset` names the field that says where a seed is from: each request then shows examples
    of one random subset, as LaMini-LM does with `count=10`. The first requests stay the same when `requests` grows, so that the
    store pays for them. `sampling` goes to `Teacher.ask`. Raises ValueError for fewer seeds than `examples` or an unknown language.
    """
    prompts = islice(example_prompts(seeds, examples, count, seed, language, subset), requests)
    return generated(teacher, list(prompts), seeds, "example_guided", sampling)


def example_prompts(
    seeds: Sequence[Mapping],
    examples: int,
    count: int,
    seed: int,
    language: str,
    subset: str | None = None,
) -> Iterator[str]:
    """Example-guided prompts without end."""
    template, chance = of_language(EXAMPLE_GUIDED, language), random.Random(seed)
    groups: dict[object, list[Mapping]] = {}
    for row in seeds:
        groups.setdefault(row[subset] if subset else None, []).append(row)
    large = [name for name, rows in groups.items() if len(rows) >= examples]
    if not large:
        draw(
            chance,
            seeds,
            examples if not subset else len(seeds) + 1,
            "seeds" if not subset else f"seeds of any one {subset}",
        )
    while True:
        shown = draw(chance, groups[chance.choice(large)] if subset else seeds, examples, "seeds")
        yield template.format(examples=example_lines(shown), count=count)


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
    """`example_guided` that also names `topics_per_request` random topics in every request, for a wider spread."""
    prompts = islice(
        topic_prompts(seeds, topics, examples, topics_per_request, count, seed, language), requests
    )
    return generated(teacher, list(prompts), seeds, "topic_guided", sampling)


def topic_prompts(
    seeds: Sequence[Mapping],
    topics: Sequence[str],
    examples: int,
    topics_per_request: int,
    count: int,
    seed: int,
    language: str,
) -> Iterator[str]:
    """Topic-guided prompts without end."""
    template, chance = of_language(TOPIC_GUIDED, language), random.Random(seed)
    while True:
        shown = example_lines(draw(chance, seeds, examples, "seeds"))
        named = BETWEEN_TOPICS[language].join(draw(chance, topics, topics_per_request, "topics"))
        yield template.format(examples=shown, count=count, topics=named)


@dataclass
class Grown:
    """What a growing set became: `rows`, `near` (text, the kept text that it repeats, similarity), `curve` (per round: requests, generated, unique
    in all) and why it `stopped`: `target`, `dry` or `rounds`.
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
    most_rounds: int = 10_000,
    seed: int = 0,
    language: str = "zh",
    watch: Callable[[Grown], None] | None = None,
    **sampling: Any,
) -> Grown:
    """Grow a set of instructions to `target`: ask in rounds, keep what nearly repeats nothing there is, stop when new ones dry up.

    Every parsed instruction is compared with the seeds and all kept ones (Jaccard of character 3-grams, `near`). With `topics`
    the rounds are topic-guided. Dry means: in `patience` rounds in a row less than `least_new` of what was generated was new. The same
    seed asks the same questions in the same order, so a second run goes on from the store. `watch` sees the set after every round.
    """
    prompts = (
        topic_prompts(seeds, topics, examples, 3, count, seed, language)
        if topics
        else example_prompts(seeds, examples, count, seed, language)
    )
    kept, known = Grown(), NearDuplicates(near)
    texts = [joined(row["instruction"], row.get("input") or "") for row in seeds]
    known.add(texts)
    dry = requests = generated_in_all = 0
    while len(kept.rows) < target and dry < patience and len(kept.curve) < most_rounds:
        replies = teacher.ask([chat(prompt) for prompt in islice(prompts, per_round)], **sampling)
        if all(reply.error for reply in replies):
            raise ValueError(
                f"grow: no request of a whole round was answered ({replies[0].error}); what was answered before is stored. Run again to go on"
            )
        found = [
            text
            for reply in replies
            if reply.error is None
            for text in parse_examples(reply.text)[0]
        ]
        requests, generated_in_all, before = (
            requests + len(replies),
            generated_in_all + len(found),
            len(kept.rows),
        )
        for text, match in zip(found, known.add(found), strict=True):
            texts.append(text)
            if match is None:
                kept.rows.append(
                    {
                        "instruction": text,
                        "input": "",
                        "source": "topic_guided" if topics else "example_guided",
                        "request": requests,
                    }
                )
            else:
                kept.near.append((text, texts[match.number], match.similarity))
        dry = dry + 1 if len(kept.rows) - before < least_new * max(1, len(found)) else 0
        kept.curve.append(
            {"requests": requests, "generated": generated_in_all, "unique": len(kept.rows)}
        )
        if watch:
            watch(kept)
    kept.stopped = "target" if len(kept.rows) >= target else "dry" if dry >= patience else "rounds"
    del kept.rows[target:]
    return kept


def respond(
    teacher: Teacher, rows: Iterable[Mapping], language: str = "zh", **sampling: Any
) -> tuple[list[dict], list[dict]]:
    """The teacher's answers: (instruction rows, rejected), both in the order of `rows`.

    Instruction rows have `instruction, input, output, source`; rejected ones `instruction, input, reason` instead.
    """
    rows, system = list(rows), of_language(RESPOND_SYSTEM, language)
    asked = [chat(joined(row["instruction"], row.get("input") or ""), system) for row in rows]
    answered, rejected = [], []
    for row, reply in zip(rows, teacher.ask(asked, **sampling), strict=True):
        question = {"instruction": row["instruction"], "input": row.get("input") or ""}
        if reason := why_unusable(reply, joined(**question)):
            rejected.append({**question, "reason": reason})
        else:
            answered.append(
                {**question, "output": reply.text.strip(), "source": row.get("source") or "teacher"}
            )
    return answered, rejected


def parse_examples(text: str) -> tuple[list[str], list[str]]:
    """(instructions, dropped pieces) of a guided reply. Never raises.

    A forgotten or doubled tag costs nothing where the next tag tells the border; numbers, bullets and code fences
    around examples go; a last example that was cut off is dropped, for half an instruction is none.

    >>> parse_examples("1. <example>写一首诗</example>\\n2. <example>天为什么是蓝的？\\n3. <example>介绍一")
    (['写一首诗', '天为什么是蓝的？'], ['介绍一'])
    """
    found, dropped, opened, start = [], [], False, 0
    for tag in TAG.finditer(text):
        piece, closes = text[start : tag.start()], bool(tag[1])
        start = tag.end()
        # A line before a lone closing tag is an example too; several lines are not, for they may begin with small talk.
        if opened or (closes and "\n" not in piece.strip()):
            keep(piece, found)
        else:
            keep(piece, dropped)
        opened = not closes
    keep(text[start:], dropped)
    return found, dropped


def keep(piece: str, pieces: list[str]) -> None:
    """Append `piece` without its number and fences, unless nothing is left of it."""
    if NO_TEXT.sub("", piece):
        number = NUMBER.match(piece)
        pieces.append(
            re.sub(
                r"\s*\n(?:\s*\d{1,3}[.．、)）]|\s*```\w*)\s*$",
                "",
                piece[number.end() if number else 0 :],
            ).strip()
        )


def generated(
    teacher: Teacher, prompts: list[str], seeds: Sequence[Mapping], source: str, sampling: dict
) -> Guided:
    """Ask all prompts, parse the replies and drop what a seed or an earlier reply says already."""
    of_seeds = {folded(joined(row["instruction"], row.get("input") or "")) for row in seeds}
    counts = dict.fromkeys(
        ("requests", "failed", "generated", "of_seed", "repeated", "unique", "unparsable"), 0
    )
    result = Guided([], counts, prompts, [], [])
    seen: set[str] = set()
    for number, reply in enumerate(teacher.ask([chat(prompt) for prompt in prompts], **sampling)):
        counts["requests"] += 1
        # A reply cut off at max_tokens is still worth its whole examples; the last one is dropped by the parser.
        if reply.error is not None or not reply.text.strip():
            counts["failed"] += 1
            result.failures.append(f"request {number}: {why_unusable(reply)}")
        texts, dropped = parse_examples(reply.text)
        result.unparsable += dropped
        for text in texts:
            counts["generated"] += 1
            key = folded(text)
            kind = "of_seed" if key in of_seeds else "repeated" if key in seen else "unique"
            counts[kind] += 1
            seen.add(key)
            if kind == "unique":
                result.rows.append(
                    {"instruction": text, "input": "", "source": source, "request": number}
                )
    counts["unparsable"] = len(result.unparsable)
    return result


def why_unusable(reply: Reply, asked: str = "") -> str | None:
    """The reason not to learn from a reply to `asked`, None for a usable one."""
    if reply.error is not None:
        return reply.error
    if not reply.text.strip():
        return f"empty reply (finish_reason {reply.finish_reason!r})"
    if reply.finish_reason != "stop":
        return f"finish_reason {reply.finish_reason!r}, expected 'stop'"
    if reply.text == NOT_RECORDED:
        return "the recorded teacher has no answer to it"
    return "the teacher refused, or named itself" if reply.mark(asked) == "refused" else None


def example_lines(rows: Iterable[Mapping]) -> str:
    """Seeds as the prompt shows them.

    >>> example_lines([{"instruction": "写一首诗", "input": ""}])
    '<example>写一首诗</example>'
    """
    return "\n".join(
        f"<example>{joined(row['instruction'], row.get('input') or '')}</example>" for row in rows
    )


def draw(chance: random.Random, things: Sequence, count: int, name: str) -> list:
    """`count` different things at random; ValueError where there are fewer."""
    if len(things) < count:
        raise ValueError(
            f"{name}: found {len(things)}, expected at least the {count} that one request shows"
        )
    return chance.sample(things, count)


def of_language(templates: Mapping[str, str], language: str) -> str:
    """The template of a language; ValueError for one that has none."""
    if language not in templates:
        raise ValueError(f"language: found {language!r}, expected one of {', '.join(templates)}")
    return templates[language]
