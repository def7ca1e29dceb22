"""The same functions from a shell: `python -m miniluotuo_utils COMMAND --help`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from miniluotuo_utils.runtime import SCALES, repository, runs_root


def run(args: argparse.Namespace) -> int:
    """Run the notebooks headless."""
    from miniluotuo_utils.runner import run as run_notebooks

    given = dict(pair.split("=", 1) for pair in args.parameter)
    return run_notebooks(args.scale, args.only, args.start, {k: literal(v) for k, v in given.items()})


def literal(text: str) -> object:
    """A parameter's value: a JSON literal where it is one, else the text itself."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def refresh(args: argparse.Namespace) -> int:
    """Put the curated outputs of the last run at smoke into the committed notebooks."""
    from miniluotuo_utils.book import refresh as copy_outputs

    for path in copy_outputs(repository(), runs_root() / "smoke" / "executed"):
        print("refreshed", path.name)
    return 0


def badges(args: argparse.Namespace) -> int:
    """Point every badge, setup cell and clone command to one repository."""
    from miniluotuo_utils.book import address, remote_slug, write_badges

    root = repository()
    slug = args.repo or remote_slug(root) or address(root)[0]
    changed = write_badges(root, slug, args.ref or address(root)[1])
    print(f"badges point to {slug}: {len(changed)} files changed")
    return 0


def download(args: argparse.Namespace) -> int:
    """Download and verify the files of data sets, into the cache or into a mirror folder for a class."""
    import os

    from miniluotuo_utils.data import files
    from miniluotuo_utils.data.catalog import card
    from miniluotuo_utils.data.download import copy_into_mirror

    for name in args.names:
        card(name)
    if args.home:
        os.environ["MINILUOTUO_HOME"] = str(args.home)
    for name in args.names:
        found = [path for paths in files(name).values() for path in paths]
        if args.mirror:
            copy_into_mirror(name, args.mirror)
        print(f"{name}: {len(found)} files verified" + (f", in {args.mirror}" if args.mirror else ""))
    return 0


def score(args: argparse.Namespace) -> int:
    """Score a file of predicted IE records against a file of gold ones."""
    from miniluotuo_utils.ie import score_files, table

    result = score_files(args.gold, args.pred, args.task, args.mode)
    print(json.dumps(result, ensure_ascii=False) if args.json else table(result))
    return 0


def merge(args: argparse.Namespace) -> int:
    """Add an adapter into its base and save a plain student folder."""
    from miniluotuo_utils.students import load_student, save
    from miniluotuo_utils.students import merge as merged

    save(merged(load_student(args.adapter)), args.out)
    print(f"merged student in {args.out}")
    return 0


def parser() -> argparse.ArgumentParser:
    """Every command with its arguments."""
    top = argparse.ArgumentParser(prog="python -m miniluotuo_utils", description="迷你骆驼 Mini-Luotuo from a shell")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(function, *arguments: tuple[str, dict]) -> None:
        sub = commands.add_parser(function.__name__, help=function.__doc__)
        sub.set_defaults(function=function)
        for name, options in arguments:
            sub.add_argument(name, **options)

    command(run, ("--scale", {"default": "smoke", "choices": SCALES}), ("--only", {"help": "numbers, e.g. 01,05"}),
            ("--from", {"dest": "start", "help": "the first notebook to run, e.g. 03"}),
            ("--parameter", {"action": "append", "default": [], "metavar": "NAME=VALUE"}))  # fmt: skip
    command(refresh)
    command(badges, ("--repo", {"help": "owner/name"}), ("--ref", {"help": "branch or tag"}))
    command(download, ("names", {"nargs": "+"}), ("--mirror", {"type": Path}), ("--home", {"type": Path}))
    command(score, ("gold", {}), ("pred", {}), ("--task", {"required": True, "choices": ("NER", "RE", "EE")}),
            ("--mode", {"default": "span", "choices": ("span", "string")}), ("--json", {"action": "store_true"}))  # fmt: skip
    command(merge, ("adapter", {"type": Path}), ("out", {"type": Path}))
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; a mistake of the user is one line, not a traceback."""
    args = parser().parse_args(argv)
    try:
        return args.function(args)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; nothing half-written was kept", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
