"""A student over a file: rows in order, and a killed run that goes on with the same bytes."""

import json
import os
import subprocess
import sys

import pytest
from filelock import FileLock
from killed import run_until_killed
from vocabularies import student_of

from miniluotuo_utils import __main__ as cli
from miniluotuo_utils.files import DataError
from miniluotuo_utils.generation import generate
from miniluotuo_utils.jobs.predict import predict_file
from miniluotuo_utils.prompts import row_prompt

PROMPTS = [
    "骆驼走",
    "The camel walks to Beijing, and the train",
    "一二三四五六" * 3,
    "你好",
    "camel",
]
ROWS = [
    {"instruction": f"数到{n}", "input": "从一数起" * (n % 3), "output": "", "source": "自写"}
    for n in range(1, 12)
]


@pytest.fixture(scope="module")
def gpt2():
    """The random GPT-2."""
    return student_of("gpt2")


def written(path, rows):
    """A JSON Lines file."""
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def lines(path):
    """The objects of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_predict_answers_every_row_in_order(gpt2, tmp_path, monkeypatch):
    """Answers in the order of their lengths, rows that lost their fields, a second run over all."""
    monkeypatch.setattr("miniluotuo_utils.generation.batching.prompt_ids", short_prompts(gpt2))
    monkeypatch.setattr("miniluotuo_utils.jobs.predict.prompt_ids", short_prompts(gpt2))
    monkeypatch.setattr("miniluotuo_utils.jobs.predict.WINDOW", 5)
    rows = [*ROWS, {"prompt": "骆驼走", "id": 7}, {"instruction": "问好"}]
    data, out = written(tmp_path / "rows.jsonl", rows), tmp_path / "answers.jsonl"
    assert predict_file(gpt2, data, out, max_new_tokens=9, batch_size=2) == {
        "answered": 13,
        "kept": 0,
    }
    found = lines(out)
    assert [row["output"] for row in found] == generate(
        gpt2, [row.get("prompt") or row_prompt(row) for row in rows], max_new_tokens=9
    )
    assert [{**row, "output": ""} for row in found[:11]] == ROWS
    assert found[11]["id"] == 7
    assert found[12]["source"] == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["answers.jsonl", "rows.jsonl"]
    with pytest.raises(FileExistsError, match="answers.jsonl is there already"):
        predict_file(gpt2, data, out)


def short_prompts(student):
    """Prompts without the template's English, which would fill the small context."""
    from miniluotuo_utils.tokens import prompt_ids

    return lambda words, texts, both=False: prompt_ids(
        words, [t.split("request.\n\n")[-1][-30:] for t in texts], both
    )


def test_predict_goes_on_after_a_break_with_the_same_bytes(gpt2, tmp_path, monkeypatch):
    """A row generated twice, a torn line read as an answer, draws that depend on the break."""
    from miniluotuo_utils.generation import engine as generation

    data = written(tmp_path / "rows.jsonl", [{"prompt": p} for p in PROMPTS * 4])
    out, whole = tmp_path / "a.jsonl", tmp_path / "whole.jsonl"
    predict_file(gpt2, data, whole, "creative", 9, 3)
    real, ran, breaks = generation.decode_batch, [], [4]

    def counted(student, ids, *rest, **named):
        if len(ran) in breaks:
            raise KeyboardInterrupt
        ran.append(len(ids))
        return real(student, ids, *rest, **named)

    monkeypatch.setattr(generation, "decode_batch", counted)
    with pytest.raises(KeyboardInterrupt):
        predict_file(gpt2, data, out, "creative", 9, 3)
    part = tmp_path / "a.jsonl.part"
    assert not out.exists()
    assert part.exists()
    part.write_bytes(part.read_bytes() + '{"answers": [[3, "骆'.encode()[:-1])
    for other, name in (
        ({"preset": "chat"}, "preset"),
        ({"seed": 1}, "seed"),
        ({"max_new_tokens": 8}, "max_new_tokens"),
        ({"student": student_of("llama")}, "student"),
        ({"data": written(tmp_path / "other.jsonl", [{"prompt": "骆驼"}])}, "data"),
    ):
        same = {"student": gpt2, "data": data, "out": out, "preset": "creative"}
        options = same | {"max_new_tokens": 9, "batch_size": 3} | other
        begun = rf"a.jsonl.part was begun with another {name} \(.*give the same again"
        with pytest.raises(ValueError, match=begun):
            predict_file(**options)
    breaks.clear()
    counts = predict_file(gpt2, data, out, "creative", 9, 3)
    assert sum(ran) == 20
    assert counts == {"answered": 20, "kept": sum(ran[:4])}
    assert out.read_bytes() == whole.read_bytes()


def test_two_runs_do_not_write_one_file(gpt2, tmp_path, monkeypatch):
    """Two shells that predict into one file paid twice, and mixed their answers."""
    data = written(tmp_path / "rows.jsonl", [{"prompt": p} for p in PROMPTS])
    code = (
        "import sys; from miniluotuo_utils.files import Journal\n"
        "with Journal(sys.argv[1], {}).alone(): print(flush=True); sys.stdin.readline()"
    )
    held = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "a.jsonl.part")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    held.stdout.readline()
    acquire = FileLock.acquire
    monkeypatch.setattr(FileLock, "acquire", lambda lock, timeout: acquire(lock, timeout=0))
    with pytest.raises(DataError, match="another process is writing a.jsonl.part: let it finish"):
        predict_file(gpt2, data, tmp_path / "a.jsonl")
    held.communicate(b"\n")
    assert predict_file(gpt2, data, tmp_path / "a.jsonl", max_new_tokens=4)["answered"] == 5


def test_bad_lines_are_named_before_anything_is_generated(gpt2, tmp_path, monkeypatch):
    """The last line of a large file found bad after a night of generating."""
    monkeypatch.setattr("miniluotuo_utils.generation.engine.decode_batch", None)
    for row, message in (
        ({"instruction": 3}, "rows.jsonl, line 2, field instruction: found 3"),
        ({"prompt": ""}, "rows.jsonl, line 2, field prompt: found ''"),
        ([], "rows.jsonl, line 2, field row"),
        (
            {"prompt": "骆驼 " * 90},
            r"row 2: found a prompt of \d+ tokens, the student's context holds 64; shorten",
        ),
    ):
        data = written(tmp_path / "rows.jsonl", [{"prompt": "好"}, row])
        with pytest.raises(ValueError, match=message):
            predict_file(gpt2, data, tmp_path / "out.jsonl")
    with pytest.raises(ValueError, match="the file is empty"):
        predict_file(gpt2, written(tmp_path / "empty.jsonl", []), tmp_path / "out.jsonl")
    assert not list(tmp_path.glob("out*"))


def test_kill_9_in_the_shell_and_again(tmp_path):
    """The file of a killed run looked finished, or the next run began at its first row."""
    rows = [{**ROWS[n % 11], "instruction": f"数到{n}"} for n in range(64)]
    data, out = written(tmp_path / "rows.jsonl", rows), tmp_path / "answers.jsonl"
    part = tmp_path / "answers.jsonl.part"
    options = ["--max-new-tokens", "24", "--batch-size", "4"]
    command = ["predict", "--student", "tiny", "--data", str(data), *options, "--out"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run_until_killed([*command, str(out)], environment)
    whole = [json.loads(line) for line in part.read_bytes().split(b"\n")[1:-1]]
    kept = sum(len(line["answers"]) for line in whole)
    assert not out.exists()
    assert kept == 12
    printed = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.print", lambda *a, **k: printed.append(" ".join(map(str, a))))
        assert cli.main([*command, str(out)]) == 0
        assert cli.main([*command, str(tmp_path / "again.jsonl")]) == 0
    first = next(line for line in printed if "answered" in line)
    assert first.startswith("64 rows answered")
    assert f", {kept} of them" in first
    assert not part.exists()
    assert out.read_bytes() == (tmp_path / "again.jsonl").read_bytes()
    assert [row["instruction"] for row in lines(out)] == [row["instruction"] for row in rows]
