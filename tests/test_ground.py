"""The ground floor: files that are whole or absent, records that say what is wrong, one prompt."""

import errno
import json
import random
import signal
import subprocess
import sys

import pytest
from examples import random_record
from hypothesis import given
from hypothesis import strategies as st

from miniluotuo_utils.files import (
    DataError,
    Journal,
    iter_jsonl,
    read_jsonl,
    unused,
    write_jsonl,
    written_whole,
)
from miniluotuo_utils.prompts import prompt, row_prompt
from miniluotuo_utils.records import check_record, check_row, map_mentions, mentions
from miniluotuo_utils.runtime import EMBEDDED, record_run, setup
from miniluotuo_utils.writing import Taken

ROW = {"instruction": "问好", "input": "", "output": "你好。", "source": "自写"}


def test_written_whole_keeps_the_old_file_when_the_block_fails(tmp_path):
    """A crash while writing once left half a file that the next run took for whole."""
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), written_whole(target) as partial:
        partial.write_text("ne")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_rows_replace_no_file_of_a_persons_own(tmp_path):
    """A plain `write_jsonl` put rows in the place of whatever stood there: notes, corrections."""
    path, rows = tmp_path / "rows.jsonl", [{"n": 1}, {"n": 2}]
    assert write_jsonl(path, rows) == write_jsonl(path, rows) == 2, "a cell is run again"
    assert write_jsonl(path, [*rows, {"n": 3}]) == 3, "nothing is lost where rows are added"
    mine = [{"n": 1}, {"n": 2, "note": "corrected by hand"}]
    write_jsonl(path, mine, overwrite=True)
    with pytest.raises(Taken, match=r"rows.jsonl, line 2: found .*by hand.*overwrite=True"):
        write_jsonl(path, rows)
    with pytest.raises(Taken, match="is there already"):
        write_jsonl(path, mine, overwrite=False)
    assert read_jsonl(path) == mine
    thesis = tmp_path / "thesis.txt"
    thesis.write_bytes("第一章".encode("gb18030"))
    with pytest.raises(ValueError, match="thesis.txt, line 1"):
        write_jsonl(thesis, rows)
    assert thesis.read_bytes() == "第一章".encode("gb18030")
    assert {p.name for p in tmp_path.iterdir()} == {"rows.jsonl", "thesis.txt"}


def test_written_whole_replaces_folders(tmp_path):
    """os.replace refuses a folder that is not empty."""
    for text in ("one", "two"):
        with written_whole(tmp_path / "student") as partial:
            partial.mkdir()
            (partial / "weights").write_text(text)
    assert (tmp_path / "student" / "weights").read_text() == "two"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_killed_writer_leaves_no_finished_file(tmp_path):
    """kill -9 while writing: no file may stand there, and the next writer must not trip over it."""
    code = """if True:
        import sys, time
        from miniluotuo_utils.files import written_whole
        with written_whole(sys.argv[1]) as partial:
            partial.write_text("half")
            print("go", flush=True)
            time.sleep(60)
    """
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "a.jsonl")], stdout=subprocess.PIPE
    )
    child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (tmp_path / "a.jsonl").exists()
    write_jsonl(tmp_path / "a.jsonl", [ROW])
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]


def test_a_killed_journal_goes_on(tmp_path):
    """kill -9 while lines are added: what was added counts, half a line does not spoil the next."""
    code = """if True:
        import sys
        from miniluotuo_utils.files import Journal
        journal = Journal(sys.argv[1], {"seed": 1})
        for number in range(10**6):
            journal.append({"number": number, "text": "骆驼" * 2000})
            print(number, flush=True)
    """
    path = tmp_path / "log" / "journal.jsonl"
    child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    while child.stdout.readline() != b"5\n":
        pass
    child.send_signal(signal.SIGKILL)
    rest = child.communicate()[0].split()
    journal = Journal(path, {"seed": 1})
    numbers = [line["number"] for line in journal.lines()]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= 6 + len(rest)
    with open(path, "a", encoding="utf-8") as file:
        file.write('{"number": ')
    journal.append({"number": -1})
    assert [line["number"] for line in Journal(path, {"seed": 1}).lines()] == [*numbers, -1]


def test_a_journal_begun_with_something_else_is_left_alone(tmp_path):
    """Last week's answers were counted for this week's."""
    path = tmp_path / "journal.jsonl"
    Journal(path, {"seed": 1, "data": "a"}).append({"number": 0})
    before = path.read_bytes()
    other = Journal(path, {"seed": 2, "data": "a"})
    for use in (other.lines, lambda: other.append({"number": 1})):
        with pytest.raises(
            DataError, match=r"journal.jsonl was begun with another seed \(1, now 2.*（.*换一个文件"
        ):
            use()
    assert path.read_bytes() == before


def test_what_is_no_journal_or_is_gone_is_said_in_both_languages(tmp_path):
    """Who reads no English could not tell whether the work of an afternoon was lost."""
    path = tmp_path / "a.jsonl"
    path.write_text("第一行\n", encoding="utf-8")
    with pytest.raises(DataError, match="not a journal.*（"):
        Journal(path, {}).append({})
    path.unlink()
    journal = Journal(path, {})
    journal.append({})
    path.unlink()
    with pytest.raises(DataError, match="the file is gone.*（"):
        journal.append({})


def test_a_full_disk_names_the_file(tmp_path):
    """A full disk ended in a bare errno 28 without a file name."""
    with (
        pytest.raises(OSError, match=r"disk full while writing b\.json .*MINILUOTUO_RUNS"),
        written_whole(tmp_path / "b.json"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_setup_refuses_an_unknown_scale_and_makes_its_folder(runs, capsys):
    """A misspelt scale once ran at full size."""
    with pytest.raises(ValueError, match="'smok'; expected one of smoke, cpu, t4, full"):
        setup("smok")
    runtime = setup("smoke", 1)
    assert runtime.folder == runs / "smoke"
    said = capsys.readouterr().out
    assert "scale=smoke" in said
    assert "runs/ is the folder that MINILUOTUO_RUNS names" in said
    note = record_run(runtime.folder, runtime, answer=42)
    assert json.loads((runtime.folder / "run.json").read_text())["answer"] == note["answer"] == 42
    assert "/" not in runtime.shown(runs.parent / "elsewhere")


def test_work_by_hand_has_a_folder_of_its_own_at_every_scale(runs, tmp_path):
    """Corrected at smoke, a text had 0 of 500 sentences at cpu; two files of one name shared one
    file of corrections."""
    first, second = tmp_path / "a" / "data.txt", tmp_path / "b" / "data.txt"
    smoke, cpu = setup("smoke"), setup("cpu")
    folder = smoke.own(first)
    assert folder.is_dir() and folder == cpu.own(first) == cpu.own(
        first.parent / ".." / "a/data.txt"
    )
    assert folder != smoke.own(second) and folder.parent == runs / "own"
    assert (folder / "source.txt").read_text(encoding="utf-8").strip() == str(first)
    # A text that has grown is the same text.
    first.parent.mkdir()
    first.write_text("雨停了。", encoding="utf-8")
    assert smoke.own(first) == folder
    shipped, own = smoke.own(EMBEDDED / "garden.txt"), smoke.own(tmp_path / "garden.txt")
    assert smoke.shown(shipped) == "runs/own/garden" and own != shipped


def test_a_second_student_takes_the_next_number(tmp_path):
    """Run again, the notebook replaced an hour's training."""
    assert unused(tmp_path / "student-84").name == "student-84"
    for name in ("student-84", "student-84-2"):
        (tmp_path / name).mkdir()
    assert unused(tmp_path / "student-84").name == "student-84-3"


def test_no_chinese_font_is_said(runs, capsys, monkeypatch):
    """Pictures with empty boxes, and no word about why."""
    monkeypatch.setattr("miniluotuo_utils.runtime.chinese_font", lambda: None)
    setup("smoke")
    assert "fonts-noto-cjk" in capsys.readouterr().out


def test_a_gpu_that_is_not_used_is_said(runs, capsys, monkeypatch):
    """On a Mac torch offers `mps`; why everything is slow there was nowhere said."""
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    setup("smoke")
    assert "mps" in capsys.readouterr().out
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    setup("smoke")
    assert "mps" not in capsys.readouterr().out


def test_a_chinese_font_is_found_without_the_systems():
    """Neither Colab nor CI has a Chinese font: the wheel's one must be picked up."""
    from matplotlib import font_manager, rcParams

    from miniluotuo_utils import runtime

    kept = list(font_manager.fontManager.ttflist)
    font_manager.fontManager.ttflist = [f for f in kept if f.name not in runtime.CJK_FONTS]
    try:
        assert runtime.chinese_font()
        assert rcParams["font.sans-serif"][0].startswith("Noto Sans")
    finally:
        font_manager.fontManager.ttflist = kept


def test_importing_the_package_loads_no_library():
    """Importing once pulled torch in and took seconds."""
    code = """if True:
        import sys
        before = set(sys.modules)
        import miniluotuo_utils
        new = {name.partition(".")[0] for name in set(sys.modules) - before}
        print(*new - set(sys.stdlib_module_names))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["miniluotuo_utils"]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("", "line 2, field line"),
        ("{bad", "line 2: "),
        ('{"instruction": "a"}', "line 2, field input: found None"),
        ("[1]", "line 2, field row"),
        (
            '{"instruction": "\\ud83d", "input": "", "output": "", "source": ""}',
            "line 2: half of a surrogate pair",
        ),
    ],
)
def test_a_malformed_line_is_named(tmp_path, line, found):
    """An empty or malformed line among thousands must be found by its number."""
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ROW) + "\n" + line + "\n" + json.dumps(ROW) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="rows.jsonl, " + found.replace("[", r"\[")):
        read_jsonl(path, check_row)


def test_a_file_in_another_encoding_is_named(tmp_path):
    """Files saved as GBK fail somewhere in the middle."""
    path = tmp_path / "gbk.jsonl"
    path.write_bytes(
        json.dumps(ROW).encode() + b"\n" + '{"instruction": "你好"}'.encode("gbk") + b"\n"
    )
    with pytest.raises(DataError, match="line 2: not UTF-8"):
        list(iter_jsonl(path))


def test_a_byte_order_mark_is_not_data(tmp_path):
    """Notepad and Excel put one before the first line, and the error names what no editor shows."""
    path = tmp_path / "bom.jsonl"
    line = json.dumps(ROW).encode() + b"\n"
    path.write_bytes(b"\xef\xbb\xbf" + line + line)
    assert read_jsonl(path, check_row) == [ROW, ROW]
    path.write_bytes(
        line + b"\xef\xbb\xbf" + line
    )  # two files put together: only the first line may have one
    with pytest.raises(DataError, match="line 2: "):
        read_jsonl(path)


@pytest.mark.parametrize(
    ("record", "found"),
    [
        (
            {"sentence": "李白", "entities": [{"name": "李白", "type": "人物", "pos": [0, 3]}]},
            "entities[0].pos",
        ),
        (
            {"sentence": "李白", "entities": [{"name": "李白", "type": "人物", "pos": [-2, 2]}]},
            "entities[0].pos",
        ),
        (
            {"sentence": "李白", "entities": [{"name": "", "type": "人物", "pos": None}]},
            "entities[0].name",
        ),
        ({"sentence": "李白", "entities": [], "relations": []}, "record"),
        (
            {
                "sentence": "李白",
                "relations": [{"head": {"name": "李白"}, "type": "作者", "tail": None}],
            },
            "relations[0].tail",
        ),
        (
            {
                "sentence": "李白",
                "events": [{"type": "诞生", "trigger": "生", "pos": [0, 1], "arguments": []}],
            },
            "events[0].trigger.pos",
        ),
        *(
            (
                {
                    "sentence": "李白",
                    "events": [
                        {
                            "type": "诞生",
                            "trigger": "李",
                            "arguments": [{"name": "李白", "role": "人", "alias": alias}],
                        }
                    ],
                },
                "events[0].arguments[0].alias",
            )
            for alias in ("太白", [5])
        ),
        ({"sentence": "", "entities": []}, "sentence"),
        ({"sentence": "李白", "entities": [], "annotation": "some"}, "annotation"),
    ],
)
def test_a_bad_record_names_its_field(record, found):
    """Offsets that do not cut out their name are the commonest fault of IE data."""
    with pytest.raises(DataError) as caught:
        check_record(record)
    assert f"field {found}" in str(caught.value)


@given(st.text(max_size=40), st.integers(0, 40), st.integers(0, 40))
def test_a_record_passes_exactly_if_its_span_is_true(sentence, start, end):
    """The offset invariant, for any text and any span."""
    name = sentence[start:end]
    record = {
        "sentence": sentence or "x",
        "entities": [{"name": name or "y", "type": "t", "pos": [start, end]}],
    }
    good = bool(sentence) and bool(name) and start < end <= len(sentence)
    try:
        check_record(record)
    except DataError:
        assert not good
    else:
        assert good


@pytest.mark.parametrize("task", ["NER", "RE", "EE"])
def test_every_named_thing_is_mapped_and_nothing_else(task):
    """Four walks over a record were written by hand; one of them forgot the slots of a relation."""
    draw = random.Random(7)
    for _ in range(50):
        record = random_record(draw, task, full=True)
        kept = json.dumps(record)
        mapped = map_mentions(record, lambda thing: thing | {"name": thing["name"] + "X"})
        names = [thing["name"] for thing, _ in mentions(record)]
        assert [thing["name"] for thing, _ in mentions(mapped)] == [name + "X" for name in names]
        assert map_mentions(mapped, lambda thing: thing | {"name": thing["name"][:-1]}) == record
        assert json.dumps(record) == kept


def test_a_slot_called_name_is_no_named_thing():
    """A relation's slots are keyed by its source's words, and null where a table has the column."""
    thing = {"name": "李白", "type": "PER", "pos": None}
    relation = {"head": thing, "type": "PER", "tail": thing, "slots": {"name": thing, "type": None}}
    (mapped,) = map_mentions({"sentence": "诗", "relations": [relation]}, dict, {"PER": "人"})[
        "relations"
    ]
    assert mapped["slots"] == {"name": thing | {"type": "人"}, "type": None}
    assert mapped["type"] == "人"


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"instruction": texts, "input": texts, "output": texts, "source": texts}
        ),
        max_size=5,
    )
)
def test_json_lines_round_trip(tmp_path_factory, rows):
    """Line separators inside texts (U+2028, \\r) must not split a row."""
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    assert write_jsonl(path, rows) == len(rows)
    assert read_jsonl(path) == rows


def test_the_prompt_is_alpacas_byte_for_byte():
    """Inference once ended its prompt with a newline that training did not have."""
    assert prompt("写诗").endswith("### Instruction:\n写诗\n\n### Response:")
    assert "### Input:\n月亮\n\n### Response:" in prompt("写诗", "月亮")
    assert row_prompt({"instruction": "写诗", "input": None, "history": None}) == prompt("写诗")
    assert "paired with an input" not in prompt("写诗")
    assert "paired with an input" in prompt("写诗", "月亮")
