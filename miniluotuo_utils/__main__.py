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
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from miniluotuo_utils.data.writers import WRITERS
from miniluotuo_utils.jobs.instructions import Options, instruction_set
from miniluotuo_utils.jobs.respond import grow_file, respond_file
from miniluotuo_utils.students import load_student, merge, save, zoo_table
from miniluotuo_utils.students.devices import first_process, half, own_device
from miniluotuo_utils.students.loading import folders_read
from miniluotuo_utils.students.methods import METHODS
from miniluotuo_utils.writing import Alone, Touched, guard

Method = Literal[METHODS]  # type: ignore[valid-type]
OVERWRITE = "replace what an earlier run wrote there; anybody else's files are never replaced"


def option(help: str = "", default: Any = None, **how: Any) -> Any:
    """Describe one option of a command; `how` is what else argparse wants to know."""
    return field(default=default, metadata={"help": help, **how})


needed = partial(option, required=True)
place = partial(option, positional=True)  # an argument that is told by its place
# `role` says what a path is for (`writing.Touched`): the guard of `main` compares all of them.
reads, writes = {"role": "reads"}, {"role": "file"}


# ---- data


@dataclass
class Catalog:
    """Print the catalog of data sources."""

    def run(self) -> None:
        from miniluotuo_utils.data.catalog import catalog_table

        print_table(catalog_table())


@dataclass
class Download:
    """Download and verify the files of data sets, into the cache or a mirror folder for a class;
    students too, with --mirror."""

    names: list[str] = place(nargs="+")
    mirror: Path | None = option(role="grows")
    home: Path | None = option(role="grows")

    def run(self) -> None:
        from miniluotuo_utils.jobs.download import downloaded

        if self.home:
            os.environ["MINILUOTUO_HOME"] = str(self.home)
        for line in downloaded(self.names, self.mirror):
            print(line)


@dataclass
class Validate:
    """Check a file of instruction rows or IE records in any format, and name place, field and
    fault of each bad one."""

    file: Path = place(**reads)
    most: int = option("how many faults to print", 20)
    format: str | None = option("of the file, where its shape does not tell")

    def run(self) -> int:
        from miniluotuo_utils.jobs.validate import validated

        kinds, faults = validated(self.file, self.format, print)
        for fault in faults[: self.most]:
            print(fault)
        if faults[self.most :]:
            print(f"... and {len(faults) - self.most:,} more")
        good = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items()) or "nothing"
        print(f"{self.file.name}: {good} well-formed, {len(faults):,} faults")
        return 1 if faults or not kinds else 0


@dataclass
class Convert:
    """Write a file of any format in another: doccano, Label Studio, brat, columns of tags, UIE,
    Alpaca, ShareGPT, OpenAI's messages."""

    source: Path = place("a file, or a folder of brat", metavar="IN", **reads)
    out: Path = place("a new file; for brat a new folder", metavar="OUT", role="whole")
    to: Literal[tuple(WRITERS)] = needed("records: our own rows or records")  # type: ignore
    from_: str | None = option("else the file's shape tells", flag="--from", metavar="FORMAT")
    task: Literal["NER", "RE", "EE"] | None = option("of a file that holds several")
    offsets: Literal["characters", "utf16"] | None = option(
        "how places are counted in OUT; else utf16 for doccano, characters for the others"
    )
    read_offsets: Literal["characters", "utf16"] | None = option(
        "how places are counted in IN; else what stands there tells"
    )
    labels: list[str] | None = option("names of numbered tags, in order", nargs="+")
    skip: bool = option("leave malformed units out, and count them")
    overwrite: bool = option(OVERWRITE)

    def run(self) -> None:
        from miniluotuo_utils.data import convert

        convert(**given(self))


@dataclass(frozen=True)
class Instructions(Options):
    """Write one large extraction instruction set from the catalog's sources, with its card."""

    names: list[str] = place(
        "of the catalog; none: every source with an extraction task", nargs="*"
    )
    out: Path = needed(role="folder")
    slice_size: int | None = option("types per prompt; else 6 for NER, 4 for others")
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

    base_url: str | None = option("else TEACHER_BASE_URL")
    model: str | None = option("else TEACHER_MODEL")
    store: Path = needed("sqlite file of all replies: nothing is asked twice", role="store")
    concurrency: int = option("requests at a time, at most", 16)
    requests_per_minute: float | None = option("at most; tries count")
    tokens_per_minute: float | None = option("at most, as the server counts them")
    timeout: float = option("seconds of silence after which a try is given up", 600.0)
    max_retries: int = option("tries of a request beside the first; one after a time-out", 8)
    budget: float | None = option(
        "money that this run may spend (earlier runs are not counted); needs both prices and "
        "--max-tokens"
    )
    budget_tokens: int | None = option(
        "tokens that this run may spend (earlier runs are not counted); needs --max-tokens"
    )
    price_in: float | None = option("per million prompt tokens")
    price_out: float | None = option("per million completion tokens")
    language: Literal["zh", "en"] = option("of our prompts to the teacher", "zh")
    temperature: float | None = option("left out: the server's own")
    max_tokens: int | None = option("of one reply; left out: the server's own limit")
    param: list[str] | None = option(
        "any other parameter, its value as JSON or text: enable_thinking=false; repeatable",
        action="append",
        metavar="NAME=VALUE",
    )
    retry: str | None = option(
        "ask again for stored replies that are cut, empty, refused or filtered",
        metavar="cut,empty,refused",
    )
    replace: bool = option(
        "write OUT anew, even if that loses lines of an earlier run or of yours; else it only grows"
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


def parameter(text: str) -> tuple[str, Any]:
    """Return name and value of NAME=VALUE; ValueError for anything else.

    >>> parameter("enable_thinking=false"), parameter("reasoning_effort=low")
    (('enable_thinking', False), ('reasoning_effort', 'low'))
    """
    name, equals, value = text.partition("=")
    if not (name.strip() and equals):
        raise ValueError(f"--param: found {text!r}, expected NAME=VALUE, as in top_p=0.9")
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
    """Fill the output of every row of a JSON Lines file with a teacher's answers; exit status 0
    only when every row has one."""

    rows: Path = place(**reads)
    out: Path = place(role="again")
    rejected: Path | None = option(
        "rows without a usable answer go here, with the reason", role="again"
    )
    overwrite: bool = option("answer rows that have an output, too")
    accept: str | None = option("take replies that look like refusals", metavar="refused")

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
class Instruct(Asking):
    """Grow a set of instructions from seeds, guided by examples and, where given, topics."""

    out: Path = place(role="again")
    seeds: Path = needed("JSON Lines with a field instruction", **reads)
    topics: Path | None = option("one a line, or JSON Lines with a field topic", **reads)
    target: int = needed("instructions to stop at")
    seed: int = option("draws the examples and topics", 0)

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
    killed, it goes on where it stopped."""

    data: Path = place(
        "sentences: .txt, one a line, or .jsonl; also .gz and .xz", metavar="IN", **reads
    )
    out: Path = place("JSON Lines, one IE record per sentence, in order", metavar="OUT", **writes)
    column: str = option("the field of .jsonl that holds the sentence", "sentence")
    types: list[str] | None = option(
        "some of 人物 地点 机构 时间 作品 专名 数量; else all", nargs="+"
    )
    processes: int = option("one thread each", 1)
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
    """Print the zoo of students."""

    def run(self) -> None:
        print_table(zoo_table())


@dataclass
class Plan:
    """Estimate memory, hours and cost of a training before anything is loaded."""

    student: str = place("zoo name, folder or hub id")
    method: Method = option(default="full")
    length: int = option(default=1024)
    gpu: str = option("t4, v100, l4, rtx4090, a100-40, a100-80, h100, h200 or cpu", "t4")
    epochs: float | None = option()
    rows: int | None = option("else the 683,235 of the whole mixture")
    row_tokens: float | None = option("mean tokens per row")
    mfu: float | None = option("share of the GPU's peak, 0 to 1")
    price: float | None = option("per hour")
    json: bool = option("one JSON object")

    def run(self) -> int:
        from miniluotuo_utils.students.planner import plan, table

        found = plan(**given(self, "json"))
        print(as_json(found) if self.json else table(found))
        return 0 if found["fits"] else 1


@dataclass
class Train:
    """Fine-tune a student on files of instruction rows; killed, it goes on where it stopped. Also
    under `accelerate launch -m`."""

    student: str = needed("zoo name, folder or hub id", role="student")
    data: list[Path] = needed(
        "files of any format, names of the catalog or of recipes", nargs="+", **reads
    )
    out: Path = needed(role="folder")
    method: Method | None = option("left out: full, or an adapter's own")
    bits: int | None = option(choices=(4,))
    epochs: float = option(default=1.0)
    max_steps: int | None = option()
    minutes: float | None = option()
    max_length: int = option(default=512)
    batch_size: int = option("per process", 8)
    accumulate: int = option(default=1)
    learning_rate: float | None = option()
    rank: int = option(default=16)
    evaluation: float = option("share of rows kept out", 0.0)
    processes: int = option("that encode the rows", 1)
    checkpointing: bool | None = option("recompute activations; left out: where memory asks for it")
    seed: int = option(default=42)
    checkpoints: int = option(default=10)
    report_to: Literal["none", "tensorboard", "trackio"] = option(default="none")
    overwrite: bool = option(OVERWRITE)

    def run(self) -> None:
        from miniluotuo_utils.jobs.train import train_files

        how = given(self, "student", "data", "out")
        say = partial(print, file=sys.stderr, flush=True) if first_process() else None
        training = train_files(self.student, self.data, self.out, say=say, **how)
        if first_process():
            print(as_json(training.metrics()))


@dataclass
class Merge:
    """Add an adapter into its base and save a plain student folder."""

    adapter: Path = place(role="student")
    out: Path = place(role="folder")
    overwrite: bool = option(OVERWRITE)

    def run(self) -> None:
        with Alone(self.out):
            merged = merge(load_student(self.adapter))
            save(merged, self.out, overwrite=self.overwrite)
        print(f"merged student in {self.out}")


@dataclass
class Predict:
    """Answer every row of a JSON Lines file with a student, in order; killed, it goes on where it
    stopped."""

    student: str = needed("zoo name, folder or hub id", role="student")
    bits: int | None = option(choices=(4,))
    data: Path = needed('instruction rows, or {"prompt": "..."} lines', **reads)
    out: Path = needed("the same rows, output filled by the student", **writes)
    preset: Literal["extract", "chat", "creative"] = option(default="extract")
    max_new_tokens: int = option(default=128)
    batch_size: int = option(default=32)
    seed: int = option("for creative", 42)
    overwrite: bool = option(OVERWRITE)

    def run(self) -> None:
        from miniluotuo_utils.jobs.predict import predict_file

        device = own_device()
        whole = device == "cpu" and self.bits is None
        student = load_student(
            self.student, device, "float32" if whole else half(device), self.bits
        )
        counts = predict_file(
            student,
            self.data,
            self.out,
            self.preset,
            self.max_new_tokens,
            self.batch_size,
            self.seed,
            self.overwrite,
            progress=first_process(),
        )
        print(
            f"{counts['answered']:,} rows answered in {self.out}, "
            f"{counts['kept']:,} of them by an earlier run"
        )


@dataclass
class Score:
    """Score a file of predicted IE records against a file of gold ones; with --against compare it
    with another prediction. A record: {"sentence": "李白生于碎叶", "entities": [{"name": "李白",
    "type": "人物", "pos": [0, 2]}]}, pos in characters or null; or relations [{head, type, tail}],
    or events [{type, trigger, pos, arguments: [{name, role, pos}]}]. Other formats are read too."""

    gold: Path = place(**reads)
    pred: Path = place(**reads)
    task: Literal["NER", "RE", "EE"] = needed()
    mode: str = option(
        "span, string, iepile, instructuie, duie (RE), duee (EE) or overlap (NER)", "span"
    )
    typed: bool = option("RE: the types of head and tail too")
    aliases: Path | None = option("duie, duee: {name: [equal names]}", metavar="FILE.json", **reads)
    schema: Path | None = option(
        "types, for EE {event type: [roles]}: counts what is outside it",
        metavar="FILE.json",
        **reads,
    )
    format: str | None = option(
        "of both files, where their shape does not tell, e.g. spo_list", metavar="FORMAT"
    )
    strict: bool = option("refuse a PRED that is slightly off, instead of counting it wrong")
    interval: bool = option("bootstrap")
    against: Path | None = option("is it better than PRED?", metavar="OTHER_PRED", **reads)
    json: bool = option("one JSON object")

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


COMMANDS = (
    Catalog,
    Download,
    Validate,
    Convert,
    Respond,
    Instruct,
    Annotate,
    Instructions,
    Zoo,
    Plan,
    Train,
    Merge,
    Predict,
    Score,
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
    from miniluotuo_utils.text import markdown

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


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands, one subparser each."""
    top = argparse.ArgumentParser(
        prog="python -m miniluotuo_utils", description="迷你骆驼 Mini-Luotuo from a shell"
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        sub = commands.add_parser(command.__name__.lower(), help=" ".join(command.__doc__.split()))
        sub.set_defaults(command=command)
        for one in fields(command):
            flag, how = argument(one.name, one.type, one.default, one.metadata)
            sub.add_argument(flag, **how)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; a mistake of the user is one line, not a traceback."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv and argv[0] in MOVED:
        print(f"error: {argv[0]} is now, in a clone: {MOVED[argv[0]]}", file=sys.stderr)
        return 2
    options = vars(parser().parse_args(argv))
    chosen = options.pop("command")
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
    except KeyboardInterrupt:
        print(
            "\nstopped; nothing half-written looks finished: "
            "the same command goes on or begins anew",
            file=sys.stderr,
        )
        return 130


if __name__ == "__main__":
    sys.exit(main())
