"""`respond` and `instruct` given again: the files grow, and what a person wrote into them stays."""

import pytest

from miniluotuo_utils.files import read_jsonl, write_jsonl
from miniluotuo_utils.jobs.respond import grow_file, respond_file
from miniluotuo_utils.teacher import Teacher
from miniluotuo_utils.teacher.recorded import RecordedTeacher
from miniluotuo_utils.writing import Taken

BANK = [
    {"instruction": f"第{n}个问题是什么？", "input": "", "output": f"是第{n}个。", "topic": "数"}
    for n in range(12)
]


@pytest.fixture
def files(tmp_path):
    """Rows, of which the last one has no recorded answer, and names for what is written."""
    asked = [{"instruction": row["instruction"], "id": n} for n, row in enumerate(BANK[:5])]
    write_jsonl(tmp_path / "rows.jsonl", [*asked, {"instruction": "没有录过的问题", "id": 5}])
    names = ("rows.jsonl", "out.jsonl", "rejected.jsonl", "store.sqlite")
    return [tmp_path / name for name in names]


def test_the_same_command_again_loses_nothing_and_asks_nothing(files):
    """`run again to ask for them`, said `respond`; and then it would refuse its own files."""
    rows, out, rejected, store = files
    with RecordedTeacher(BANK) as server:
        teacher = Teacher(server.base_url, server.model, "sk-a-long-key", store, max_retries=0)
        for _ in range(3):
            counts = respond_file(teacher, rows, out, rejected, progress=False)
            assert (counts["answered"], counts["unanswered"]) == (5, 1)
            assert len(read_jsonl(out)) == 5
            assert len(read_jsonl(rejected)) == 1
        answered = server.answered.total()
        # More rows: the file grows.
        write_jsonl(rows, [*read_jsonl(rows), {"instruction": BANK[7]["instruction"], "id": 7}])
        respond_file(teacher, rows, out, rejected, progress=False)
        assert [row["id"] for row in read_jsonl(out)] == [0, 1, 2, 3, 4, 7]
        assert server.answered.total() <= answered + 2


def test_what_a_person_wrote_into_an_answer_stays(files):
    """An afternoon of corrections in OUT, or answers by hand among the rejected rows, replaced by
    the second run."""
    rows, out, rejected, store = files
    with RecordedTeacher(BANK) as server:
        teacher = Teacher(server.base_url, server.model, "sk-a-long-key", store, max_retries=0)
        respond_file(teacher, rows, out, rejected, progress=False)
        made = read_jsonl(out)
        mine = [
            {**row, "output": row["output"] + "改过"} if row["id"] == 2 else row for row in made
        ]
        write_jsonl(out, mine, overwrite=True)
        with pytest.raises(Taken, match=r"out.jsonl, line 3: found .* would not write"):
            respond_file(teacher, rows, out, rejected, progress=False)
        assert read_jsonl(out) == mine
        respond_file(teacher, rows, out, rejected, progress=False, replace=True)
        assert read_jsonl(out) == made
        [left] = read_jsonl(rejected)
        write_jsonl(rejected, [{**left, "output": "我自己的回答"}], overwrite=True)
        with pytest.raises(Taken, match="rejected.jsonl is there already"):
            respond_file(teacher, rows, out, rejected, progress=False)
        assert read_jsonl(rejected)[0]["output"] == "我自己的回答"
        # Another file's answers are no earlier run of this one.
        write_jsonl(out, [{"instruction": "别的", "output": "别的文件"}], overwrite=True)
        rejected.unlink()
        answered = server.answered.total()
        other = Teacher(server.base_url, server.model, "sk-a-long-key", store.with_name("s.sqlite"))
        with pytest.raises(Taken, match="out.jsonl is there already"):
            respond_file(other, rows, out, rejected, progress=False)
        assert read_jsonl(out) == [{"instruction": "别的", "output": "别的文件"}]
        assert server.answered.total() == answered, "said before anything is paid for"


def test_what_came_while_the_teacher_answered_stays(files, monkeypatch):
    """A file that somebody put at --rejected during the run was replaced at its end."""
    rows, out, rejected, store = files
    with RecordedTeacher(BANK) as server:
        teacher = Teacher(server.base_url, server.model, "sk-a-long-key", store, max_retries=0)
        fill = teacher.fill

        def meanwhile(*rest, **options):
            fill(*rest, **options)
            rejected.write_text('{"mine": 1}\n', encoding="utf-8")

        monkeypatch.setattr(teacher, "fill", meanwhile)
        with pytest.raises(Taken, match="rejected.jsonl is there already"):
            respond_file(teacher, rows, out, rejected, progress=False)
    assert read_jsonl(rejected) == [{"mine": 1}]


def test_a_set_that_is_grown_again_keeps_its_lines(tmp_path):
    """A larger target on the same store goes on from the set that is there."""
    seeds, out = tmp_path / "seeds.jsonl", tmp_path / "new.jsonl"
    write_jsonl(seeds, [{"instruction": f"种子{n}：介绍一样东西"} for n in range(5)])
    bank = [
        {"instruction": f"写一写{a}和{b}的不同", "input": "", "output": "好。", "topic": a}
        for a in "茶酒米面糖盐油醋"
        for b in "山水云月花鸟鱼虫"
    ]
    with RecordedTeacher(bank) as server:
        teacher = Teacher(server.base_url, server.model, "sk-a-long-key", tmp_path / "s.sqlite")
        grow_file(teacher, seeds, out, 10, progress=False)
        first = read_jsonl(out)
        grow_file(teacher, seeds, out, 20, progress=False)
        assert read_jsonl(out)[: len(first)] == first
        write_jsonl(out, [first[0] | {"instruction": "我改过的"}, *first[1:]], overwrite=True)
        kept = out.read_bytes()
        with pytest.raises(Taken, match=r"new.jsonl, line 1.*我改过的"):
            grow_file(teacher, seeds, out, 20, progress=False)
        assert out.read_bytes() == kept
