"""Measure what the shipped base is worth, before and after fine-tuning; each row runs alone.

    python benchmarks/tiny_base.py                            on the embedded sets
    python benchmarks/tiny_base.py --rows copy bits --heldout heldout.jsonl \\
        --corpus paragraphs.jsonl sentences.jsonl
    MINILUOTUO_MIRROR=… python benchmarks/tiny_base.py --rows cluener

embedded: zero-shot, after notebook 04's training at `smoke` (40 seconds at most), and 作品 and
  时间 alone after half a minute.
copy: exact repetition of sentences that the base never saw.
bits: per character on kept-out paragraphs, beside a Kneser-Ney 5-gram of the corpus.
cluener: twenty minutes on CLUENER and Resume (`extractors.py`, arm generate).

In: a student, and the files of `scripts/corpus.py` (JSON Lines with `text` or `sentence`). Out: a
Markdown table, a line as soon as it is measured, with hardware, date and commit.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from results import hardware

from miniluotuo_utils.files import batches, iter_jsonl, read_jsonl
from miniluotuo_utils.generation import generate
from miniluotuo_utils.ie import (
    build_instructions,
    dictionary_baseline,
    extract,
    micro,
    schema_of,
    score,
    wholly_right,
)
from miniluotuo_utils.ie.schema import only_types
from miniluotuo_utils.runtime import EMBEDDED, commit
from miniluotuo_utils.students import Student, finetune, load_student
from miniluotuo_utils.tokens import prompt_of

SETS = ("ner", "re", "ee")
SMOKE = {"epochs": 2, "batch_size": 8, "minutes": 40 / 60}  # notebook 04
TWO_TYPES = ["作品", "时间"]  # their names have marks on the surface
HALF_A_MINUTE = {"epochs": 6, "batch_size": 8, "minutes": 0.5}
REPEAT = "重复下面的话。"
LENGTHS = range(36, 45)  # characters of the sentences that are repeated
REPEATED = 100  # sentences
SHOWN = 160  # characters of a paragraph: as many as the base was trained to read
ORDER = 5  # of the Kneser-Ney model


# ---- the embedded sets


def records(name: str, split: str) -> list[dict]:
    """An embedded set."""
    return read_jsonl(EMBEDDED / f"{name}_{split}.jsonl")


def f1(predicted: list[dict], name: str) -> dict[str, float]:
    """Span F1 of predictions on an embedded test set; for events of triggers and of arguments."""
    return {
        label: figures["f1"]
        for label, figures in micro(score(records(name, "test"), predicted, name.upper(), "span"))
    }


def right_at_eight(student: Student) -> float:
    """Share of the embedded NER test sentences that a student gets wholly right, of all types."""
    gold = records("ner", "test")
    sentences, schema = [r["sentence"] for r in gold], schema_of(records("ner", "train"), "NER")
    made = extract(student, sentences, schema, "NER", slice_size=None).records
    return statistics.mean(wholly_right(gold, made))


def student_f1(student: Student) -> dict[str, float]:
    """Span F1 of a student on the embedded test sets, by label."""
    found = {}
    for name in SETS:
        schema = schema_of(records(name, "train"), name.upper())
        sentences = [record["sentence"] for record in records(name, "test")]
        made = extract(student, sentences, schema, name.upper(), slice_size=None)
        found |= f1(made.records, name)
    return found


def rows(seed: int) -> list[dict]:
    """What notebook 04 trains on at `smoke`."""
    bank = read_jsonl(EMBEDDED / "bank.jsonl")
    made = [row for number, row in enumerate(bank) if number % 10 != 9]  # 9: kept out
    for name in SETS:
        train = records(name, "train")
        made += build_instructions(
            train, name.upper(), schema_of(train, name.upper()), seed=seed, slice_size=None
        )
    return made


def two_types(student: Student) -> float:
    """Span F1 of a student that is asked for two types alone."""
    gold = only_types(records("ner", "test"), TWO_TYPES)
    sentences = [record["sentence"] for record in gold]
    made = extract(student, sentences, TWO_TYPES, "NER", slice_size=None)
    return score(gold, made.records, "NER")["micro"]["f1"]


def embedded(options: argparse.Namespace) -> Iterator[tuple[str, str, str]]:
    """Yield the rows of the embedded test sets: the dictionary, as shipped, after training."""
    student = load_student(options.student)
    before = student_f1(student)
    yield "作品、时间, as shipped 随包", "", f"{two_types(student):.3f}"
    dictionary: dict[str, float] = {}
    for name in SETS:
        sentences = [record["sentence"] for record in records(name, "test")]
        dictionary |= f1(dictionary_baseline(records(name, "train"), sentences, name.upper()), name)

    after: dict[str, list[float]] = {label: [] for label in before}
    of_two, right, seconds = [], [], []
    for seed in range(options.seeds):
        trained = finetune(load_student(options.student), rows(seed), seed=seed, **SMOKE)
        seconds.append(trained.seconds)
        right.append(right_at_eight(trained.student))
        for label, value in student_f1(trained.student).items():
            after[label].append(value)
        two = only_types(records("ner", "train"), TWO_TYPES)
        asked = build_instructions(two, "NER", TWO_TYPES, seed=seed, slice_size=None)
        trained = finetune(load_student(options.student), asked, seed=seed, **HALF_A_MINUTE)
        of_two.append(two_types(trained.student))

    goals = {"NER": "0.45 → 0.55", "RE": "0.30", "EE trigger": "0.75", "EE argument": "0.40"}
    for label, values in after.items():
        start = f"dictionary 词典 {dictionary[label]:.3f}; {before[label]:.3f}"
        yield f"{label}, `smoke`", goals.get(label, ""), f"{start} → {spread(values)}"
    yield "作品、时间, 30 s", "0.85", spread(of_two)
    yield "sentences wholly right, eight types 整句全对", "a third", spread(right)
    yield "training 训练", "", f"{statistics.mean(seconds):.0f} s"


def spread(values: Sequence[float]) -> str:
    """Return mean and each value.

    >>> spread([0.5, 0.75])
    '0.625 (0.500, 0.750)'
    """
    return f"{statistics.mean(values):.3f} ({', '.join(f'{value:.3f}' for value in values)})"


# ---- text


def copy(options: argparse.Namespace) -> Iterator[tuple[str, str, str]]:
    """Yield the share of kept-out sentences that the base repeats exactly."""
    student = load_student(options.student)
    sentences = unseen(texts_of(options.heldout), options.corpus)
    asked = [prompt_of(student, {"instruction": REPEAT, "input": s}) for s in sentences]
    told = generate(student, asked, max_new_tokens=3 * max(LENGTHS))
    right = sum(map(str.__eq__, told, sentences)) / len(sentences)
    lengths = f"{LENGTHS.start}–{LENGTHS.stop - 1}"
    yield f"exact repetition 照抄, {len(sentences)} × {lengths} 字", "0.95", f"{right:.3f}"


def unseen(texts: Sequence[str], corpus: Sequence[Path]) -> list[str]:
    """Return sentences of about 40 characters, none of which is a line of the corpus.

    Drawn at random by a fixed seed. Raises ValueError where there is none.
    """
    found = {s for text in texts for s in re.findall("[^。！？；]+[。！？；]", text)}
    found = {s for s in found if len(s) in LENGTHS}
    for path in corpus:
        found.difference_update(
            line.get("text") or line.get("sentence") for line in iter_jsonl(path)
        )
    if not found:
        raise ValueError(
            f"no sentence of {LENGTHS.start} to {LENGTHS.stop - 1} characters is kept out"
        )
    return random.Random(0).sample(sorted(found), min(REPEATED, len(found)))


def bits(options: argparse.Namespace) -> Iterator[tuple[str, str, str]]:
    """Yield bits per character of the base and of a Kneser-Ney model of its corpus."""
    from kneser_ney import KneserNey

    texts = [text[:SHOWN] for text in texts_of(options.heldout)]
    characters = sum(map(len, texts))
    own = student_bits(load_student(options.student), texts)
    yield f"bits per character 每字比特, {characters:,} 字", "< Kneser–Ney", f"{own:.3f}"
    if options.corpus:
        seen = [text for path in options.corpus for text in texts_of(path)]
        counted = f"Kneser–Ney {ORDER}-gram of {sum(map(len, seen)):,} characters 字"
        yield counted, "", f"{KneserNey(seen, ORDER).bits(texts):.3f}"


def student_bits(student: Student, texts: Sequence[str]) -> float:
    """Return bits per character of bare texts; their ends are not counted."""
    import torch
    from torch.nn.functional import cross_entropy

    tokenizer, nats = student.tokenizer, 0.0
    start = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    encoded = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    for part in batches(sorted(([start, *ids] for ids in encoded), key=len), 16):
        # Padding stands on the right, where a causal model does not see it.
        longest = len(part[-1])
        ids = torch.tensor([row + [start] * (longest - len(row)) for row in part])
        real = torch.tensor([[at < len(row) for at in range(longest)] for row in part])
        with torch.inference_mode():
            logits = student.model(ids.to(student.model.device)).logits[:, :-1].float().cpu()
        wanted = real[:, 1:]
        nats += cross_entropy(logits[wanted], ids[:, 1:][wanted], reduction="sum").item()
    return nats / math.log(2) / sum(map(len, texts))


def texts_of(path: Path) -> list[str]:
    """Return the texts of a file of `scripts/corpus.py`."""
    return [line.get("text") or line["sentence"] for line in iter_jsonl(path)]


# ---- real data


def cluener(options: argparse.Namespace) -> Iterator[tuple[str, str, str]]:
    """Yield F1 on CLUENER dev and Resume test after twenty minutes on both, free and in a grammar.

    The training is also the arm generate of `extractors.py`, whose file it writes.
    """
    import extractors

    judged = extractors.parser().parse_args(["--student", options.student])
    extractors.measure("generate", judged)
    found = json.loads((judged.results / "generate.json").read_text(encoding="utf-8"))
    goals: Mapping[str, str] = {"cluener": "0.60", "resume": "0.85"}
    for row in found["rows"]:
        name = f"{row['set']}, {row['system']}, {row['minutes']:.0f} min"
        yield name, goals[row["set"]], f"{row['f1']:.3f}"


ROWS = {one.__name__: one for one in (embedded, copy, bits, cluener)}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=["embedded"])
    parser.add_argument("--student", default="tiny", help="zoo name or folder")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--heldout", type=Path, help="paragraphs that the base never saw")
    parser.add_argument("--corpus", type=Path, nargs="+", default=[], help="what the base saw")
    options = parser.parse_args()
    if {"copy", "bits"} & set(options.rows) and not options.heldout:
        parser.error("copy and bits need --heldout FILE: scripts/corpus.py makes it")
    print("| what 项目 | required 要求 | measured 测得 |\n|---|---|---|")
    for name in options.rows:
        for what, required, found in ROWS[name](options):
            print(f"| {what} | {required or '–'} | {found} |", flush=True)
    student = Path(options.student).name
    print(f"\n`{student}`, {datetime.now(UTC):%Y-%m-%d}, commit {commit()}, {hardware()}")


if __name__ == "__main__":
    main()
