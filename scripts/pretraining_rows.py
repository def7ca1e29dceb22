"""Make the rows that the shipped base is pre-trained on, without end.

In: sentences with the teacher's labels, paragraphs, the project's own instructions. Out: dialogues,
`[[question, answer], ...]`; bare text has the question "". Which kinds there are, and how many of
each at the start and later, stands in `SHARES`.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import framed_sentences
from silver_labels import (
    CALLED,
    COARSER,
    COINED,
    EVENTS,
    LISTED,
    NAMES,
    Event,
    Relation,
    Span,
    events,
    named,
    relations,
    renamed,
)

from miniluotuo_utils.files import read_jsonl
from miniluotuo_utils.ie.templates import schema_text, templates_of
from miniluotuo_utils.prompts import joined

Dialogue = list[list[str]]
NAMELESS = '"entities": []}'  # how a record's line ends whose sentence names nobody

# Share of the rows at the start of a training, and from `SETTLED` tokens on. Copying comes first
# and extraction with it: where long text makes most of the loss, a small model learns no copying.
SHARES = {
    "copying": (0.40, 0.16),
    "entities": (0.45, 0.53),
    "relations": (0.05, 0.12),
    "events": (0.04, 0.09),
    "text": (0.04, 0.05),
    "instructions": (0.02, 0.05),
}
# The branch that no teacher taught: a row of text has several times the answer of one to copy.
WITHOUT_LABELS = {"copying": (0.90, 0.70), "text": (0.10, 0.30)}
SETTLED = 5_000_000
MET = 5_000  # sentences with relations, and with events, that are kept to be asked about again
OF_TYPE = 2_000  # sentences with names of one type that are kept likewise
ANY_LETTERS = ("人物", "地点", "机构", "作品")  # types whose names may be spelt in any characters
FRAMED = 0.3  # of the rows for entities, a sentence made of a frame and names
NAMED = set(NAMES) - {"引语", "括注", "并列"}  # types that a name has wherever it stands
HAN = re.compile("[一-鿿]")
LONGEST_TEXT = 160  # characters of a paragraph
FOLLOW_UPS = (
    "其中的{schema}有哪些？用JSON回答。",
    "再找出其中的{schema}。",
    "同一段话，类型换成：{schema}。",
    "那么{schema}呢？",
)
SHORT = ("抽取{schema}。", "找出句子里的{schema}。用JSON回答。", "下面的文字里有哪些{schema}？")


def labels_of(line: str) -> tuple[str, list[Span]]:
    """Return the sentence of a record's line and the teacher's spans.

    >>> labels_of('{"sentence": "鲁迅", "entities": [{"type": "人物", "pos": [0, 2]}]}')
    ('鲁迅', [Span(start=0, end=2, kind='人物')])
    """
    record = json.loads(line)
    return record["sentence"], [Span(*e["pos"], e["type"]) for e in record["entities"]]


class Material:
    """Rows from labelled sentences, paragraphs and instructions, drawn by one seed.

    `labelled` is a file of IE records that `annotate` wrote; `paragraphs` of rows with `text`;
    `instructions` are instruction rows.
    """

    def __init__(
        self, labelled: Path, paragraphs: Path, instructions: Sequence[dict], seed: int
    ) -> None:
        self.rng = random.Random(seed)
        lines = labelled.read_text(encoding="utf-8").splitlines()
        # Most sentences of a novel name nobody: a few of them are enough.
        draw = self.rng.random
        self.labelled = [x for x in lines if not x.endswith(NAMELESS) or draw() < 0.3]
        self.paragraphs = [row["text"] for row in read_jsonl(paragraphs)]
        self.own = list(instructions)
        # Every Han character of the corpus, so that rare ones are copied as often as any other.
        self.letters = sorted({letter for line in self.labelled for letter in HAN.findall(line)})
        # Sentences with relations or events are rare: those that were met are kept for later.
        self.met: dict[str, list] = {"relations": [], "events": []}
        # How often each type was asked for when it was there, and when it was not.
        self.there, self.missing = Counter(list(NAMES)), Counter(list(NAMES))
        self.of_type: dict[str, deque] = {}  # sentences that name something of a type

    def rows(self, settled: Callable[[], float], shares: dict = SHARES) -> Iterator[Dialogue]:
        """Yield dialogues without end; `settled` tells how far the shares have moved, 0 to 1."""
        while True:
            moved = settled()
            weights = [start + (end - start) * moved for start, end in shares.values()]
            (kind,) = self.rng.choices(list(shares), weights)
            if row := getattr(self, kind)():
                yield row

    # ---- sentences

    def sentence(self) -> str:
        """Return a sentence of the corpus."""
        return labels_of(self.rng.choice(self.labelled))[0]

    def labelled_text(self) -> tuple[str, list[Span]]:
        """Return one to three sentences as one text, with all spans."""
        text, spans = "", []
        for _ in range(self.rng.choice([1, 1, 1, 1, 2, 3])):
            sentence, found = self.named_sentence()
            if sentence in text:
                continue
            shift = len(text)
            spans += [Span(s.start + shift, s.end + shift, s.kind) for s in found]
            text += sentence
        return text, spans

    def named_sentence(self) -> tuple[str, list[Span]]:
        """Return a sentence and its spans: a new one, or in a third of the draws one that was met
        before, of any type with the same chance, those that only lists know more often. A type that
        is rare in the corpus is learned too.
        """
        draw = self.rng
        if self.of_type and draw.random() < 0.33:
            kinds = list(self.of_type)
            (kind,) = draw.choices(kinds, [3 if kind in COINED else 1 for kind in kinds])
            return self.exchanged(*draw.choice(self.of_type[kind]))
        sentence, labels = labels_of(draw.choice(self.labelled))
        spans = named(sentence, labels)
        for kind in {span.kind for span in spans}:
            self.of_type.setdefault(kind, deque(maxlen=OF_TYPE)).append((sentence, spans))
        return self.exchanged(sentence, spans)

    def exchanged(self, sentence: str, spans: list[Span]) -> tuple[str, list[Span]]:
        """Return a sentence in which some dishes, species and products are others, and its spans.

        A list is learned by heart where each of its words stands in a few sentences only.
        """
        draw, last = self.rng, len(sentence)
        for span in reversed([span for span in spans if span.kind in COINED]):
            if span.end <= last and draw.random() < 0.6:
                name = self.another(span.kind)
                sentence, spans = renamed(sentence, spans, span, name)
                last = span.start
        return sentence, spans

    def framed(self, frame: Callable) -> framed_sentences.Framed:
        """Return a sentence of a frame with names that were met, an empty one at the start."""
        try:
            return frame(self.rng, self.name_of)
        except LookupError:
            return framed_sentences.Framed("", [], [])

    def name_of(self, kind: str) -> framed_sentences.Named:
        """Return a name of a type and all types that it is of.

        Raises:
            LookupError: No sentence with such a name was met yet.
        """
        draw = self.rng
        if kind in COINED and draw.random() < 0.9:
            return self.another(kind), [kind]
        for _ in range(8):
            sentence, spans = draw.choice(self.of_type.get(kind, ()))
            span = draw.choice([span for span in spans if span.kind == kind])
            name = sentence[span.start : span.end]
            # The teacher takes 笑道 into a person's name; a short one is right more often.
            if kind != "人物" or len(name) in (2, 3) or "·" in name:
                return name, [s.kind for s in spans if s[:2] == span[:2] and s.kind in NAMED]
        raise LookupError(kind)

    def another(self, kind: str) -> str:
        """Return a name of a type: a listed one, or one made of two parts."""
        draw = self.rng
        if draw.random() < 0.5:
            return draw.choice(LISTED[kind])
        return "".join(map(draw.choice, COINED[kind]))

    def respelt(self, text: str, places: Iterable[int]) -> str:
        """Return a text with any other characters at some places.

        A base that meets rare characters only where they are usual writes usual ones for them.
        """
        letters = list(text)
        for place in places:
            letters[place] = self.rng.choice(self.letters)
        return "".join(letters)

    def disguised(self, text: str, spans: list[Span]) -> str:
        """Return a text whose names are spelt in any characters: what is around them tells."""
        places: list[int] = []
        for span in spans:
            alone = all(other == span or not overlap(span, other) for other in spans)
            if span.kind in ANY_LETTERS and alone:
                places += range(span.start, span.end)
        return self.respelt(text, places)

    # ---- kinds of rows

    def text(self) -> Dialogue:
        """Return the beginning of a paragraph as bare text."""
        return [["", self.rng.choice(self.paragraphs)[:LONGEST_TEXT]]]

    def copying(self) -> Dialogue:
        """Return a task whose answer stands in the text, for which nothing must be understood."""
        draw, text = self.rng, self.sentence()
        if draw.random() < 0.5:
            text = self.respelt(text, draw.sample(range(len(text)), len(text) // 3))
        question, text, answer = draw.choice(COPYING)(text, draw)
        return [[joined(question, text), answer]]

    def entities(self) -> Dialogue:
        """Return questions about one text: for the names of some types, for the type of a name."""
        draw, text = self.rng, ""
        if draw.random() < FRAMED:
            text, spans, _ = self.framed(draw.choice(framed_sentences.KINDS))
        if not text:
            text, spans = self.labelled_text()
        if draw.random() < 0.2:
            text = self.disguised(text, spans)
        schema, answer = self.names(text, spans)
        dialogue = [[joined(self.question("NER", schema, SHORT), text), answer]]
        for _ in range(draw.choice([0, 1, 1, 2, 3])):
            if spans and draw.random() < 0.5:
                dialogue.append(self.type_of(text, draw.choice(spans)))
            else:
                schema, answer = self.names(text, spans)
                dialogue.append([draw.choice(FOLLOW_UPS).format(schema=schema), answer])
        return dialogue

    def names(self, text: str, spans: list[Span]) -> tuple[str, str]:
        """Return the types of a question as its template lists them, and the answer."""
        kinds = self.asked(list(dict.fromkeys(span.kind for span in spans)))
        names = {kind: self.called(NAMES[kind], kind) for kind in kinds}
        answer: dict[str, list[str]] = {}
        for kind in kinds:
            found = [text[s.start : s.end] for s in spans if s.kind == kind]
            if found:
                answer[names[kind]] = list(dict.fromkeys(found))
        listed = list(names.values())
        return schema_text(listed, "NER", listed), dumped(answer)

    def type_of(self, text: str, span: Span) -> list[str]:
        """Return which of some types a name is of: what it takes to leave a type out."""
        others = self.apart([span.kind, *self.rng.sample(list(NAMES), 4)])[1:]
        told = self.called(NAMES[span.kind], span.kind)
        listed = [self.called(NAMES[kind], kind) for kind in others]
        if self.rng.random() < 0.2:
            told = "都不是"
        else:
            listed.insert(self.rng.randrange(len(listed) + 1), told)
        name = text[span.start : span.end]
        return [f"“{name}”是哪一类：{'、'.join(listed)}？", told]

    def asked(self, present: list[str]) -> list[str]:
        """Return the types of one question: all that are there or some, and others.

        Many are not there: a base that always meets what it is asked for makes up the rest. Every
        type is as often there as any other when it is asked for, the usual ones and the rare ones.
        """
        draw = self.rng
        some = (
            present if draw.random() < 0.5 else draw.sample(present, draw.randint(0, len(present)))
        )
        absent = [kind for kind in NAMES if kind not in present]
        # Drawn by weight, without putting back (Efraimidis and Spirakis 2006).
        absent.sort(key=lambda kind: draw.random() ** (self.missing[kind] / self.there[kind]))
        others = draw.choice([0, 2, 3, 4, 6, 8] if some else [1, 2, 4])
        chosen = some[:7] + absent[-others:] if others else some[:7]
        draw.shuffle(chosen)
        kinds = self.apart(chosen)[:10]
        self.there.update(kind for kind in kinds if kind in present)
        self.missing.update(kind for kind in kinds if kind not in present)
        return kinds

    def apart(self, kinds: Sequence[str]) -> list[str]:
        """Return types in order, without those that stand beside their coarser one, or again."""
        chosen: list[str] = []
        for kind in kinds:
            above = {COARSER.get(other, other) for other in chosen}
            if kind not in chosen and COARSER.get(kind) not in chosen and kind not in above:
                chosen.append(kind)
        return chosen

    def called(self, names: Sequence[str], kind: str) -> str:
        """Return a name of a type: its own in half of the rows."""
        return names[0] if self.rng.random() < 0.5 else self.rng.choice(names)

    def question(self, task: str, schema: str, short: Sequence[str]) -> str:
        """Return an instruction: one of the package's templates, or a short one."""
        if self.rng.random() < 0.35:
            return self.rng.choice(short).format(schema=schema)
        template = self.rng.choice(templates_of(task))
        return template.replace("{schema}", schema).replace("{notes}", "")

    def found(self, kind: str, find: Callable) -> tuple[str, list[Span], list] | None:
        """Return a sentence in which `find` finds something: a new one, or one met before."""
        draw, met = self.rng, self.met[kind]
        for _ in range(6):
            sentence, labels = labels_of(draw.choice(self.labelled))
            spans = named(sentence, labels)
            if there := list(find(sentence, spans)):
                if len(met) == MET:
                    del met[draw.randrange(MET)]
                met.append((sentence, spans, there))
                return met[-1]
        return draw.choice(met) if met else None

    def relations(self) -> Dialogue | None:
        """Return a question for relations, or one about a single relation in words."""
        draw = self.rng
        if draw.random() < 0.4:
            sentence, _, found = self.framed(framed_sentences.told)
        elif there := self.found("relations", relations):
            sentence, _, found = there
        else:
            return None
        if not found:
            return None
        asked = in_words(sentence, draw.choice(found))
        if asked and draw.random() < 0.2:
            return [asked]

        present = list(dict.fromkeys(relation.kind for relation in found))
        others = [kind for kind in CALLED if kind not in present]
        kinds = present + draw.sample(others, draw.choice([0, 1, 2, 3, 4, 6]))
        draw.shuffle(kinds)
        names = {kind: self.called(CALLED[kind], kind) for kind in kinds}
        answer: dict[str, list] = {}
        for kind in kinds:
            pairs = [pair_of(sentence, relation) for relation in found if relation.kind == kind]
            if pairs:
                answer.setdefault(names[kind], []).extend(pairs)
        schema = "、".join(dict.fromkeys(names.values()))
        question = self.question("RE", schema, ("抽取关系：{schema}。",))
        return [[joined(question, sentence), dumped(answer)]]

    def events(self) -> Dialogue | None:
        """Return a question for events."""
        draw, there = self.rng, self.found("events", events)
        if there is None:
            return None
        sentence, _, found = there
        present = [event.kind for event in found]
        others = [kind for kind in EVENTS if kind not in present]
        kinds = present[:3] + draw.sample(others, draw.choice([0, 1, 2, 3, 5]))
        draw.shuffle(kinds)
        roles = {kind: [role for role, *_ in EVENTS[kind][1]] for kind in kinds}
        for names in roles.values():
            draw.shuffle(names)
        question = self.question("EE", schema_text(kinds, "EE", roles), ("抽取事件：{schema}。",))
        answer = {}
        for kind in kinds:
            told = [event_of(sentence, event, roles[kind]) for event in found if event.kind == kind]
            if told:
                answer[kind] = told
        return [[joined(question, sentence), dumped(answer)]]

    def instructions(self) -> Dialogue:
        """Return one of the project's own instruction rows."""
        row = self.rng.choice(self.own)
        return [[joined(row["instruction"], row.get("input", "")), row["output"]]]


def overlap(one: Span, other: Span) -> bool:
    """Return whether two spans share a character."""
    return one.start < other.end and other.start < one.end


# ---- copying: a sentence → a question, its text, the answer

REPEAT = ("重复下面的话。", "照抄这句话。", "把下面的文字原样写一遍。", "复述：")
Copying = tuple[str, str, str]


def repeat(text: str, draw: random.Random) -> Copying:
    """Ask for the whole sentence."""
    return draw.choice(REPEAT), text, text


def repeat_letters(text: str, draw: random.Random) -> Copying:
    """Ask for characters in disorder: no knowledge of words helps."""
    letters = "".join(draw.sample(text, min(len(text), draw.randrange(4, 24))))
    return draw.choice(REPEAT), letters, letters


def bracketed(text: str, draw: random.Random) -> Copying:
    """Ask for what stands in brackets."""
    start = draw.randrange(max(1, len(text) - 3))
    end = min(len(text), start + draw.randrange(2, 12))
    marked = f"{text[:start]}【{text[start:end]}】{text[end:]}"
    return "写出方括号里的话。", marked, text[start:end]


def from_cue(text: str, draw: random.Random) -> Copying:
    """Ask for the rest of the sentence from three characters on."""
    start = draw.randrange(max(1, len(text) // 2))
    cue = text[start : start + 3]
    return f"从“{cue}”起抄到末尾。", text, text[text.index(cue) :]


def first_part(text: str, draw: random.Random) -> Copying:
    """Ask for what stands before the first mark."""
    return "抄下第一个标点之前的话。", text, re.split("[，。！？；：、]", text)[0]


def parts(text: str, draw: random.Random) -> Copying:
    """Ask for all parts of the sentence, as JSON."""
    found = [part for part in re.split("[，。！？；：]", text) if part]
    return "按标点把句子拆开，写成JSON列表。", text, dumped(found)


COPYING = (repeat, repeat, repeat_letters, bracketed, from_cue, first_part, parts)

# ---- answers


def dumped(value: object) -> str:
    """Return an answer as the package writes it: JSON without spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def pair_of(sentence: str, relation: Relation) -> list[str]:
    """Return head and tail of a relation as text."""
    return [sentence[s.start : s.end] for s in (relation.head, relation.tail)]


def event_of(sentence: str, event: Event, roles: Sequence[str]) -> dict:
    """Return an event as an answer gives it, its roles in the order of the question."""
    arguments: dict[str, list[str]] = {}
    for role in roles:
        found = [sentence[s.start : s.end] for name, s in event.arguments if name == role]
        if found:
            arguments[role] = found
    trigger = sentence[event.trigger.start : event.trigger.end]
    return {"trigger": trigger, "arguments": arguments}


# A relation asked for in words, answered in a sentence.
WORDS = {
    "出生地": ("{head}出生在哪里？", "{head}出生于{tail}。"),
    "出生日期": ("{head}是什么时候出生的？", "{head}生于{tail}。"),
    "位于": ("{head}在哪里？", "{head}位于{tail}。"),
    "毕业院校": ("{head}在哪里读过书？", "{head}就读于{tail}。"),
    "成立时间": ("{head}是什么时候成立的？", "{head}成立于{tail}。"),
    "创始人": ("谁创办了{head}？", "{head}的创办人是{tail}。"),
    "作者": ("《{head}》是谁写的？", "《{head}》的作者是{tail}。"),
    "导演": ("《{head}》是谁导演的？", "《{head}》的导演是{tail}。"),
    "职务": ("{head}是做什么的？", "{head}是{tail}。"),
    "说的话": ("{head}说了什么？", "{head}说：“{tail}”"),
    "首都": ("{head}的首都是哪里？", "{head}的首都是{tail}。"),
}


def in_words(sentence: str, relation: Relation) -> list[str] | None:
    """Return a question about one relation and its answer, both as sentences."""
    if relation.kind not in WORDS:
        return None
    head, tail = pair_of(sentence, relation)
    question, answer = WORDS[relation.kind]
    asked = joined(question.format(head=head), sentence)
    return [asked, answer.format(head=head, tail=tail)]
