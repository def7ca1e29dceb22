"""Translate English IE records into Chinese: marks round the names come back as spans.

In: IE records with spans and a `Teacher`, or a model that only translates. Out: Chinese IE records
whose spans are verified, and a report of the rest. Shown in notebook 02. It is the second item on
the list that Chinchilla (Viscacha) left open.

    The <e1>Danube</e1> rises in <e2>Germany</e2>.  →  <e1>多瑙河</e1>发源于<e2>德国</e2>。
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise, takewhile
from typing import Any, NamedTuple, Protocol

from miniluotuo_utils.files import DataError, Shown, expect
from miniluotuo_utils.records import check_record, map_mentions, mentions
from miniluotuo_utils.teacher.client import Messages, chat
from miniluotuo_utils.teacher.store import Reply
from miniluotuo_utils.text import split_thoughts

TRANSLATE = (
    "把下面的英文句子译成自然的中文。\n"
    "句中的 <e1>…</e1> 这样的标记标出了名字。译文里每个标记都要出现，恰好一次，"
    "正好包住那个名字的译文；标记的先后可以随语序改变，不要嵌套。\n"
    "只输出译文。\n\n{marked}"
)
ASK_AGAIN = (
    "下面这句英文的译文里，标记有问题：{problem}。"
    "请重新翻译，每个标记恰好出现一次，正好包住名字的译文。只输出译文。\n\n"
    "英文：{marked}\n上次的译文：{translation}"
)
# <e1>, </e1>, ＜／ E1 ＞, <ｅ１>, 《e1》
TAG = re.compile(r"[<＜《〈]\s*([/／\\]?)\s*[eEｅＥ]\s*(\d+)\s*[>＞》〉]")
TRIMMED = re.compile(
    r"[\s，。、；：！？,;!?]*(.*?)[\s，。、；：！？,;!?]*", re.DOTALL
)  # " 大理，": 大理

# What teachers put around a translation: a fence, a head, a note.
FENCED = re.compile(r"\A\s*```\w*\n(.*?)\n?```\s*\Z", re.DOTALL)
HEAD = re.compile(
    r"\A\s*(?:\*\*)?(?:(?:好的|当然|以下是|下面是)[^\n]{0,20}[：:]\s*\n+)?"
    r"(?:\*\*)?(?:(?:中文)?(?:译文|翻译|译)(?:如下|结果)?|中文|[Tt]ranslation)(?:\*\*)?[：:](?:\*\*)?\s*"
    r"|\A\s*(?:好的|当然|以下是|下面是)[^\n]{0,20}[：:]\s*\n+"
)
NOTE = re.compile(
    r"\s*(?:\n\s*|[（(]\s*)(?:\*\*)?(?:译?注释?|说明|解释|备注|译者注|[Nn]otes?)\d?(?:\*\*)?[：:].*\Z",
    re.DOTALL,
)
# What is no name: a pronoun, unless one was marked, and what begins or ends as a verb does.
PRONOUN = re.compile(
    "(?:他|她|它|我|你|您|咱|人家|大家|自己|本人|对方)们?|这|那|其|此|该|这里|那里|这儿|那儿|这个|那个|谁"
)
PRONOUN_EN = re.compile(
    "(?:he|she|it|they|we|you|i|him|her|them|us|me|his|hers|its|their|our|my|your|this|that|these|"
    "those|who|one|himself|herself|itself|themselves|here|there)",
    re.IGNORECASE,
)
VERB = re.compile(
    "(?:出生于|出生在|生于|来自|来到|位于|前往|住在|居住在|毕业于|就职于|任职于|抵达|去了|到了|访问|表示|认为|宣布|"
    "收购|击败|购买|加入|离开|返回|飞往|搬到|成立于|创立了?).*|.{1,2}(?:了|着|过)"
)
HAN = re.compile("[\u3400-\u9fff]")
WORDS = re.compile(r"[A-Za-z]{2,}")


# What becomes of the spans of a record that has no translation.
UNMARKABLE, UNANSWERED = "标不了 cannot be marked", "没有译文 no answer"
TOGETHER, KEPT = "同句别的丢了 lost with its sentence", "留下 kept"


class Asked(Protocol):
    """What `translate` asks: a `Teacher`, or what answers like one.

    One that only translates, and follows no instruction, has `plain = True`.
    """

    def ask(self, requests: Iterable[Messages], **sampling: Any) -> list[Reply]: ...


@dataclass
class Marked:
    """A sentence with marks, and the [start, end) and the name that each mark stands for."""

    text: str
    spans: dict[int, tuple[int, int]]
    names: dict[int, str]
    triggers: set[int] = field(default_factory=set)  # marks that stand round verbs, as they may

    def no_name(self, number: int, translated: str) -> str:
        """Return why a translated mark holds no name, "" where it may.

        >>> [Marked("", {}, {1: name}).no_name(1, "他") for name in ("Kim", "he")]
        ['标记包住了代词 a pronoun', '']
        """
        if PRONOUN.fullmatch(translated) and not PRONOUN_EN.fullmatch(self.names[number]):
            return "标记包住了代词 a pronoun"
        if number not in self.triggers and VERB.fullmatch(translated):
            return "标记包住了动词 a verb"
        return ""


def mark(record: Mapping) -> Marked:
    """Return the sentence of a record with `<eN>…</eN>` round each of its names.

    Marks are numbered from left to right, from 1; equal spans share one. Raises DataError for a
    name without a place, for spans that overlap, and for a sentence that holds such a mark already.

    >>> city = {"name": "Shaoxing", "type": "Loc", "pos": [19, 27]}
    >>> mark({"sentence": "Lu Xun was born in Shaoxing", "entities": [city]}).text
    'Lu Xun was born in <e1>Shaoxing</e1>'
    """
    # What cannot be told apart afterwards is not worth a question.
    sentence = record["sentence"]
    expect(not TAG.search(sentence), "sentence", sentence, "no mark in it yet")
    things = list(mentions(record))
    for thing, place in things:
        placed = thing.get("pos") is not None
        expect(placed, f"{place}.pos", Shown("null"), "a place: no other name can be marked")
    spans = sorted({tuple(thing["pos"]) for thing, _ in things})
    apart = all(one[1] <= other[0] for one, other in pairwise(spans))
    expect(apart, "spans", spans, "spans apart from one another")

    # From right to left, so that the places further left stay true.
    numbered, text = dict(enumerate(spans, 1)), sentence
    for number, (start, end) in reversed(numbered.items()):
        text = f"{text[:start]}<e{number}>{text[start:end]}</e{number}>{text[end:]}"
    names = {number: sentence[start:end] for number, (start, end) in numbered.items()}
    verbs = {tuple(thing["pos"]) for thing, place in things if place.startswith("events")}
    triggers = {number for number, span in numbered.items() if span in verbs}
    return Marked(text, numbered, names, triggers)


class Tag(NamedTuple):
    """One `<eN>` or `</eN>`, and its place in the sentence without tags."""

    number: int
    closes: bool
    at: int


@dataclass
class Unmarked:
    """A translation without its marks.

    `spans` has the place of each mark, `repairs` what was put right, `missing` what is wrong with
    the marks that have no span.
    """

    sentence: str
    spans: dict[int, tuple[int, int]] = field(default_factory=dict)
    repairs: list[str] = field(default_factory=list)
    missing: dict[int, str] = field(default_factory=dict)
    problem: str = ""  # of the whole sentence

    @property
    def wrong(self) -> list[str]:
        """What is wrong with the translation, in words for the teacher."""
        marks = [f"e{number} {reason}" for number, reason in sorted(self.missing.items())]
        return [self.problem, *marks] if self.problem else marks

    def name(self, number: int) -> str:
        """Return the text of a mark."""
        start, end = self.spans[number]
        return self.sentence[start:end]


def unmark(
    translation: str, ids: Iterable[int], glossary: Mapping[int, str] | None = None
) -> Unmarked:
    """Return the translation without marks and the span of each expected one. Never raises.

    Repaired where there is no doubt: a mark in another spelling; one that stands twice round the
    same text (the first counts); one that was not expected (dropped); one that is never closed, if
    the name that `glossary` knows stands right behind it; a lost one whose name stands in the
    sentence exactly once. Marks that overlap are missing: nobody can tell which is right.

    >>> found = unmark("从< e1 >昆明</e1>去<e2>大理，", [1, 2], {2: "大理"})
    >>> found.sentence, found.name(1), found.name(2), found.repairs
    ('从昆明去大理，', '昆明', '大理', ['spelling', 'unclosed'])
    """
    ids, glossary = list(ids), glossary or {}
    # Each mark by its own tags first, then the marks against one another.
    result, tags = without_tags(translation)
    for number in ids:
        find_by_tags(result, number, tags, glossary.get(number))
    for (one, (a, b)), (other, (c, d)) in combinations(result.spans.items(), 2):
        if a < d and c < b:
            result.missing |= dict.fromkeys((one, other), "标记互相重叠 overlapping")
    result.spans = {n: span for n, span in result.spans.items() if n not in result.missing}

    # Last, when the other marks have their places: a name may be part of another mark's.
    for number in sorted(result.missing.keys() & glossary.keys()):
        find_by_name(result, number, glossary[number])

    # Marks that were made up, and white space round the answer, do no harm.
    if {tag.number for tag in tags} - set(ids):
        result.repairs.append("unknown mark")
    lead = len(result.sentence) - len(result.sentence.lstrip())
    result.sentence = result.sentence.strip()
    result.spans = {n: (start - lead, end - lead) for n, (start, end) in result.spans.items()}
    return result


def without_tags(translation: str) -> tuple[Unmarked, list[Tag]]:
    """Return a translation without its tags, and the tags with their places in it."""
    result, tags, at = Unmarked(""), [], 0
    for tag in TAG.finditer(translation):
        result.sentence += translation[at : tag.start()]
        at = tag.end()
        tags.append(Tag(int(tag[2]), bool(tag[1]), len(result.sentence)))
        if tag[0] not in (f"<e{tag[2]}>", f"</e{tag[2]}>"):
            result.repairs = ["spelling"]
    result.sentence += translation[at:]
    return result, tags


def find_by_tags(result: Unmarked, number: int, tags: Sequence[Tag], name: str | None) -> None:
    """Find the span of one mark between its tags, or say why it is missing."""
    own = [tag for tag in tags if tag.number == number]
    # Where a tag opens twice, the second one counts: it stands next to the closing one.
    spans = [(a.at, b.at) for a, b in pairwise(own) if b.closes and not a.closes]

    # What opens after the last closing tag is never closed: only a known name says how far it goes.
    unclosed = takewhile(lambda tag: not tag.closes, reversed(own))
    starts = [tag.at for tag in unclosed if name and result.sentence.startswith(name, tag.at)]
    spans += [(start, start + len(name)) for start in reversed(starts)]

    # Doubled round the same text says the same twice; round different texts it is no answer.
    spans = [TRIMMED.fullmatch(result.sentence, *span).span(1) for span in spans]
    full = [span for span in spans if span[0] < span[1]]
    texts = {result.sentence[start:end] for start, end in full}
    if len(texts) == 1:
        result.spans[number] = full[0]
        repairs = {"doubled": len(full) > 1, "unclosed": starts}
        result.repairs += [repair for repair, made in repairs.items() if made]
    elif texts:
        result.missing[number] = "标记包住了不同的文字 doubled round different texts"
    else:
        result.missing[number] = "标记里没有文字 empty" if spans else "标记丢了 lost"


def find_by_name(result: Unmarked, number: int, name: str) -> None:
    """Give a missing mark the one place where its name stands, unless another mark holds it."""
    start = result.sentence.find(name)
    taken = any(start < b and a < start + len(name) for a, b in result.spans.values())
    if result.sentence.count(name) == 1 and not taken:
        result.spans[number] = (start, start + len(name))
        result.repairs.append("found by its name")
        del result.missing[number]


@dataclass
class Translated:
    """What translation gave.

    `records` are in Chinese; `reports` {number, sentence, translation, reason} tell of the rest.
    `counts`: records, translated, repaired, asked again, unmarkable, unanswered, lost, and one line
    per kind of repair. `spans` counts places of names: kept, and lost by what became of them.
    """

    records: list[dict]
    reports: list[dict]
    counts: Counter[str]
    spans: Counter[str] = field(default_factory=Counter)

    def report(
        self,
        kind: str,
        number: int,
        sentence: str,
        translation: str,
        reason: str,
        lost: Iterable[str],
    ) -> None:
        """Count a record that was not translated and what became of its spans; keep the reason."""
        self.counts[kind] += 1
        self.spans.update(lost)
        self.reports.append(
            {
                "number": number,
                "sentence": sentence,
                "translation": translation,
                "reason": reason,
            }
        )


@dataclass
class Draft:
    """One record on its way: marked sentence, translation, and what was found in that."""

    number: int
    record: Mapping
    marked: Marked
    translation: str = ""
    found: Unmarked | None = None

    def question(self, plain: bool) -> str:
        """Return the first question, or the second, with what was wrong with the answer to the
        first. A model that only translates (`plain`) gets the sentence, then without its marks.
        """
        if plain:
            return self.record["sentence"] if self.found else self.marked.text
        if self.found is None:
            return TRANSLATE.format(marked=self.marked.text)
        return ask_again(self.marked.text, self.translation, self.found)

    def read(self, glossary: Mapping[str, str]) -> None:
        """Find the marks in the translation; `glossary` has the Chinese of English names."""
        names = self.marked.names
        known = {n: glossary[name] for n, name in names.items() if name in glossary}
        bare, repairs = without_frame(self.translation)
        self.found = unmark(bare, names, known)
        self.found.repairs += repairs

        # A mark may stand well and hold no name; a sentence may come back as it went.
        for number in list(self.found.spans):
            if reason := self.marked.no_name(number, self.found.name(number)):
                del self.found.spans[number]
                self.found.missing[number] = reason
        rest = TAG.sub(" ", re.sub(r"<e(\d+)>.*?</e\1>", " ", self.marked.text))
        if not HAN.search(self.found.sentence) and len(WORDS.findall(rest)) > 1:
            self.found.problem = "没有译成中文 not translated"


def without_frame(answer: str) -> tuple[str, list[str]]:
    """Return a translation without thoughts, fence, head and note, and what was taken away.

    >>> without_frame("译文：<e1>昆明</e1>很暖。\\n注：昆明是地名。")
    ('<e1>昆明</e1>很暖。', ['head', 'note'])
    """
    repairs = []
    for name, shorter in (
        ("thoughts", lambda text: split_thoughts(text)[1]),
        ("fence", lambda text: FENCED.sub(r"\1", text)),
        ("head", lambda text: HEAD.sub("", text)),
        ("note", lambda text: NOTE.sub("", text)),
    ):
        less = shorter(answer)
        # What would leave nothing is the answer itself.
        if less != answer and less.strip():
            answer, repairs = less, [*repairs, name]
    return answer, repairs


def translate(
    teacher: Asked,
    records: Sequence[Mapping],
    names: Mapping[str, str] | None = None,
    **sampling: Any,
) -> Translated:
    """Return Chinese records for English ones, in order, without those that cannot be made true.

    `names` gives types and roles Chinese names. A sentence whose marks cannot be repaired is asked
    for once more, with what was wrong; then it is reported. A model that only translates is asked
    for the bare sentence and for each name alone, which then is looked for in it.
    """
    result = Translated([], [], Counter(records=len(records)))
    drafts = []
    for number, record in enumerate(records):
        try:
            drafts.append(Draft(number, record, mark(record)))
        except DataError as error:
            lost = [UNMARKABLE for _ in mentions(record)]
            result.report("unmarkable", number, record["sentence"], "", str(error), lost)

    # All answers first: a name that came back unharmed in one sentence repairs it in another.
    drafts = answered(teacher, drafts, sampling, result)
    glossary = known_names(drafts)
    for draft in drafts:
        draft.read(glossary)

    again = [draft for draft in drafts if draft.found.wrong]
    result.counts["asked again"] = len(again)
    if getattr(teacher, "plain", False):
        glossary |= alone(teacher, again, glossary, sampling)
    for draft in answered(teacher, again, sampling, result):
        draft.read(glossary)

    # A second question without an answer is reported already.
    reported = {report["number"] for report in result.reports}
    for draft in drafts:
        if draft.number not in reported:
            settle(draft, names or {}, result)
    result.reports.sort(key=lambda report: report["number"])
    return result


def answered(
    teacher: Asked, drafts: Sequence[Draft], sampling: Mapping, result: Translated
) -> list[Draft]:
    """Ask for the translations and return the drafts that got one; the others are reported."""
    plain = getattr(teacher, "plain", False)
    replies = teacher.ask([chat(draft.question(plain)) for draft in drafts], **sampling)
    good = []
    for draft, reply in zip(drafts, replies, strict=True):
        if reply.usable:
            draft.translation = reply.text
            good.append(draft)
        else:
            reason = reply.error or f"the reply is {reply.mark()}"
            lost = [UNANSWERED for _ in draft.marked.spans]
            result.report("unanswered", draft.number, draft.marked.text, reply.text, reason, lost)
    return good


def alone(
    teacher: Asked, drafts: Sequence[Draft], glossary: Mapping[str, str], sampling: Mapping
) -> dict[str, str]:
    """Return English name → Chinese name for names that are not known, each translated alone."""
    names = {name: None for draft in drafts for name in draft.marked.names.values()}
    unknown = [name for name in names if name not in glossary]
    replies = teacher.ask([chat(name) for name in unknown], **sampling)
    found = zip(unknown, (TRIMMED.fullmatch(reply.text)[1] for reply in replies), strict=True)
    return {name: chinese for name, chinese in found if HAN.search(chinese)}


def ask_again(marked: str, translation: str, found: Unmarked) -> str:
    """Return the second question: what was wrong with the marks of the first answer."""
    return ASK_AGAIN.format(problem="；".join(found.wrong), marked=marked, translation=translation)


def known_names(drafts: Iterable[Draft]) -> dict[str, str]:
    """Return English name → Chinese name, from marks that came back unharmed, where all agree."""
    seen: dict[str, set[str]] = defaultdict(set)
    for draft in drafts:
        found = unmark(without_frame(draft.translation)[0], draft.marked.names)
        for number in found.spans:
            if not draft.marked.no_name(number, found.name(number)):
                seen[draft.marked.names[number]].add(found.name(number))
    return {english: chinese.pop() for english, chinese in seen.items() if len(chinese) == 1}


def settle(draft: Draft, names: Mapping[str, str], result: Translated) -> None:
    """Add the Chinese record to the result, or the report of why there is none."""
    found = draft.found
    reason = "; ".join(f"e{n}: {reason}" for n, reason in sorted(found.missing.items()))
    reason = "; ".join(part for part in (found.problem, reason) if part)
    # A name with a place may still make a record that is none.
    if not reason:
        try:
            result.records.append(check_record(rebuilt(draft, names)))
        except DataError as error:
            reason = str(error)
    if reason:
        # One lost name takes the others with it: a record that lacks it would call it no name.
        whole = found.problem or TOGETHER
        lost = [found.missing.get(number, whole) for number in draft.marked.spans]
        place = draft.number, draft.marked.text, draft.translation
        return result.report("lost", *place, reason, lost)
    result.spans[KEPT] += len(found.spans)
    result.counts.update(translated=1, repaired=bool(found.repairs))
    result.counts.update(found.repairs)


def rebuilt(draft: Draft, names: Mapping[str, str]) -> dict:
    """Return the record with its Chinese sentence, names and places, types and roles renamed."""
    found = draft.found
    number_of = {span: number for number, span in draft.marked.spans.items()}

    def in_chinese(thing: dict) -> dict:
        number = number_of[tuple(thing["pos"])]
        return {**thing, "name": found.name(number), "pos": list(found.spans[number])}

    return {**map_mentions(draft.record, in_chinese, names), "sentence": found.sentence}


def recorded_translations(rows: Iterable[Mapping]) -> list[dict]:
    """Return bank rows for the recorded teacher out of `{marked, translation, reasked?}`.

    They answer the first question, and the second where there is one.
    """
    answers = {}
    for row in rows:
        marked, translation = row["marked"], row["translation"]
        answers[TRANSLATE.format(marked=marked)] = translation
        found = unmark(translation, sorted({int(tag[2]) for tag in TAG.finditer(marked)}))
        if found.missing:
            answers[ask_again(marked, translation, found)] = row.get("reasked", translation)
    shape = {"input": "", "topic": ""}
    return [{"instruction": q, "output": answer, **shape} for q, answer in answers.items()]
