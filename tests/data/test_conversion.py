"""Convert: every span comes back from every format that can hold it, and what one cannot hold is
refused or counted."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miniluotuo_utils.__main__ import main
from miniluotuo_utils.data import convert, read_any
from miniluotuo_utils.data.writers import SCHEMES, WRITERS
from miniluotuo_utils.files import DataError, read_jsonl, write_jsonl
from miniluotuo_utils.records import check_record

FOLDER = Path(__file__).parent / "own"
TOOLS = ["doccano", "label-studio", "brat", "uie"]
COLUMNS = [*SCHEMES]


def there_and_back(records, to, task, **how):
    """What a format gives back of records, and what was counted on the way."""
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "in.jsonl", Path(folder) / "out"
        write_jsonl(source, records)
        counts = convert(source, out, to=to, task=task, say=None, **how)
        return list(read_any(out, task=task, say=None)), counts


# Characters of two, three and four bytes in UTF-8, of one and two units in UTF-16, and a blank.
letters = "骆驼李白a1é 😀𠮷🏻，的\u3000\u2028"
sentences = st.text(st.sampled_from(letters), min_size=1, max_size=16).filter(str.strip)
kinds = st.sampled_from(["人物", "LOC", "creative-work", "a.b"])
places = st.tuples(st.integers(0, 15), st.integers(1, 16), kinds)


def entity(text, place):
    """An entity of a sentence."""
    start, end, kind = place
    return {"name": text[start:end], "type": kind, "pos": [start, end]}


@st.composite
def documents(draw, nested):
    """Sentences with entities; none of them crosses another unless they may be `nested`."""
    records = []
    for text in draw(st.lists(sentences, min_size=1, max_size=4, unique=True)):
        found, taken = [], set()
        for start, end, kind in draw(st.lists(places, max_size=5)):
            inside = set(range(start, end))
            if start < end <= len(text) and (nested or not taken & inside):
                found.append(entity(text, (start, end, kind)))
                taken |= inside
        unique = {(*one["pos"], one["type"]): one for one in found}
        records.append({"sentence": text, "source": "s", "entities": [*unique.values()]})
    return records


def spans(record):
    """The entities of a record as a set."""
    return {(*one["pos"], one["type"], one["name"]) for one in record["entities"]}


@pytest.mark.parametrize("to", TOOLS)
@settings(max_examples=80)
@given(records=documents(nested=True))
def test_nested_entities_come_back(to, records):
    """Off by one behind an emoji, at a neighbour, at the end; a sentence without entities lost."""
    back, counts = there_and_back(records, to, "NER")
    assert [one["sentence"] for one in back] == [one["sentence"] for one in records]
    assert [spans(one) for one in back] == [spans(one) for one in records]
    assert not counts["notes"]


@pytest.mark.parametrize("to", COLUMNS)
@settings(max_examples=80)
@given(records=documents(nested=False))
def test_flat_entities_come_back_from_columns(to, records):
    """A blank that is a token, an emoji in a cell, neighbours of one type."""
    # A file without any tag but O, or of blanks alone, shows no columns.
    records = [
        {"sentence": "李白来", "source": "s", "entities": [entity("李白来", (0, 2, "人物"))]},
        *records,
    ]
    back, counts = there_and_back(records, to, "NER")
    assert [one["sentence"] for one in back] == [one["sentence"] for one in records]
    assert [spans(one) for one in back] == [spans(one) for one in records]
    assert not counts["notes"]


@pytest.mark.parametrize("to", TOOLS)
@settings(max_examples=60)
@given(st.data())
def test_relations_come_back(to, data):
    """A relation that points to the wrong one of two entities with one name."""
    text = "😀" + data.draw(st.permutations("甲乙丙丁𠮷戊").map("".join))
    found = [entity(text, (n, n + 1, data.draw(kinds))) for n in range(1, 7)]
    pairs = data.draw(
        st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=5)
    )
    relations = [{"head": found[h], "type": "认识", "tail": found[t]} for h, t in pairs]
    record = {"sentence": text, "source": "s", "relations": relations}
    empty = {"sentence": "无", "source": "s", "relations": []}
    back, counts = there_and_back([check_record(record), empty], to, "RE")
    assert sorted(map(str, back[0]["relations"])) == sorted(map(str, relations))
    assert back[1]["relations"] == []
    assert not counts["notes"]


@pytest.mark.parametrize("to", ["brat", "uie"])
@settings(max_examples=60)
@given(st.data())
def test_events_come_back(to, data):
    """Two arguments of one role; the trigger that is an argument of another event."""
    text = "𠮷" + data.draw(st.permutations("甲乙丙丁😀戊").map("".join))
    order = data.draw(st.permutations(range(1, 7)))
    events = [
        {
            "type": kind,
            "trigger": text[at],
            "pos": [at, at + 1],
            "arguments": [
                {
                    "name": text[n],
                    "role": data.draw(st.sampled_from(["人", "地"])),
                    "pos": [n, n + 1],
                }
                for n in rest
            ],
        }
        for kind, at, rest in (("出生", order[0], order[2:4]), ("迁居", order[1], order[4:]))
    ]
    record = check_record({"sentence": text, "source": "s", "events": events})
    [back], counts = there_and_back([record], to, "EE")

    def shown(record):
        return sorted(
            (
                e["type"],
                e["trigger"],
                e["pos"],
                sorted((a["role"], a["pos"]) for a in e["arguments"]),
            )
            for e in record["events"]
        )

    assert shown(back) == shown(record)
    assert not counts["notes"]


@pytest.mark.parametrize(
    "name", ["doccano_relations.jsonl", "label_studio.json", "brat", "uie.txt"]
)
@pytest.mark.parametrize("to", TOOLS)
def test_entities_and_relations_stay_side_by_side(name, to, tmp_path):
    """A record holds one task; between two tools both must go over."""
    convert(FOLDER / name, tmp_path / "out", to=to, say=None)
    for task, field in (("NER", "entities"), ("RE", "relations")):
        before = next(iter(read_any(FOLDER / name, task=task, say=None)))
        after = next(iter(read_any(tmp_path / "out", task=task, say=None)))
        told = [sorted(str(i["type"]) for i in one[field]) for one in (before, after)]
        assert told[0] == told[1]
        assert before["sentence"] == after["sentence"]


def test_what_tools_expect(tmp_path):
    """The shapes that doccano, Label Studio, brat and PaddleNLP document."""
    text = "😀李白生于碎叶"
    record = {
        "id": "a-1",
        "sentence": text,
        "source": "自写",
        "entities": [entity(text, (1, 3, "人物")), entity(text, (5, 7, "地点"))],
    }
    write_jsonl(tmp_path / "in.jsonl", [record])

    def made(to, **how):
        out = tmp_path / "-".join([to, *how.values()])
        convert(tmp_path / "in.jsonl", out, to=to, say=None, **how)
        return out

    [line] = read_jsonl(made("doccano"))
    assert line["label"] == [[2, 4, "人物"], [6, 8, "地点"]], "doccano counts UTF-16 units"
    assert (line["id"], line["source"], line["offset_unit"]) == ("a-1", "自写", "utf16")
    [line] = read_jsonl(made("doccano", offsets="characters"))
    assert line["label"] == [[1, 3, "人物"], [5, 7, "地点"]]
    assert "offset_unit" not in line
    [task] = json.loads(made("label-studio").read_text(encoding="utf-8"))
    assert task["data"]["text"] == text
    first = task["annotations"][0]["result"][0]
    assert first["value"] == {"start": 1, "end": 3, "text": "李白", "labels": ["人物"]}
    assert (first["from_name"], first["to_name"], first["type"]) == ("label", "text", "labels")
    folder = made("brat")
    assert (folder / "000001-a-1.txt").read_text(encoding="utf-8") == text
    told = (folder / "000001-a-1.ann").read_text(encoding="utf-8")
    assert told == "T1\t人物 1 3\t李白\nT2\t地点 5 7\t碎叶\n"
    rows = read_jsonl(made("uie"))
    assert rows[0] == {
        "content": text,
        "result_list": [{"text": "李白", "start": 1, "end": 3}],
        "prompt": "人物",
    }
    assert made("bmes").read_text(encoding="utf-8").split("\n")[:3] == [
        "😀\tO",
        "李\tB-人物",
        "白\tE-人物",
    ]
    assert made("bilou").read_text(encoding="utf-8").split("\n")[6] == "叶\tL-地点"


def test_what_cannot_be_held_is_counted(tmp_path):
    """The inner of two nested entities is gone from BIO: silently, in every script that people
    write."""
    text = "北京大学\t在海淀\n区"
    found = [(0, 4, "机构"), (0, 2, "地点"), (6, 8, "地点")]
    nowhere = {"name": "清华", "type": "机构", "pos": None}
    record = {"sentence": text, "entities": [*(entity(text, one) for one in found), nowhere]}
    back, counts = there_and_back([record], "bio", "NER")
    assert spans(back[0]) == {(0, 4, "机构", "北京大学"), (6, 8, "地点", "海淀")}
    assert counts["notes"] == {
        "a name without a place in the text, left out": 1,
        "an entity inside or across another: columns hold one tag a character": 1,
        "a line end or a tab in a sentence, written as a space": 2,
    }
    # Relations beside entities are counted, relations alone are refused.
    counts = convert(FOLDER / "doccano_relations.jsonl", tmp_path / "bio", to="bio", say=None)
    assert counts["notes"] == {"relations, which bio cannot hold, left out": 1}
    with pytest.raises(
        DataError, match="item 1: found relations and nothing else.*doccano.*hold them"
    ):
        convert(FOLDER / "casrel.json", tmp_path / "bio2", to="bio", say=None)
    assert not (tmp_path / "bio2").exists()
    with pytest.raises(DataError, match=r"messages.jsonl holds instruction rows.*sharegpt"):
        convert(FOLDER / "messages.jsonl", tmp_path / "x", to="doccano", say=None)
    with pytest.raises(DataError, match=r"bio.txt holds IE records.*build_instructions"):
        convert(FOLDER / "bio.txt", tmp_path / "x", to="alpaca", say=None)
    with pytest.raises(ValueError, match="cannot write 'word'"):
        convert(FOLDER / "bio.txt", tmp_path / "x", to="word")


def test_names_that_stand_twice_are_told_for_uie():
    """UIE asks for `李白的…` by name: which 李白 is lost."""
    text = "李白梦见李白"
    head, tail = entity(text, (4, 6, "人物")), entity(text, (0, 2, "人物"))
    record = {"sentence": text, "relations": [{"head": head, "type": "梦见", "tail": tail}]}
    _, counts = there_and_back([record, record], "uie", "RE")
    assert counts["notes"] == {
        "a relation of a name that stands twice: UIE does not say which": 2,
        "a text that stands twice: UIE's rows of both are one text's": 1,
    }


def test_instruction_rows_for_trainers(tmp_path):
    """Alpaca trainers take one JSON list of three keys; a further key or JSON Lines breaks some."""
    rows = [
        {"instruction": "写反义词", "input": "宽", "output": "窄", "source": "s"},
        {
            "instruction": "再来",
            "input": "",
            "output": "好",
            "source": "s",
            "history": [["问", "答"]],
        },
    ]
    write_jsonl(tmp_path / "in.jsonl", rows)
    counts = convert(tmp_path / "in.jsonl", tmp_path / "a.json", to="alpaca", say=None)
    found = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert found == [{"instruction": "写反义词", "input": "宽", "output": "窄"}]
    assert counts["notes"] == {
        "a dialogue, left out: Alpaca's rows hold one turn (--to sharegpt holds all)": 1
    }
    convert(tmp_path / "in.jsonl", tmp_path / "b.jsonl", to="alpaca", say=None)
    assert json.loads((tmp_path / "b.jsonl").read_text(encoding="utf-8")) == found, "a list always"
    for to, turns in (("sharegpt", "conversations"), ("messages", "messages")):
        convert(tmp_path / "in.jsonl", tmp_path / to, to=to, say=None)
        first, second = read_any(tmp_path / to, say=None)
        assert (first["instruction"], first["output"]) == ("写反义词\n宽", "窄")
        assert second["history"] == [["问", "答"]]
        text = (tmp_path / to).read_text(encoding="utf-8")
        assert text.count(f'"{turns}"') == 2
        assert text.startswith("[" if to == "sharegpt" else "{")
    convert(tmp_path / "in.jsonl", tmp_path / "a.jsonl.gz", to="messages", say=None)
    assert sum(1 for _ in read_any(tmp_path / "a.jsonl.gz", say=None)) == 2


def test_bad_units_are_skipped_only_when_asked(tmp_path, capsys):
    """One bad line of 10,000 must not end in half a file."""
    good = '{"text": "李白", "label": [[0, 2, "人物"]]}\n'
    (tmp_path / "in.jsonl").write_text(good + good.replace("2, ", "9, ") + good, encoding="utf-8")
    command = [
        "convert",
        str(tmp_path / "in.jsonl"),
        str(tmp_path / "out.jsonl"),
        "--to",
        "records",
    ]
    assert main(command) == 2
    assert "in.jsonl, line 2" in capsys.readouterr().err
    assert not list(tmp_path.glob("out*"))
    assert main([*command, "--skip"]) == 0
    printed = capsys.readouterr().out
    assert "2 items written" in printed
    assert "skipped in.jsonl, line 2" in printed
    assert len(read_jsonl(tmp_path / "out.jsonl", check_record)) == 2


def test_nothing_is_written_over(tmp_path):
    """`--to brat` writes a folder: one of that name, with years of work in it, must not go."""
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="thesis is there"):
        convert(FOLDER / "bio.txt", tmp_path / "thesis", to="brat", say=None)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"


def test_every_target_is_offered():
    """A writer that the shell does not know is for nobody."""
    assert set(WRITERS) == {"records", *TOOLS, *COLUMNS, "alpaca", "sharegpt", "messages"}


MARKED = [("silver", "doccano"), ("silver", "label-studio"), ("one-pair", "doccano")]


@pytest.mark.parametrize(("mark", "to"), [*MARKED, ("one-pair", "label-studio")])
def test_what_a_model_found_does_not_come_back_as_gold(mark, to):
    """Predictions that went through a tool were exhaustive gold afterwards, without a word."""
    text, found = "茅以升在杭州", {"name": "杭州", "type": "地点", "pos": [4, 6]}
    records = [
        {"sentence": text, "source": "s", "annotation": mark, "entities": [found]},
        {"sentence": text + "。", "source": "s", "annotation": "exhaustive", "entities": []},
    ]
    back, _ = there_and_back(records, to, "NER")
    assert [one["annotation"] for one in back] == [mark, "exhaustive"]


@pytest.mark.parametrize("to", ["bio", "brat", "uie"])
def test_a_mark_that_cannot_be_held_is_counted(to):
    record = {"sentence": "茅以升", "source": "s", "annotation": "silver", "entities": []}
    _, counts = there_and_back([record], to, "NER")
    assert counts["notes"] == {f"the mark that it is silver, which {to} cannot hold, left out": 1}


def test_predictions_are_for_a_person_to_accept(tmp_path):
    """They were a person's annotations; what a person then mended was silver all the same."""
    record = {"sentence": "茅以升", "source": "s", "annotation": "silver", "entities": []}
    write_jsonl(tmp_path / "in.jsonl", [record])
    convert(tmp_path / "in.jsonl", tmp_path / "out.json", to="label-studio", say=None)
    [task] = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert (task["annotations"], task["data"]) == ([], {"text": "茅以升", "source": "s"})
    task["annotations"] = [{"result": []}]
    (tmp_path / "back.json").write_text(json.dumps([task]), encoding="utf-8")
    assert next(iter(read_any(tmp_path / "back.json", say=None)))["annotation"] == "exhaustive"


@pytest.mark.parametrize("name", ["x.csv", "x.parquet", "x.XLSX", "x.csv.gz", "x.jsonl.bz2"])
def test_no_file_is_written_under_a_name_that_lies(name, tmp_path, capsys):
    """JSON Lines stood in x.parquet; whoever opened it was told that it is damaged."""
    write_jsonl(tmp_path / "in.jsonl", [{"sentence": "茅以升", "source": "s", "entities": []}])
    assert main(["convert", str(tmp_path / "in.jsonl"), str(tmp_path / name), "--to", "records"])
    assert "Name it x.jsonl" in capsys.readouterr().err
    assert main(["clean", str(tmp_path / "in.jsonl"), str(tmp_path / "x.jsonl.gz")]) == 2
    assert [one.name for one in tmp_path.iterdir()] == ["in.jsonl"]
