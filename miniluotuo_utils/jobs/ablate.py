"""Train with one source left out at a time, on equal tokens, to see what each source gives.

In: a student and sources. Out: a folder with a line a training in `runs.jsonl` and the answers side
by side in `answers.md`, and a table with intervals. Shown in jobs/README.md.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from miniluotuo_utils.choices import check_choice
from miniluotuo_utils.data.anyfile import Reading, open_data
from miniluotuo_utils.evaluation.checks import SETS, keeps, questions
from miniluotuo_utils.evaluation.perplexity import bits_of_rows
from miniluotuo_utils.files import DataError, Journal, read_jsonl
from miniluotuo_utils.generation import generate
from miniluotuo_utils.ie import build_instructions, extract, schema_of
from miniluotuo_utils.ie.modes import ruled
from miniluotuo_utils.runtime import EMBEDDED
from miniluotuo_utils.students import Student, finetune, load_student
from miniluotuo_utils.students.checkpoints import discard
from miniluotuo_utils.students.devices import own_device
from miniluotuo_utils.students.finetune import check_options, row_length
from miniluotuo_utils.students.loading import fingerprint
from miniluotuo_utils.text import markdown
from miniluotuo_utils.tokens import encode, prompts_of
from miniluotuo_utils.writing import Touched, guard, written_whole

if TYPE_CHECKING:
    import numpy as np

BY = ("data", "source")
BASE, WHOLE = "不训练 untrained", "全部 all"
BITS, IE = "比特 bits", "抽取 F1"
ROOM = 96  # tokens of an answer
SAMPLES = 2_000  # draws of questions, for an interval


class Ablation:
    """What is trained and asked: the student, the rows of each source, and how.

    sources: name → encoded rows. by: "data" takes each name of `data` for a source, "source" what
      the rows themselves name as theirs, such as LaMini's kinds.
    tokens: of every training, whatever is left out. options: of `finetune`.
    """

    def __init__(
        self,
        student: str,
        data: Sequence[Path | str],
        by: Literal["data", "source"] = "data",
        tokens: int = 200_000,
        seeds: int = 3,
        say: Callable[[str], object] | None = None,
        **options: Any,
    ) -> None:
        check_choice("by", by, BY)
        check_options(**options)
        if tokens < 1 or seeds < 1:
            raise ValueError(f"tokens is {tokens} and seeds {seeds}; expected at least 1 of each")
        self.name, self.by, self.tokens, self.seeds = student, by, tokens, seeds
        self.say, self.options = say or (lambda line: None), options
        self.readings = [open_data(one, say=say) for one in data]
        names = [reading.name for reading in self.readings]
        if by == "data" and (twice := {name for name in names if names.count(name) > 1}):
            raise DataError(
                f"{', '.join(sorted(twice))}: two of --data have this name, and a source is told "
                "by its name; rename a file, or --by source（两个来源同名：改一个文件名）"
            )

        # One loading for all that is known before the first training.
        base = self.student()
        self.digest, self.sources = fingerprint(base), self.encoded(base)

    def encoded(self, student: Student) -> dict[str, list[dict]]:
        """Return the encoded rows of each source.

        Raises DataError for a source without any, and for one alone.
        """
        method, longest = (self.options.get(name) for name in ("method", "max_length"))
        length = row_length(student, method or "full", longest or 512)
        found: dict[str, list[dict]] = {}
        for name, rows in grouped(self.readings, self.by).items():
            made = encode(rows, student.tokenizer, length, encoder_decoder=student.encoder_decoder)
            found[name] = made.rows
            size = sum(len(row["input_ids"]) for row in made.rows)
            self.say(f"{name}：{len(made.rows):,} 行，{size:,} 个词元 rows, tokens")
            if not made.rows:
                raise DataError(f"{name}: no row can be learned from ({dict(made.dropped)})")
        if len(found) < 2:
            raise DataError(
                f"found the source {', '.join(found) or 'none'} alone, expected two or more: left "
                "out, nothing would be left（至少要两个来源；--by source 按每行自己的 source 分）"
            )
        return found

    def student(self) -> Student:
        """Return the student as it is before any training."""
        return load_student(self.name, own_device())

    @property
    def arms(self) -> list[tuple[str, int]]:
        """What is trained: everything, then everything but one source, each with every seed."""
        names = [WHOLE, *self.sources]
        return [(BASE, 0), *((name, seed) for seed in range(self.seeds) for name in names)]

    def facts(self) -> dict[str, Any]:
        """Return what the results depend on; another of it begins another file."""
        return {
            "student": self.digest,
            "data": [reading.digest for reading in self.readings],
            **{"by": self.by, "tokens": self.tokens, "options": self.options},
        }

    def rows(self, left_out: str, seed: int) -> list[dict]:
        """Return what is trained on: rows of all sources but one, together `tokens` long."""
        others = [row for name, rows in self.sources.items() if name != left_out for row in rows]
        return of_length(others, self.tokens, seed)

    def trained(self, left_out: str, seed: int, folder: Path) -> dict[str, Any]:
        """Train a student without one source and return what it answers; killed, it goes on."""
        student, steps, tokens = self.student(), 0, 0
        if left_out != BASE:
            rows = self.rows(left_out, seed)
            training = finetune(student, rows, seed=seed, folder=folder, **self.options)
            steps, tokens = training.steps, sum(len(row["input_ids"]) for row in rows)
        found = {"arm": left_out, "seed": seed, "steps": steps, "tokens": tokens}
        return {**found, **answered(student)}


def grouped(readings: Sequence[Reading], by: str) -> dict[str, list[dict]]:
    """Return the rows of each source; IE records as instruction rows."""
    found: dict[str, list[dict]] = {}
    for reading in readings:
        rows = list(reading)
        if reading.kind == "records":
            rows = build_instructions(rows, reading.task, schema_of(rows, reading.task))
        for row in rows:
            name = row.get("source") or reading.name if by == "source" else reading.name
            found.setdefault(name, []).append(row)
    return found


def of_length(rows: Sequence[dict], tokens: int, seed: int) -> list[dict]:
    """Return rows in a random order, all of them before any comes again, together `tokens` long.

    The last one that would be too many is left out, so that no training has more than another.

    >>> rows = [{"input_ids": [n] * n} for n in (2, 3, 5)]
    >>> [len(row["input_ids"]) for row in of_length(rows, 24, seed=0)]
    [3, 5, 2, 3, 5, 2, 3]
    """
    draw, chosen, total = random.Random(seed), [], 0
    while True:
        for row in draw.sample(rows, len(rows)):
            total += len(row["input_ids"])
            if total > tokens:
                return chosen
            chosen.append(row)


# ---- what a student is asked


def answered(student: Student) -> dict[str, Any]:
    """Return a student's answers to every set, the bits of the right ones, and what it extracts."""
    asked = {name: questions(name) for name in SETS}
    answers, bits = {}, {}
    for name, rows in asked.items():
        answers[name] = generate(student, prompts_of(student, rows), max_new_tokens=ROOM)
        bits[name] = bits_of_rows(student, rows)
    types = schema_of(read_jsonl(EMBEDDED / "ner_train.jsonl"), "NER")
    sentences = [record["sentence"] for record in gold()]
    found = extract(student, sentences, types, "NER", max_new_tokens=ROOM)
    entities = [record["entities"] for record in found.records]
    return {"answers": answers, "bits": bits, "entities": entities}


def gold() -> list[dict]:
    """Return the NER records that extraction is read on."""
    return read_jsonl(EMBEDDED / "ner_test.jsonl")


# ---- what came of it


def ablate(student: str, data: Sequence[Path | str], out: Path | str, **how: Any) -> list[dict]:
    """Train and ask every arm, a line of `out`/runs.jsonl each, and return the lines.

    What an earlier call wrote is not trained again, and a killed training goes on where it stopped.
    `how` are the arguments of `Ablation`. At the end the answers stand in `out`/answers.md.

    Raises ValueError for options that cannot be, DataError for sources that cannot be compared and
    for an `out` that was begun with others.
    """
    # Nothing is loaded before it is known that the folder may be written.
    out = Path(out)
    touched = [Touched("data", Path(one), "reads") for one in data]
    guard([*touched, Touched("OUT", out, "grows")])
    plan = Ablation(student, data, **how)
    journal, folder = Journal(out / "runs.jsonl", plan.facts()), out / "training"
    done = {(line["arm"], line["seed"]): line for line in journal.lines()}
    for number, (arm, seed) in enumerate(plan.arms, 1):
        if (arm, seed) not in done:
            plan.say(f"{number}/{len(plan.arms)}：{title(arm)}，seed {seed}")
            done[arm, seed] = plan.trained(arm, seed, folder)
            journal.append(done[arm, seed])
            discard(folder)

    # The page is whole only when all have answered.
    lines = [done[arm] for arm in plan.arms]
    with written_whole(out / "answers.md", keeps="choose another OUT") as whole:
        whole.write_text("\n".join(side_by_side(lines)) + "\n", encoding="utf-8")
    return lines


def title(arm: str) -> str:
    """Return what an arm is called: a source's name says that it was left out."""
    return arm if arm in (BASE, WHOLE) else f"没有 without {arm}"


def items(lines: Sequence[Mapping], measure: str) -> np.ndarray:
    """Return what each question gave in an arm, [questions], a mean over its seeds."""
    import numpy as np

    every = [bits_of(line) if measure == BITS else kept(line, measure) for line in lines]
    return np.array(every, dtype=float).mean(axis=0)


def bits_of(line: Mapping) -> list[float]:
    """Return the bits per character of every right answer; 0 for one that no arm could read."""
    return [bits or 0.0 for name in SETS for bits in line["bits"][name]]


def kept(line: Mapping, name: str) -> list[bool]:
    """Return of every question of a set whether the answer keeps its checks."""
    pairs = zip(line["answers"][name], questions(name), strict=True)
    return [keeps(answer, row["checks"]) for answer, row in pairs]


def counts(lines: Sequence[Mapping]) -> np.ndarray:
    """Return the counts of each sentence that make up F1, summed over an arm's seeds."""
    from miniluotuo_utils.ie.resampling import counts_by_sentence

    wanted, rule = gold(), ruled("NER", "span")
    found = []
    for line in lines:
        pairs = zip(wanted, line["entities"], strict=True)
        predicted = [{"sentence": record["sentence"], "entities": own} for record, own in pairs]
        found.append(counts_by_sentence(wanted, predicted, rule)[rule.parts[0]])
    return sum(found)


def scored(lines: Sequence[Mapping]) -> dict[str, float]:
    """Return the figures of an arm: share of questions kept, by set; bits per character; F1."""
    from miniluotuo_utils.ie.resampling import rates_of

    shares = {name: float(items(lines, name).mean()) for name in SETS}
    f1 = float(rates_of(counts(lines).sum(axis=0)[None])[2][0])
    return {**shares, BITS: float(items(lines, BITS).mean()), IE: f1}


def given(whole: Sequence[Mapping], without: Sequence[Mapping]) -> dict[str, tuple[float, ...]]:
    """Return what a source gives, by measure: all less without it, and the middle 95 % of that.

    Questions and sentences are drawn with replacement, the same ones for both. Fewer bits are
    better: there a source gives what is below 0.
    """
    import numpy as np

    from miniluotuo_utils.ie.resampling import contrast, middle

    found: dict[str, tuple[float, ...]] = {}
    for measure in (*SETS, BITS):
        apart = items(whole, measure) - items(without, measure)
        drawn = np.random.default_rng(0).integers(0, len(apart), (SAMPLES, len(apart)))
        found[measure] = (float(apart.mean()), *middle(apart[drawn].mean(axis=1)))
    f1 = contrast(counts(without), counts(whole), SAMPLES, 0)
    return {**found, IE: (f1["difference"], *f1["interval"])}


def by_arm(lines: Sequence[Mapping]) -> dict[str, list[Mapping]]:
    """Return the lines of each arm, in order."""
    found: dict[str, list[Mapping]] = {}
    for line in lines:
        found.setdefault(line["arm"], []).append(line)
    return found


def tables(lines: Sequence[Mapping]) -> str:
    """Return two tables in Markdown: how each arm does, and what each source gives."""
    arms = by_arm(lines)
    heads = [*SETS.values(), "比特/字 bits per character", "抽取 F1 extraction"]
    rows = [[title(arm), *map("{:.3f}".format, scored(own).values())] for arm, own in arms.items()]
    gives = [
        [arm, *map(told, given(arms[WHOLE], own).values())]
        for arm, own in arms.items()
        if arm not in (BASE, WHOLE)
    ]
    return "\n\n".join(
        [
            markdown(["训练 trained on", *heads], rows),
            markdown(["这个来源给的 what the source gives", *heads], gives),
        ]
    )


def told(found: Sequence[float]) -> str:
    """Return a difference with its interval.

    >>> told((0.05, -0.01, 0.1))
    '+0.050 (-0.010 to +0.100)'
    """
    return "{:+.3f} ({:+.3f} to {:+.3f})".format(*found)


def side_by_side(lines: Sequence[Mapping]) -> Iterator[str]:
    """Yield a page of every question with what each arm answered at the first seed."""
    first = {arm: own[0] for arm, own in by_arm(lines).items()}
    for name, words in SETS.items():
        yield f"## {words}\n"
        for number, row in enumerate(questions(name)):
            yield f"**{row['id']}** {' '.join((row['instruction'] + ' ' + row['input']).split())}\n"
            for arm, line in first.items():
                answer = line["answers"][name][number]
                mark = "✓" if keeps(answer, row["checks"]) else "✗"
                yield f"- {mark} {title(arm)}：{' / '.join(answer.split(chr(10)))}"
            yield ""
