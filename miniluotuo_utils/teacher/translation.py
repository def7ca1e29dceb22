"""English IE records into Chinese: names are marked in the sentence, the teacher translates, the marks come back as spans.

In: IE records with spans and a `Teacher`. Out: Chinese IE records whose spans are verified, and a report of the rest. Shown in
notebook 02. It is the second item on the list that Chinchilla (Viscacha) left open.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.files import DataError
from miniluotuo_utils.records import TASKS, check_record, mentions
from miniluotuo_utils.teacher.client import chat

if TYPE_CHECKING:
    from miniluotuo_utils.teacher.client import Teacher

TRANSLATE = """把下面的英文句子译成自然的中文。
句中的 <e1>…</e1> 这样的标记标出了名字。译文里每个标记都要出现，恰好一次，正好包住那个名字的译文；标记的先后可以随语序改变，不要嵌套。
只输出译文。

{marked}"""
ASK_AGAIN = """下面这句英文的译文里，标记有问题：{problem}。请重新翻译，每个标记恰好出现一次，正好包住名字的译文。只输出译文。

英文：{marked}
上次的译文：{translation}"""
TAG = re.compile(r"[<＜]\s*([/／]?)\s*[eE]\s*(\d+)\s*[>＞]")


@dataclass
class Marked:
    """A sentence with marks, and the [start, end) that each mark stood for."""

    text: str
    spans: list[tuple[int, int]]

    @property
    def ids(self) -> list[int]:
        """The numbers of the marks, from 1."""
        return list(range(1, len(self.spans) + 1))


def mark(record: Mapping) -> Marked:
    """The sentence of a record with `<eN>…</eN>` round each of its names, numbered from left to right; equal spans share a mark.

    Raises DataError for a name without a place, for spans that overlap, and for a sentence that holds such a mark already.

    >>> mark({"sentence": "Lu Xun was born in Shaoxing", "entities": [{"name": "Shaoxing", "type": "Loc", "pos": [19, 27]}]}).text
    'Lu Xun was born in <e1>Shaoxing</e1>'
    """
    sentence = record["sentence"]
    if TAG.search(sentence):
        raise DataError(f"sentence: found a mark in it already ({sentence[:60]!r})")
    things = list(mentions(record))
    if unplaced := [place for thing, place in things if thing.get("pos") is None]:
        raise DataError(
            f"field {unplaced[0]}.pos: found null, expected a place, for only a name with a place can be marked"
        )
    spans = sorted({tuple(thing["pos"]) for thing, _ in things})
    if any(a[1] > b[0] for a, b in zip(spans, spans[1:], strict=False)):
        raise DataError("spans: found some that overlap, expected spans apart from one another")
    text, at = "", 0
    for number, (start, end) in enumerate(spans, 1):
        text += f"{sentence[at:start]}<e{number}>{sentence[start:end]}</e{number}>"
        at = end
    return Marked(text + sentence[at:], spans)


@dataclass
class Unmarked:
    """A translation without its marks: the span of each mark, how it was repaired, and what is wrong with those that are missing."""

    sentence: str
    spans: dict[int, tuple[int, int]] = field(default_factory=dict)
    repairs: list[str] = field(default_factory=list)
    missing: dict[int, str] = field(default_factory=dict)

    def name(self, number: int) -> str:
        """The text of a mark."""
        start, end = self.spans[number]
        return self.sentence[start:end]


def unmark(
    translation: str, ids: Iterable[int], glossary: Mapping[int, str] | None = None
) -> Unmarked:
    """The translation without marks and the span of each expected one. Never raises.

    Repaired where there is no doubt: a mark in another spelling; one that stands twice round the same text (the first counts); a mark
    that nobody asked for (dropped); one that is never closed, if the name that `glossary` knows stands right behind it; a lost one whose
    name stands in the sentence exactly once. Marks that overlap are missing: nobody can tell which is right.

    >>> found = unmark("从< e1 >昆明</e1>去<e2>大理，", [1, 2], {2: "大理"})
    >>> found.sentence, found.name(1), found.name(2), found.repairs
    ('从昆明去大理，', '昆明', '大理', ['spelling', 'unclosed'])
    """
    ids = list(ids)
    sentence, events = "", []  # events: (number, closes, offset)
    at, repairs = 0, []
    for tag in TAG.finditer(translation):
        sentence += translation[at : tag.start()]
        at = tag.end()
        events.append((int(tag[2]), bool(tag[1]), len(sentence)))
        if tag[0] not in (f"<e{tag[2]}>", f"</e{tag[2]}>"):
            repairs.append("spelling")
    result = Unmarked(sentence + translation[at:], repairs=list(dict.fromkeys(repairs)))
    lead = len(result.sentence) - len(result.sentence.lstrip())
    for number in ids:
        place(result, number, events, (glossary or {}).get(number))
    for number in [
        n
        for n, (a, b) in result.spans.items()
        if any(n != m and a < d and c < b for m, (c, d) in result.spans.items())
    ]:
        result.missing[number] = "标记互相重叠 overlapping"
    result.spans = {n: span for n, span in result.spans.items() if n not in result.missing}
    for number in sorted(
        set(result.missing) & set(glossary or ())
    ):  # last: a name may be part of another mark's
        find_by_name(result, number, glossary[number])
    if {number for number, *_ in events} - set(ids):
        result.repairs.append("unknown mark")
    result.sentence = result.sentence.strip()
    result.spans = {n: (start - lead, end - lead) for n, (start, end) in result.spans.items()}
    return result


def place(
    result: Unmarked, number: int, events: Sequence[tuple[int, bool, int]], name: str | None
) -> None:
    """Find the span of one mark among the tags, repair it where there is no doubt, or say why it is missing."""
    spans, unclosed = paired(result.sentence, number, events, name)
    spans = [trimmed(result.sentence, span) for span in spans]
    whole = [span for span in spans if span[0] < span[1]]
    problem = "标记里没有文字 empty" if spans else "标记丢了 lost"
    if whole:
        if len({result.sentence[a:b] for a, b in whole}) == 1:
            result.spans[number] = whole[0]
            result.repairs += ["doubled"] * (len(whole) > 1) + ["unclosed"] * unclosed
            return
        problem = "标记包住了不同的文字 doubled round different texts"
    result.missing[number] = problem


def find_by_name(result: Unmarked, number: int, name: str) -> None:
    """Give a missing mark the one place where its name stands, unless that is part of another mark's."""
    start = result.sentence.find(name)
    taken = any(start < b and a < start + len(name) for a, b in result.spans.values())
    if result.sentence.count(name) == 1 and not taken:
        result.spans[number] = (start, start + len(name))
        result.repairs.append("found by its name")
        del result.missing[number]


def paired(
    sentence: str, number: int, events: Sequence[tuple[int, bool, int]], name: str | None
) -> tuple[list[tuple[int, int]], bool]:
    """The spans between a mark's opening and closing tags, and whether one that is never closed was closed behind its known name."""
    spans, opened, unclosed = [], None, False
    for i, (other, closes, offset) in enumerate(events):
        if other != number:
            continue
        if closes and opened is not None:
            spans.append((opened, offset))
            opened = None
        elif not closes:
            if (
                name
                and not any(o == number and c for o, c, _ in events[i + 1 :])
                and sentence.startswith(name, offset)
            ):
                spans.append((offset, offset + len(name)))
                unclosed = True
            opened = offset
    return spans, unclosed


def trimmed(sentence: str, span: tuple[int, int]) -> tuple[int, int]:
    """A span without white space at its ends."""
    start, end = span
    text = sentence[start:end]
    return (
        (start + len(text) - len(text.lstrip()), end - len(text) + len(text.rstrip()))
        if text.strip()
        else (start, start)
    )


@dataclass
class Translated:
    """What translation gave: `records` in Chinese, `reports` {number, sentence, translation, reason} of the rest, and `counts`."""

    records: list[dict]
    reports: list[dict]
    counts: Counter[str]


def translate(
    teacher: Teacher,
    records: Sequence[Mapping],
    names: Mapping[str, str] | None = None,
    **sampling: Any,
) -> Translated:
    """Chinese records for English ones, in order, without those that cannot be made true; `names` gives types and roles Chinese names.

    A sentence whose marks cannot be repaired is asked for once more, with what was wrong; then it is reported.
    `counts`: records, translated, repaired, asked again, unmarkable, unanswered, lost, and one line per kind of repair.
    """
    result = Translated([], [], Counter(records=len(records)))
    sources = {
        i: source
        for i, record in enumerate(records)
        if (source := markable(i, record, result)) is not None
    }
    first = answers(
        teacher,
        {i: TRANSLATE.format(marked=source.text) for i, source in sources.items()},
        sampling,
        sources,
        result,
    )
    glossary = known_names(records, sources, first)
    found = {
        i: unmark(text, sources[i].ids, glossary_of(records[i], sources[i], glossary))
        for i, text in first.items()
    }
    again = {i: ask_again(sources[i], first[i], one) for i, one in found.items() if one.missing}
    result.counts["asked again"] = len(again)
    second = answers(teacher, again, sampling, sources, result)
    for i in again:
        del found[i]  # reported already where the second question was not answered
    for i, text in second.items():
        found[i] = unmark(text, sources[i].ids, glossary_of(records[i], sources[i], glossary))
        first[i] = text
    found = dict(sorted(found.items()))
    for i, one in found.items():
        settle(i, records[i], sources[i], one, first[i], names or {}, result)
    result.reports.sort(key=lambda report: report["number"])
    return result


def markable(number: int, record: Mapping, result: Translated) -> Marked | None:
    """The marked sentence of a record, or None and a report."""
    try:
        return mark(record)
    except DataError as error:
        result.counts["unmarkable"] += 1
        result.reports.append(
            {
                "number": number,
                "sentence": record["sentence"],
                "translation": "",
                "reason": str(error),
            }
        )
        return None


def answers(
    teacher: Teacher,
    prompts: Mapping[int, str],
    sampling: Mapping,
    sources: Mapping[int, Marked],
    result: Translated,
) -> dict[int, str]:
    """The teacher's usable answers by number; the others are reported."""
    texts = {}
    for number, reply in zip(
        prompts, teacher.ask([chat(p) for p in prompts.values()], **sampling), strict=True
    ):
        if reply.usable:
            texts[number] = reply.text
        else:
            result.counts["unanswered"] += 1
            reason = reply.error or f"the reply is {reply.mark()}"
            result.reports.append(
                {
                    "number": number,
                    "sentence": sources[number].text,
                    "translation": reply.text,
                    "reason": reason,
                }
            )
    return texts


def ask_again(source: Marked, translation: str, found: Unmarked) -> str:
    """The second question: what was wrong with the marks of the first answer."""
    problem = "；".join(f"e{number} {reason}" for number, reason in sorted(found.missing.items()))
    return ASK_AGAIN.format(problem=problem, marked=source.text, translation=translation)


def known_names(
    records: Sequence[Mapping], sources: Mapping[int, Marked], texts: Mapping[int, str]
) -> dict[str, str]:
    """English name → Chinese name, from every mark that came back unharmed, where all of them agree."""
    seen: dict[str, set[str]] = defaultdict(set)
    for i, text in texts.items():
        found = unmark(text, sources[i].ids)
        for number, (start, end) in zip(sources[i].ids, sources[i].spans, strict=True):
            if number in found.spans:
                seen[records[i]["sentence"][start:end]].add(found.name(number))
    return {english: chinese.pop() for english, chinese in seen.items() if len(chinese) == 1}


def glossary_of(record: Mapping, source: Marked, glossary: Mapping[str, str]) -> dict[int, str]:
    """The glossary by the numbers of a sentence's marks."""
    named = {
        number: record["sentence"][a:b]
        for number, (a, b) in zip(source.ids, source.spans, strict=True)
    }
    return {number: glossary[name] for number, name in named.items() if name in glossary}


def settle(
    number: int,
    record: Mapping,
    source: Marked,
    found: Unmarked,
    text: str,
    names: Mapping[str, str],
    result: Translated,
) -> None:
    """Add the Chinese record to the result, or the report of why there is none."""
    try:
        if found.missing:
            raise DataError(
                "; ".join(f"e{n}: {reason}" for n, reason in sorted(found.missing.items()))
            )
        result.records.append(check_record(rebuilt(record, source, found, names)))
    except DataError as error:
        result.counts["lost"] += 1
        result.reports.append(
            {"number": number, "sentence": source.text, "translation": text, "reason": str(error)}
        )
        return
    result.counts["translated"] += 1
    result.counts["repaired"] += bool(found.repairs)
    result.counts.update(found.repairs)


def rebuilt(record: Mapping, source: Marked, found: Unmarked, names: Mapping[str, str]) -> dict:
    """The record with its Chinese sentence, names and places, types and roles renamed."""
    number_of = {span: number for number, span in zip(source.ids, source.spans, strict=True)}

    def walk(value: Any, key: str = "") -> Any:
        if isinstance(value, list):
            return [walk(v) for v in value]
        if not isinstance(value, Mapping):
            return names.get(value, value) if key in ("type", "role") else value
        new = {k: walk(v, k) for k, v in value.items()}
        if value.get("pos") is not None:
            number = number_of[tuple(value["pos"])]
            new |= {
                "trigger" if "trigger" in value else "name": found.name(number),
                "pos": list(found.spans[number]),
            }
        return new

    return {
        **record,
        "sentence": found.sentence,
        **{f: walk(record[f]) for f in TASKS.values() if record.get(f) is not None},
    }


def recorded_translations(rows: Iterable[Mapping]) -> list[dict]:
    """Bank rows for the recorded teacher out of `{marked, translation, reasked?}`: the first question, and the second where there is one."""
    bank = []
    for row in rows:
        ids = sorted({int(tag[2]) for tag in TAG.finditer(row["marked"])})
        source = Marked(row["marked"], [(0, 0)] * len(ids))
        bank.append(
            {
                "instruction": TRANSLATE.format(marked=row["marked"]),
                "input": "",
                "output": row["translation"],
                "topic": "",
            }
        )
        found = unmark(row["translation"], ids)
        if found.missing:
            again = row.get("reasked", row["translation"])
            bank.append(
                {
                    "instruction": ask_again(source, row["translation"], found),
                    "input": "",
                    "output": again,
                    "topic": "",
                }
            )
    return bank
