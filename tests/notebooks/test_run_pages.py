"""The pages of a run: opened in a browser, they show what was run and lead to one another."""

import re
import subprocess
from pathlib import Path

import nbformat
import pages
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from miniluotuo_utils.export.trying import chromium

ADDRESS = "https://github.com/a/b/blob/main"


def code(source: str, printed: str, *tags: str) -> nbformat.NotebookNode:
    """A code cell that was run."""
    output = new_output("stream", name="stdout", text=printed)
    return new_code_cell(source, outputs=[output], metadata={"tags": list(tags)})


@pytest.fixture
def site(tmp_path) -> Path:
    """The pages of two notebooks that were run."""
    executed, folder = tmp_path / "executed", tmp_path / "html"
    executed.mkdir()
    for name, prose in (("00_a", "# 快速 · Quick"), ("01_b", "# 数据 · Data\n\n$W + BA$")):
        links = new_markdown_cell("[后](01_b.ipynb) [读](../README.md) [答](solutions/01.ipynb)")
        cells = [
            new_markdown_cell(prose),
            code("import os", "克隆了\n", "setup"),
            code("# Parameters\nSCALE = 'cpu'", "", "injected-parameters"),
            code("my_answer = ...", "还没做\n", "exercise"),
            code("my_answer = 42", "对\n", "solution"),
            links,
        ]
        nbformat.write(new_notebook(cells=cells), executed / f"{name}.ipynb")
        pages.write_page(executed / f"{name}.ipynb", folder, ADDRESS)
    (folder / "09_gone.html").write_text("of an older run", encoding="utf-8")
    pages.write_index(folder, executed, {"00_a": 9.6}, "smoke · 2026-11-28 · 3fe5da5 <b>")
    return folder


def in_a_browser(path: Path, profile: Path) -> tuple[str, str]:
    """What a browser makes of a page, and what it complains about."""
    browser = chromium()
    if browser is None:
        pytest.skip("no Chromium to open the pages in")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    options += [f"--user-data-dir={profile}", "--enable-logging=stderr", "--v=0"]
    offline = ["--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=2000"]
    done = subprocess.run(
        [browser, *options, *offline, path.as_uri()], capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stderr[-2000:]
    return done.stdout, "\n".join(re.findall(r"CONSOLE.*", done.stderr))


def test_a_page_shows_what_was_run_without_its_solutions(site, tmp_path):
    """A page that stays white, or one that gives every exercise away below its task."""
    text, complaints = in_a_browser(site / "00_a.html", tmp_path / "profile")
    assert "<title>快速 · Quick</title>" in text
    assert "还没做" in text
    assert "my_answer = 42" not in re.sub("<[^>]+>", "", text)
    assert "克隆了" not in text
    assert "# Parameters" not in re.sub("<[^>]+>", "", text)
    assert not complaints


def test_pages_lead_to_pages_and_to_the_clone(site, tmp_path):
    """`01_data.ipynb` beside a page is a file that is not there."""
    for path in site.glob("*.html"):
        for link in re.findall(r'href="([^"#]+)', path.read_text(encoding="utf-8")):
            assert link.startswith(ADDRESS) or (site / link).is_file(), f"{path.name}: {link}"
    text = (site / "00_a.html").read_text(encoding="utf-8")
    for link in ("01_b.html", f"{ADDRESS}/README.md", f"{ADDRESS}/notebooks/solutions/01.ipynb"):
        assert f'href="{link}"' in text


def test_the_index_lists_what_there_is(site, tmp_path):
    """A list that promises the notebook which failed."""
    text, complaints = in_a_browser(site / "index.html", tmp_path / "profile")
    assert re.findall(r'<a href="([^"]+)">([^<]+)', text) == [
        ("00_a.html", "00 快速 · Quick"),
        ("01_b.html", "01 数据 · Data"),
    ]
    assert "<td>10</td>" in text
    assert "3fe5da5 &lt;b&gt;" in text
    assert not complaints


def test_a_page_asks_no_other_host_unless_it_has_formulas(site):
    """In a classroom without a network the page waits for a script that it does not need."""
    script = re.compile(r'<script[^>]+src="https?:')
    assert not script.search((site / "00_a.html").read_text(encoding="utf-8"))
    with_formulas = script.findall((site / "01_b.html").read_text(encoding="utf-8"))
    assert len(with_formulas) == 1
