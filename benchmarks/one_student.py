"""One student on everything beside one on four sets: equal tokens, F1 by set, and zero-shot.

    MINILUOTUO_MIRROR=… python benchmarks/one_student.py [--tokens N] [--limit N]

In: every extraction source that is at hand. FinRE is kept from both students, and so are a few
types of the four sets of notebook 04. `instruction_set` makes the rows, in slices, as the command
`instructions` does; `four` trains on the four sets, `all` on everything, each on as many tokens in
one pass at notebook 04's batch and rate, and `before` is the student as it ships.

Asked: the test sentences of every set, for the types that are taught; those of FinRE; and, alone,
the types that were kept out. Where a set labels one given pair of a sentence, the sentence is asked
for its own types only, and another pair that is right counts as wrong.

Out: `results/one_student.json`, and a table; `all - four` is the difference of F1 with the middle
95 % of a paired bootstrap. Killed, the same command goes on: with the training
where it stood, with the next exam after the last one (`runs/one_student/`).
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from results import hardware

from miniluotuo_utils.data.catalog import CATALOG
from miniluotuo_utils.data.decontamination import evaluation_splits
from miniluotuo_utils.data.loading import read, renamed
from miniluotuo_utils.files import Journal, read_jsonl, write_jsonl, written_whole
from miniluotuo_utils.ie import compare, extract, micro, schema_of
from miniluotuo_utils.ie.contest import Paper, score_table
from miniluotuo_utils.ie.schema import only_types
from miniluotuo_utils.jobs.ablate import of_length
from miniluotuo_utils.jobs.instructions import (
    instruction_set,
    is_one_pair,
    key,
    unavailable,
    usable,
)
from miniluotuo_utils.records import TASKS
from miniluotuo_utils.runtime import commit, runs_root
from miniluotuo_utils.students import Student, finetune, load_student, save
from miniluotuo_utils.students.checkpoints import discard
from miniluotuo_utils.text import markdown
from miniluotuo_utils.tokens import encode

FOUR = ("cluener", "resume", "duie-sample", "fewfc")
UNSEEN = "finre"  # no student trains on it
# Types that no student trains on, though their sets are taught. FewFC keeps these out itself.
KEPT_OUT = {
    "cluener": ["书名"],
    "resume": ["专业"],
    "duie-sample": ["作曲", "出版社"],
    "fewfc": ["担保", "中标", "签署合同", "判决"],
}
# The splits that are asked, for what is taught and for what is kept out; of others test, else dev.
ASKED = {"fewfc": ("dev", "trans_test")}
ARMS = {"before": (), "four": FOUR, "all": None}  # None: everything at hand
FORM = {"batch_size": 16, "learning_rate": 2e-3}  # notebook 04's at `cpu`
ROOM = 128  # tokens of an answer


class Source(NamedTuple):
    """One task of a set: what may be trained on, what is asked, and what for kept-out types."""

    name: str
    task: str
    train: list[dict]
    test: list[dict]
    apart: list[dict]

    @property
    def language(self) -> str:
        """The language that it is asked in."""
        return "en" if CATALOG[self.name].language == "EN" else "zh"


# ---- the sets


def sources() -> Iterator[Source]:
    """Yield every task of every set at hand; no sentence of a test is in its training records."""
    splits = [(found.name, split) for found, split in evaluation_splits()]
    held = {key(one["sentence"]) for name, split in splits for one in at_hand(name, split)}
    for name, found in CATALOG.items():
        train = [one for one in at_hand(name, "train") if key(one["sentence"]) not in held]
        asked = ASKED.get(name) or ["test" if "test" in found.splits else "dev"] * 2
        sides = [train, *(at_hand(name, split) for split in asked)]
        for task, field in TASKS.items():
            own = [[one for one in side if field in one] for side in sides]
            if own[0]:
                yield Source(name, task, *own)


def at_hand(name: str, split: str) -> list[dict]:
    """Return the extraction records of a split, with Chinese types; [] where it cannot be had."""
    found = CATALOG[name]
    if not set(found.tasks) & set(TASKS) or unavailable(found, split):
        return []
    names = {} if found.language == "EN" else found.type_names or {}
    return [renamed(one, names) for one in read(name, split, progress=False, faults=[])]


def taught(source: Source) -> list[str]:
    """Return the types of a set that are not kept out, those of labelled pairs too."""
    every = {item["type"] for record in source.train for item in record[TASKS[source.task]]}
    return sorted(every - set(KEPT_OUT.get(source.name, [])))


class Exam(NamedTuple):
    """Sentences that are asked for the same kind of types."""

    name: str
    source: Source
    gold: list[dict]
    schema: list[str] | dict[str, list[str]]


def exams(source: Source, limit: int) -> Iterator[Exam]:
    """Yield what a set asks: the types that are taught, and alone those that are kept out."""
    draw, kept_out = random.Random(0), KEPT_OUT.get(source.name, [])
    if gold := joined(source.test, source.task):
        some, asked = draw.sample(gold, min(limit, len(gold))), taught(source)
        schema = kinds(schema_of(source.train, source.task), asked)
        yield Exam(source.name, source, only_types(some, asked), schema)
    if kept_out:
        # As many sentences without these types as with them, so that silence counts as well.
        gold = only_types(joined(source.apart, source.task), kept_out)
        sides = [[one for one in gold if bool(one[TASKS[source.task]]) == b] for b in (True, False)]
        some = [
            one for side in sides for one in draw.sample(side, min(limit // 2, *map(len, sides)))
        ]
        name = f"{source.name}: {'、'.join(kept_out)}"
        yield Exam(name, source, some, kinds(schema_of(source.apart, source.task), kept_out))


def joined(records: Sequence[Mapping], task: str) -> list[dict]:
    """Return records without repetitions, the pairs of one sentence put together."""
    return [record for _, record in usable(list(enumerate(records)), task, set())[0]]


def kinds(schema: list | dict, wanted: Sequence[str]) -> list | dict:
    """Return a schema of some types alone.

    >>> kinds({"中标": ["公司"], "判决": ["法院"]}, ["判决"])
    {'判决': ['法院']}
    """
    if isinstance(schema, dict):
        return {kind: roles for kind, roles in schema.items() if kind in wanted}
    return [kind for kind in schema if kind in wanted]


# ---- training


def trained(arm: str, every: Sequence[Source], folder: Path, options: argparse.Namespace) -> dict:
    """Train an arm, or find it trained; return what it read: rows by set, tokens, steps."""
    notes, going = folder / f"{arm}.json", folder / f"{arm}-training"
    if notes.is_file():
        return json.loads(notes.read_text(encoding="utf-8"))
    mine = [one for one in every if one.name in (ARMS[arm] or CATALOG) and one.name != UNSEEN]
    student, rows = load_student(options.student, "cpu"), rows_of(mine, folder / f"{arm}-rows")

    # One pass over what was drawn: no clock, so that both arms get the same.
    made = encode(rows, student.tokenizer, 512)
    drawn = of_length(made.rows, options.tokens, options.seed)
    training = finetune(student, drawn, epochs=1, seed=options.seed, folder=going, **FORM)
    save(student, folder / arm, training.log)
    facts = {
        "rows": dict(Counter(row["source"] for row in rows)),
        "too_long": sum(made.dropped.values()),
        "drawn": len(drawn),
        "tokens": sum(len(row["input_ids"]) for row in drawn),
        "steps": training.steps,
        "minutes": training.seconds / 60,
    }
    with written_whole(notes) as partial:
        partial.write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")
    discard(going)
    return facts


def rows_of(mine: Sequence[Source], folder: Path) -> list[dict]:
    """Return the instruction rows of sets; none of them asks for a type that is kept out."""
    files = []
    for one in mine:
        file = folder.with_name(f"{folder.name}-records") / f"{one.name}-{one.task}.jsonl"
        write_jsonl(file, only_types(one.train, taught(one)), overwrite=True)
        files.append(str(file))
    instruction_set(folder, files, overwrite=True)
    rows = read_jsonl(folder / "train.jsonl")
    never = {kind for kept_out in KEPT_OUT.values() for kind in kept_out}
    told = {kind for row in rows for kind in row["types"]} & never
    if told:
        raise ValueError(f"taught {', '.join(told)}; expected types that are in no training row")
    return rows


# ---- answers


def answered(student: Student, exam: Exam) -> list[dict]:
    """Return a student's records, in the order of the exam's sentences."""
    source, found = exam.source, {}
    asked = {number: asked_of(exam, record) for number, record in enumerate(exam.gold)}
    order = sorted(asked, key=lambda number: repr(asked[number]))
    for _, same in groupby(order, key=lambda number: repr(asked[number])):
        numbers = list(same)
        sentences, schema = [exam.gold[n]["sentence"] for n in numbers], asked[numbers[0]]
        how = {"max_new_tokens": ROOM, "language": source.language}
        records = extract(student, sentences, schema, source.task, **how).records
        found.update(zip(numbers, records, strict=True))
    return [found[number] for number in range(len(exam.gold))]


def asked_of(exam: Exam, record: Mapping) -> list | dict:
    """Return the types that a sentence is asked for."""
    if is_one_pair(record):
        return sorted({item["type"] for item in record[TASKS[exam.source.task]]})
    return exam.schema


# ---- the table


def results(papers: Mapping[str, Exam], answers: Mapping[tuple[str, str], list]) -> list[dict]:
    """Return a row for each part of each exam: every arm's F1, and what tells `all` from `four`."""
    rows = []
    for name, exam in papers.items():
        task, own = exam.source.task, {arm: answers[arm, name] for arm in ARMS}
        paper = Paper(name, task, [], exam.gold)
        apart = dict(micro(compare(exam.gold, own["four"], own["all"], task)))
        lines = score_table([paper], {(arm, name): records for arm, records in own.items()})
        for part, difference in apart.items():
            mine = [line for line in lines if line["part"] == part]
            numbers = ("precision", "recall", "f1", "low", "high")
            arms = {line["system"]: {n: line[n] for n in numbers} for line in mine}
            taught_it = {arm: seen(arm, name) for arm in ARMS}
            facts = {"exam": name, "part": part, "sentences": len(exam.gold), "taught": taught_it}
            gain = {n: difference[n] for n in ("difference", "interval", "p")}
            rows.append({**facts, **arms, "all - four": gain})
    return rows


def seen(arm: str, exam: str) -> bool:
    """Tell whether an arm was taught what an exam asks.

    >>> seen("four", "cluener"), seen("four", "conll04"), seen("all", "cluener: 书名")
    (True, False, False)
    """
    name, _, kept_out = exam.partition(":")
    names = CATALOG if ARMS[arm] is None else ARMS[arm]
    return not kept_out and name != UNSEEN and name in names


def table(rows: Sequence[Mapping]) -> str:
    """Return F1 by exam and arm, in bold where the arm was taught it, and the difference."""
    lines = []
    for row in rows:
        cells = []
        for arm in ARMS:
            f1 = f"{row[arm]['f1']:.3f}"
            cells.append(f"**{f1}**" if row["taught"][arm] else f1)
        gain = row["all - four"]
        low, high = gain["interval"]
        told = f"{gain['difference']:+.3f} ({low:+.3f} to {high:+.3f})"
        lines.append([row["exam"], row["part"], str(row["sentences"]), *cells, told])
    heads = ["考卷 exam", "项目 part", "句 sentences", *ARMS, "all − four"]
    return markdown(heads, lines)


def main() -> None:
    """Train what is not trained, ask what is not asked, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=500_000, help="of each training")
    parser.add_argument("--limit", type=int, default=60, help="sentences of each exam")
    parser.add_argument("--student", default="tiny")
    parser.add_argument("--seed", type=int, default=42)
    options = parser.parse_args()
    asked = vars(options)
    how = "-".join(str(asked[name]) for name in ("student", "tokens", "seed"))
    folder = runs_root() / "one_student" / how.replace("/", "-")
    folder.mkdir(parents=True, exist_ok=True)

    # Both students are trained before any is asked; a killed call leaves what it has.
    every = list(sources())
    trainings = {arm: trained(arm, every, folder, options) for arm in ARMS if arm != "before"}
    papers = {exam.name: exam for one in every for exam in exams(one, options.limit)}
    journal = Journal(folder / f"answers-{options.limit}.jsonl", asked)
    answers = {(line["arm"], line["exam"]): line["records"] for line in journal.lines()}
    for arm in ARMS:
        student = load_student(options.student if arm == "before" else folder / arm, "cpu")
        for name in [name for name in papers if (arm, name) not in answers]:
            answers[arm, name] = answered(student, papers[name])
            journal.append({"arm": arm, "exam": name, "records": answers[arm, name]})
            print(f"{arm}: {name}", flush=True)

    write(options, trainings, results(papers, answers))


def write(options: argparse.Namespace, trainings: Mapping, rows: Sequence[Mapping]) -> None:
    """Write the results and print their table."""
    made = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": commit(), "hardware": hardware()}
    facts = {**made, **vars(options), "kept_out": [UNSEEN, KEPT_OUT], "trainings": trainings}
    file = Path(__file__).parent / "results" / "one_student.json"
    with written_whole(file, overwrite=True) as partial:
        text = json.dumps({**facts, "rows": rows}, ensure_ascii=False, indent=1)
        partial.write_text(text + "\n", encoding="utf-8")
    print(f"\n{table(rows)}\n\n{json.dumps(facts, ensure_ascii=False)}")


if __name__ == "__main__":
    main()
