"""Measure what the shipped base is worth, before and after fine-tuning; each row runs alone.

    python benchmarks/tiny_base.py                            on the embedded sets
    python benchmarks/tiny_base.py --rows copy bits --heldout held_out.jsonl \\
        --corpus paragraphs.jsonl sentences.jsonl
    MINILUOTUO_MIRROR=… python benchmarks/tiny_base.py --rows cluener

embedded: zero-shot, after notebook 04's training at `smoke` (40 seconds at most), and 作品 and
  时间 alone after half a minute.
copy: exact repetition of sentences that the base never saw.
bits: per character on kept-out paragraphs, beside a Kneser-Ney 5-gram of the corpus.
rates: F1 on a quarter of the training sentences, after training on the rest at each rate.
names: NER as shipped without the names that stood in word lists of the earlier pre-training.
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
RATES = (3e-4, 5e-4, 1e-3)
# Answers of the test set that word lists of the earlier pre-training held, until they were cleaned.
ONCE_LISTED = {
    "凉皮",
    "宫保鸡丁",
    "月饼",
    "肉夹馍",
    "饼干",
    "酸梅汤",
    "天鹅",
    "梅花鹿",
    "蓝鲸",
    "鸽子",
    "丹顶鹤",
    "桑树",
    "羚羊",
    "随身听",
}
REPEAT = "重复下面的话。"
LENGTHS = range(36, 45)  # characters of the sentences that are repeated
REPEATED = 100  # sentences
SHOWN = 160  # characters of a paragraph: as many as the base was trained to read
ORDER = 5  # of the Kneser-Ney model


# ---- the embedded sets


def records(name: str, split: str) -> list[dict]:
    """An embedded set."""
    return read_jsonl(EMBEDDED / f"{name}_{split}.jsonl")


def f1(gold: list[dict], predicted: list[dict], name: str) -> dict[str, float]:
    """Span F1 of predictions on records of a set; for events of triggers and of arguments."""
    parts = micro(score(gold, predicted, name.upper(), "span"))
    return {label: figures["f1"] for label, figures in parts}


def right_at_eight(student: Student, constrained: bool = False) -> float:
    """Share of the embedded NER test sentences that a student gets wholly right, of all types."""
    gold = records("ner", "test")
    sentences, schema = [r["sentence"] for r in gold], schema_of(records("ner", "train"), "NER")
    ask = {"slice_size": None, "constrained": constrained}
    made = extract(student, sentences, schema, "NER", **ask).records
    return statistics.mean(wholly_right(gold, made))


def student_f1(student: Student, sets: Mapping[str, list[dict]]) -> dict[str, float]:
    """Span F1 of a student on records of the embedded sets, by label."""
    found = {}
    for name, gold in sets.items():
        schema = schema_of(records(name, "train"), name.upper())
        sentences = [record["sentence"] for record in gold]
        made = extract(student, sentences, schema, name.upper(), slice_size=None)
        found |= f1(gold, made.records, name)
    return found


def rows(seed: int, sets: Mapping[str, list[dict]]) -> list[dict]:
    """Instructions of the bank and of records, in the form in which notebook 04 trains on them."""
    bank = read_jsonl(EMBEDDED / "bank.jsonl")
    made = [row for number, row in enumerate(bank) if number % 10 != 9]  # 9: kept out
    for name, train in sets.items():
        schema = schema_of(records(name, "train"), name.upper())
        made += build_instructions(train, name.upper(), schema, seed=seed, slice_size=None)
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
    train, test = ({name: records(name, part) for name in SETS} for part in ("train", "test"))
    before = student_f1(student, test)
    yield "作品、时间, as shipped 随包", "", f"{two_types(student):.3f}"
    dictionary: dict[str, float] = {}
    for name, gold in test.items():
        sentences = [record["sentence"] for record in gold]
        dictionary |= f1(gold, dictionary_baseline(train[name], sentences, name.upper()), name)

    after: dict[str, list[float]] = {label: [] for label in before}
    of_two, seconds = [], []
    right: dict[bool, list[float]] = {False: [], True: []}  # free, and in a grammar
    for seed in range(options.seeds):
        trained = finetune(load_student(options.student), rows(seed, train), seed=seed, **SMOKE)
        seconds.append(trained.seconds)
        for constrained, shares in right.items():
            shares.append(right_at_eight(trained.student, constrained))
        for label, value in student_f1(trained.student, test).items():
            after[label].append(value)
        two = only_types(train["ner"], TWO_TYPES)
        asked = build_instructions(two, "NER", TWO_TYPES, seed=seed, slice_size=None)
        trained = finetune(load_student(options.student), asked, seed=seed, **HALF_A_MINUTE)
        of_two.append(two_types(trained.student))

    goals = {"NER": "0.45 → 0.55", "RE": "0.30", "EE trigger": "0.75", "EE argument": "0.40"}
    for label, values in after.items():
        start = f"dictionary 词典 {dictionary[label]:.3f}; {before[label]:.3f}"
        yield f"{label}, `smoke`", goals.get(label, ""), f"{start} → {spread(values)}"
    yield "作品、时间, 30 s", "0.85", spread(of_two)
    yield "sentences wholly right, eight types 整句全对", "a third", spread(right[False])
    yield "the same in a grammar 加语法", "a third", spread(right[True])
    yield "training 训练", "", f"{statistics.mean(seconds):.0f} s"


def rates(options: argparse.Namespace) -> Iterator[tuple[str, str, str]]:
    """Yield F1 on every fourth training sentence, untrained and trained on the others."""
    kept = {name: records(name, "train")[::4] for name in SETS}
    rest = {name: [r for r in records(name, "train") if r not in kept[name]] for name in SETS}
    for rate in (None, *RATES):
        student = load_student(options.student)
        if rate:
            finetune(student, rows(0, rest), seed=0, epochs=2, batch_size=8, learning_rate=rate)
        found = student_f1(student, kept)
        told = ", ".join(f"{label} {value:.3f}" for label, value in found.items())
        yield f"rate 学习率 {rate:g}" if rate else "untrained 没有训练", "", told


def names(options: argparse.Namespace) -> Iterator[tuple[str, str, str]]:
    """Yield F1 of NER as shipped: of all, without the listed names, without their sentences."""
    gold = records("ner", "test")
    schema, sentences = schema_of(records("ner", "train"), "NER"), [r["sentence"] for r in gold]
    made = extract(load_student(options.student), sentences, schema, "NER", slice_size=None)
    pairs = list(zip(gold, made.records, strict=True))
    ways = {
        "all 全部": pairs,
        "without the names 不算名字": [(unlisted(g), unlisted(m)) for g, m in pairs],
        "without their sentences 不算句子": [(g, m) for g, m in pairs if unlisted(g) == g],
    }
    for way, some in ways.items():
        true, found = map(list, zip(*some, strict=True))
        yield f"NER, {way}", "", f"{f1(true, found, 'ner')['NER']:.3f}"


def unlisted(record: dict) -> dict:
    """Return a record without the names of `ONCE_LISTED`."""
    return record | {"entities": [e for e in record["entities"] if e["name"] not in ONCE_LISTED]}


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


ROWS = {one.__name__: one for one in (embedded, rates, names, copy, bits, cluener)}


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
