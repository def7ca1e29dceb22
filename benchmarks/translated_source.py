"""What English data in Chinese gives a student: F1 with and without it, at equal steps.

    python benchmarks/translated_source.py          three seeds, about five core-minutes
    python benchmarks/translated_source.py 1        one seed

A hundred English sentences of our own, in the manner of WNUT17 and CoNLL04, and recorded
translations: `translate_file` reads them back, `instruction_set` makes rows of them beside the
embedded NER set, and `tiny` trains on these rows or on the embedded ones alone. No teacher was at
hand for the real sets; with one, `translate wnut17` and `translate conll04` take their place here.
Killed, the same command goes on with the next training (`runs/translated_source/`).
"""

import json
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from results import hardware

from miniluotuo_utils.data import CATALOG
from miniluotuo_utils.data.readers import READERS, read_file
from miniluotuo_utils.files import Journal, read_jsonl, write_jsonl
from miniluotuo_utils.ie import extract, schema_of, score
from miniluotuo_utils.jobs.instructions import instruction_set
from miniluotuo_utils.jobs.translate import span_table, translate_file
from miniluotuo_utils.runtime import EMBEDDED, commit, runs_root
from miniluotuo_utils.students import finetune, load_student
from miniluotuo_utils.teacher import RecordedTeacher, Teacher
from miniluotuo_utils.teacher.translation import Translated, recorded_translations, unmark
from miniluotuo_utils.text import markdown

FORTY, SIXTY = EMBEDDED / "translation", Path(__file__).with_name("translated_sample.jsonl")
STEPS, SEEDS, FOLDER = 60, (1, 2, 3), "translated_source"
NAMES = {name: kind for c in ("wnut17", "conll04") for name, kind in CATALOG[c].type_names.items()}


def english() -> Iterator[dict]:
    """Yield the hundred records: those of the package, and those beside this script."""
    for file, reader in (
        ("wnut17.conll", "bio_words"),
        ("conll04.txt", "conll04"),
        ("semeval.txt", "semeval"),
    ):
        yield from read_file(FORTY / file, READERS[reader], file.partition(".")[0])
    yield from map(record_of, read_jsonl(SIXTY))


def record_of(row: dict) -> dict:
    """Return the English record of a marked sentence.

    >>> row = {"marked": "<e1>Su Shi</e1> cooks", "types": ["person"]}
    >>> record_of(row)["entities"]
    [{'name': 'Su Shi', 'type': 'person', 'pos': [0, 6]}]
    """
    found = unmark(row["marked"], range(1, 1 + len(row["types"])))
    entities = [
        {"name": found.name(number), "type": kind, "pos": list(found.spans[number])}
        for number, kind in enumerate(row["types"], 1)
    ]
    return {"sentence": found.sentence, "source": "own", "entities": entities}


def translated(folder: Path) -> tuple[list[Path], list[Translated]]:
    """Write the Chinese records of each task into a folder; return the files and the reports."""
    recorded = [*read_jsonl(FORTY / "translations.jsonl"), *read_jsonl(SIXTY)]
    records, files, reports = list(english()), [], []
    with RecordedTeacher(recorded_translations(recorded)) as server:
        teacher = Teacher(server.base_url, server.model)
        for task, field in (("ner", "entities"), ("re", "relations")):
            mine = [record for record in records if field in record]
            write_jsonl(folder / f"{task}.jsonl", mine)
            out = folder / f"{task}-zh.jsonl"
            how = {"names": NAMES, "progress": False}
            reports.append(translate_file(teacher, folder / f"{task}.jsonl", out, **how))
            files.append(out)
    return files, reports


def f1_after(rows: Sequence[dict], seed: int) -> float:
    """Return F1 on the embedded NER test after training `tiny` on rows."""
    train, test = (read_jsonl(EMBEDDED / f"ner_{split}.jsonl") for split in ("train", "test"))
    student = load_student("tiny")
    finetune(student, rows, max_steps=STEPS, batch_size=8, seed=seed)
    schema, sentences = schema_of(train, "NER"), [record["sentence"] for record in test]
    found = extract(student, sentences, schema, "NER", slice_size=None)
    return score(test, found.records, "NER")["micro"]["f1"]


def f1_of_all(rows: Sequence[dict], seeds: Sequence[int], journal: Journal) -> list[float]:
    """Return F1 after the training of each seed; those in the journal are not trained again."""
    done = {line["seed"]: line["f1"] for line in journal.lines()}
    for seed in seeds:
        if seed not in done:
            done[seed] = f1_after(rows, seed)
            journal.append({"seed": seed, "f1": done[seed]})
    return [done[seed] for seed in seeds]


def main(seeds: Sequence[int]) -> None:
    """Print what came back of the names, and F1 of both trainings, seed by seed."""
    started, lines = time.process_time(), []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        files, reports = translated(folder)
        spans = sum((report.spans for report in reports), Counter())
        print(span_table(Translated([], [], Counter(), spans)), "\n")
        arms = {"without": ["embedded-ner"], "with": ["embedded-ner", *map(str, files)]}
        for arm, names in arms.items():
            made = instruction_set(folder / arm, names, slice_size=None)
            rows = read_jsonl(folder / arm / "train.jsonl")
            sources = Counter(re.sub("-zh$", "", row["source"]) for row in rows)
            facts = {"steps": STEPS, "rows": made["sha256"]}
            found = f1_of_all(rows, seeds, Journal(runs_root() / FOLDER / f"{arm}.jsonl", facts))
            mean, each = sum(found) / len(found), ", ".join(f"{f1:.3f}" for f1 in found)
            told = json.dumps(sources, ensure_ascii=False).strip("{}").replace('"', "")
            lines.append([arm, told, f"{mean:.3f}", each])
    print(markdown(["译文 translations", "行 rows", "F1", "每个种子 each seed"], lines))
    minutes = (time.process_time() - started) / 60
    told = f"{minutes:.1f} core-minutes in this call"
    print(f"\n{STEPS} steps of 8 rows, {told}, {commit()}, {hardware()}")


if __name__ == "__main__":
    main(SEEDS[: int(sys.argv[1])] if sys.argv[1:] else SEEDS)
