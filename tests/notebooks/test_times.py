"""Measured times: one table, and headers and READMEs that say what stands in it."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import times

import notebooks as book

ROOT = Path(__file__).resolve().parents[2]
RUN = {"date": "2026-11-30", "commit": "1234567", "processor": "AMD EPYC", "cores": 4}
HEADER = """# 一 · One

| | |
|---|---|
| 时间 *Time* | `smoke` 约十秒 *about ten seconds* |
| 内存、费用 *Memory, cost* | <!-- memory --><!-- /memory -->，不花钱 *free* |"""


def a_run(**seconds: float) -> dict:
    """What a run leaves."""
    books = {name: {"seconds": s, "peak_gib": s / 10} for name, s in seconds.items()}
    return {**RUN, "notebooks": books}


@pytest.fixture
def clone(tmp_path) -> Path:
    """A clone of one notebook, with a table in each README."""
    (tmp_path / "notebooks").mkdir()
    cells = [nbformat.v4.new_markdown_cell(HEADER)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "notebooks" / "00_a.ipynb")
    row = "| [00_a](notebooks/00_a.ipynb) | one | 1 | 99 s |\n\n"
    english = "Of one run on 2 cores (AMD EPYC, 2026-11-28, commit 3fe5da5); not measured."
    chinese = "秒数是 2 核上跑一次（AMD EPYC，2026-11-28，提交 3fe5da5）。"
    (tmp_path / "README.md").write_text(row + english, encoding="utf-8")
    (tmp_path / "README_zh.md").write_text(row + chinese, encoding="utf-8")
    return tmp_path


def leave(runs: Path, scale: str, run: dict) -> None:
    """What a run at a scale leaves in `runs/`."""
    (runs / scale).mkdir(parents=True)
    (runs / scale / "times.json").write_text(json.dumps(run), encoding="utf-8")


def test_a_measured_time_reaches_header_and_readmes(clone, tmp_path):
    """A header said ten seconds, the README five, and the machine thirteen."""
    runs = tmp_path / "runs"
    leave(runs, "smoke", a_run(**{"00_a": 12.6}))
    leave(runs, "cpu", a_run(**{"00_a": 1030}))
    books = book.notebooks(clone)
    assert times.keep_times(clone, runs) == [clone / times.KEPT]
    assert len(times.write_times(clone, books)) == 3
    assert times.keep_times(clone, runs) + times.write_times(clone, books) == []
    header = nbformat.read(books[0], as_version=4).cells[0].source
    for said in (
        "`smoke` 13 秒（4 核 AMD EPYC，2026-11-30，1234567）",
        "`cpu` 17 分钟（4 核",
        "`t4`、`full` 没有测过 *13 s at smoke, 17 min at cpu; t4, full not measured*",
        "`smoke` 1.3 GiB，`cpu` 103.0 GiB；",
        "<!-- /memory -->，不花钱 *free* |",
    ):
        assert said in header
    assert "约十秒" not in header
    for name, said in (
        ("README.md", "4 cores (AMD EPYC, 2026-11-30, commit 1234567); not measured."),
        ("README_zh.md", "4 核上跑一次（AMD EPYC，2026-11-30，提交 1234567）。"),
    ):
        text = (clone / name).read_text(encoding="utf-8")
        assert text.startswith("| [00_a](notebooks/00_a.ipynb) | one | 1 | 13 s |\n")
        assert text.endswith(said)


def test_a_time_belongs_to_a_commit(clone, tmp_path):
    """A time of files that nobody else has is nobody's time."""
    leave(tmp_path / "runs", "smoke", {**a_run(**{"00_a": 1}), "commit": None})
    with pytest.raises(ValueError, match="runs/smoke/times.json: no commit, files were changed"):
        times.keep_times(clone, tmp_path / "runs")


def test_what_is_not_where_it_is_written_is_named(clone, tmp_path):
    """A row that was renamed kept its old time, without a word."""
    with pytest.raises(ValueError, match="notebooks.json: found no times at smoke"):
        times.write_times(clone, book.notebooks(clone))
    leave(tmp_path / "runs", "smoke", a_run(**{"00_a": 1, "01_b": 2}))
    times.keep_times(clone, tmp_path / "runs")
    with pytest.raises(ValueError, match="README.md: found 0 rows of 01_b"):
        times.write_times(clone, book.notebooks(clone))
    with pytest.raises(ValueError, match="00_a: found no row"):
        times.timed_header("# 一", {}, "00_a")


def test_the_committed_places_agree_with_the_committed_table():
    """Whoever mends one place by hand leaves four that say something else."""
    kept = times.read_times(ROOT)
    if not kept:
        pytest.skip("no times are kept yet: make run, then `notebooks.py times`")
    for path in book.notebooks(ROOT):
        header = nbformat.read(path, as_version=4).cells[0].source
        assert times.timed_header(header, kept, path.stem) == header, path.name
    for name, word in times.TWINS.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        assert times.timed_readme(text, kept["smoke"], word, name) == text


def test_the_readmes_have_the_places_for_it():
    """`notebooks.py times` must find its rows on the day that it is needed."""
    run = a_run(**{path.stem: 61.4 for path in book.notebooks(ROOT)})
    for name, word in times.TWINS.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        new = times.timed_readme(text, run, word, name)
        assert new.count("| 61 s |") == len(run["notebooks"])
        assert f"{word} 1234567" in new


# A process that holds 600 MiB itself, and looks at what another one holds.
RUNNER = """
import subprocess, sys, times
own = bytearray(600 << 20)
kernel = "import time; x = bytearray(150 << 20); time.sleep(1.5)"
for program in (kernel, "import time; time.sleep(0.5)"):
    with times.peak_memory(pause=0.1) as peak:
        subprocess.run([sys.executable, "-c", program], check=True)
    print(peak[0])
"""


def test_the_memory_of_a_notebook_is_that_of_its_processes():
    """The runner's own memory says nothing: the kernel is another process. In a process of its
    own, as a browser of other tests may be among the children of this one."""
    done = subprocess.run(
        [sys.executable, "-c", RUNNER], cwd=ROOT / "scripts", check=True, capture_output=True
    )
    kernel, nothing = map(float, done.stdout.split())
    assert 0.14 < kernel < 0.6
    assert 0 < nothing < 0.14


def test_a_run_by_hand_may_lack_memory_and_have_cores_of_its_own():
    """Four notebooks were timed at cpu, one of them on one core; the headers said not measured."""
    by_hand = {**RUN, "notebooks": {"00_a": {"seconds": 33}, "00_b": {"seconds": 730, "cores": 1}}}
    told = [times.sentence({"cpu": by_hand}, name, "seconds") for name in ("00_a", "00_b")]
    assert "`cpu` 33 秒（4 核 " in told[0] and "`cpu` 12 分钟（1 核 " in told[1]
    assert times.sentence({"cpu": by_hand}, "00_a", "peak_gib").startswith("`smoke`、`cpu`")
