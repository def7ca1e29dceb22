"""Keep what every notebook and README carries equal: setup cell, badge, address, outputs, tables.

    python scripts/notebooks.py refresh     outputs of the last run at smoke, into the notebooks
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

from miniluotuo_utils.runtime import repository, runs_root

if TYPE_CHECKING:
    from miniluotuo_utils.students.zoo import Spec

ADDRESS_FILE = (
    "notebooks/ADDRESS"  # "owner/name ref": the one place that badges and setup cells are made from
)
KEPT, SKIPPED = "keep_output", "skip-execution"
NOISE = ("widgets", "papermill", "language_info", "execution", "colab", "vscode")

SETUP = """
# 准备：在 Colab / Kaggle 上克隆仓库并安装依赖；在本地什么也不做。
# On Colab or Kaggle: clone and install; elsewhere nothing.
import importlib.util, os, subprocess, sys
from importlib.metadata import version

SLUG, REF = "{slug}", "{ref}"
hosted = {{"COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE"}} & set(os.environ)
if hosted and importlib.util.find_spec("miniluotuo_utils") is None:
    folder = os.path.abspath(SLUG.split("/")[-1])
    if not os.path.isdir(folder):
        clone = ["git", "clone", "--depth", "1", "--branch", REF]
        subprocess.run([*clone, f"https://github.com/{{SLUG}}", folder], check=True)
    # 平台自带的 torch 和 numpy 绝不替换。 The platform's own torch and numpy stay.
    kept = os.path.abspath("live-constraints.txt")
    with open(kept, "w") as file:
        for name in ("torch", "numpy", "ipykernel"):
            file.write(f"{{name}}=={{version(name)}}\\n")
    pip = [sys.executable, "-m", "pip", "install", "-q", "-c", kept]
    subprocess.run([*pip, "-r", "requirements.txt"], check=True, cwd=folder)
    sys.path.insert(0, folder)
""".strip()


def notebooks(root: Path | None = None) -> list[Path]:
    """The repository's notebooks in their order. FileNotFoundError where the package stands without
    its repository."""
    root = root or repository()
    if root is None:
        raise FileNotFoundError(
            "no notebooks/ beside the package; clone the repository and run this inside it"
        )
    return sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))


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
    """The outputs of a cell worth committing: tables and pictures, without progress lines and
    without counts."""
    outputs = [o for o in cell.outputs if o.output_type in ("display_data", "execute_result")]
    for output in outputs:
        output.metadata = {}
        if "execution_count" in output:
            output.execution_count = None
        output.data.pop("application/vnd.jupyter.widget-view+json", None)
    return outputs


def refresh(root: Path, executed: Path) -> Iterator[Path]:
    """Copy the curated outputs of the executed notebooks into the committed ones; yields each
    notebook written."""
    for path in notebooks(root):
        book = nbformat.read(path, as_version=4)
        ran = {cell.id: cell for cell in nbformat.read(executed / path.name, as_version=4).cells}
        for cell in book.cells:
            if cell.cell_type == "code" and cell.id in ran:
                cell.outputs = ran[cell.id].outputs
        nbformat.write(stripped(book), path)
        yield path


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
    badges = commands.add_parser(
        "badges", help="point every badge, setup cell and clone command to one repository"
    )
    badges.add_argument("--repo", help="owner/name; else that of the remote")
    badges.add_argument("--ref", help="branch or tag")
    commands.add_parser("tables", help="write the catalog and the zoo into the READMEs")
    commands.add_parser("help", help="write the options of all commands into their README")
    args, root = top.parse_args(argv), repository()
    if args.command == "refresh":
        changed = list(refresh(root, runs_root() / "smoke" / "executed"))
    elif args.command == "badges":
        slug = args.repo or remote_slug(root) or address(root)[0]
        changed = write_badges(root, slug, args.ref or address(root)[1])
        print(f"badges point to {slug}")
    elif args.command == "help":
        changed = write_help(root)
    else:
        write_memory()
        changed = write_catalog(root) + write_zoo(root)
    print("\n".join(f"{path.name} written" for path in changed) or "nothing to change")
    return 0


if __name__ == "__main__":
    sys.exit(main())
