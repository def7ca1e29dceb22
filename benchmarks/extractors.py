"""Judge six ways to extract names on the same data: a dictionary, LAC, taggers, generation.

    MINILUOTUO_MIRROR=… python benchmarks/extractors.py --arms dictionary lac bilstm
    MINILUOTUO_MIRROR=… python benchmarks/extractors.py --arms before tagger generate --student tiny
    python benchmarks/extractors.py                                   the table and the picture

In: CLUENER and Resume. Every arm trains on the train split less every test sentence and is scored
on all of CLUENER dev and Resume test (span, micro). Out: one JSON file an arm in
`results/extractors/`, and from these files the table, `images/extractors.png` and what generation
buys and costs. An arm that is measured again replaces its file, no other.

bilstm goes on from `runs/extractors/` where it was killed; `--core-minutes` bounds it and the
tagger. All that train keep a tenth of their training records out and choose by it. tagger doubles
the epochs until the tenth gains no more. generate tries three rates for three minutes each, then
trains on both sets at once for twenty minutes at the best.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from results import hardware

from miniluotuo_utils.data.loading import read_named
from miniluotuo_utils.files import written_whole
from miniluotuo_utils.ie import (
    build_instructions,
    dictionary_baseline,
    extract,
    interval,
    micro,
    schema_of,
    score,
    train_tagger,
)
from miniluotuo_utils.runtime import chinese_font, commit, repository, runs_root
from miniluotuo_utils.show.plots import COLOURS
from miniluotuo_utils.students import Student, finetune, load_student

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SPLITS = {"cluener": "dev", "resume": "test"}  # what is judged: CLUENER's test has no labels
# Which of LAC's types a set's types are; what LAC does not know is left out of that comparison.
LAC_TYPES = {
    "cluener": {
        "姓名": "人物",
        "公司": "机构",
        "政府": "机构",
        "组织机构": "机构",
        "地址": "地点",
        "景点": "地点",
    },
    "resume": {"姓名": "人物", "机构": "机构"},
}
ORDER = ("dictionary", "lac", "bilstm", "tagger", "before", "generate")
CALLED = {
    "dictionary": "词典 dictionary",
    "lac": "LAC，零样本 zero-shot",
    "bilstm": "BiLSTM-CRF",
    "tagger": "学生加分类头 student, tagging",
    "before": "生成，训练前 generating, before",
    "generate": "生成，训练后 generating, after",
    "grammar": "生成，加语法 generating, grammar",
    "published": "已发表的 BiLSTM-CRF, as published",
}
MOMENTS = (1, 2, 4, 7, 10, 15)  # minutes at which a training is judged on its way
MINUTES = 20
RATES = (5e-4, 1e-3, 2e-3)  # the first is the student's own, for a training of seconds
TRIAL = 3  # minutes at each rate
ANSWER = 256  # tokens: answers on Resume need up to 220
GAIN = 0.003  # F1 on the tenth kept out; less of it ends the doubling of the tagger's epochs
TICKS = (0.5, 1, 2, 5, 10, 20, 50, 100)  # core-minutes
PUBLISHED = 0.675  # BiLSTM-CRF on CLUENER dev, github.com/hemingkx/CLUENER2020


@dataclass
class Task:
    """One set: what is trained on, what is judged."""

    name: str
    train: list[dict]
    gold: list[dict]

    @property
    def sentences(self) -> list[str]:
        """The sentences that are judged."""
        return [record["sentence"] for record in self.gold]

    @property
    def schema(self) -> list[str]:
        """The types of the training records."""
        return schema_of(self.train, "NER")


def task(name: str) -> Task:
    """Read a set; no sentence that is judged stays in the training records."""
    splits = ("train", SPLITS[name])
    train, gold = (list(read_named(name, split, progress=False)) for split in splits)
    judged = {record["sentence"] for record in gold}
    return Task(name, [r for r in train if r["sentence"] not in judged], gold)


# ---- scores


def row(task: Task, system: str, predicted: Sequence[Mapping], **costs: float | None) -> dict:
    """Return one line of the table: span scores with intervals, and the costs.

    minutes, core_minutes: of training. sentences_per_second: of answering, on one core.
    """
    figures = micro(score(task.gold, predicted, "NER"))[0][1]
    low, high = micro(interval(task.gold, predicted, "NER"))[0][1]["f1"]
    known = LAC_TYPES[task.name]
    coarse = [[coarser(record, known) for record in side] for side in (task.gold, predicted)]
    rates = {name: figures[name] for name in ("precision", "recall", "f1")}
    on_lac = micro(score(*coarse, "NER"))[0][1]["f1"]
    return {"set": task.name, "system": system, **rates, "low": low, "high": high} | {
        "f1_on_lac_types": on_lac,
        **costs,
    }


def coarser(record: Mapping, known: Mapping[str, str]) -> dict:
    """Return a record with LAC's names of its types, without the entities of other types.

    >>> entities = [{"name": "北京", "type": "地址", "pos": [0, 2]}, {"type": "游戏"}]
    >>> coarser({"sentence": "北京", "entities": entities}, {"地址": "地点"})["entities"]
    [{'name': '北京', 'type': '地点', 'pos': [0, 2]}]
    """
    kept = [e for e in record["entities"] if e["type"] in known]
    return {**record, "entities": [{**e, "type": known[e["type"]]} for e in kept]}


def timed(answer: Callable, sentences: Sequence[str]) -> tuple[list[dict], float]:
    """Return the predictions for sentences, and how many a core answers in a second.

    By the time of all cores: whatever else the machine does has no say.
    """
    began = time.process_time()
    predicted = answer(sentences)
    return predicted, len(sentences) / (time.process_time() - began)


# ---- arms: each returns rows of the table and curves, {set: [[core minutes, minutes, F1], ...]}


def dictionary(tasks: Sequence[Task], options: argparse.Namespace) -> tuple[list, dict]:
    """The names of the training split, longest first, with their most frequent type."""
    rows = []
    for task in tasks:
        look_up = partial(dictionary_baseline, task.train, task="NER")
        predicted, rate = timed(look_up, task.sentences)
        costs = {"minutes": 0.0, "core_minutes": 0.0, "sentences_per_second": rate}
        rows.append(row(task, "dictionary", predicted, **costs))
    return rows, {}


def lac(tasks: Sequence[Task], options: argparse.Namespace) -> tuple[list, dict]:
    """LAC as it comes, judged on the types that it knows: all its own figures are on those."""
    from miniluotuo_utils.teacher import Annotator

    annotator, rows = Annotator(), []
    for task in tasks:
        predicted, rate = timed(annotator.annotate, task.sentences)
        known = LAC_TYPES[task.name]
        asked = {kind: kind for kind in known.values()}
        gold = Task(task.name, task.train, [coarser(r, known) for r in task.gold])
        own = [coarser(record, asked) for record in predicted]
        figures = micro(score(gold.gold, own, "NER"))[0][1]
        rows.append(
            {"set": task.name, "system": "lac", "f1_on_lac_types": figures["f1"]}
            | {"minutes": 0.0, "core_minutes": 0.0, "sentences_per_second": rate}
        )
    return rows, {}


def bilstm(tasks: Sequence[Task], options: argparse.Namespace) -> tuple[list, dict]:
    """The published tagger without pre-training, one for each set."""
    from bilstm_crf import trainer_of

    rows, curves = [], {}
    for task in tasks:
        file = runs_root() / "extractors" / f"bilstm-{task.name}.safetensors"
        trainer = trainer_of(task.train, task.gold, file, options.seed, options.device)
        ended = trainer.run(options.core_minutes)
        now = trainer.progress
        predicted, rate = timed(trainer.model.predict, task.sentences)
        costs = {
            "minutes": now.minutes,
            "core_minutes": now.core_minutes,
            "sentences_per_second": rate,
            "parameters": sum(weight.numel() for weight in trainer.model.parameters()),
            "epochs": now.epoch,
            "converged": ended,
        }
        rows.append(row(task, "bilstm", predicted, **costs))
        curves[task.name] = [[e["core_minutes"], e["minutes"], e["f1"]] for e in now.log]
    return rows, curves


def tagger(tasks: Sequence[Task], options: argparse.Namespace) -> tuple[list, dict]:
    """The student's body with a classification head, one for each set."""
    from bilstm_crf import f1_of, halves

    rows, curves = [], {}
    for task in tasks:
        train, kept_out = halves(task.train, options.seed)
        epochs, best, curves[task.name] = 2, -1.0, []
        spent = 0.0
        while True:
            began = time.process_time()
            student = load_student(options.student, options.device)
            made = train_tagger(student, train, epochs=epochs, batch_size=16, seed=options.seed)
            core = (time.process_time() - began) / 60
            predicted, rate = timed(made.predict, task.sentences)
            kept = f1_of(made, kept_out)["f1"]
            costs = {
                "minutes": made.seconds / 60,
                "core_minutes": core,
                "sentences_per_second": rate,
                "parameters": made.model.num_parameters(),
                "epochs": epochs,
            }
            line = row(task, "tagger", predicted, **costs)
            print(
                f"{task.name}: {epochs} epochs, kept out {kept:.3f}, {line['f1']:.3f}", flush=True
            )
            curves[task.name].append([core, made.seconds / 60, line["f1"]])

            # The tenth kept out decides whether twice the epochs are worth a try.
            gained, spent = kept - best, spent + core
            if kept > best:
                best, chosen = kept, line
            if gained < GAIN or spent + 2 * core > options.core_minutes:
                rows.append({**chosen, "converged": gained < GAIN})
                break
            epochs *= 2
    return rows, curves


def before(tasks: Sequence[Task], options: argparse.Namespace) -> tuple[list, dict]:
    """The student as it ships, asked for types that it was not fine-tuned on."""
    student = load_student(options.student, options.device)
    nothing = {"minutes": 0.0, "core_minutes": 0.0, "parameters": student.parameters}
    rows = []
    for task in tasks:
        predicted, rate = timed(partial(answers, student, task.schema), task.sentences)
        rows.append(row(task, "before", predicted, **nothing, sentences_per_second=rate))
    return rows, {}


def generate(tasks: Sequence[Task], options: argparse.Namespace) -> tuple[list, dict]:
    """The student after twenty minutes on both sets at once, free and in a grammar."""
    rate, tried = best_rate(tasks, options)
    student = load_student(options.student, options.device)
    made = asked_whole(tasks)
    moments: list[tuple[float, float, dict]] = []
    began = time.process_time()

    # Only copied while the clock runs, and judged when it stands.
    def keep(training: object) -> None:
        minutes, core = training.log[-1]["seconds"] / 60, (time.process_time() - began) / 60
        if len(moments) < len(MOMENTS) and minutes >= MOMENTS[len(moments)]:
            weights = {k: v.detach().clone() for k, v in student.model.state_dict().items()}
            moments.append((core, minutes, weights))

    form = {"epochs": 1000, "batch_size": 16, "learning_rate": rate}
    training = finetune(student, made, minutes=options.minutes, **form, show=keep)
    costs = {
        "learning_rate": rate,
        "kept_out": tried,
        "minutes": training.seconds / 60,
        "core_minutes": (time.process_time() - began) / 60,
        "parameters": student.parameters,
        "tokens": training.tokens,
    }
    rows = []
    for task in tasks:
        for system in ("generate", "grammar"):
            ask = partial(answers, student, task.schema, constrained=system == "grammar")
            predicted, rate = timed(ask, task.sentences)
            rows.append(row(task, system, predicted, **costs, sentences_per_second=rate))
            print(f"{task.name} {system}: {rows[-1]['f1']:.3f}", flush=True)
    return rows, judged_at(student, tasks, moments, rows)


def best_rate(tasks: Sequence[Task], options: argparse.Namespace) -> tuple[float, dict]:
    """Return the rate that a short training does best with on the tenth kept out, and all F1."""
    from bilstm_crf import halves

    parts = [Task(task.name, *halves(task.train, options.seed)) for task in tasks]
    tried = {}
    for rate in RATES:
        student = load_student(options.student, options.device)
        form = {"epochs": 1000, "batch_size": 16, "learning_rate": rate}
        finetune(student, asked_whole(parts), minutes=options.trial, **form)
        found = [
            score(part.gold, answers(student, part.schema, part.sentences), "NER")["micro"]["f1"]
            for part in parts
        ]
        tried[f"{rate:g}"] = sum(found) / len(found)
        print(f"rate {rate:g}, kept out {tried[f'{rate:g}']:.3f}", flush=True)
    return float(max(tried, key=tried.__getitem__)), tried


def asked_whole(tasks: Sequence[Task]) -> list[dict]:
    """Return the training records of all sets as instructions that ask for every type."""
    made = []
    for task in tasks:
        made += build_instructions(task.train, "NER", task.schema, slice_size=None)
    return made


def judged_at(
    student: Student, tasks: Sequence[Task], moments: Sequence[tuple], rows: Sequence[Mapping]
) -> dict:
    """Return the curves of a training whose weights were kept on the way; `rows` end them."""
    curves: dict[str, list] = {task.name: [] for task in tasks}
    for core, minutes, weights in moments:
        student.model.load_state_dict(weights)
        for task in tasks:
            predicted = answers(student, task.schema, task.sentences)
            f1 = score(task.gold, predicted, "NER")["micro"]["f1"]
            curves[task.name].append([core, minutes, f1])
    for last in rows:
        if last["system"] == "generate":
            curves[last["set"]].append([last["core_minutes"], last["minutes"], last["f1"]])
    return curves


def answers(
    student: Student, schema: Sequence[str], sentences: Sequence[str], constrained: bool = False
) -> list[dict]:
    """Return what a student finds, asked for the whole schema as it was trained."""
    options = {"max_new_tokens": ANSWER, "slice_size": None, "constrained": constrained}
    return extract(student, sentences, schema, "NER", **options).records


ARMS = {one.__name__: one for one in (dictionary, lac, bilstm, tagger, before, generate)}


# ---- the files


def measure(arm: str, options: argparse.Namespace) -> None:
    """Measure an arm and write its file, whole or not at all."""
    rows, curves = ARMS[arm]([task(name) for name in SPLITS], options)
    found = {
        "arm": arm,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": commit(),
        "hardware": hardware() if options.device == "cpu" else options.device,
        "threads": threads(),
        "student": Path(options.student).name if arm in ("tagger", "before", "generate") else None,
        "seed": options.seed,
        "rows": rows,
        "curves": curves,
    }
    with written_whole(options.results / f"{arm}.json") as path:
        path.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def threads() -> int:
    """Return how many threads torch computes with."""
    import torch

    return torch.get_num_threads()


def measured(folder: Path) -> list[dict]:
    """Return what the files of the arms hold, in the order of the table."""
    paths = [folder / f"{arm}.json" for arm in ORDER]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.is_file()]


# ---- what is shown


def table(found: Sequence[Mapping]) -> str:
    """Return the table in Markdown; an arm without a file is not measured yet."""
    lines = [
        "| data 数据 | system 选手 | P | R | F1 `span` | 95 % | F1, LAC's types LAC 的类型 "
        "| core-minutes 核分钟 | sentences per core-second 句/核秒 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    rows = [row for arm in found for row in arm["rows"]]
    systems = [
        name for arm in ORDER for name in ((arm, "grammar") if arm == "generate" else (arm,))
    ]
    for name in SPLITS:
        for system in systems:
            there = [r for r in rows if r["set"] == name and r["system"] == system]
            cells = figures(there[0]) if there else ["未测 not measured yet", *["–"] * 6]
            lines.append(f"| {name} | {CALLED[system]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def figures(row: Mapping) -> list[str]:
    """Return the cells of a row behind its names."""
    rates = [f"{row[name]:.3f}" if name in row else "–" for name in ("precision", "recall", "f1")]
    between = f"{row['low']:.3f} to {row['high']:.3f}" if "low" in row else "–"
    ended = "" if row.get("converged", True) else "（未收敛 not converged）"
    return [
        *rates,
        between,
        f"{row['f1_on_lac_types']:.3f}",
        f"{row['core_minutes']:.1f}{ended}",
        f"{row['sentences_per_second']:,.0f}",
    ]


def sources(found: Sequence[Mapping]) -> str:
    """Return a line that says when, on what and from which commit each arm was measured."""
    told = {}
    for arm in found:
        where = (
            f"{arm['date']}, commit {arm['commit']}, {arm['hardware']}, threads: {arm['threads']}"
        )
        told.setdefault(where, []).append(arm["arm"])
    return "; ".join(f"{', '.join(arms)}: {where}" for where, arms in told.items())


def bought(found: Sequence[Mapping]) -> str:
    """Say what generation buys and costs, from the files; "" while arms are missing."""
    rows = {(row["set"], row["system"]): row for arm in found for row in arm["rows"]}
    needed = ("bilstm", "tagger", "before", "generate", "grammar")
    if any((name, system) not in rows for name in SPLITS for system in needed):
        return ""
    chinese, english = [], []
    for name in SPLITS:
        own, tag, lstm, held, first = (
            rows[name, system] for system in ("generate", "tagger", "bilstm", "grammar", "before")
        )
        slower = tag["sentences_per_second"] / own["sentences_per_second"]
        chinese.append(
            f"{name}：生成的 F1 比同样主干、贴标签的{more(own['f1'] - tag['f1'])}，"
            f"比 BiLSTM-CRF {more(own['f1'] - lstm['f1'])}，回答慢到 {slower:.0f} 分之一；"
            f"加语法后{more(held['f1'] - own['f1'])}；没有训练过就有 {first['f1']:.3f}"
        )
        english.append(
            f"on {name} generation scores {own['f1'] - tag['f1']:+.3f} F1 against the same body as "
            f"a tagger and {own['f1'] - lstm['f1']:+.3f} against BiLSTM-CRF, and answers "
            f"{slower:.0f} times slower; a grammar adds {held['f1'] - own['f1']:+.3f}, and without "
            f"any training it has {first['f1']:.3f}"
        )
    minutes = rows["cluener", "generate"]["core_minutes"]
    apart = sum(rows[name, "tagger"]["core_minutes"] for name in SPLITS)
    return (
        f"{'；'.join(chinese)}。一个学生、一次训练（{minutes:.0f} 核分钟）做两份数据；"
        f"贴标签的要各训练一个（共 {apart:.0f} 核分钟），也不认没有见过的类型。\n"
        f"*{'; '.join(english)}. One student, trained once ({minutes:.0f} core-minutes), does both "
        f"sets; taggers are one a set ({apart:.0f} core-minutes together) and know no other type.*"
    )


def more(difference: float) -> str:
    """Return a difference in Chinese words.

    >>> more(-0.02)
    '低 0.020'
    """
    return f"{'高' if difference >= 0 else '低'} {abs(difference):.3f}"


def draw(found: Sequence[Mapping], target: Path) -> None:
    """Draw F1 against core-minutes, one panel a set; what is not trained is a level line."""
    import matplotlib.pyplot as plt

    chinese_font()
    figure, axes = plt.subplots(1, len(SPLITS), figsize=(11, 4.6), dpi=110, sharey=True)
    for panel, (name, split) in zip(axes, SPLITS.items(), strict=True):
        panel.set_prop_cycle(color=COLOURS)
        for arm in found:
            draw_arm(panel, arm, name)
        panel.set_xscale("log")
        panel.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
        panel.set(title=f"{name} {split}", xlabel="训练的核分钟 core-minutes of training")
        panel.set(xlim=(TICKS[0], TICKS[-1]), ylim=(0, 1))
        panel.spines[["top", "right"]].set_visible(False)
    axes[0].axhline(PUBLISHED, ls=":", color="#555555", label=CALLED["published"])
    axes[0].set_ylabel("F1（span，micro）")

    # Below both panels: no curve is hidden.
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=4, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.1, 1, 1))
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target)
    plt.close("all")


def draw_arm(panel: Axes, arm: Mapping, name: str) -> None:
    """Draw an arm's curve, or its levels where nothing was trained; a grammar is one star."""
    colour = COLOURS[ORDER.index(arm["arm"])]
    curve = arm["curves"].get(name, [])
    if curve:
        xs, ys = [point[0] for point in curve], [point[2] for point in curve]
        panel.plot(xs, ys, marker="o", ms=3, color=colour, label=CALLED[arm["arm"]])
    for row in arm["rows"]:
        label, there = CALLED[row["system"]], row["set"] == name and "f1" in row
        if there and row["system"] == "grammar":
            panel.plot(row["core_minutes"], row["f1"], "*", ms=9, color=colour, label=label)
        elif there and not curve:
            panel.axhline(row["f1"], ls="--", color=colour, label=label)


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    results, images = Path(__file__).parent / "results", repository() / "images"
    made.add_argument("--arms", nargs="+", choices=ORDER, default=[])
    made.add_argument("--student", default="tiny", help="zoo name or folder")
    made.add_argument("--core-minutes", type=float, default=120, help="a training, at most")
    made.add_argument("--minutes", type=float, default=MINUTES, help="of generate's training")
    made.add_argument("--trial", type=float, default=TRIAL, help="minutes of each rate's trial")
    made.add_argument("--seed", type=int, default=42)
    made.add_argument("--device", default="cpu")
    made.add_argument("--results", type=Path, default=results / "extractors")
    made.add_argument("--picture", type=Path, default=images / "extractors.png")
    return made


def main() -> None:
    """Measure the arms that are named, then print the table and draw the picture."""
    options = parser().parse_args()
    for arm in options.arms:
        print(f"-- {arm}", flush=True)
        measure(arm, options)

    found = measured(options.results)
    print(f"{table(found)}\n\n{sources(found)}\n\n{bought(found)}")
    if any(arm["curves"] for arm in found):
        draw(found, options.picture)


if __name__ == "__main__":
    main()
