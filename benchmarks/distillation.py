"""Measure which kind of distillation is worth what, against gold, on real data.

    [MINILUOTUO_MIRROR=…] python benchmarks/distillation.py OUT BASE TEXTS [--sets cluener resume]
        [--minutes 5] [--seeds 3] [--only curve table whole scratch]
        [--counts 0 50 100 250 500 all]
        [--bases text shipped] [--methods gold labels …] [--limit 0] [--steps 1200] [--keep JSON]

OUT: a folder that the runs grow in; killed, the same command goes on where it was. BASE: a folder
of the base that never saw the annotator (`scripts/pretrain.py --branch text`). TEXTS: sentences
without an evaluation sentence: `scripts/corpus.py sentences` makes such a file. Prints Markdown: F1
against the number of gold sentences with and without the annotator's labels, then a table of
methods, with paired tests against gold alone. The shipped base, whose pre-training holds the
annotator's labels, is an arm of its own and named so; what OUT holds of other bases or counts is
printed, too. `whole`: where `--limit` saved time, gold alone and labels + gold of the table answer
the whole test. `scratch`: F1 against the number of gold sentences for the tagger of notebook 06
from random weights, which no annotator has ever taught, in as many steps with the labels as
without; of BASE it takes the tokenizer alone. JSON keeps the rows of the curves.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import product
from math import ceil
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

from results import hardware

from miniluotuo_utils.data.decontamination import Leaks
from miniluotuo_utils.data.loading import read_named
from miniluotuo_utils.files import Journal, read_jsonl, write_jsonl, written_whole
from miniluotuo_utils.ie import (
    build_instructions,
    compare,
    extract,
    micro,
    only_types,
    schema_of,
    score,
    train_tagger,
    wholly_right,
)
from miniluotuo_utils.runtime import commit
from miniluotuo_utils.students import ZOO, Student, distill, finetune, load_student, save

NONE, ALL = "0", "all"
COUNTS = (NONE, "50", "100", "250", "500", ALL)  # gold sentences
BASES = ("text", "shipped")
RANDOM = "random"  # the base of `scratch`
# What the annotator's types are called in a set, where they are about the same. Others keep their
# name: CLUENER tells companies from governments and films from books, so that the annotator's
# organisations under the name of one of these would teach against the gold. Types that a set lacks
# are asked, too: without them most of the sentences have an empty answer.
RENAMED = {
    "cluener": {"人物": "姓名", "地点": "地址", "机构": "机构", "时间": "时间", "作品": "作品"},
    "resume": {"人物": "姓名", "地点": "地点", "机构": "机构", "时间": "时间", "作品": "作品"},
}
METHODS = (
    *("gold", "labels", "labels+gold", "labels, then gold"),
    *("logits", "hidden", "relations", "on_policy", "best"),
)
TABLE_COUNT = 250  # gold sentences of the table of methods
SILVER = 20_000  # sentences that the annotator labels
ANSWER = 220  # tokens: Resume's answers are long

SILVER_SHARE = 2 / 3  # of the minutes or steps, where silver comes first
# Of `scratch`: sentences of a step, and the highest rate.
BATCH = 8
RATE = 2e-3


class Run(NamedTuple):
    """One training: which set, base, method, how many gold sentences, which seed."""

    name: str
    base: str
    method: str
    gold: str
    seed: int

    @property
    def key(self) -> str:
        """A name for its files."""
        return "-".join(
            [self.name, self.base, re.sub("[+, ]+", "_", self.method), self.gold, str(self.seed)]
        )


def runs(options: argparse.Namespace) -> Iterator[Run]:
    """Yield all runs, teachers before their students."""
    for name in options.sets:
        for method in needed(options.methods) if "table" in options.only else ():
            for seed in range(options.seeds):
                yield Run(name, "text", method, str(TABLE_COUNT), seed)
        for gold in options.counts if "curve" in options.only else ():
            for base in options.bases:
                for method in ("gold", "labels+gold"):
                    for seed in range(options.seeds):
                        yield Run(name, base, method, gold, seed)
    # Round by round over the seeds, so that a run that was cut short has whole curves.
    for seed in range(options.seeds) if "scratch" in options.only else ():
        for name, gold in product(options.sets, options.counts):
            yield Run(name, RANDOM, "labels+gold", gold, seed)
            if gold != NONE:
                yield Run(name, RANDOM, "gold", gold, seed)


def needed(methods: Sequence[str]) -> list[str]:
    """Return methods, in order, and those that they are compared with or taught by.

    >>> needed(["best"])
    ['gold', 'labels+gold', 'best']
    """
    wanted = {"gold", *methods} | ({"labels+gold"} if "best" in methods else set())
    return [method for method in METHODS if method in wanted]


class Data:
    """The gold of one set, and what the annotator made of other sentences."""

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        self.train = list(read_named(name, "train", progress=False))
        self.test = exam_of(name, options.limit)
        self.schema = schema_of(self.train, "NER")
        # The whole test stays out of it, however few of its sentences are asked.
        self.silver = silver(name, options, [record["sentence"] for record in exam_of(name)])

    def gold(self, run: Run) -> list[dict]:
        """Return the gold sentences of a run: the same first ones for every method of a seed."""
        order = random.Random(run.seed).sample(self.train, len(self.train))
        return order if run.gold == ALL else order[: int(run.gold)]

    def gold_rows(self, run: Run) -> list[dict]:
        """Return the gold sentences of a run as instructions."""
        form = {"seed": run.seed, "slice_size": None}
        return build_instructions(self.gold(run), "NER", self.schema, **form)

    def silver_rows(self, run: Run) -> list[dict]:
        """Return silver sentences as instructions that ask for the annotator's types alone."""
        types = list(RENAMED[run.name].values())
        return build_instructions(self.silver, "NER", types, seed=run.seed, slice_size=None)


def exam_of(name: str, limit: int = 0) -> list[dict]:
    """Return the gold that nobody is trained on: all, or the first `limit` sentences."""
    part = "test" if name == "resume" else "dev"
    return list(read_named(name, part, progress=False))[: limit or None]


def silver(name: str, options: argparse.Namespace, exam: Sequence[str]) -> list[dict]:
    """Return the annotator's records of the texts, under the set's names of types; made once."""
    path = options.out / f"silver-{name}.jsonl"
    if path.is_file():
        return read_jsonl(path)
    from miniluotuo_utils.teacher import Annotator

    texts = [row["sentence"] for row in read_jsonl(options.texts)]
    texts = random.Random(0).sample(texts, min(SILVER, len(texts)))
    leaks = Leaks({name: exam}).found_in(texts)
    clean = [text for text, leak in zip(texts, leaks, strict=True) if not leak]
    records = Annotator(list(RENAMED[name])).annotate(clean, name)
    for record in records:
        for entity in record["entities"]:
            entity["type"] = RENAMED[name][entity["type"]]
    write_jsonl(path, records)
    return records


# ---- one run, in a process of its own so that its memory is its own


def base_of(run: Run, options: argparse.Namespace) -> Student:
    """Load the student that a run begins with."""
    return load_student(options.base if run.base == "text" else "tiny")


def teacher_of(run: Run, options: argparse.Namespace, seeds: Sequence[int]) -> list[Student]:
    """Load what runs on gold alone have left, one student a seed."""
    method = "labels+gold" if run.method == "best" else "gold"
    return [
        load_student(options.out / run._replace(method=method, seed=seed).key) for seed in seeds
    ]


def trained(run: Run, data: Data, options: argparse.Namespace) -> Any:
    """Train the student of a run."""
    student = base_of(run, options)
    how = {"minutes": options.minutes, "epochs": 1000, "seed": run.seed, "max_length": 1024}
    # A base in a folder is of the student's shape; the zoo knows the rate by the name alone.
    how |= {"learning_rate": ZOO["tiny"].learning_rate}
    how |= {"folder": options.out / f"{run.key}.training"}
    rows = data.gold_rows(run) if run.gold != NONE else []
    if run.method == "gold":
        return finetune(student, rows, **how) if rows else None
    if run.method in ("labels", "labels+gold"):
        rows = rows if run.method == "labels+gold" else []
        return distill(student, mixed(rows, data.silver_rows(run)), method="labels", **how)
    if run.method == "labels, then gold":
        how["minutes"] = options.minutes * SILVER_SHARE
        distill(student, data.silver_rows(run), method="labels", **how)
        how |= {"minutes": options.minutes - how["minutes"]}
        how |= {"folder": options.out / f"{run.key}.then"}
        return finetune(student, rows, **how)

    seeds = range(options.seeds) if run.method in ("logits", "best") else [run.seed]
    teachers = teacher_of(run, options, seeds)
    if run.method in ("logits", "best"):
        if run.method == "best":
            rows = mixed(rows, data.silver_rows(run)[: 4 * len(rows)])
        kept = {"top_k": 32, "kept": options.out / f"{run.key}.kept"}
        return distill(student, rows, teacher=teachers, method="logits", **kept, **how)
    if run.method == "on_policy":
        only = {"own": 0.5, "answer": ANSWER}
        return distill(student, rows, teacher=teachers[0], method="on_policy", **only, **how)
    kind = {"features": run.method}
    return distill(student, rows, teacher=teachers[0], method="features", **kind, **how)


def mixed(gold: Sequence[dict], silver: Sequence[dict]) -> list[dict]:
    """Return both kinds of rows; gold is rare, and comes again until it is about as many.

    >>> mixed([1], [2, 3])
    [1, 1, 2, 3]
    """
    return [*gold] * max(1, len(silver) // max(1, len(gold))) + [*silver]


def one(run: Run, options: argparse.Namespace) -> dict[str, Any]:
    """Train, ask, and return what is told of a run; its answers and its student stay in files."""
    from miniluotuo_utils.evaluation.perplexity import held_out

    data = Data(run.name, options)
    if run.base == RANDOM:
        return from_scratch(run, data, options)
    training = trained(run, data, options)
    metrics = training.metrics() if training else {}  # the memory of training alone
    student = training.student if training else base_of(run, options)
    if run.method in ("gold", "labels+gold") and run.gold == str(TABLE_COUNT):
        save(student, options.out / run.key)

    found = asked(student, data.test, data.schema)
    write_jsonl(options.out / f"{run.key}.answers.jsonl", found, overwrite=True)
    rows = build_instructions(data.test[:200], "NER", data.schema, seed=0, slice_size=None)
    return {
        "f1": micro(score(data.test, found, "NER"))[0][1]["f1"],
        "wholly_right": mean(wholly_right(data.test, found)),
        "bits": held_out(student, rows)["bits_per_character"],
        "samples_per_second": samples(training, metrics),
        "peak_memory_bytes": metrics.get("peak_memory_bytes"),
        "steps": metrics.get("steps"),
    }


def asked(student: Student, exam: Sequence[dict], schema: Any) -> list[dict]:
    """Return what a student finds in the sentences of a test."""
    sentences = [record["sentence"] for record in exam]
    ask = {"slice_size": None, "max_new_tokens": ANSWER}
    return extract(student, sentences, schema, "NER", **ask).records


def from_scratch(run: Run, data: Data, options: argparse.Namespace) -> dict[str, Any]:
    """Train and test a tagger from random weights: on gold, or first on silver and then on gold."""
    student, steps, started = blank(run, options), options.steps, time.time()
    # Without gold the annotator's types are the answers, those that the set has, too.
    silver = only_types(data.silver[: steps * BATCH], data.schema)
    taught = silver if run.gold == NONE else data.gold(run)
    if run.method == "labels+gold" and run.gold != NONE:
        first = round(steps * SILVER_SHARE)
        student = lesson(student, data.silver[: first * BATCH], first, run.seed, silver=True)
        steps -= first
    tagger = lesson(student, taught, steps, run.seed)
    found = tagger.predict([record["sentence"] for record in data.test])
    write_jsonl(options.out / f"{run.key}.answers.jsonl", found, overwrite=True)
    f1 = micro(score(data.test, found, "NER"))[0][1]["f1"]
    return {"f1": f1, "steps": options.steps, "seconds": time.time() - started}


def blank(run: Run, options: argparse.Namespace) -> Student:
    """Return the student of notebook 06 that has read nothing: two layers of random weights."""
    from transformers import AutoModelForCausalLM, Qwen3Config, set_seed

    base = load_student(options.base, "cpu")
    shape = Qwen3Config(
        vocab_size=base.model.config.vocab_size,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
    )
    set_seed(run.seed)
    return Student(RANDOM, AutoModelForCausalLM.from_config(shape), base.tokenizer)


def lesson(
    student: Any, records: Sequence[Mapping], steps: int, seed: int, silver: bool = False
) -> Any:
    """Return a tagger that has learned from records, for so many steps.

    Of silver it learns what the annotator thinks of every character, in all 49 tags: its words and
    their classes say where a name may begin, whatever a set calls it.
    """
    from miniluotuo_utils.teacher import Annotator

    soft = None
    if silver:
        sentences = [record["sentence"] for record in records]
        soft = Annotator().probabilities(sentences, words=True)
    how = {"epochs": steps / ceil(len(records) / BATCH), "batch_size": BATCH, "seed": seed}
    return train_tagger(student, records, learning_rate=RATE, soft=soft, **how)


def samples(training: Any, metrics: dict) -> float | None:
    """Return how many rows a training saw in a second."""
    if training is None:
        return None
    return training.meter.rows / max(1e-9, metrics["train_seconds"])


# ---- all runs


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("out", "base", "texts"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--sets", nargs="+", default=list(RENAMED), choices=list(RENAMED))
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    tables = ["curve", "table", "whole", "scratch"]
    parser.add_argument("--only", nargs="+", default=tables, choices=tables)
    parser.add_argument("--counts", nargs="+", default=COUNTS, choices=COUNTS)
    parser.add_argument("--bases", nargs="+", default=BASES, choices=BASES)
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--limit", type=int, default=0, help="sentences of the test, 0 for all")
    parser.add_argument("--steps", type=int, default=1200, help="of a tagger from random weights")
    parser.add_argument("--keep", type=Path, help="a file for the rows of the curves")
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Do what is not done yet, then print the tables."""
    options = parsed()
    options.out.mkdir(parents=True, exist_ok=True)
    made_by = {"minutes": options.minutes, "limit": options.limit, "base": options.base.name}
    made_by |= {"steps": options.steps}
    journal = Journal(options.out / "results.jsonl", made_by)
    if options.one:
        run = Run(*options.one)
        journal.append({"run": list(run), **one(run, options)})
        return
    done = {tuple(line["run"]) for line in journal.lines()}
    for run in dict.fromkeys(runs(options)):
        if run not in done:
            print(run.key, file=sys.stderr, flush=True)
            subprocess.run([sys.executable, *sys.argv, "--one", json.dumps(list(run))], check=True)
    results = {Run(*line["run"]): line for line in journal.lines()}
    bases = BASES if {"curve", "table"} & set(options.only) else ()
    bases = (*bases, RANDOM) if "scratch" in options.only else bases
    rows = [row for base in bases for row in curve_rows(results, base, options)]
    if rows:
        print_curves(rows)
    if "table" in options.only:
        print_table(results, options)
    if "whole" in options.only:
        print_whole(results, options)
    if options.keep and rows:
        about = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": commit()}
        about |= {"hardware": hardware(), "minutes": options.minutes, "steps": options.steps}
        with written_whole(options.keep, overwrite=True) as partial:
            kept = json.dumps({**about, "rows": rows}, ensure_ascii=False, indent=1)
            partial.write_text(kept + "\n", encoding="utf-8")
    print(
        f"\n{options.minutes:g} minutes a run, or {options.steps:,} steps from random weights; "
        f"commit {commit()}, {hardware()}."
    )


def told(values: Sequence[float]) -> str:
    """Return mean ± standard deviation.

    >>> told([0.5, 0.7]), told([0.5])
    ('0.600 ± 0.141', '0.500')
    """
    return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


def chosen(results: dict[Run, dict], **fields: str) -> list[Run]:
    """Return the runs that have these fields."""
    return [run for run in results if fields.items() <= run._asdict().items()]


def curve_rows(results: dict[Run, dict], base: str, options: argparse.Namespace) -> list[dict]:
    """Return what the students of a base reached: a row for each set and count of gold.

    `alone`, `helped`: F1 of each seed, on gold, and with the annotator's labels. `p`: of a paired
    test between the two of a seed. `steps`: the fewest and the most of a run.
    """
    rows = []
    for name, gold in product(options.sets, COUNTS):
        fields = {"name": name, "base": base, "gold": gold}
        alone, helped = (
            sorted(chosen(results, method=method, **fields)) for method in ("gold", "labels+gold")
        )
        # A seed of which one half is missing is not compared.
        both = [run for run in helped if run._replace(method="gold") in alone]
        f1 = {"alone": values_of(results, alone, "f1"), "helped": values_of(results, helped, "f1")}
        p = p_values(both, exam_of(name, options.limit), options)
        steps = spread([*filter(None, values_of(results, [*alone, *helped], "steps"))])
        if alone or helped:
            rows.append({"set": name, "base": base, "gold": gold, **f1, "p": p, "steps": steps})
    return rows


def print_curves(rows: Sequence[dict]) -> None:
    """Print F1 against the number of gold sentences, with and without the annotator's labels."""
    columns = ("set", "base", "gold sentences", "gold alone", "with the labels", "p, each seed")
    print(f"| {' | '.join([*columns, 'steps'])} |\n|{' --- |' * (len(columns) + 1)}")
    for row in rows:
        cells = [row["set"], row["base"], row["gold"]]
        cells += [told(row[arm]) if row[arm] else "—" for arm in ("alone", "helped")]
        print(f"| {' | '.join([*cells, listed(row['p']), row['steps']])} |")


def print_table(results: dict[Run, dict], options: argparse.Namespace) -> None:
    """Print the table of methods: mean over seeds, and p of a paired test for each seed."""
    columns = ("set", "method", "F1 `span`", "p, each seed", "wholly right", "bits")
    columns += ("time", "memory", "steps")
    print(f"\n| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for name in options.sets:
        exam = exam_of(name, options.limit)
        for method in METHODS:
            mine = chosen(results, name=name, base="text", method=method, gold=str(TABLE_COUNT))
            if mine:
                print(
                    f"| {name} | {method} | {' | '.join(table_row(mine, exam, results, options))} |"
                )


def table_row(
    mine: Sequence[Run], exam: Sequence[dict], results: dict[Run, dict], options: argparse.Namespace
) -> list[str]:
    """Return the cells of a method, each seed compared with gold alone of the same seed."""
    plain = [run._replace(method="gold") for run in mine]
    pairs = [(results[a], results[b]) for a, b in zip(plain, mine, strict=True)]
    slower = mean(a["samples_per_second"] / b["samples_per_second"] for a, b in pairs)
    more = mean(b["peak_memory_bytes"] - a["peak_memory_bytes"] for a, b in pairs) / (1 << 20)
    fields = ("f1", "wholly_right", "bits")
    values = [told(values_of(results, mine, field)) for field in fields]
    return [
        values[0],
        listed(p_values(mine, exam, options)),
        *values[1:],
        f"{slower:.1f}×",
        f"{more:+.0f} MiB",
        spread(values_of(results, mine, "steps")),
    ]


def spread(values: Sequence[int]) -> str:
    """Return from the least to the most.

    >>> spread([7, 5, 9]), spread([7, 7]), spread([])
    ('5–9', '7', '—')
    """
    ends = sorted(set(values))
    return "–".join(map(str, ends[:1] + ends[1:][-1:])) or "—"


def p_values(mine: Sequence[Run], exam: Sequence[dict], options: argparse.Namespace) -> list[float]:
    """Return p of a paired test against gold alone for each run, with its seed."""
    found = []
    for run in mine:
        plain = answers(run._replace(method="gold"), options)
        found.append(micro(compare(exam, plain, answers(run, options), "NER"))[0][1]["p"])
    return found


def listed(values: Sequence[float]) -> str:
    """Return numbers in a cell.

    >>> listed([0.0511, 1]), listed([])
    ('0.051, 1.000', '—')
    """
    return ", ".join(f"{value:.3f}" for value in values) or "—"


def print_whole(results: dict[Run, dict], options: argparse.Namespace) -> None:
    """Print F1 on the whole test, of gold alone and of labels + gold, with p of each seed; then the
    mean F1 of each type.
    """
    types: list[str] = []
    print("\n| set | sentences | gold alone | labels + gold | p, each seed |")
    print("| --- | --- | --- | --- | --- |")
    for name in options.sets:
        exam, f1, p, each = exam_of(name), [], [], []
        fields = {"name": name, "base": "text", "gold": str(TABLE_COUNT)}
        for helped in chosen(results, method="labels+gold", **fields):
            both = [whole(run, exam, options) for run in (helped._replace(method="gold"), helped)]
            scored = [score(exam, found, "NER") for found in both]
            each.append([one["per_type"] for one in scored])
            f1.append([micro(one)[0][1]["f1"] for one in scored])
            p.append(micro(compare(exam, *both, "NER"))[0][1]["p"])
        if f1:
            cells = [told(column) for column in zip(*f1, strict=True)]
            print(f"| {name} | {len(exam):,} | {' | '.join([*cells, listed(p)])} |")
            types += [f"| {name} | {' | '.join(row)} |" for row in rows_of_types(exam, each)]
    print("\n| set | type | names | gold alone | labels + gold |\n| --- | --- | --- | --- | --- |")
    print("\n".join(types))


def rows_of_types(exam: Sequence[dict], each: Sequence[Sequence[Mapping]]) -> list[list[str]]:
    """Return each type, how often it stands in the test, and its mean F1 in both columns.

    >>> exam = [{"entities": [{"type": "人物"}]}]
    >>> rows_of_types(exam, [[{"人物": {"f1": 0.5}}, {}], [{"人物": {"f1": 1.0}}, {}]])
    [['人物', '1', '0.750', '0.000']]
    """
    counted = Counter(entity["type"] for record in exam for entity in record["entities"])
    rows = []
    for kind, count in counted.most_common():
        row = [kind, str(count)]
        for column in zip(*each, strict=True):
            row.append(f"{mean(seed.get(kind, {'f1': 0.0})['f1'] for seed in column):.3f}")
        rows.append(row)
    return rows


def whole(run: Run, exam: Sequence[dict], options: argparse.Namespace) -> list[dict]:
    """Return what the kept student of a run finds in the whole test; it is asked once."""
    path = options.out / f"{run.key}.whole.jsonl"
    if not path.is_file():
        schema = schema_of(list(read_named(run.name, "train", progress=False)), "NER")
        write_jsonl(path, asked(load_student(options.out / run.key), exam, schema))
    return read_jsonl(path)


def values_of(results: dict[Run, dict], chosen: Sequence[Run], field: str) -> list[float]:
    """Return one number of each of some runs."""
    return [results[run][field] for run in chosen]


def answers(run: Run, options: argparse.Namespace) -> list[dict]:
    """Return the records that a run's student wrote."""
    return read_jsonl(options.out / f"{run.key}.answers.jsonl")


if __name__ == "__main__":
    main()
