"""Make web pages of executed notebooks: what a reader sees who runs nothing.

In: executed notebooks. Out: `runs/<scale>/html/`, a page for each and an `index.html`. The setup
cell, what papermill put in and the solved exercises are left out. A page needs no network, one with
formulas only to typeset these.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from pathlib import Path

import nbformat
from exercises import SOLVED_TAG, number_of
from nbformat import NotebookNode

from miniluotuo_utils.files import written_whole

HIDDEN = {"setup", "injected-parameters", SOLVED_TAG}
# nbconvert breaks printed lines in the middle of a word.
STYLE = "<style>.jp-OutputArea-output pre{word-break:normal;overflow-wrap:anywhere}</style>"
CONTENTS = '<p style="margin:1em 2em"><a href="index.html">目录 Contents</a></p>'
INDEX = """<!DOCTYPE html>
<html lang="zh">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>迷你骆驼 Mini-Luotuo</title>
<style>
body {{ font-family: sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em }}
td, th {{ text-align: left; padding: 0.3em 1.5em 0.3em 0 }}
td:last-child, th:last-child {{ text-align: right }}
</style>
<h1>迷你骆驼 · Mini-Luotuo</h1>
<p>笔记本运行之后的样子，不用安装。 <em>The notebooks as they look when they were run; nothing to
install.</em></p>
<table>
<tr><th>笔记本 notebook</th><th>秒 seconds</th></tr>
{rows}
</table>
<p>{about}</p>
</html>
"""


def title(book: NotebookNode) -> str:
    """Return a notebook's first heading, "" where it has none."""
    text = "\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")
    found = re.search(r"^# (.+)$", text, re.MULTILINE)
    return found[1] if found else ""


def page(book: NotebookNode, name: str, address: str) -> str:
    """Return an executed notebook as a page; `address` is where the clone's files can be read."""
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    remove = {"enabled": True, "remove_cell_tags": HIDDEN}
    exporter = HTMLExporter(
        language_code="zh",
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        config=Config({"TagRemovePreprocessor": remove}),
    )
    exporter.register_preprocessor("nbconvert.preprocessors.TagRemovePreprocessor", enabled=True)
    html, _ = exporter.from_notebook_node(
        book, resources={"metadata": {"name": title(book) or name}}
    )

    # Scripts of other hosts keep a page white for as long as these do not answer.
    html = re.sub(r'<script src="https?://[^"]*require[^"]*"></script>', "", html)
    if not any("$" in cell.source for cell in book.cells if cell.cell_type == "markdown"):
        html = re.sub(
            r'<script src="https?://[^"]*mathjax[^"]*">\s*</script>', "", html, flags=re.I
        )
    html = re.sub(r"<body[^>]*>", lambda found: found[0] + STYLE + CONTENTS, html, count=1)
    return relinked(html, address)


def relinked(html: str, address: str) -> str:
    """Return a page whose links to notebooks lead to pages, those to other files to the clone's.

    >>> relinked('<a href="01_data.ipynb#a"> <a href="../README.md">', "https://b")
    '<a href="01_data.html#a"> <a href="https://b/README.md">'
    >>> relinked('<a href="solutions/01.ipynb">', "https://b")
    '<a href="https://b/notebooks/solutions/01.ipynb">'
    """
    html = re.sub(r'href="(\d\d\w*)\.ipynb', r'href="\1.html', html)
    html = html.replace('href="../', f'href="{address}/')
    return html.replace('href="solutions/', f'href="{address}/notebooks/solutions/')


def write_page(executed: Path, folder: Path, address: str) -> Path:
    """Write the page of an executed notebook into `folder`."""
    target = folder / f"{executed.stem}.html"
    html = page(nbformat.read(executed, as_version=4), executed.stem, address)
    with written_whole(target) as partial:
        partial.write_text(html, encoding="utf-8")
    return target


def write_index(folder: Path, executed: Path, seconds: Mapping[str, float], about: str) -> Path:
    """Write the list of all pages in `folder`; `seconds` where a notebook's time is known."""
    rows = []
    for path in sorted(folder.glob("[0-9][0-9]*.html")):
        book = executed / f"{path.stem}.ipynb"
        if not book.exists():
            continue
        name = escape(title(nbformat.read(book, as_version=4)) or path.stem)
        time = f"{seconds[path.stem]:.0f}" if path.stem in seconds else ""
        link = f'<a href="{path.name}">{number_of(path)} {name}</a>'
        rows.append(f"<tr><td>{link}</td><td>{time}</td></tr>")
    text = INDEX.format(rows="\n".join(rows), about=escape(about))
    with written_whole(folder / "index.html") as partial:
        partial.write_text(text, encoding="utf-8")
    return folder / "index.html"
