"""Keep what every notebook and README carries equal: setup cell, badge, address, outputs, tables.

    python scripts/notebooks.py refresh     outputs of the last run at smoke, into the notebooks
    python scripts/notebooks.py exercises   from notebooks/solutions/NN.py, open and solved
    python scripts/notebooks.py setup       the setup cell, folded, into the notebooks
    python scripts/notebooks.py times       of the last whole run, into headers and READMEs
    python scripts/notebooks.py badges --repo owner/name
    python scripts/notebooks.py tables      catalog and zoo, into their READMEs (minutes)
    python scripts/notebooks.py help        the options of all commands, into their README

In: `notebooks/*.ipynb`. Out: the same files with one address in all badges and setup cells, and
stripped outputs.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from exercises import number_of, write_exercises
from times import keep_times, write_times

from miniluotuo_utils.runtime import repository, runs_root
from miniluotuo_utils.terminal import never_fails

if TYPE_CHECKING:
    from miniluotuo_utils.students.zoo import Spec

ADDRESS_FILE = (
    "notebooks/ADDRESS"  # "owner/name ref": the one place that badges and setup cells are made from
)
KEPT, SKIPPED = "keep_output", "skip-execution"
NOISE = ("widgets", "papermill", "language_info", "execution", "colab", "vscode")

MOST = 50_000  # bytes of one output: GitHub stops showing a notebook that is too large
ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
PRIVATE = re.compile(
    r"/(?:home|root|work|Users|tmp)/|[A-Z]:\\+Users|sk-[A-Za-z0-9]{16}|hf_[A-Za-z0-9]{16}"
)

NOTE = (
    "**在本地跳过下一格**：它只在 Colab 和 Kaggle 上克隆仓库、安装依赖。\n\n"
    "*Skip the next cell on your own machine: it clones and installs on Colab and Kaggle only.*"
)
SETUP = """
# @title 准备，只为 Colab 和 Kaggle · Setup, for Colab and Kaggle only
import importlib.util, os, subprocess, sys

SLUG, REF = "{slug}", "{ref}"
hosted = {{"COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE"}} & set(os.environ)
if hosted and importlib.util.find_spec("miniluotuo_utils") is None:
    url, folder = f"https://github.com/{{SLUG}}", os.path.abspath(SLUG.split("/")[-1])
    if not os.path.isdir(folder):
        clone = ["git", "clone", "--depth", "1", "--branch", REF, url, folder]
        subprocess.run(clone, check=True)
    # 平台自带的 torch 和 numpy 不动。 The platform's own torch and numpy stay.
    install = [sys.executable, "scripts/install.py", "--hosted"]
    subprocess.run(install, check=True, cwd=folder)
    sys.path.insert(0, folder)
""".strip()
FOLDED = {"cellView": "form", "jupyter": {"source_hidden": True}, "tags": ["setup"]}


def notebooks(root: Path | None = None) -> list[Path]:
    """The repository's notebooks in their order. FileNotFoundError where the package stands without
    its repository."""
    root = root or repository()
    if root is None:
        raise FileNotFoundError(
            "no notebooks/ beside the package; clone the repository and run this inside it"
        )
    return sorted((root / "notebooks").glob("[0-9][0-9]*_*.ipynb"))


def address(root: Path) -> tuple[str, str]:
    """GitHub slug and ref that badges and setup cells point to."""
    slug, ref = (root / ADDRESS_FILE).read_text(encoding="utf-8").split()
    return slug, ref


def setup_cell(slug: str, ref: str) -> str:
    """The first code cell of every notebook."""
    return SETUP.format(slug=slug, ref=ref)


def badge(slug: str, ref: str, name: str) -> str:
    """The badge line of one notebook.

    >>> badge("a/b", "main", "00_quickstart.ipynb")[-53:]
    'm/github/a/b/blob/main/notebooks/00_quickstart.ipynb)'
    """
    link = f"https://colab.research.google.com/github/{slug}/blob/{ref}/notebooks/{name}"
    return f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({link})"


def run_link(slug: str) -> str:
    """What stands behind the badge: where the pages of executed notebooks are, attached to CI.

    >>> "(https://github.com/a/b/actions/workflows/ci.yml)" in run_link("a/b")
    True
    """
    link = f"https://github.com/{slug}/actions/workflows/ci.yml"
    return f"跑完的样子：[CI 附件里的网页]({link}) *as run: the pages attached to CI*"


def remote_slug(root: Path) -> str | None:
    """`owner/name` of the clone's GitHub remote, None where there is none."""
    url = subprocess.run(
        ["git", "remote", "get-url", "origin"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    found = re.search(r"github\.com[:/]([\w.-]+/[\w.-]+?)(?:\.git)?\s*$", url)
    return found[1] if found else None


def write_badges(root: Path, slug: str, ref: str) -> list[Path]:
    """Write one address into `notebooks/ADDRESS`, every badge, every setup cell and both READMEs;
    returns what changed."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", slug):
        raise ValueError(
            f"REPO is {slug!r}; expected owner/name, for example REPO=my-class/Mini-Luotuo"
        )
    old_slug, old_ref = address(root)
    changed = []
    for path in [*notebooks(root), root / "README.md", root / "README_zh.md"]:
        text = path.read_text(encoding="utf-8")
        new = readdressed(text, (old_slug, old_ref), (slug, ref))
        if new != text:
            path.write_text(new, encoding="utf-8")
            changed.append(path)
    (root / ADDRESS_FILE).write_text(f"{slug} {ref}\n", encoding="utf-8")
    return changed


def readdressed(text: str, old: tuple[str, str], new: tuple[str, str]) -> str:
    """`text` with badges, setup cells and clone commands of one address pointing to another.

    >>> readdressed('SLUG, REF = \\\\"a/b\\\\", \\\\"main\\\\"', ("a/b", "main"), ("c/d", "v1"))
    'SLUG, REF = \\\\"c/d\\\\", \\\\"v1\\\\"'
    """
    for quote in ('"', '\\"'):
        text = text.replace(
            f"SLUG, REF = {quote}{old[0]}{quote}, {quote}{old[1]}{quote}",
            f"SLUG, REF = {quote}{new[0]}{quote}, {quote}{new[1]}{quote}",
        )
    # Colab's and Kaggle's addresses both end so.
    book = "/{0}/blob/{1}/notebooks/"
    text = text.replace(book.format(*old), book.format(*new))
    text = text.replace(run_link(old[0]), run_link(new[0]))
    clone = "git clone https://github.com/{0} && cd {1}"
    return text.replace(
        clone.format(old[0], old[0].split("/")[1]), clone.format(new[0], new[0].split("/")[1])
    )


def tags(cell: nbformat.NotebookNode) -> list[str]:
    """The tags of a cell."""
    return cell.metadata.get("tags", [])


def stripped(book: nbformat.NotebookNode, keep: bool = True) -> nbformat.NotebookNode:
    """A notebook as it is committed: no outputs but the curated ones, no counts, no metadata of
    tools."""
    for name in NOISE:
        book.metadata.pop(name, None)
    for cell in book.cells:
        for name in NOISE:
            cell.metadata.pop(name, None)
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = curated(cell) if keep and KEPT in tags(cell) else []
    return book


def curated(cell: nbformat.NotebookNode) -> list:
    """The outputs of a cell worth committing: what it prints, tables and pictures; no warnings, no
    counts.

    ValueError names the cell where one is too large, or holds a path of this machine or a key.
    """
    outputs: list[nbformat.NotebookNode] = []
    for output in cell.outputs:
        if output.output_type == "stream" and output.name == "stdout":
            # What was printed piece by piece is one text.
            if outputs and outputs[-1].output_type == "stream":
                outputs[-1].text += output.text
            else:
                outputs.append(output)
        elif output.output_type in ("display_data", "execute_result"):
            outputs.append(without_noise(output))

    for output in outputs:
        if output.output_type == "stream":
            output.text = settled(output.text)
    outputs = [o for o in outputs if o.output_type != "stream" or o.text.strip()]
    for output in outputs:
        check_kept(cell.id, output)
    return outputs


def without_noise(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A table or picture without its count, widget and metadata."""
    output.metadata = {}
    if "execution_count" in output:
        output.execution_count = None
    output.data.pop("application/vnd.jupyter.widget-view+json", None)
    return output


def settled(text: str) -> str:
    r"""What a printed text looks like in the end: of a line that was written over, the last state.

    Where this run kept its files is nobody else's matter.

    >>> settled("10 %\r50 %\r100 %\nruns/ 是 MINILUOTUO_RUNS\n\x1b[1m好\x1b[0m\r\n")
    '100 %\n好\n'
    """
    lines = ANSI.sub("", text).replace("\r\n", "\n").split("\n")
    last = [line.rstrip("\r").rpartition("\r")[2] for line in lines]
    return "\n".join(line for line in last if "MINILUOTUO_RUNS" not in line)


def check_kept(name: str, output: nbformat.NotebookNode) -> None:
    """ValueError for an output of the cell `name` that must not be committed."""
    data = output.get("data", {"text/plain": output.get("text", "")})
    for kind, content in data.items():
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        # A picture is base64: four letters for three bytes.
        binary = kind.startswith("image/") and kind != "image/svg+xml"
        size = len(text) * 3 // 4 if binary else len(text.encode())
        if size > MOST:
            raise ValueError(
                f"cell {name}: its {kind} has {size:,} bytes, at most {MOST:,} are kept; "
                f"show less, or draw it smaller"
            )
        if not binary and (found := PRIVATE.search(text)):
            raise ValueError(
                f"cell {name}: it shows {text[found.start() : found.end() + 20]!r}, a path of this "
                f"machine or a key; print runtime.shown(path)"
            )


def refresh(root: Path, executed: Path) -> Iterator[Path]:
    """Copy the curated outputs of the executed notebooks into the committed ones; yields each
    notebook written.

    What a run put in (the solved exercises) stays out. ValueError names notebook and cell of an
    output that must not be committed.
    """
    for path in notebooks(root):
        book = nbformat.read(path, as_version=4)
        ran = {cell.id: cell for cell in nbformat.read(executed / path.name, as_version=4).cells}
        for cell in book.cells:
            if cell.cell_type == "code" and cell.id in ran:
                cell.outputs = ran[cell.id].outputs
        try:
            nbformat.write(stripped(book), path)
        except ValueError as error:
            raise ValueError(f"{path.name}: {error}") from None
        yield path


def write_setup(root: Path) -> list[Path]:
    """Write the setup cell, folded, and the line above it into every notebook; returns what
    changed."""
    source, changed = setup_cell(*address(root)), []
    for path in notebooks(root):
        old = nbformat.read(path, as_version=4)
        book = with_setup(nbformat.read(path, as_version=4), source, number_of(path))
        if book != old:
            nbformat.write(book, path)
            changed.append(path)
    return changed


def with_setup(book: nbformat.NotebookNode, source: str, number: str) -> nbformat.NotebookNode:
    """Put the setup cell in the place of the old one, with its note above."""
    at = next(i for i, c in enumerate(book.cells) if c.cell_type == "code" and "setup" in tags(c))
    cell = book.cells[at]
    cell.source, cell.metadata = source, nbformat.from_dict(FOLDED)
    note = nbformat.v4.new_markdown_cell(NOTE, id=f"c{number}-setup", metadata={"tags": ["setup"]})
    book.cells = [c for c in book.cells if c.id != note.id]
    book.cells.insert(book.cells.index(cell), note)
    return book


def catalog_text() -> str:
    """The catalog's table as its README holds it, each name a link to its source."""
    from miniluotuo_utils.data.catalog import CATALOG, catalog_table

    return linked_table(catalog_table(), {name: card.homepage for name, card in CATALOG.items()})


def write_catalog(root: Path) -> list[Path]:
    """Write the catalog's table into its README; returns what changed."""
    path = root / "miniluotuo_utils" / "data" / "README.md"
    return write_between(path, "catalog", catalog_text())


def write_help(root: Path) -> list[Path]:
    """Write the options of all commands into their README; returns what changed."""
    from miniluotuo_utils.__main__ import help_page

    return write_between(root / "miniluotuo_utils" / "jobs" / "README.md", "help", help_page())


def zoo_text() -> str:
    """The zoo's table as its README holds it, each name a link to the model's page."""
    from miniluotuo_utils.students import ZOO, zoo_table

    rows = [{k: v for k, v in row.items() if k != "链接 link"} for row in zoo_table()]
    return linked_table(rows, {name: spec.link for name, spec in ZOO.items()})


def write_zoo(root: Path) -> list[Path]:
    """Write the zoo's table into its README; returns what changed."""
    path = root / "miniluotuo_utils" / "students" / "README.md"
    return write_between(path, "zoo", zoo_text())


def computed(spec: Spec) -> dict[str, int | str]:
    """What `zoo_memory.json` keeps of a student: parameters, and bytes of full, LoRA and QLoRA
    training. Takes seconds for a large student."""
    from miniluotuo_utils.students.cards import fingerprint
    from miniluotuo_utils.students.estimate import anatomy, training_memory

    config, length = spec.config(), min(1024, spec.context)
    found = anatomy(config)

    # The configuration's model lacks a head of the checkpoint's own. Bytes for each of its weights:
    # float32 with gradient, moments and a half copy; half precision; float32.
    head = found.head if spec.own_head else 0
    memory = {
        method: training_memory(config, method, length)["total"] + head * size
        for method, size in (("full", 18), ("lora", 2), ("qlora", 4))
    }
    parameters = found.parameters + head
    return {"configuration": fingerprint(spec), "parameters": parameters, **memory}


def write_memory() -> None:
    """Compute the training memory of the whole zoo (minutes) and keep it beside the zoo's table."""
    from miniluotuo_utils.files import written_whole
    from miniluotuo_utils.students.zoo import KEPT, ZOO

    found = {name: computed(spec) for name, spec in ZOO.items()}
    with written_whole(KEPT) as partial:
        partial.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def linked_table(rows: list[dict[str, str]], links: dict[str, str]) -> str:
    """Rows as a Markdown table, the name of each a link where there is one."""
    from miniluotuo_utils.text import markdown

    cells = []
    for row in rows:
        name, *rest = row.values()
        cells.append([f"[{name}]({links[name]})" if links[name] else name, *rest])
    return "\n\n" + markdown(list(rows[0]), cells) + "\n\n"


def write_between(path: Path, mark: str, between: str) -> list[Path]:
    """Put a text between `<!-- mark -->` and `<!-- /mark -->` of a file; returns what changed."""
    text = path.read_text(encoding="utf-8")
    new, count = re.subn(
        rf"(<!-- {mark} -->).*?(<!-- /{mark} -->)",
        lambda found: found[1] + between + found[2],
        text,
        flags=re.S,
    )
    if count != 1:
        raise ValueError(
            f"{path.name}: found {count} places for the {mark}, "
            f"expected one between <!-- {mark} --> and <!-- /{mark} -->"
        )
    if new == text:
        return []
    path.write_text(new, encoding="utf-8")
    return [path]


def command(args: argparse.Namespace, root: Path) -> list[Path]:
    """Do what was asked; returns what changed."""
    if args.command == "badges":
        slug = args.repo or remote_slug(root) or address(root)[0]
        print(f"badges point to {slug}")
        return write_badges(root, slug, args.ref or address(root)[1])
    if args.command == "refresh":
        return list(refresh(root, runs_root() / "smoke" / "executed"))
    if args.command == "times":
        return keep_times(root, runs_root()) + write_times(root, notebooks(root))
    if args.command == "tables":
        write_memory()
        return write_catalog(root) + write_zoo(root)
    simple = {"exercises": write_exercises, "setup": write_setup, "help": write_help}
    return simple[args.command](root)


def main(argv: list[str] | None = None) -> int:
    """Run one command of this script."""
    top = argparse.ArgumentParser(
        prog="python scripts/notebooks.py", description=__doc__.partition("\n")[0]
    )
    commands = top.add_subparsers(required=True, dest="command")
    commands.add_parser(
        "refresh",
        help="copy the curated outputs of the last run at smoke into the committed notebooks",
    )
    commands.add_parser(
        "exercises", help="write the exercises of notebooks/solutions/NN.py, open and solved"
    )
    commands.add_parser("setup", help="write the setup cell, folded, into the notebooks")
    commands.add_parser(
        "times", help="write the times of the last whole run into headers and READMEs"
    )
    badges = commands.add_parser(
        "badges", help="point every badge, setup cell and clone command to one repository"
    )
    badges.add_argument("--repo", help="owner/name; else that of the remote")
    badges.add_argument("--ref", help="branch or tag")
    commands.add_parser("tables", help="write the catalog and the zoo into the READMEs")
    commands.add_parser("help", help="write the options of all commands into their README")
    args, root = top.parse_args(argv), repository()
    try:
        changed = command(args, root)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n".join(f"{path.name} written" for path in changed) or "nothing to change")
    return 0


if __name__ == "__main__":
    never_fails(sys.stdout, sys.stderr)
    sys.exit(main())
