"""Describe a student for the hub: what it is made of, what that asks of others, how good it is.

In: a student's folder, and results as `ie.score` returns them. Out: a `ModelCard`. Nothing is
loaded and no network is asked. Shown in notebook 07.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.data.catalog import CATALOG
from miniluotuo_utils.data.licences import FOLLOWS, Origin, hub_licence, origins, strictest
from miniluotuo_utils.files import json_file
from miniluotuo_utils.students.bases import tensors_of
from miniluotuo_utils.students.lessons import lessons_in
from miniluotuo_utils.students.loading import HUB_ID, adapter_base
from miniluotuo_utils.students.zoo import ZOO
from miniluotuo_utils.text import markdown

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCard

# How the licences that the zoo states are read; the others nobody has looked up.
BASE_TERMS = {
    "Apache-2.0": "permissive",
    "MIT": "permissive",
    "RAIL 1.0": "share-alike",
    "非商用 non-commercial bespoke": "non-commercial",
}
TASK_TYPES = {"NER": "token-classification", "RE": "relation-extraction", "EE": "event-extraction"}
LANGUAGES = {"CN": ["zh"], "EN": ["en"], "ML": ["zh", "en"]}
UNRECORDED = "unrecorded"
PROJECT = "https://github.com/LC1332/Mini-Luotuo"


def card(
    folder: Path | str, results: Mapping[str, Mapping] | None = None, own: Collection[str] = ()
) -> ModelCard:
    """Return the hub's card of a student or an adapter that `save` or `train` wrote.

    `results` are what `ie.score` returned, by the name of the data set: `cluener/dev`. `own` are
    sources that the catalog does not know and that the publisher answers for. What the folder does
    not say is said to be unknown. Raises FileNotFoundError for a folder that holds no student, and
    ValueError as `origins` does.
    """
    from huggingface_hub import ModelCard, ModelCardData

    folder, results = Path(folder), results or {}
    check_results(results)
    adapter = is_adapter(folder)
    found = student_origins(folder, own)
    config = {} if adapter else json_in(folder / "config.json")
    licence = hub_licence(found)
    most = strictest(found)
    named = {"license_name": most.terms.replace(" ", "-"), "license_link": most.link or None}
    data = ModelCardData(
        language=languages_of(found),
        license=licence,
        **(named if licence == "other" else {}),
        library_name=library_of(folder),
        pipeline_tag=None if config.get("is_encoder_decoder") else "text-generation",
        tags=["mini-luotuo", "information-extraction"],
        base_model=hub_base(base_of(folder)),
        datasets=hub_datasets(found) or None,
        model_name=folder.resolve().name,
        eval_results=[*evaluations(results)] or None,
    )
    return ModelCard(f"---\n{data}\n---\n\n{body(folder, found, results)}")


def is_adapter(folder: Path) -> bool:
    """Return whether a folder holds an adapter; FileNotFoundError for one without a student."""
    if (folder / "adapter_config.json").is_file():
        return True
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(
            f"{folder.name} 里没有 config.json，也没有 adapter_config.json：这不是学生的文件夹。 "
            f"{folder.name}: found no config.json or adapter_config.json, expected the folder of a "
            "student: `train` and `save` write one"
        )
    return False


def library_of(folder: Path) -> str | None:
    """Return the hub's name of the library that loads a folder, None for one of ONNX or GGUF."""
    if is_adapter(folder):
        return "peft"
    return "transformers" if any(folder.glob("*.safetensors")) else None


def json_in(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file, {} where there is no such file."""
    return json_file(path, dict) if path.is_file() else {}


# ---- what it was made of


def base_of(folder: Path) -> str:
    """Return the name of the student that the first training began with, "" where nothing says."""
    if is_adapter(folder):
        return adapter_base(folder)
    lessons = lessons_in(folder)
    return lessons[0]["base"] if lessons else ""


def student_origins(folder: Path | str, own: Collection[str] = ()) -> list[Origin]:
    """Return the base of a student, its teachers, and the sources of all their trainings."""
    folder = Path(folder)
    counts, taught = learned_from(lessons_in(folder))
    names = dict.fromkeys([base_of(folder), *taught])
    return origins(counts, own, [base_origin(name) for name in names])


def learned_from(lessons: Sequence[Mapping]) -> tuple[Counter[str], list[str]]:
    """Return the rows of each source and the teachers of some trainings, and of those teachers'.

    What a teacher has learned from goes on to whom it teaches.

    >>> teacher = {"name": "./big", "lessons": [{"base": "tiny", "sources": {"resume": 2}}]}
    >>> learned_from([{"base": "tiny", "sources": {"coig": 1}, "teachers": [teacher]}])
    (Counter({'resume': 2, 'coig': 1}), ['tiny'])
    """
    counts: Counter[str] = Counter()
    names: list[str] = []
    for lesson in lessons:
        counts.update(lesson["sources"])
        for teacher in lesson.get("teachers", ()):
            theirs, more = learned_from(teacher["lessons"])
            counts.update(theirs)
            begun = [one["base"] for one in teacher["lessons"][:1]] or [teacher["name"]]
            names += [*begun, *more]
    return counts, names


def base_origin(name: str) -> Origin:
    """Return what the zoo states about a base.

    >>> base_origin("tiny").terms, base_origin("bloom-560m").terms, base_origin("a/b").terms
    ('permissive', 'share-alike', 'not looked up')
    """
    if not name:
        return Origin(UNRECORDED, None, "没有训练记录 no record", "not looked up", known=False)
    spec = ZOO.get(name)
    licence = spec.licence if spec else None
    link = (spec.link or PROJECT) if spec else hub_link(name)
    return Origin(
        name,
        None,
        licence or "没有查过 not looked up",
        BASE_TERMS.get(licence or "", "not looked up"),
        link,
        known=licence is not None,
    )


def hub_link(name: str) -> str:
    """Return the page of a hub id, "" for a folder beside."""
    return f"https://huggingface.co/{name}" if HUB_ID.fullmatch(name) and name[0] != "." else ""


def hub_base(name: str) -> str | None:
    """Return the hub id of a base, None where the hub does not have it."""
    spec = ZOO.get(name)
    if spec:
        return spec.hub
    return name if hub_link(name) else None


def hub_datasets(found: list[Origin]) -> list[str]:
    """Return the hub ids of those sources that come from the hub."""
    start = "https://huggingface.co/datasets/"
    return [one.link.removeprefix(start) for one in found if one.link.startswith(start)]


def languages_of(found: list[Origin]) -> list[str]:
    """Return the languages of the sources, Chinese where the catalog knows none of them."""
    spoken = [LANGUAGES[CATALOG[one.name].language] for one in found if one.name in CATALOG]
    return list(dict.fromkeys(sum(spoken, []))) or ["zh"]


# ---- how good it is


def check_results(results: Mapping[str, Mapping]) -> None:
    """Raise ValueError for what is no result of `ie.score`."""
    for name, result in results.items():
        task = result.get("task")
        if task not in TASK_TYPES or "mode" not in result or not [*micro_rates(result)]:
            raise ValueError(
                f"成绩 {name} 不是 score 给的：写成 score --json 打印的那一份。 results, {name}: "
                f"found task {task!r} with the fields {', '.join(result) or 'none'}, expected what "
                "`score --json` prints, or `ie.score` returns"
            )


def evaluations(results: Mapping[str, Mapping]) -> Iterator[EvalResult]:
    """Yield precision, recall and F1 of each result, unrounded, as the hub's `model-index`."""
    from huggingface_hub import EvalResult

    for name, result in results.items():
        source, _, split = name.partition("/")
        title = CATALOG[source].title if source in CATALOG else source
        for part, rates in micro_rates(result):
            for rate in ("precision", "recall", "f1"):
                yield EvalResult(
                    task_type=TASK_TYPES[result["task"]],
                    task_name=f"{result['task']} {part}".strip(),
                    dataset_type=source,
                    dataset_name=title,
                    dataset_split=split or None,
                    metric_type=rate,
                    metric_name=f"micro {rate}, {result['mode']} {part}".strip(),
                    metric_value=rates[rate],
                )


def micro_rates(result: Mapping) -> Iterator[tuple[str, Mapping[str, float]]]:
    """Yield the micro-averaged rates of a result with the name of its part: EE has two.

    >>> list(micro_rates({"task": "NER", "micro": {"f1": 1.0}}))
    [('', {'f1': 1.0})]
    """
    if "micro" in result:
        yield "", result["micro"]
    for part, inner in result.items():
        if isinstance(inner, Mapping) and "micro" in inner and part != "interval":
            yield part, inner["micro"]


# ---- in words


def body(folder: Path, found: list[Origin], results: Mapping[str, Mapping]) -> str:
    """Return the text of a card, in Chinese and English."""
    parts = [
        f"# {folder.resolve().name}",
        MADE_BY,
        facts(folder),
        "## 数据和许可证 · Data and licences",
        data_table(found),
        consequence(found),
        "## 成绩 · Results",
        results_table(results),
        "## 做不到的 · Limits",
        limits(folder, results),
        own_readme(folder),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


MADE_BY = f"""用[迷你骆驼]({PROJECT})训练的学生。
下面每一项都取自文件夹里的记录；没有记录的，写着不知道。
*A student trained with [Mini-Luotuo]({PROJECT}). All of this is from the records in its folder;
what they do not hold is said to be unknown.*"""


def facts(folder: Path) -> str:
    """Return the table of what the student is and how it was trained."""
    lines = [["底座 base", base_of(folder) or "不知道 unknown"]]
    for number, lesson in enumerate(lessons_in(folder), 1):
        taught = "，蒸馏 distilled" if "distillation" in lesson else ""
        minutes = f"{lesson['seconds'] / 60:.1f} 分钟 minutes"
        done = f"{lesson['steps']:,} 步 steps，{lesson['tokens']:,} 个词元 tokens，{minutes}"
        lines.append([f"训练 training {number}", f"{lesson['method']}{taught}：{done}"])
    if count := parameters_in(folder):
        lines.append(["参数 parameters", f"{count:,}"])
    if context := context_of(folder):
        lines.append(["上下文 context", f"{context:,} 个词元 tokens"])
    run = json_in(folder / "run.json")
    if run.get("commit"):
        lines.append(["代码 code", f"commit {run['commit']}"])
    return markdown(["", ""], lines)


def parameters_in(folder: Path) -> int:
    """Return how many numbers stand in a student's safetensors; 0 for an adapter's folder."""
    shapes = (json.loads(tensor.facts)[-1] for tensor in tensors_of(folder))
    return sum(math.prod(shape) for shape in shapes if isinstance(shape, list))


def context_of(folder: Path) -> int | None:
    """Return how many tokens fit, as the configuration says, None where it does not."""
    config = json_in(folder / "config.json")
    names = ("max_position_embeddings", "n_positions", "seq_length")
    return next((config[name] for name in names if isinstance(config.get(name), int)), None)


def data_table(found: list[Origin]) -> str:
    """Return every source with its rows and what it states."""
    head = ["来源 source", "行 rows", "许可证 licence"]
    lines = [
        [
            f"[{one.name}]({one.link})" if one.link else one.name,
            "底座、教师 base, teacher" if one.rows is None else f"{one.rows:,}",
            one.licence,
        ]
        for one in found
    ]
    return markdown(head, lines)


def consequence(found: list[Origin]) -> str:
    """Return what follows for the student: the strictest terms, with the source that has them."""
    most = strictest(found)
    unknown = "、".join(one.name for one in found if one.terms == "not looked up")
    text = (
        f"最严的一条来自 `{most.name}`（{most.licence}）：{FOLLOWS[most.terms]}。\n"
        f"*The strictest terms are those of `{most.name}`. This is a reading of what the sources "
        "state, no legal advice.*"
    )
    if unknown:
        text += f"\n\n没有查过的来源 *sources that nobody has looked up*：{unknown}"
    return text


def results_table(results: Mapping[str, Mapping]) -> str:
    """Return the results as a table, or that there are none."""
    if not results:
        return "没有评过。 *Not evaluated.*"
    lines = []
    for name, result in results.items():
        for part, rates in micro_rates(result):
            shown = [f"{rates[rate]:.3f}" for rate in ("precision", "recall", "f1")]
            task = f"{result['task']} {part}".strip()
            lines.append([name, task, result["mode"], *shown])
    head = ["数据 data", "任务 task", "算法 mode", "P", "R", "micro-F1"]
    return markdown(head, lines)


def limits(folder: Path, results: Mapping[str, Mapping]) -> str:
    """Return what nobody should expect of the student."""
    lines = [
        "会抽错，会漏，也会编出句子里没有的名字；要紧的地方由人来看。 "
        "*It errs, misses, and writes names that the sentence does not hold: let a person look.*",
        "没有训练过的类型和文体，没有人知道它做得怎样。 "
        "*How it does on types and texts that it never saw is unknown.*",
        "数据里有的偏见，它也会有。 *It has the biases of its data.*",
    ]
    if context := context_of(folder):
        lines.append(
            f"提示和回答一共放得下 {context:,} 个词元，长文要切开。 "
            f"*Prompt and answer share {context:,} tokens: cut long documents.*"
        )
    if not results:
        lines.append("没有评过分。 *It has no scores.*")
    return "\n".join(f"- {line}" for line in lines)


def own_readme(folder: Path) -> str:
    """Return what the folder's README says below its title: how to load it and how it is asked."""
    from huggingface_hub import ModelCard

    path = folder / "README.md"
    if not path.is_file():
        return ""
    text = path.read_text(encoding="utf-8")
    if text.startswith("---"):
        text = ModelCard(text, ignore_metadata_errors=True).text
    title, _, rest = text.strip().partition("\n")
    return f"## 怎样用 · Use\n\n{rest.strip()}" if title.startswith("# ") else text
