"""`shards`: the same rows whatever the number of workers, killed or not, and nothing paid twice."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("datatrove")

from loopback import Sent, Server, completion, question

from miniluotuo_utils.__main__ import Extract, Respond, main
from miniluotuo_utils.files import DataError, iter_jsonl, read_jsonl, write_jsonl
from miniluotuo_utils.jobs.clean import clean_file
from miniluotuo_utils.jobs.shards import Work, facts_of, sharded, slower
from miniluotuo_utils.runtime import EMBEDDED
from miniluotuo_utils.writing import Taken

ROWS = [{"instruction": f"第{n}题", "input": "", "output": "", "source": "自写"} for n in range(7)]


def numbered(shard, made):
    """Write the rows of a shard with the process that did it."""
    write_jsonl(made[0], ({**row, "output": "好"} for row in iter_jsonl(shard)), overwrite=True)
    with open(shard.parents[1] / "done.txt", "a", encoding="utf-8") as file:
        file.write(f"{shard.parent.name}\n")
    return 0


def killed_once(mark, shard, made):
    """The same, but the process of the second shard is killed by the system, once."""
    if shard.parent.name == "00001" and not mark.exists():
        made[0].write_text('{"half": ')
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return numbered(shard, made)


def refusing(shard, made):
    """A job that finds a fault in the second row of the second shard."""
    if shard.parent.name == "00001":
        raise DataError("rows.jsonl, line 2: found a prompt of 9 tokens; 0.jsonl was not written")
    return numbered(shard, made)


@pytest.fixture
def work(tmp_path):
    """Seven rows and what is done to them."""
    source = tmp_path / "in.jsonl"
    write_jsonl(source, ROWS)
    rows = partial(iter_jsonl, source)
    return Work("predict", source, (tmp_path / "out.jsonl",), rows, numbered, {"preset": "chat"})


def names(folder: Path) -> list[str]:
    """What stands in a folder, but locks."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_a_killed_worker_is_replaced_and_its_shard_done_again(work, tmp_path):
    """datatrove's own pool waits for ever for a process that the system has killed."""
    said = []
    killed = replace(work, run=partial(killed_once, tmp_path / "mark"))
    assert sharded(killed, shards=3, workers=2, say=said.append) == 0
    assert [row["instruction"] for row in read_jsonl(work.outs[0])] == [
        row["instruction"] for row in ROWS
    ]
    assert any("shard 2 was killed" in line for line in said)
    assert names(tmp_path) == ["in.jsonl", "mark", "out.jsonl"]


def test_a_run_that_failed_goes_on_with_what_is_missing(work, tmp_path):
    """The fault is named by the row of the file that was given, what is done is not done again, and
    other options are never mixed in."""
    with pytest.raises(DataError, match=r"in.jsonl, row 4: .*; out.jsonl was not written"):
        sharded(replace(work, run=refusing), shards=3, workers=1)
    assert names(tmp_path) == ["in.jsonl", "out.jsonl.shards"]
    for other, shards in ((replace(work, made_by={"preset": "extract"}), 3), (work, 2)):
        with pytest.raises(DataError, match="begun with another"):
            sharded(other, shards=shards)
    done = tmp_path / "out.jsonl.shards" / "done.txt"
    before = done.read_text().split()
    assert before == ["00000", "00002"]
    kept = tmp_path / "kept.txt"
    os.link(done, kept)
    sharded(work, shards=3)
    assert kept.read_text().split() == ["00000", "00002", "00001"]
    assert len(read_jsonl(work.outs[0])) == 7


def test_there_are_no_more_shards_than_rows(work):
    """An empty shard would be an error of its command."""
    said = []
    sharded(work, shards=50, workers=3, say=said.append)
    assert "7 份 shards" in said[0]
    assert len(read_jsonl(work.outs[0])) == 7


@pytest.mark.parametrize(
    ("held", "told", "said"),
    [
        (None, (), "是文件夹"),
        ("", (), "the file is empty"),
        ('{"instruction": "甲"}\n{"instruction":\n', (), "in.jsonl, line 2, "),
        ('{"instruction": "甲"}\n{"input": "乙"}\n', (), "in.jsonl, line 2, field instruction"),
        ('{"instruction": "甲"}\n', ("--shards", "0"), "shards: found 0"),
        ('{"instruction": "甲"}\n', ("--workers", "-1"), "workers: found -1"),
        ('{"instruction": "甲"}\n', ("--preset", "chat", "--nosuch"), "has no option --nosuch"),
    ],
)
def test_what_cannot_be_is_said_before_anything_runs(tmp_path, held, told, said, capsys):
    """A bad line at the end must not be found after an hour of the other shards."""
    source = tmp_path / "in.jsonl"
    source.mkdir() if held is None else source.write_text(held, encoding="utf-8")
    command = ["shards", "predict", str(source), str(tmp_path / "out.jsonl")]
    try:
        status = main([*command, "--student", "tiny", *told])
    except SystemExit as error:
        status = error.code
    assert status == 2
    assert said in capsys.readouterr().err
    assert names(tmp_path) == ["in.jsonl"]


def test_nobody_s_file_is_replaced(work, tmp_path):
    """An output, or a folder of the name in which the shards would stand."""
    work.outs[0].write_text("mine\n")
    with pytest.raises(Taken):
        sharded(work)
    work.outs[0].unlink()
    work.folder.mkdir()
    (work.folder / "thesis.txt").write_text("mine\n")
    with pytest.raises(Taken, match="no folder of shards"):
        sharded(work)
    assert (work.folder / "thesis.txt").read_text() == "mine\n"


def test_cleaning_over_shards_is_cleaning_in_one_piece(tmp_path, capsys):
    """Duplicates are of all rows: they are taken out once, at the end."""
    rows = read_jsonl(EMBEDDED / "dirty.jsonl")
    source = tmp_path / "in.jsonl"
    write_jsonl(source, [*rows, *rows[:9]])
    report = clean_file(source, tmp_path / "one.jsonl")
    for workers in ("1", "2"):
        out = tmp_path / f"{workers}.jsonl"
        told = ["--shards", "2", "--workers", workers]
        assert main(["shards", "clean", str(source), str(out), *told]) == 0
        assert out.read_bytes() == (tmp_path / "one.jsonl").read_bytes()
    said = capsys.readouterr().err
    assert f"重复 duplicate {report.removed['duplicate']}" in said
    assert main(["shards", "clean", str(source), str(tmp_path / "q.jsonl"), "--quality"]) == 2


def test_no_secret_of_an_address_is_written(monkeypatch):
    """Some servers want their key in the address, and the address went into shards.jsonl."""
    monkeypatch.setenv("TEACHER_BASE_URL", "https://env/v1?key=hidden-word")
    places = {name: Path(name) for name in ("rows", "out", "store")}
    facts = facts_of("respond", Respond(**places, base_url="https://h/v1/?key=hidden-word"))
    assert "hidden-word" not in repr(facts)
    assert (facts["base_url"], facts["TEACHER_BASE_URL"]) == ("https://h/v1", "https://env/v1")


def test_no_secret_of_an_address_stands_in_a_log(tmp_path, monkeypatch, capfd):
    """datatrove writes each step into its logs, and the options of the command stood there."""
    monkeypatch.setenv("TEACHER_API_KEY", "-")
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write_jsonl(source, ROWS)
    command = ["shards", "respond", str(source), str(out), "--store", str(tmp_path / "s.sqlite")]
    command += ["--model", "m", "--shards", "2", "--base-url"]
    with Server(lambda request, times: Sent({"error": "bad row"}, 400)) as server:
        assert main([*command, f"{server.base_url}?key=hidden-word"]) == 2
    held = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert any(b"PIPELINE" in one for one in held)
    assert not [one for one in held if b"hidden-word" in one]
    assert "hidden-word" not in "".join(capfd.readouterr())


def test_a_run_may_go_on_with_smaller_batches():
    """Killed for memory, it could not: the size of a batch was among what outputs depend on."""
    places = {"source": Path("a"), "target": Path("b"), "student": "tiny", "types": ["人物"]}
    one, other = (Extract(**places, batch_size=size) for size in (32, 4))
    assert facts_of("extract", one) == facts_of("extract", other)


def test_a_paid_teacher_is_asked_once_a_row(tmp_path, capfd):
    """Two workers share the store; the whole run is killed in the middle, and goes on."""
    source, out, store = (tmp_path / name for name in ("in.jsonl", "out.jsonl", "store.sqlite"))
    write_jsonl(source, [*ROWS, ROWS[0]])
    command = ["shards", "respond", str(source), str(out), "--store", str(store)]
    command += ["--model", "m", "--concurrency", "2", "--shards", "4", "--workers", "2"]
    with Server(lambda request, times: completion(f"答：{question(request)}")) as server:
        command += ["--base-url", server.base_url]
        # It kills itself as soon as the first shard is done.
        code = "\n".join(
            [
                "import os, signal, sys",
                "from miniluotuo_utils import __main__ as cli",
                "def said(command, line):",
                "    if 'done: ' in line: os.kill(os.getpid(), signal.SIGKILL)",
                "cli.aside = said",
                "if __name__ == '__main__': cli.main(sys.argv[1:])",
            ]
        )
        script = tmp_path / "killed.py"
        script.write_text(code, encoding="utf-8")
        environment = {**os.environ, "TEACHER_API_KEY": "-"}
        done = subprocess.run([sys.executable, str(script), *command], env=environment, check=False)
        assert done.returncode == -signal.SIGKILL
        assert not out.exists()
        assert main(command) == 0
        asked = Counter(map(question, server.asked))
    assert [row["output"] for row in read_jsonl(out)] == [
        f"答：{row['instruction']}" for row in [*ROWS, ROWS[0]]
    ]
    assert len(asked) == 7
    # What was in flight when all were killed is lost, whoever asks: no more than that is repeated.
    assert sum(asked.values()) <= 7 + 2


def test_what_is_spent_and_the_pace_are_of_all_workers_together():
    """Eight shards with the whole budget each would spend it eight times."""
    from miniluotuo_utils.__main__ import Respond

    command = Respond(store=Path("s"), rows=Path("a"), out=Path("b"), budget=8.0, concurrency=3)
    one = slower(replace(command, requests_per_minute=60.0), shards=4, workers=2)
    assert (one.budget, one.concurrency, one.requests_per_minute) == (2.0, 1, 30.0)
    assert one.budget_tokens is None


def test_the_folder_says_what_is_done(work, tmp_path):
    """Whoever looks into a long run finds the log of each shard, and marks of those that are
    done."""
    with pytest.raises(DataError):
        sharded(replace(work, run=refusing), shards=2)
    marks = tmp_path / "out.jsonl.shards" / "datatrove" / "completions"
    assert names(marks) == ["00000"]
    first = json.loads((tmp_path / "out.jsonl.shards" / "shards.jsonl").read_text().splitlines()[0])
    assert first["shards"] == 2
