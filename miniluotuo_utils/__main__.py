"""The same functions from a shell: `python -m miniluotuo_utils COMMAND --help`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from miniluotuo_utils.students.methods import METHODS


def catalog(args: argparse.Namespace) -> int:
    """Print the catalog of data sources, or write it into both READMEs."""
    from miniluotuo_utils.data.catalog import catalog_table
    from miniluotuo_utils.text import markdown

    rows = catalog_table()
    print(markdown(list(rows[0]), [list(row.values()) for row in rows]))
    return 0


def zoo(args: argparse.Namespace) -> int:
    """Print the zoo of students, or compute its training memory anew (minutes) and write the table into both READMEs."""
    from miniluotuo_utils.students import zoo_table
    from miniluotuo_utils.text import markdown

    rows = zoo_table()
    print(markdown(list(rows[0]), [list(row.values()) for row in rows]))
    return 0


def download_students(names: Sequence[str], mirror: Path | None) -> list[str]:
    """Download the students among `names` (zoo names) into a mirror folder; the other names."""
    from miniluotuo_utils.students.zoo import HERD

    students = [name for name in names if name in HERD]
    if students and mirror is None:
        raise ValueError(
            f"{', '.join(students)}: the hub keeps its own cache of students, which load_student fills; give --mirror DIR for a folder"
        )
    for name in students:
        from miniluotuo_utils.students.loading import copy_into_mirror

        print(f"{name}: in {copy_into_mirror(name, mirror)}")
    return [name for name in names if name not in students]


def download(args: argparse.Namespace) -> int:
    """Download and verify the files of data sets, into the cache or a mirror folder for a class; students too, with --mirror."""
    import os

    from miniluotuo_utils.data.download import copy_into_mirror
    from miniluotuo_utils.data.loading import files, loadable

    cards = [loadable(name) for name in download_students(args.names, args.mirror)]
    if args.home:
        os.environ["MINILUOTUO_HOME"] = str(args.home)
    missing = []
    for found in cards:
        try:
            files(found.name)
            if args.mirror:
                copy_into_mirror(found.pins, args.mirror)
        except FileNotFoundError as error:
            missing.append(str(error))
            continue
        print(
            f"{found.name}: {len(found.pins)} files, {found.state}"
            + (f", in {args.mirror}" if args.mirror else "")
        )
    if missing:
        raise FileNotFoundError(
            "\n  ".join([f"{len(missing)} of {len(cards)} data sets are not whole:", *missing])
        )
    if args.mirror:
        print(f'to use it: MINILUOTUO_MIRROR="{args.mirror.resolve()}"')
    return 0


def validate(args: argparse.Namespace) -> int:
    """Check a JSON Lines file of instruction rows or IE records, and name line, field and fault of each bad one."""
    from miniluotuo_utils.jobs.validate import validated

    kinds, faults = validated(args.file)
    for fault in faults[: args.most]:
        print(fault)
    if faults[args.most :]:
        print(f"... and {len(faults) - args.most:,} more")
    print(
        f"{args.file.name}: "
        + (", ".join(f"{n:,} {kind}" for kind, n in kinds.items()) or "nothing")
        + f" well-formed, {len(faults):,} faults"
    )
    return 1 if faults or not kinds else 0


def teacher_of(args: argparse.Namespace) -> object:
    """The teacher of the arguments; its key comes from TEACHER_API_KEY alone, since arguments can be read by every user of a machine."""
    from miniluotuo_utils.teacher import Teacher
    from miniluotuo_utils.teacher.limits import Budget

    prices = (
        {"prompt": args.price_in, "completion": args.price_out}
        if args.price_in is not None and args.price_out is not None
        else None
    )
    budget = Budget(args.budget_tokens, args.budget, prices)
    return Teacher(
        args.base_url,
        args.model,
        None,
        args.store,
        args.concurrency,
        args.requests_per_minute,
        args.tokens_per_minute,
        budget,
    )


def sampling_of(args: argparse.Namespace) -> dict:
    """The sampling parameters that were given."""
    return {"temperature": args.temperature, "max_tokens": args.max_tokens}


def respond(args: argparse.Namespace) -> int:
    """Fill the output of every row of a JSON Lines file with a teacher's answers; exit status 0 only when every row has one."""
    from miniluotuo_utils.jobs.respond import respond_file

    teacher = teacher_of(args)
    counts = respond_file(
        teacher, args.rows, args.out, args.rejected, args.language, **sampling_of(args)
    )
    print(f"{counts['answered']:,} rows answered, {counts['unanswered']:,} not; {teacher.spent}")
    return 1 if counts["unanswered"] else 0


def instruct(args: argparse.Namespace) -> int:
    """Grow a set of instructions from seeds, guided by examples and, where given, topics."""
    from miniluotuo_utils.jobs.respond import grow_file

    teacher = teacher_of(args)
    grown = grow_file(
        teacher,
        args.seeds,
        args.out,
        args.target,
        args.topics,
        language=args.language,
        seed=args.seed,
        **sampling_of(args),
    )
    print(
        f"{len(grown.rows):,} instructions in {args.out}; stopped: {grown.stopped}; {grown.curve[-1] if grown.curve else {}}; {teacher.spent}"
    )
    return 0 if grown.stopped == "target" else 1


def score(args: argparse.Namespace) -> int:
    """Score a file of predicted IE records against a file of gold ones; with --against compare it with another prediction."""
    from miniluotuo_utils.ie import compare, interval, score_files, table

    try:
        if args.interval or args.against:
            import numpy  # noqa: F401  said before the files are read
    except ImportError:
        raise ValueError(
            "--interval and --against need numpy, which is not installed: pip install numpy"
        ) from None
    read, asked = (
        reader_of(args.format),
        {"typed": args.typed, "aliases": json_file(args.aliases, dict)},
    )
    schema = json_file(args.schema, (list, dict))
    result = score_files(args.gold, args.pred, args.task, args.mode, schema, read=read, **asked)
    found = [table(result)]
    if args.interval:
        result["interval"] = interval(
            read(args.gold), read(args.pred), args.task, args.mode, **asked
        )
        found.append(spread_table(result["interval"]))
    if args.against:
        score_files(
            args.gold, args.against, args.task, args.mode, read=read, **asked
        )  # names the files where they do not fit
        result["against"] = compare(
            read(args.gold), read(args.pred), read(args.against), args.task, args.mode, **asked
        )
        found.append(contrast_table(result["against"], args.pred.name, args.against.name))
    print(json.dumps(result, ensure_ascii=False) if args.json else "\n\n".join(found))
    return 0


def reader_of(name: str | None) -> Callable[[Path], Iterator[dict]]:
    """What reads IE records from a file of a native format, by the name of its reader; without one, from JSON Lines of records."""
    from functools import partial

    from miniluotuo_utils.files import iter_jsonl
    from miniluotuo_utils.records import check_record

    if name is None:
        return partial(iter_jsonl, check=check_record)
    from miniluotuo_utils.data.readers import READERS, read_file

    of_records = [key for key, reader in READERS.items() if reader.check is check_record]
    if name not in of_records:
        raise ValueError(
            f"--format is {name!r}; expected a reader of IE records: {', '.join(of_records)}"
        )
    return lambda path: read_file(path, READERS[name], path.stem)


def json_file(path: Path | None, kind: type | tuple[type, ...]) -> object:
    """The value of a JSON file, None without one."""
    if path is None:
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path.name}: not JSON ({error}); expected one JSON value in UTF-8"
        ) from None
    if not isinstance(value, kind):
        names = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
        raise ValueError(f"{path.name}: found a {type(value).__name__}, expected a {names}")
    return value


def spread_table(spread: dict) -> str:
    """The result of `interval` as plain text."""
    from miniluotuo_utils.ie import headline

    rows = [
        f"{label} {rate:<10} {low:.4f} to {high:.4f}"
        for label, micro in headline(spread)
        for rate, (low, high) in micro.items()
    ]
    return "\n".join(["95 % interval, sentences drawn with replacement", *rows])


def contrast_table(contrast: dict, a: str, b: str) -> str:
    """The result of `compare` as plain text."""
    from miniluotuo_utils.ie import headline

    rows = [
        f"{label} F1 {m['a']:.4f}, {m['b']:.4f}: difference {m['difference']:+.4f}, 95 % {m['interval'][0]:+.4f} to "
        f"{m['interval'][1]:+.4f}, not better in {m['not_better']:.1%} of resamples, permutation p {m['p']:.4f}"
        for label, m in headline(contrast)
    ]
    return "\n".join([f"{b} against {a}", *rows])


def instructions(args: argparse.Namespace) -> int:
    """Write one large extraction instruction set from the catalog's sources, with its card."""
    from miniluotuo_utils.jobs.instructions import instruction_set

    names = ("split", "per_type", "limit", "seed", "style", "slice_size", "pure_negative", "format")
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    stats = instruction_set(args.out, args.names, say=print, **given)
    print(
        f"{stats['rows']:,} rows of {len(stats['sources'])} sources in {args.out}; {len(stats['absent'])} sources not to be had, listed in README.md there"
    )
    return 0


def train(args: argparse.Namespace) -> int:
    """Fine-tune a student on files of instruction rows; killed, it goes on where it stopped. Also under `accelerate launch -m`."""
    from miniluotuo_utils.jobs.train import train_files
    from miniluotuo_utils.students.devices import first_process

    names = (
        "method",
        "epochs",
        "max_steps",
        "minutes",
        "max_length",
        "batch_size",
        "accumulate",
        "learning_rate",
        "rank",
        "evaluation",
        "checkpointing",
        "seed",
        "checkpoints",
        "report_to",
    )
    training = train_files(
        args.student,
        args.data,
        args.out,
        bits=args.bits,
        processes=args.processes,
        **{name: getattr(args, name) for name in names},
    )
    if first_process():
        print(json.dumps(training.figures(), ensure_ascii=False))
    return 0


def predict(args: argparse.Namespace) -> int:
    """Answer every row of a JSON Lines file with a student, in order; killed, it goes on where it stopped."""
    from miniluotuo_utils.jobs.predict import predict_file
    from miniluotuo_utils.students import load_student
    from miniluotuo_utils.students.devices import half, own_device

    device = own_device()
    student = load_student(
        args.student,
        device,
        "float32" if device == "cpu" and args.bits is None else half(device),
        args.bits,
    )
    counts = predict_file(
        student, args.data, args.out, args.preset, args.max_new_tokens, args.batch_size, args.seed
    )
    print(
        f"{counts['answered']:,} rows answered in {args.out}, {counts['kept']:,} of them by an earlier run"
    )
    return 0


def plan(args: argparse.Namespace) -> int:
    """Estimate memory, hours and cost of a training before anything is loaded."""
    from miniluotuo_utils.students.planner import plan as planned
    from miniluotuo_utils.students.planner import table

    names = ("epochs", "rows", "row_tokens", "mfu", "price")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    found = planned(args.student, args.method, args.length, args.gpu, **given)
    print(json.dumps(found, ensure_ascii=False) if args.json else table(found))
    return 0 if found["fits"] else 1


def merge(args: argparse.Namespace) -> int:
    """Add an adapter into its base and save a plain student folder."""
    from miniluotuo_utils.students import load_student, save
    from miniluotuo_utils.students import merge as merged

    save(merged(load_student(args.adapter)), args.out)
    print(f"merged student in {args.out}")
    return 0


def data_commands(command: Callable[..., None]) -> None:
    """Notebooks, README and data."""
    command(
        download,
        ("names", {"nargs": "+"}),
        ("--mirror", {"type": Path}),
        ("--home", {"type": Path}),
    )
    command(catalog)
    command(zoo)
    command(
        validate,
        ("file", {"type": Path}),
        ("--most", {"type": int, "default": 20, "help": "how many faults to print"}),
    )


def teacher_commands(command: Callable[..., None]) -> None:
    """Asking a teacher."""
    asking = (
        ("--base-url", {"help": "else TEACHER_BASE_URL"}),
        ("--model", {"help": "else TEACHER_MODEL"}),
        (
            "--store",
            {
                "type": Path,
                "required": True,
                "help": "sqlite file of all replies: nothing is asked twice",
            },
        ),
        ("--concurrency", {"type": int, "default": 16}),
        ("--requests-per-minute", {"type": float}),
        ("--tokens-per-minute", {"type": float}),
        ("--budget", {"type": float, "help": "money; needs both prices and --max-tokens"}),
        ("--budget-tokens", {"type": int}),
        ("--price-in", {"type": float, "help": "per million prompt tokens"}),
        ("--price-out", {"type": float}),
        ("--language", {"default": "zh", "choices": ("zh", "en")}),
        ("--temperature", {"type": float}),
        ("--max-tokens", {"type": int}),
    )
    command(
        respond,
        ("rows", {"type": Path}),
        ("out", {"type": Path}),
        ("--rejected", {"type": Path, "help": "rows without a usable answer go here"}),
        *asking,
    )
    command(
        instruct,
        ("out", {"type": Path}),
        ("--seeds", {"type": Path, "required": True}),
        ("--topics", {"type": Path}),
        ("--target", {"type": int, "required": True}),
        ("--seed", {"type": int, "default": 0}),
        *asking,
    )


def student_commands(command: Callable[..., None]) -> None:
    """Training, answering, scoring, planning."""
    command(
        instructions,
        (
            "names",
            {"nargs": "*", "help": "of the catalog; none: every source with an extraction task"},
        ),
        ("--out", {"type": Path, "required": True}),
        ("--split", {"default": "train"}),
        ("--style", {"default": "json", "choices": ("json", "yayi", "instructuie", "plain")}),
        ("--per-type", {"type": int, "help": "stop taking records of types that stand in so many"}),
        ("--limit", {"type": int, "help": "records of each source at most"}),
        ("--slice-size", {"type": int, "help": "types per prompt; else 6 for NER, 4 for others"}),
        (
            "--pure-negative",
            {
                "type": float,
                "default": 0.25,
                "help": "largest share of prompts with an empty answer",
            },
        ),
        ("--seed", {"type": int, "default": 0}),
        ("--format", {"default": "jsonl", "choices": ("jsonl", "parquet")}),
    )
    command(
        score,
        ("gold", {"type": Path}),
        ("pred", {"type": Path}),
        ("--task", {"required": True, "choices": ("NER", "RE", "EE")}),
        (
            "--mode",
            {
                "default": "span",
                "help": "span, string, iepile, instructuie, duie (RE), duee (EE) or overlap (NER)",
            },
        ),
        ("--typed", {"action": "store_true", "help": "RE: the types of head and tail too"}),
        (
            "--aliases",
            {"type": Path, "metavar": "FILE.json", "help": "duie, duee: {name: [equal names]}"},
        ),
        (
            "--schema",
            {
                "type": Path,
                "metavar": "FILE.json",
                "help": "types, for EE {event type: [roles]}: counts what is outside it",
            },
        ),
        (
            "--format",
            {"metavar": "READER", "help": "native files instead of IE records, e.g. spo_list"},
        ),
        ("--interval", {"action": "store_true", "help": "bootstrap"}),
        ("--against", {"type": Path, "metavar": "OTHER_PRED", "help": "is it better than PRED?"}),
        ("--json", {"action": "store_true", "help": "one JSON object"}),
    )
    command(
        train,
        ("--student", {"required": True, "help": "zoo name, folder or hub id"}),
        ("--data", {"type": Path, "nargs": "+", "required": True}),
        ("--out", {"type": Path, "required": True}),
        ("--method", {"default": "full", "choices": METHODS}),
        ("--bits", {"type": int, "choices": (4,)}),
        ("--epochs", {"type": float, "default": 1.0}),
        ("--max-steps", {"type": int}),
        ("--minutes", {"type": float}),
        ("--max-length", {"type": int, "default": 512}),
        ("--batch-size", {"type": int, "default": 8, "help": "per process"}),
        ("--accumulate", {"type": int, "default": 1}),
        ("--learning-rate", {"type": float}),
        ("--rank", {"type": int, "default": 16}),
        ("--evaluation", {"type": float, "default": 0.0, "help": "share of rows kept out"}),
        ("--processes", {"type": int, "default": 1, "help": "that encode the rows"}),
        (
            "--checkpointing",
            {
                "action": argparse.BooleanOptionalAction,
                "help": "recompute activations; left out: where memory asks for it",
            },
        ),
        ("--seed", {"type": int, "default": 42}),
        ("--checkpoints", {"type": int, "default": 10}),
        ("--report-to", {"default": "none", "choices": ("none", "tensorboard", "trackio")}),
    )
    command(
        predict,
        ("--student", {"required": True, "help": "zoo name, folder or hub id"}),
        ("--bits", {"type": int, "choices": (4,)}),
        (
            "--data",
            {
                "type": Path,
                "required": True,
                "help": 'instruction rows, or {"prompt": "..."} lines',
            },
        ),
        (
            "--out",
            {"type": Path, "required": True, "help": "the same rows, output filled by the student"},
        ),
        ("--preset", {"default": "extract", "choices": ("extract", "chat", "creative")}),
        ("--max-new-tokens", {"type": int, "default": 128}),
        ("--batch-size", {"type": int, "default": 32}),
        ("--seed", {"type": int, "default": 42, "help": "for creative"}),
    )
    command(
        plan,
        ("student", {"help": "zoo name"}),
        ("--method", {"default": "full", "choices": METHODS}),
        ("--length", {"type": int, "default": 1024}),
        (
            "--gpu",
            {"default": "t4", "help": "t4, v100, l4, rtx4090, a100-40, a100-80, h100, h200 or cpu"},
        ),
        ("--epochs", {"type": float}),
        ("--rows", {"type": int, "help": "else the 683,235 of the whole mixture"}),
        ("--row-tokens", {"type": float, "help": "mean tokens per row"}),
        ("--mfu", {"type": float, "help": "share of the GPU's peak, 0 to 1"}),
        ("--price", {"type": float, "help": "per hour"}),
        ("--json", {"action": "store_true"}),
    )
    command(merge, ("adapter", {"type": Path}), ("out", {"type": Path}))


def parser() -> argparse.ArgumentParser:
    """Every command with its arguments."""
    top = argparse.ArgumentParser(
        prog="python -m miniluotuo_utils", description="迷你骆驼 Mini-Luotuo from a shell"
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(function: Callable, *arguments: tuple[str, dict]) -> None:
        sub = commands.add_parser(function.__name__, help=function.__doc__)
        sub.set_defaults(function=function)
        for name, options in arguments:
            sub.add_argument(name, **options)

    data_commands(command)
    teacher_commands(command)
    student_commands(command)
    return top


MOVED = {
    "run": "make run, or python scripts/run_notebooks.py",
    "refresh": "make refresh, or python scripts/notebooks.py refresh",
    "badges": "make badges REPO=owner/name, or python scripts/notebooks.py badges",
    "pin": "python scripts/pin.py NAME...",
}  # commands that keep a clone in order


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; a mistake of the user is one line, not a traceback."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv and argv[0] in MOVED:
        print(f"error: {argv[0]} is now, in a clone: {MOVED[argv[0]]}", file=sys.stderr)
        return 2
    args = parser().parse_args(argv)
    try:
        return args.function(args)
    except (ValueError, OSError, MemoryError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "\nstopped; nothing half-written looks finished: the same command goes on or begins anew",
            file=sys.stderr,
        )
        return 130


if __name__ == "__main__":
    sys.exit(main())
