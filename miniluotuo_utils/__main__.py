"""Call the package from a shell: `python -m miniluotuo_utils COMMAND --help`.

In: a command with its options, one dataclass each. Out: files, and one line on what happened.
Shown in jobs/README.md.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from functools import partial
from importlib import import_module
from pathlib import Path
from types import NoneType
from typing import Any, Literal, NoReturn, get_args, get_origin

from miniluotuo_utils.choices import choices, nearest
from miniluotuo_utils.data.cleaning import NEAR
from miniluotuo_utils.data.writers import WRITERS
from miniluotuo_utils.extras import EXTRA_OF
from miniluotuo_utils.files import json_file
from miniluotuo_utils.jobs.instructions import Options, instruction_set
from miniluotuo_utils.jobs.respond import grow_file, respond_file
from miniluotuo_utils.students import load_student, merge, save, zoo_table
from miniluotuo_utils.students.devices import first_process, half, own_device
from miniluotuo_utils.students.loading import folders_read
from miniluotuo_utils.students.methods import METHODS
from miniluotuo_utils.terminal import never_fails, width, wrapped
from miniluotuo_utils.text import markdown
from miniluotuo_utils.writing import Alone, Touched, guard

Method = Literal[METHODS]  # type: ignore[valid-type]
OVERWRITE = "替换 replace what an earlier run wrote there; anybody else's files are never replaced"
FORMAT = "格式 name of its format, e.g. doccano; left out: its shape tells"
STUDENT = "学生 zoo name, folder (of an adapter, too) or hub id"
QUALITY = (
    "质量模型 ask a student, too (alone: tiny), which rows and labels are doubtful, with reasons; "
    "left out: rules alone"
)
BITS = "4 或 8 位 load the weights in 4 or 8 bits; left out: whole weights"
# Shapes that the help shows beside the options.
ROW = (
    '指令行 instruction row: {"instruction": "找出人物。", "input": "李白生于碎叶。", '
    '"output": "李白", "source": "自写"}; a dialogue has history, too: [[user, assistant], …]'
)
RECORD = (
    '抽取记录 IE record: {"sentence": "李白生于碎叶", "entities": '
    '[{"name": "李白", "type": "人物", "pos": [0, 2]}]}, pos in characters, the end exclusive, or '
    "null; or relations [{head, type, tail}], or events [{type, trigger, pos, arguments: "
    "[{name, role, pos}]}]"
)
OTHERS = "其他格式也认得 Other formats are read, too: miniluotuo_utils/data/README.md lists them."


def option(help: str = "", default: Any = None, **how: Any) -> Any:
    """Describe one option of a command; `how` is what else argparse wants to know."""
    shown = how.pop("shown", True)  # in the command's repr, which logs hold
    return field(default=default, repr=shown, metadata={"help": help, **how})


needed = partial(option, required=True)
place = partial(option, positional=True)  # an argument that is told by its place
# `role` says what a path is for (`writing.Touched`): the guard of `main` compares all of them.
reads, writes = {"role": "reads"}, {"role": "file"}


# ---- data


@dataclass
class Catalog:
    """Print the catalog of data sources, or those of a task, language, kind and collection.

    打印数据目录，也可以只看某个任务、语言、做法、合集的。
    """

    task: str | None = option("任务 instruction, NER, RE, EE, topics or tokenizer; left out: any")
    language: Literal["CN", "EN", "ML"] | None = option(
        "语言 CN, EN, or ML for several; left out: any"
    )
    made: Literal["HG", "SI", "MIX", "COL"] | None = option(
        "做法 HG human-generated, SI self-instruct, MIX both, COL a collection; left out: any"
    )
    collection: str | None = option(
        "合集 viscacha (46), mini-luotuo, lamini, alpaca-cot; left out: any"
    )

    def run(self) -> int:
        from miniluotuo_utils.data.catalog import catalog_table, chosen

        rows = catalog_table(chosen(**given(self)))
        if not rows:
            print("没有这样的来源 no such source", file=sys.stderr)
            return 1
        print_table(rows)
        return 0


@dataclass
class Download:
    """Download and verify the files of data sets, into the cache or a mirror folder for a class;
    students too, with --mirror. With --course all that a room without a network needs.

    下载并核对数据集的文件，放进缓存，或放进给全班用的镜像文件夹；带 --mirror 时学生也行。
    --course 把没有网络的教室要用的放进一个文件夹。
    """

    names: list[str] = place("名字 names of the catalog or the zoo", nargs="*")
    course: Path | None = option(
        "整套课程 a folder to fill with notebooks, their data, wheels and your trained students; "
        "again: goes on with what is missing; left out: only what is named",
        role="grows",
    )
    no_wheels: bool = option("不要安装包 leave the wheels out of --course: hundreds of MB")
    mirror: Path | None = option("镜像文件夹 a folder to fill; left out: the cache", role="grows")
    home: Path | None = option("缓存 the cache's folder; left out: MINILUOTUO_HOME", role="grows")

    def run(self) -> None:
        from miniluotuo_utils.jobs.course import course
        from miniluotuo_utils.jobs.download import downloaded

        if bool(self.course) == bool(self.mirror) and (self.course or not self.names):
            raise ValueError(
                "要么写数据集的名字，要么写 --course DIR expected names, or --course DIR, which "
                "is a mirror itself"
            )
        if self.home:
            os.environ["MINILUOTUO_HOME"] = str(self.home)
        lines = (
            course(self.course, self.names, not self.no_wheels)
            if self.course
            else downloaded(self.names, self.mirror)
        )
        for line in lines:
            print(line, flush=True)


@dataclass
class Validate:
    """Check a file of instruction rows or IE records in any format, and name place, field and
    fault of each bad one.

    检查一份指令或抽取数据，什么格式都行，指出每个错误在哪一行、哪个字段。
    """

    shapes = (ROW, RECORD, OTHERS)
    file: Path = place("要检查的文件 the file", **reads)
    most: int = option("最多列出几个 how many faults, and how many doubts, to print", 20)
    format: str | None = option(FORMAT)
    quality: str | None = option(
        QUALITY, nargs="?", const="tiny", metavar="STUDENT", role="student"
    )

    def run(self) -> int:
        from miniluotuo_utils.jobs.validate import doubtful, validated

        kinds, faults = validated(self.file, self.format, print)
        for fault in faults[: self.most]:
            print(fault)
        if faults[self.most :]:
            print(f"... and {len(faults) - self.most:,} more")
        good = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items()) or "nothing"
        print(f"{self.file.name}: {good} well-formed, {len(faults):,} faults")
        if self.quality and kinds:
            doubtful(self.file, self.quality, self.format, self.most, print)
        return 1 if faults or not kinds else 0


@dataclass
class Convert:
    """Write a file of any format in another: doccano, Label Studio, brat, columns of tags, UIE,
    Alpaca, ShareGPT, OpenAI's messages.

    把一份文件换成另一种格式。
    """

    shapes = (ROW, RECORD, OTHERS)
    source: Path = place("输入 a file, or a folder of brat", metavar="IN", **reads)
    out: Path = place("输出 a new file; for brat a new folder", metavar="OUT", role="whole")
    to: Literal[tuple(WRITERS)] = needed(  # type: ignore
        "换成 the new format; records: our own rows or records"
    )
    from_: str | None = option(FORMAT, flag="--from", metavar="FORMAT")
    task: Literal["NER", "RE", "EE"] | None = option(
        "任务 of a file that holds several; left out: the one that it holds"
    )
    offsets: Literal["characters", "utf16"] | None = option(
        "位置的单位 how places are counted in OUT; left out: utf16 for doccano, else characters"
    )
    read_offsets: Literal["characters", "utf16"] | None = option(
        "输入里位置的单位 how places are counted in IN; left out: what stands there tells"
    )
    labels: list[str] | None = option(
        "标签名 names of numbered tags, in order; left out: the file's own", nargs="+"
    )
    skip: bool = option("跳过坏的 leave malformed units out, and count them")
    overwrite: bool = option(OVERWRITE)

    def run(self) -> None:
        from miniluotuo_utils.data import convert

        convert(**given(self))


@dataclass
class Clean:
    """Mend and sift a file of instruction rows or IE records in any format, and say what was done:
    broken text, personal data, refusals, cut answers, duplicates.

    清洗一份指令或抽取数据，什么格式都行，说出每一步改了几条、去掉几条。
    """

    shapes = (ROW, RECORD, OTHERS)
    source: Path = place("输入 the file", metavar="IN", **reads)
    out: Path = place("输出 JSON Lines of what is left, in order", metavar="OUT", **writes)
    near: float = option("相似 from which likeness on a row repeats another; 1: equal ones", NEAR)
    format: str | None = option(FORMAT)
    quality: str | None = option(
        QUALITY, nargs="?", const="tiny", metavar="STUDENT", role="student"
    )
    overwrite: bool = option(OVERWRITE)

    def run(self) -> None:
        from miniluotuo_utils.jobs.clean import clean_file

        clean_file(**given(self), say=print)


@dataclass
class Mix:
    """Write the rows of a recipe, a small table of sources, numbers and a seed: the same rows in
    the same order each time.

    按配方混合几份数据：同样的配方总得同样的行、同样的次序。
    """

    recipe: str = place(
        "配方 embedded, cpu, t4, mini-luotuo-683k, mini-luotuo-files, or the path of a .tsv"
    )
    out: Path = place("输出 JSON Lines", metavar="OUT", **writes)
    seed: int | None = option("种子 of the draws; left out: the recipe's own")
    overwrite: bool = option(OVERWRITE)

    def run(self) -> None:
        from miniluotuo_utils.jobs.clean import mix_file

        print(f"{mix_file(**given(self)):,} rows in {self.out}")


@dataclass(frozen=True)
class Instructions(Options):
    """Write one large extraction instruction set from the catalog's sources, with its card.

    把拿得到的抽取数据做成一个指令集，附数据卡。
    """

    names: list[str] = place(
        "数据集 names of the catalog, or files of IE records in any format; none: every source "
        "with an extraction task",
        nargs="*",
    )
    out: Path = needed("输出 a new folder", role="folder")
    slice_size: int | None = option(
        "每次问几类 types per prompt; left out: 6 for NER, 4 for others"
    )
    overwrite: bool = option(OVERWRITE)

    def run(self) -> None:
        how = given(self, "out", "names")
        stats = instruction_set(self.out, self.names or None, say=print, **how)
        print(
            f"{stats['rows']:,} rows of {len(stats['sources'])} sources in {self.out}; "
            f"{len(stats['absent'])} sources not to be had, listed in README.md there"
        )


# ---- a teacher


@dataclass
class Asking:
    """Ask a teacher: what every command that does so takes.

    The key comes from TEACHER_API_KEY alone, since every user of a machine can read arguments.
    """

    base_url: str | None = option("服务器地址 the server; left out: TEACHER_BASE_URL", shown=False)
    model: str | None = option("模型 its model; left out: TEACHER_MODEL")
    store: Path = needed("存储 sqlite file of all replies: nothing is asked twice", role="store")
    concurrency: int = option("并发 requests at a time, at most", 16)
    requests_per_minute: float | None = option(
        "每分钟请求 at most; tries count; left out: no limit"
    )
    tokens_per_minute: float | None = option(
        "每分钟词元 at most, as the server counts them; left out: no limit"
    )
    timeout: float = option("超时 seconds of silence after which a try is given up", 600.0)
    max_retries: int = option("重试 tries of a request beside the first; one after a time-out", 8)
    budget: float | None = option(
        "预算 money that this run may spend (earlier runs are not counted); needs both prices and "
        "--max-tokens; left out: no limit"
    )
    budget_tokens: int | None = option(
        "词元预算 tokens that this run may spend (earlier runs are not counted); needs "
        "--max-tokens; left out: no limit"
    )
    price_in: float | None = option("输入价 per million prompt tokens; left out: costs are unknown")
    price_out: float | None = option(
        "输出价 per million completion tokens; left out: costs are unknown"
    )
    language: Literal["zh", "en"] = option("语言 of our prompts to the teacher", "zh")
    temperature: float | None = option("温度 of the sampling; left out: the server's own")
    max_tokens: int | None = option(
        "一次回答的词元 of one reply, at most; left out: the server's own limit"
    )
    param: list[str] | None = option(
        "其他参数 any other parameter, its value as JSON or text: enable_thinking=false; "
        "repeatable; left out: none",
        action="append",
        metavar="NAME=VALUE",
    )
    retry: str | None = option(
        "重问 ask again for stored replies that are cut, empty, refused or filtered; left out: "
        "for none",
        metavar="cut,empty,refused",
    )
    replace: bool = option(
        "重写 write OUT anew, even if that loses lines of an earlier run or of yours; else it only "
        "grows"
    )

    def teacher(self) -> Any:
        """Return the teacher of these options."""
        from miniluotuo_utils.teacher import Teacher
        from miniluotuo_utils.teacher.limits import Budget

        prices = {"prompt": self.price_in, "completion": self.price_out}
        return Teacher(
            self.base_url,
            self.model,
            None,
            self.store,
            self.concurrency,
            self.requests_per_minute,
            self.tokens_per_minute,
            Budget(self.budget_tokens, self.budget, None if None in prices.values() else prices),
            self.timeout,
            self.max_retries,
            listed(self.retry),
        )

    @property
    def sampling(self) -> dict[str, Any]:
        """The sampling parameters that a request takes."""
        named = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        return {**named, "extra_body": dict(map(parameter, self.param or ()))}


def listed(words: str | None) -> list[str]:
    """Return words that a comma separates."""
    return [word.strip() for word in (words or "").split(",") if word.strip()]


def parameter(text: str, flag: str = "--param") -> tuple[str, Any]:
    """Return name and value of NAME=VALUE; ValueError for anything else.

    >>> parameter("enable_thinking=false"), parameter("reasoning_effort=low")
    (('enable_thinking', False), ('reasoning_effort', 'low'))
    """
    name, equals, value = text.partition("=")
    if not (name.strip() and equals):
        raise ValueError(
            f"{flag}：写成 名字=值。 {flag}: found {text!r}, expected NAME=VALUE, as in top_p=0.9"
        )
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), value


def spent(teacher: Any) -> str:
    """Return what a run has spent, in words."""
    told = teacher.spent
    parts = [f"asked {told['asked']:,}, from the store {told['from_store']:,}"]
    parts += [f"{name} {value}" for name, value in teacher.ledger.summary(teacher.budget).items()]
    if late := told.get("timed_out"):
        parts.append(f"{late:,} tries timed out")
    return "; ".join(parts)


@dataclass
class Respond(Asking):
    """Fill the output of every row of a file with a teacher's answers; exit status 0 only when
    every row has one.

    让教师回答每一行；每一行都有了回答，退出码才是 0。密钥只从 TEACHER_API_KEY 读。
    """

    rows: Path = place(
        "要回答的行 instruction rows: JSON Lines, JSON, CSV, Parquet, or .txt, a question a line",
        **reads,
    )
    out: Path = place("输出 the same rows with their answers", role="again")
    rejected: Path | None = option(
        "没答好的行 rows without a usable answer go here, with the reason; left out: nowhere",
        role="again",
    )
    overwrite: bool = option("重答 answer rows that have an output, too")
    accept: str | None = option(
        "照收 take replies that look like refusals; left out: they are no answers",
        metavar="refused",
    )

    def run(self) -> int:
        teacher = self.teacher()
        counts = respond_file(
            teacher,
            self.rows,
            self.out,
            self.rejected,
            self.language,
            overwrite=self.overwrite,
            replace=self.replace,
            accept=listed(self.accept),
            say=partial(aside, self),
            **self.sampling,
        )
        kept = f" ({counts['kept']:,} had one already)" if counts["kept"] else ""
        print(
            f"{counts['answered']:,} rows answered{kept}, {counts['unanswered']:,} not; "
            f"{spent(teacher)}"
        )
        return 1 if counts["unanswered"] else 0


@dataclass
class Translate(Asking):
    """Translate English IE records into Chinese, places included, by a teacher or a model that only
    translates; exit status 0 only when every sentence has an answer. Killed, it goes on from the
    store.

    把英文抽取数据译成中文，名字的位置一起带过来；教师或者专门的翻译模型都行；被杀掉后接着做。
    """

    shapes = (RECORD, OTHERS)
    source: Path = place("英文记录 a file, or a name of the catalog", metavar="IN", **reads)
    out: Path = place("中文记录 JSON Lines of what came back true", metavar="OUT", role="again")
    machine: str | None = option(
        "翻译模型 Marian, NLLB, M2M100, mBART: folder or hub id, run here; left out: the teacher",
        role="student",
    )
    names: Path | None = option(
        "类型的中文名 {English: Chinese} of types and roles; left out: the catalog's",
        metavar="FILE.json",
        **reads,
    )
    rejected: Path | None = option(
        "没译成的 sentences without a true translation go here, with the reason; left out: nowhere",
        role="again",
    )

    def run(self) -> int:
        from miniluotuo_utils.jobs.translate import span_table, translate_file
        from miniluotuo_utils.students.translator import Translator

        teacher = Translator(self.machine, self.store) if self.machine else self.teacher()
        found = translate_file(
            teacher,
            self.source,
            self.out,
            self.rejected,
            json_file(self.names, dict) if self.names else None,
            self.replace,
            partial(aside, self),
            **self.sampling,
        )
        print(span_table(found))
        counts, asked = found.counts, teacher.spent
        print(
            f"{counts['translated']:,} of {counts['records']:,} sentences in {self.out}; asked "
            f"{asked['asked']:,}, from the store {asked['from_store']:,}"
        )
        return 1 if counts["unanswered"] else 0


@dataclass
class Instruct(Asking):
    """Grow a set of instructions from seeds, guided by examples and, where given, topics.

    从种子扩充出新指令，照着例子，也可以照着主题。密钥只从 TEACHER_API_KEY 读。
    """

    out: Path = place("输出 the instructions, JSON Lines", role="again")
    seeds: Path = needed("种子 rows with a field instruction, or .txt with one a line", **reads)
    topics: Path | None = option(
        "主题 one a line, rows with a field topic, or Wikipedia's category dump "
        "(…-category.sql.gz); left out: none",
        **reads,
    )
    target: int = needed("目标 instructions to stop at")
    seed: int = option("随机种子 draws the examples and topics", 0)

    def run(self) -> int:
        teacher, say = self.teacher(), partial(aside, self)
        how = {"language": self.language, "seed": self.seed, **self.sampling}
        grown = grow_file(
            teacher,
            self.seeds,
            self.out,
            self.target,
            self.topics,
            self.replace,
            say=say,
            progress=False,
            **how,
        )
        last = grown.curve[-1] if grown.curve else {}
        if grown.error:
            say(grown.error)
        for reason in grown.reasons:
            say(f"  without an instruction: {reason}")
        print(
            f"{len(grown.rows):,} instructions in {self.out}; stopped: {grown.stopped}; "
            f"{last.get('requests', 0):,} requests, {grown.per_request:.1f} new ones each; "
            f"{spent(teacher)}"
        )
        return 0 if grown.stopped == "target" else 1


@dataclass
class Annotate:
    """Name persons, places, organisations and more in a file of sentences, as silver IE records;
    killed, it goes on where it stopped.

    让标注器标出人物、地点、机构、时间等；被杀掉后接着做。
    """

    data: Path = place(
        "句子 sentences: text, one a line, JSON, CSV, Parquet; packed, too", metavar="IN", **reads
    )
    out: Path = place(
        "记录 JSON Lines, one IE record per sentence, in order", metavar="OUT", **writes
    )
    column: str = option(
        "字段 the field or column of the sentence; else text, content, …", "sentence"
    )
    types: list[str] | None = option(
        "类型 some of 人物 地点 机构 时间 作品 专名 数量; left out: all", nargs="+"
    )
    processes: int = option("进程 processes, one thread each", 1)
    overwrite: bool = option(OVERWRITE)

    def run(self) -> None:
        from miniluotuo_utils.jobs.annotate import annotate_file

        counts = annotate_file(**given(self), progress=True)
        print(
            f"{counts['records']:,} sentences with {counts['names']:,} names in {self.out}, "
            f"{counts['kept']:,} of them by an earlier run"
        )


# ---- students


@dataclass
class Zoo:
    """Print the zoo of students.

    打印学生名册。
    """

    def run(self) -> None:
        print_table(zoo_table())


@dataclass
class Plan:
    """Estimate memory, hours and cost of a training before anything is loaded.

    训练前先估内存、时间和费用。
    """

    student: str = place("学生 zoo name, folder or hub id", role="student")
    method: Method = option("方法 of fine-tuning", "full")
    length: int = option("长度 tokens of a row or packed sequence", 1024)
    bits: int | None = option(
        "位 of a frozen base; left out: 4 for qlora, else 16", choices=(4, 8, 16)
    )
    gpu: str = option("显卡 t4, v100, l4, rtx4090, a100-40, a100-80, h100, h200 or cpu", "t4")
    gpus: int = option("显卡数 GPUs that share the work", 1)
    epochs: float | None = option("轮数 times over the rows; left out: 1")
    rows: int | None = option("行数 rows; left out: the 683,235 of the whole mixture")
    row_tokens: float | None = option(
        "每行词元 mean tokens per row; left out: what the mixture has with its tokenizer"
    )
    mfu: float | None = option(
        "利用率 share of the GPU's peak, 0 to 1; left out: as the printed table says"
    )
    price: float | None = option("每小时价钱 of one GPU per hour; left out: no cost is given")
    longest: bool = option("最长一行 search for the longest row that fits, with recomputation")
    json: bool = option("打印 JSON print one JSON object")

    def run(self) -> int:
        from miniluotuo_utils.students.planner import plan, table

        found = plan(**given(self, "json"))
        print(as_json(found) if self.json else table(found))
        return 0 if found["fits"] else 1


@dataclass
class Train:
    """Fine-tune a student on files of instruction rows; killed, it goes on where it stopped. Also
    under `accelerate launch -m`. An adapter's folder as student is trained further.

    在指令数据上微调一个学生；被杀掉后，同一条命令接着训。给一个适配器文件夹，就接着训练它。
    """

    shapes = (ROW, OTHERS)
    student: str = needed(STUDENT, role="student")
    data: list[Path] = needed(
        "数据 files of any format, names of the catalog or of recipes", nargs="+", **reads
    )
    out: Path = needed("输出 a new folder; for an adapter, beside its base's", role="folder")
    method: Method | None = option("方法 of fine-tuning; left out: full, or an adapter's own")
    bits: int | None = option(BITS, choices=(4, 8))
    epochs: float = option("轮数 times over the rows", 1.0)
    max_steps: int | None = option("步数上限 steps at most; left out: epochs and minutes decide")
    minutes: float | None = option("时间上限 minutes at most; left out: epochs and steps decide")
    max_length: int = option("长度上限 tokens of a row; longer ones are left out", 512)
    batch_size: int = option("批量 rows or packed sequences at a time, per process", 8)
    accumulate: int = option("累积 batches of one optimizer step", 1)
    learning_rate: float | None = option(
        "学习率 at its peak; left out: the method's and the student's own"
    )
    rank: int = option("秩 of low-rank adapters", 16)
    alpha: float | None = option("缩放 of low-rank adapters, over the rank; left out: 2 × rank")
    dropout: float | None = option("丢弃率 of a low-rank adapter's input; left out: 0.05")
    targets: list[str] | None = option(
        "层 names of linear layers that get an adapter, as in q_proj v_proj; left out: all but the "
        "output layer",
        nargs="+",
    )
    evaluation: float = option("留出的比例 share of rows kept out for an evaluation loss", 0.0)
    processes: int = option("进程 processes that encode the rows", 1)
    checkpointing: bool | None = option(
        "重算激活 recompute activations; left out: where memory asks for it"
    )
    seed: int = option("随机种子 of weights and order", 42)
    checkpoints: int = option("检查点 how many are written in a training; two are kept", 10)
    report_to: Literal["none", "tensorboard", "trackio"] = option(
        "曲线 where curves go besides the log", "none"
    )
    overwrite: bool = option(OVERWRITE)

    def run(self) -> None:
        from miniluotuo_utils.jobs.train import train_files

        how = given(self, "student", "data", "out")
        say = partial(print, file=sys.stderr, flush=True) if first_process() else None
        training = train_files(self.student, self.data, self.out, say=say, **how)
        if first_process():
            print(as_json(training.metrics()))


@dataclass
class Ablate:
    """Train a student with one source left out at a time, on equal tokens, and say with intervals
    what each source gives; killed, it goes on where it stopped.

    每次去掉一个来源，用一样多的词元训练，看每个来源给了什么，附区间；被杀掉后接着做。
    """

    shapes = (ROW, RECORD, OTHERS)
    student: str = place(STUDENT, role="student")
    out: Path = place(
        "输出 a folder for runs.jsonl, a line a training, and answers.md",
        metavar="OUT",
        role="grows",
    )
    data: list[Path] = needed(
        "来源 files of any format, names of the catalog or of recipes; two or more, or --by source",
        nargs="+",
        **reads,
    )
    by: Literal["data", "source"] = option(
        "按什么分 what counts as a source: each of --data, or what the rows say in their source",
        "data",
    )
    tokens: int = option("词元 tokens of every training, whatever is left out", 200_000)
    seeds: int = option("种子 trainings of each kind", 3)
    method: Method = option("方法 of fine-tuning", "full")
    max_length: int = option("长度上限 tokens of a row; longer ones are left out", 512)
    batch_size: int = option("批量 rows or packed sequences at a time", 8)
    learning_rate: float | None = option(
        "学习率 at its peak; left out: the method's and the student's own"
    )

    def run(self) -> None:
        from miniluotuo_utils.jobs.ablate import ablate, tables

        say = partial(print, file=sys.stderr, flush=True)
        print(tables(ablate(**given(self), say=say)))


@dataclass
class Merge:
    """Add an adapter into its base and save a plain student folder.

    把适配器合并进底座，存成一个普通的学生文件夹。
    """

    adapter: Path = place("适配器 the adapter's folder", role="student")
    out: Path = place("输出 a new folder", role="folder")
    overwrite: bool = option(OVERWRITE)

    def run(self) -> None:
        with Alone(self.out):
            merged = merge(load_student(self.adapter))
            save(merged, self.out, overwrite=self.overwrite)
        print(f"merged student in {self.out}")


@dataclass
class Push:
    """Publish a student, an adapter or a data set on the hub, with its card; without --go only say
    what would go, and whether the licences of its sources allow it.

    把学生、适配器或数据集发布到 hub，附卡片；不加 --go 只说要传什么、许可证允不允许。
    令牌只从 HF_TOKEN 读。
    """

    folder: Path = place("文件夹 as train, save, merge or instructions wrote it", **reads)
    repo: str = place("名字 OWNER/NAME on the hub")
    kind: Literal["student", "adapter", "dataset"] | None = option(
        "种类 left out: what the folder holds"
    )
    go: bool = option("真的上传 upload; left out: nothing leaves this machine")
    public: bool = option("公开 for everybody to see; left out: private, as its page can change")
    results: list[str] | None = option(
        "成绩 files of what `score --json` printed, as in cluener/dev=dev.json; left out: none",
        nargs="+",
        metavar="DATA=FILE.json",
    )
    own: list[str] | None = option(
        "自己的 sources that the catalog does not know and that you answer for; left out: none",
        nargs="+",
        metavar="SOURCE",
    )
    accept: list[str] | None = option(
        "有许可 terms for which you have permission, as in 'none stated'; left out: none",
        nargs="+",
        metavar="TERMS",
    )
    overwrite: bool = option("替换 add a commit to a repository that holds files already")

    def run(self) -> int:
        from miniluotuo_utils.jobs.push import push

        named = (parameter(text, "--results") for text in self.results or ())
        results = {data: json_file(Path(str(file)), dict) for data, file in named}
        how = given(self, "folder", "repo", "results")
        say = partial(aside, self)
        parcel = push(self.folder, self.repo, results=results, say=say, **how)
        return 1 if parcel.refused else 0


PRESET = "预设 extract: the likeliest answer; chat and creative: drawn ones"
PORT = 8000
PAGE_PORT = 7860


@dataclass
class Answering:
    """Answer with a student: what every command that does so takes."""

    bits: int | None = option(BITS, choices=(4, 8))
    max_new_tokens: int = option("回答的词元 tokens of an answer, at most", 128)


def loaded(name: str, bits: int | None, dtype: str | None = None) -> Any:
    """Return a student on this machine's device: float32 on a CPU, half precision on a GPU."""
    device = own_device()
    own = "float32" if device == "cpu" and bits is None else half(device)
    return load_student(name, device, dtype or own, bits)


@dataclass
class Sampling(Answering):
    """Answer by a preset, single fields of which may be replaced."""

    preset: Literal["extract", "chat", "creative"] = option(PRESET, "extract")
    set: list[str] | None = option(
        "改预设 replace a field of the preset, as in top_p=0.9; repeatable; left out: none",
        action="append",
        metavar="NAME=VALUE",
    )

    def overrides(self) -> dict[str, Any]:
        """Return the fields of the preset that are replaced; ValueError for what contradicts."""
        from miniluotuo_utils.generation.presets import preset_of

        found = dict(parameter(text, "--set") for text in self.set or ())
        preset_of(self.preset, **found)
        return found


@dataclass
class Predict(Sampling):
    """Answer every row of a file with a student, in order; killed, it goes on where it stopped.

    让学生按顺序回答每一行；被杀掉后接着做。
    """

    shapes = (ROW,)
    source: Path | None = place(
        'IN 问题 instruction rows, or {"prompt": "..."}: JSON Lines, JSON, CSV, Parquet, or .txt',
        nargs="?",
        metavar="IN",
        **reads,
    )
    target: Path | None = place(
        "OUT 输出 the same rows, output filled by the student", nargs="?", metavar="OUT", **writes
    )
    student: str = needed(STUDENT, role="student")
    data: Path | None = option("旧的写法 as IN was given before; left out: IN", **reads)
    out: Path | None = option("旧的写法 as OUT was given before; left out: OUT", **writes)
    batch_size: int = option("批量 rows at a time", 32)
    seed: int = option("随机种子 for drawn answers", 42)
    overwrite: bool = option(OVERWRITE)

    def run(self) -> None:
        from miniluotuo_utils.jobs.predict import predict_file

        # Before the student is loaded.
        data, out = self.source or self.data, self.target or self.out
        if data is None or out is None:
            raise ValueError("要写 IN 和 OUT。 expected IN and OUT: predict IN OUT --student NAME")
        overrides = self.overrides()
        counts = predict_file(
            loaded(self.student, self.bits),
            data,
            out,
            self.preset,
            self.max_new_tokens,
            self.batch_size,
            self.seed,
            self.overwrite,
            progress=first_process(),
            **overrides,
        )
        print(
            f"{counts['answered']:,} rows answered in {out}, "
            f"{counts['kept']:,} of them by an earlier run"
        )


@dataclass
class Extract(Answering):
    """Extract from every sentence of a file with a student, in order; killed, it goes on where it
    stopped.

    让学生按顺序从每一句里抽取；被杀掉后接着做。
    """

    source: Path = place(
        "句子 sentences: text, one a line, JSON, CSV, Parquet; packed, too", metavar="IN", **reads
    )
    target: Path = place(
        "记录 JSON Lines, one IE record per sentence, in order", metavar="OUT", **writes
    )
    student: str = needed(STUDENT, role="student")
    types: list[str] | None = option(
        "类型 types to look for: 人物 地点 机构; left out: those of --schema", nargs="+"
    )
    schema: Path | None = option(
        "模式 a list of types, for EE {event type: [roles]}; left out: --types",
        metavar="FILE.json",
        **reads,
    )
    task: Literal["NER", "RE", "EE"] = option("任务 entities, relations or events", "NER")
    column: str = option(
        "字段 the field or column of the sentence; else text, content, …", "sentence"
    )
    batch_size: int = option("批量 prompts at a time", 32)
    constrained: bool = option("只许写对的 let the student write only what can be right")
    confidence: bool = option("把握 give every item its confidence, from 0 to 1")
    overwrite: bool = option(OVERWRITE)

    def run(self) -> None:
        from miniluotuo_utils.ie.schema import check_schema
        from miniluotuo_utils.jobs.extract import extract_file

        # Before the student is loaded.
        if bool(self.types) == bool(self.schema):
            raise ValueError(
                "写 --types 或者 --schema。 expected either --types 人物 地点 or --schema FILE.json"
            )
        schema = self.types or json_file(self.schema, list, dict)
        check_schema(schema, self.task)
        counts = extract_file(
            loaded(self.student, self.bits),
            self.source,
            self.target,
            schema,
            self.task,
            self.column,
            self.overwrite,
            progress=first_process(),
            batch_size=self.batch_size,
            max_new_tokens=self.max_new_tokens,
            constrained=self.constrained,
            confidence=self.confidence,
        )
        print(
            f"{counts['records']:,} sentences with {counts['items']:,} items in {self.target}, "
            f"{counts['kept']:,} of them by an earlier run; "
            f"{counts['unparsable']:,} answers could not be read"
        )


@dataclass
class Chat(Sampling):
    """Talk to a student in the terminal: it remembers, /clear forgets, /preset changes the preset.

    在终端里和学生对话：它记得前面说的，/clear 忘掉，/preset 换预设。
    """

    student: str = place(STUDENT, role="student")
    preset: Literal["extract", "chat", "creative"] = option(PRESET, "chat")

    def run(self) -> None:
        from miniluotuo_utils.jobs.chat import HELP, chat, typed

        overrides, asks = self.overrides(), sys.stdin.isatty()
        student = loaded(self.student, self.bits)
        if asks:
            print(HELP)
        lines = typed("> ") if asks else typed("")
        write = partial(print, end="", flush=True)
        chat(student, lines, self.preset, self.max_new_tokens, overrides, write)


@dataclass
class Serve:
    """Serve a student over the OpenAI protocol, or with --page as a page in the browser.

    用 OpenAI 协议服务一个学生；加 --page 就在浏览器里打开一页：对话、抽取、两个学生比一比。
    """

    student: str = place(STUDENT, role="student")
    host: str = option("地址 of this machine; 0.0.0.0 lets the whole network in", "127.0.0.1")
    port: int | None = option(f"端口 left out: {PORT}, for the page {PAGE_PORT}; 0: any free one")
    name: str | None = option("名字 that clients ask for; left out: the student's own")
    dtype: Literal["float32", "bfloat16", "float16"] | None = option(
        "精度 left out: float32 on a CPU, half precision on a GPU"
    )
    bits: int | None = option(BITS, choices=(4, 8))
    engine: Literal["transformers", "vllm"] = option(
        "服务器 transformers serve, or vLLM where it is installed", "transformers"
    )
    page: bool = option("网页 open a page instead")
    beside: str | None = option(
        "第二个学生 a second student on the page, side by side; left out: none", role="student"
    )

    def run(self) -> int | None:
        from miniluotuo_utils.jobs import serve

        # An option that does nothing is no news that one wants to find out later.
        if self.beside and not self.page:
            raise ValueError("--beside 要和 --page 一起写。 --beside is for --page: add it")
        if self.engine == "vllm" and (self.page or self.bits):
            raise ValueError(
                "vLLM 不做网页，也不管 --bits。 --engine vllm takes neither --page nor --bits"
            )

        # A port in use is said before minutes of loading.
        own = PAGE_PORT if self.page else PORT
        port = own if self.port is None else self.port
        with serve.listening(self.host, port):
            pass
        name = self.name or serve.served_name(self.student)
        if self.engine == "vllm":
            how = self.host, port, self.dtype or "auto", say_now
            return serve.serve_vllm(self.student, name, *how)

        student = loaded(self.student, self.bits, self.dtype)
        if self.page:
            students = {name: student, **self.second(name)}
            serve.serve_page(students, self.host, port, say_now)
        else:
            serve.serve_api(student, name, self.host, port, say_now)
        return None

    def second(self, first: str) -> dict[str, Any]:
        """Return the second student by its name, nothing where there is none."""
        from miniluotuo_utils.jobs.serve import served_name

        if not self.beside:
            return {}
        name = served_name(self.beside)
        shown = f"{name} (2)" if name == first else name
        return {shown: loaded(self.beside, self.bits, self.dtype)}


def say_now(text: str) -> None:
    """Print a line at once, into a log too: whoever waits for the address reads it there."""
    print(text, flush=True)


@dataclass
class Export:
    """Carry a student out of Python: a page in the browser, ONNX, or GGUF for llama.cpp and Ollama.

    把学生带出 Python：浏览器里的一页、ONNX，或者给 llama.cpp 和 Ollama 的 GGUF。
    """

    student: str = place(STUDENT, role="student")
    out: Path = place("输出 a new folder", metavar="DIR", role="folder")
    to: Literal["browser", "onnx", "gguf"] = needed("换成 a static page, ONNX, or GGUF")
    types: list[str] | None = option(
        "类型 that stand in the page's box to begin with; left out: 人物 地点 机构 时间 作品",
        nargs="+",
    )
    overwrite: bool = option(OVERWRITE)

    def run(self) -> None:
        from miniluotuo_utils.jobs.export import export

        if self.types and self.to != "browser":
            raise ValueError("--types 只给网页用。 --types is for --to browser: leave it out")
        export(**given(self))


@dataclass
class Score:
    """Score a file of predicted IE records against a file of gold ones; with --against compare it
    with another prediction.

    给抽取结果打分；带 --against 时和另一份预测比较。
    """

    shapes = (RECORD, OTHERS)
    gold: Path = place("标准答案 the gold records", **reads)
    pred: Path = place("预测 the predicted records, one for each gold one, in order", **reads)
    task: Literal["NER", "RE", "EE"] = needed("任务 entities, relations or events")
    mode: str = option(
        "怎样算对 span, string, iepile, instructuie, duie (RE), duee (EE) or overlap (NER)", "span"
    )
    typed: bool = option("连类型 RE: the types of head and tail count, too")
    aliases: Path | None = option(
        "别名 for duie and duee: {name: [equal names]}; left out: none",
        metavar="FILE.json",
        **reads,
    )
    schema: Path | None = option(
        "模式 types, for EE {event type: [roles]}: counts what is outside it; left out: any type",
        metavar="FILE.json",
        **reads,
    )
    format: str | None = option(
        "格式 of both files, e.g. spo_list; left out: their shapes tell", metavar="FORMAT"
    )
    strict: bool = option("从严 refuse a PRED that is slightly off, instead of counting it wrong")
    interval: bool = option("区间 give a bootstrap interval")
    against: Path | None = option(
        "另一份预测 is PRED better than this one? left out: no comparison",
        metavar="OTHER_PRED",
        **reads,
    )
    json: bool = option("打印 JSON print one JSON object")

    def run(self) -> None:
        from miniluotuo_utils.jobs.score import scored

        result, text = scored(
            self.gold,
            self.pred,
            self.task,
            self.mode,
            typed=self.typed,
            aliases=self.aliases,
            schema=self.schema,
            native=self.format,
            spread=self.interval,
            against=self.against,
            strict=self.strict,
        )
        print(as_json(result) if self.json else text)


@dataclass
class Shards:
    """Do clean, annotate, respond, predict or extract over shards of the file in several processes:
    the same rows, whatever the numbers; killed, it goes on with the shards that are missing.

    把 clean、annotate、respond、predict、extract 分成几份、用几个进程做：写出的行和一次做完一样；
    被杀掉后只做没做完的份。
    """

    what: Literal["clean", "annotate", "respond", "predict", "extract"] = place(
        "命令 that is done", metavar="COMMAND"
    )
    rest: list[str] = place(
        "它的参数 IN OUT and all options of that command, and those of this one",
        nargs=argparse.REMAINDER,
        metavar="…",
    )
    shards: int = option("份数 parts that the rows are cut into", 8)
    workers: int = option("进程 that work at a time", 1)

    def run(self) -> int:
        from miniluotuo_utils.jobs.shards import sharded, work_of

        # What stands behind the command is read here: its options and ours in any order.
        own = Parser(add_help=False, allow_abbrev=False)
        for name in ("shards", "workers"):
            own.add_argument(f"--{name}", type=int, default=getattr(self, name))
        told, inner = own.parse_known_args(self.rest)

        # Workers know the commands by the module's own name, which here is __main__.
        chosen, options = import_module("miniluotuo_utils.__main__").parsed([self.what, *inner])
        command, overwrite = chosen(**options), options.get("overwrite", False)
        guard(touched(command), overwrite and "replace" not in options)
        say = partial(aside, command)
        work = work_of(self.what, command, told.shards, told.workers, say)
        return sharded(work, told.shards, told.workers, overwrite, say)


COMMANDS = (
    Catalog,
    Download,
    Validate,
    Convert,
    Clean,
    Mix,
    Respond,
    Translate,
    Instruct,
    Annotate,
    Instructions,
    Zoo,
    Plan,
    Train,
    Ablate,
    Merge,
    Push,
    Predict,
    Extract,
    Chat,
    Serve,
    Export,
    Score,
    Shards,
)

# Commands that keep a clone in order are scripts now.
MOVED = {
    "run": "make run, or python scripts/run_notebooks.py",
    "refresh": "make refresh, or python scripts/notebooks.py refresh",
    "badges": "make badges REPO=owner/name, or python scripts/notebooks.py badges",
    "pin": "python scripts/pin.py NAME...",
}


# ---- from dataclasses to a parser


def as_json(value: object) -> str:
    """Write a result as one line of JSON with Chinese as it is."""
    return json.dumps(value, ensure_ascii=False)


def print_table(rows: Sequence[dict]) -> None:
    """Print rows of one shape as a Markdown table."""
    print(markdown(list(rows[0]), [list(row.values()) for row in rows]))


def given(command: Any, *without: str) -> dict[str, Any]:
    """Return the options of a command that are set, by name, but for those `without`."""
    values = {f.name: getattr(command, f.name) for f in fields(command) if f.name not in without}
    return {name: value for name, value in values.items() if value is not None}


def touched(command: Any) -> list[Touched]:
    """Return every path that a command reads or writes, by the roles of its options."""
    found = []
    for one in fields(command):
        role, value = one.metadata.get("role"), getattr(command, one.name)
        if role is None or value is None:
            continue
        paths = folders_read(value) if role == "student" else value
        role = "reads" if role == "student" else role
        for path in paths if isinstance(paths, list) else [paths]:
            found.append(Touched(one.name, Path(path), role))
    return found


def in_shell(command: Any, message: object) -> str:
    """Return a message with the options of a command as the shell writes them.

    >>> in_shell(Respond, "pass max_tokens=…")
    'pass --max-tokens …'
    """
    names = "|".join(one.name for one in fields(command))
    return re.sub(
        rf"(?<![\w-])({names})=(?=\S)", lambda m: f"--{m[1].replace('_', '-')} ", str(message)
    )


def aside(command: Any, line: str) -> None:
    """Say something beside the output, in the shell's words."""
    print(in_shell(command, line), file=sys.stderr, flush=True)


def argument(
    name: str, kind: Any, default: Any, how: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Return what `add_argument` takes for one field of a command.

    >>> argument("max_steps", int | None, None, {"help": ""})
    ('--max-steps', {'default': None, 'help': '', 'type': <class 'int'>})
    >>> argument("task", Literal["NER", "RE"], None, {"help": "", "positional": True})
    ('task', {'default': None, 'help': '', 'choices': ('NER', 'RE')})
    """
    how, left_open = {"default": default, **how}, NoneType in get_args(kind)
    if left_open:
        [kind] = [part for part in get_args(kind) if part is not NoneType]
    positional, flag = how.pop("positional", False), how.pop("flag", None)
    how.pop("role", None)

    # A switch that may also be left open has a --no- form.
    if kind is bool:
        how["action"] = argparse.BooleanOptionalAction if left_open else "store_true"
        how["default"] = None if left_open else False
    elif get_origin(kind) is Literal:
        how["choices"] = get_args(kind)

    # argparse reads a list one value at a time, and texts as they are.
    elif kind is not str:
        how["type"] = get_args(kind)[0] if get_origin(kind) is list else kind
    if flag:
        how["dest"] = name
    return name if positional else flag or "--" + name.replace("_", "-"), how


def paragraphs(command: Any) -> list[str]:
    """Return what a command does, in English and in Chinese, and the shapes of its data.

    >>> paragraphs(Zoo)
    ['Print the zoo of students.', '打印学生名册。']
    """
    described = [" ".join(part.split()) for part in command.__doc__.split("\n\n")]
    return [*described, *getattr(command, "shapes", ())]


def explained(one: Field) -> str:
    """Return the explanation of an option, with its default where it has one.

    >>> explained(next(one for one in fields(Train) if one.name == "max_length"))
    '长度上限 tokens of a row; longer ones are left out (默认 default: 512)'
    """
    said, default = one.metadata["help"], one.default
    if one.type is bool:
        default = "no"
    asked = one.metadata.get("required") or one.metadata.get("positional")
    if asked or default is None:
        return said + (" (必填 required)" if one.metadata.get("required") else "")
    return f"{said} (默认 default: {default})"


class Help(argparse.HelpFormatter):
    """Lay out `--help` for the width of the terminal, where a Chinese character takes two columns.

    argparse counts characters.
    """

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=width())

    def _split_lines(self, text: str, size: int) -> list[str]:
        return wrapped(text, size)

    def _fill_text(self, text: str, size: int, indent: str) -> str:
        parts = ["\n".join(wrapped(part, size)) for part in text.split("\n\n")]
        return "\n\n".join(parts)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, and offer the nearest of many names."""

    def error(self, message: str) -> NoReturn:
        """Print one line that says what is wrong, and leave with status 2."""
        if bad := re.search(r"(.*): invalid choice: '?(.*?)'? \(choose from (.*)\)", message):
            names = re.findall(r"[^\s',]+", bad[3])
            message = f"{bad[1]}: found {bad[2]!r}; {choices(bad[2], names)}"
        print(f"error: {message}\n{self.prog} --help", file=sys.stderr)
        sys.exit(2)


def parser() -> Parser:
    """Return the parser of all commands, one subparser each."""
    top = Parser(
        prog="python -m miniluotuo_utils",
        description="迷你骆驼 Mini-Luotuo from a shell. COMMAND --help: 一条命令的选项 its options",
        formatter_class=Help,
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        described = paragraphs(command)
        sub = commands.add_parser(
            command.__name__.lower(),
            help=" ".join(first_sentence(part) for part in described[:2]),
            description="\n\n".join(described).replace("%", "%%"),
            formatter_class=Help,
        )
        sub.set_defaults(command=command)
        for one in fields(command):
            how = {**one.metadata, "help": explained(one).replace("%", "%%")}
            flag, how = argument(one.name, one.type, one.default, how)
            sub.add_argument(flag, **how)
    return top


def first_sentence(text: str) -> str:
    """Return the first sentence of a text, or its part before a semicolon.

    >>> first_sentence("Train it; killed, it goes on."), first_sentence("训练它；接着训。")
    ('Train it.', '训练它。')
    """
    cut = re.match(r"(.*?)([.;](?= |$)|[。；])", text)
    return text if cut is None else cut[1] + {";": ".", "；": "。"}.get(cut[2], cut[2])


def parsed(argv: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    """Return the command and its options; an option that it does not have is an error."""
    top = parser()
    found, rest = top.parse_known_args(argv)
    options = vars(found)
    chosen = options.pop("command")
    strange = next((word for word in rest if word.startswith("-")), None)
    name = chosen.__name__.lower()
    if strange:
        flags = [argument(one.name, one.type, None, one.metadata)[0] for one in fields(chosen)]
        known = [flag for flag in flags if flag.startswith("-")]
        near = ", ".join(nearest(strange, known))
        top.error(f"{name} has no option {strange.partition('=')[0]}; nearest: {near}")
    if rest:
        top.error(f"{name}: {rest[0]!r} is one argument too many")
    return chosen, options


def help_page() -> str:
    """Return the options of all commands in Markdown, from what `--help` prints."""
    parts = []
    for command in COMMANDS:
        rows = []
        for one in fields(command):
            flag, how = argument(one.name, one.type, one.default, one.metadata)
            shown = how.get("metavar", flag) if one.metadata.get("positional") else flag
            values = f" {', '.join(map(str, how['choices']))}" if "choices" in how else ""
            rows.append([f"`{shown}`{values}", explained(one)])
        table = [markdown(["选项 option", "说明 meaning"], rows)] if rows else []
        title = f"### {command.__name__.lower()}"
        parts.append("\n\n".join([title, *map(quoted, paragraphs(command)), *table]))
    return "\n\n" + "\n\n".join(parts) + "\n\n"


def quoted(text: str) -> str:
    """Return a paragraph in which Markdown changes nothing but marks JSON as code."""
    return re.sub(r"\{\".*\}(?=[,;])|\[[\[{].*[\]}]\]?", lambda found: f"`{found[0]}`", text)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; a mistake of the user is one line, not a traceback."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv and argv[0] in MOVED:
        print(f"error: {argv[0]} is now, in a clone: {MOVED[argv[0]]}", file=sys.stderr)
        return 2
    chosen, options = parsed(argv)
    try:
        # Before anything is loaded or paid for: no command replaces what is not its own. Where a
        # command may be given again, `overwrite` is about rows, and its files only grow.
        command = chosen(**options)
        guard(touched(command), options.get("overwrite", False) and "replace" not in options)
        # A command that returns nothing went well.
        return command.run() or 0
    except (ValueError, OSError, MemoryError, FloatingPointError) as error:
        print(f"error: {in_shell(chosen, error)}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if error.name not in EXTRA_OF:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "\nstopped; nothing half-written looks finished: "
            "the same command goes on or begins anew",
            file=sys.stderr,
        )
        return 130


if __name__ == "__main__":
    never_fails(sys.stdout, sys.stderr)
    sys.exit(main())
