"""People's own files: every format that is recognised, what is refused and with which words, how
places are counted, names of the catalog."""

import gzip
import io
import json
import lzma
import tempfile
import zipfile
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miniluotuo_utils.data import (
    CATALOG,
    available,
    convert,
    files,
    loading,
    open_data,
    read_any,
)
from miniluotuo_utils.data.offsets import count_of
from miniluotuo_utils.data.readers import OWN, READERS, dialogues, examples, native, read_file
from miniluotuo_utils.files import DataError
from miniluotuo_utils.records import TASKS, check_row

FOLDER = Path(__file__).parent / "own"
PEOPLE = [("茅以升", "人物", [0, 3]), ("杭州", "地点", [4, 6])]
BRIDGE = ("钱塘江大桥", "建筑", [11, 16])
BUILT = ("钱塘江大桥", "修建者", "茅以升")


def later(found, by=1):
    """The same names behind one more character, an emoji."""
    return [(name, kind, [start + by, end + by]) for name, kind, (start, end) in found]


@pytest.fixture
def written(tmp_path):
    """Write text, bytes or objects (as JSON Lines) to a file, and return its path."""

    def write(content, name="x.jsonl"):
        if isinstance(content, list):
            content = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in content)
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def entities(record):
    """(name, type, place) of a record's entities."""
    return [(e["name"], e["type"], list(e["pos"])) for e in record["entities"]]


def sides(record):
    """(head, relation, tail) of a record's relations."""
    return [(r["head"]["name"], r["type"], r["tail"]["name"]) for r in record["relations"]]


# file -> format, what its first record holds
ENTITIES = {
    "own_records.jsonl": ("own_records", later([*PEOPLE, BRIDGE])),
    "doccano.jsonl": ("doccano", later([*PEOPLE, BRIDGE])),
    "label_studio_min.json": ("label_studio_min", PEOPLE),
    "ccks.json": ("spans", [("胆囊切除术", "手术", [6, 11]), ("腹痛", "症状", [16, 18])]),
    "tag_lists.jsonl": ("tag_lists", later([*PEOPLE, BRIDGE])),
    "spacy_pair.json": ("spacy_pair", PEOPLE),
    "spacy_doc.jsonl": ("spans", PEOPLE[:1]),
    "w2ner.json": ("w2ner", PEOPLE),
    "names.jsonl": ("names", [*PEOPLE, BRIDGE]),
    "names_by_type.jsonl": ("names", PEOPLE),
    "bio.txt": ("columns", [*PEOPLE, BRIDGE]),
    "bilou_underscore.txt": ("columns", [*PEOPLE, BRIDGE]),
    "inline.txt": ("inline_tags", PEOPLE),
    "uie_structure.jsonl": ("uie_structure", later(PEOPLE)),
    "conll.txt": ("columns", [("Lu Xun", "PER", [0, 6]), ("Xiamen", "LOC", [17, 23])]),
}


@pytest.mark.parametrize("name", ENTITIES)
def test_annotated_files_are_recognised(name):
    """doccano, Label Studio, CCKS and columns of three cells: refused, one and all."""
    said = []
    reading = read_any(FOLDER / name, say=said.append)
    wanted, found = ENTITIES[name]
    assert reading.format == wanted
    assert (reading.kind, reading.task) == ("records", "NER")
    records = list(reading)
    assert entities(records[0]) == found
    assert list(reading) == records, "a second time"
    assert said[0].startswith(f"{name}：当作 ")
    assert "Read as " in said[0]


RELATIONS = {
    "doccano_relations.jsonl": "doccano",
    "label_studio.json": "label_studio",
    "uie.txt": "uie",
    "brat": "brat",
    "casrel.json": "triples",
    "relations_by_name.jsonl": "triples",
    "tplinker.json": "tplinker",
    "pairs.csv": "pair_rows",
}


@pytest.mark.parametrize("name", RELATIONS)
def test_relations_are_recognised(name):
    """A file of entities and relations has more than one record can hold: none may vanish."""
    task = "RE"
    reading = read_any(FOLDER / name, task=task, say=None)
    assert reading.format == RELATIONS[name]
    first = next(iter(reading))
    assert sides(first) == [BUILT]
    [one] = first["relations"]
    text = first["sentence"]
    assert all(text[slice(*one[side]["pos"])] == one[side]["name"] for side in ("head", "tail"))


def test_what_a_record_cannot_hold_is_counted():
    """Entities beside relations, lines of brat that are notes, tasks that nobody annotated."""
    reading = read_any(FOLDER / "brat", say=None)
    assert reading.task == "EE"
    [record] = reading
    [event] = record["events"]
    assert (event["type"], event["trigger"]) == ("建造", "修建")
    assert {a["role"]: a["name"] for a in event["arguments"]} == {
        "建造者": "茅以升",
        "建造物": "钱塘江大桥",
    }
    told = "\n".join(reading.noted)
    assert "1 × relations beside what the task EE asks for, left out (--task RE reads them)" in told
    assert "1 × entities beside" in told
    assert "1 × a line A of brat" in told
    assert "1 × a line # of brat" in told
    assert entities(next(iter(read_any(FOLDER / "brat", task="NER", say=None)))) == later(
        [*PEOPLE, BRIDGE]
    )

    reading = read_any(FOLDER / "label_studio.json", say=None)
    assert len(list(reading)) == 1
    assert {*reading.notes} == {
        "an item of the type choices, left out",
        "a task without an annotation, left out",
    }
    reading = read_any(FOLDER / "w2ner.json", say=None)
    list(reading)
    assert reading.notes == {"an entity in several pieces, left out": 1}


TAGS = "B-人物 I-人物 I-人物 O B-地点 I-地点"
TAGGED = {
    "characters and tags.jsonl": [{"text": "茅以升在杭州", "labels": TAGS.split()}],
    "tags in one text.jsonl": [{"text": "茅以升在杭州", "label": TAGS}],
    "both in one text.jsonl": [{"text": "茅 以 升 在 杭 州", "labels": TAGS}],
    "JSON in a cell.csv": "text,entities\n茅以升在杭州,"
    '"[{""start"":0,""end"":3,""label"":""人物""},{""start"":4,""end"":6,""label"":""地点""}]"\n',
    "Python in a cell.csv": "text,label\n茅以升在杭州,\"[(0, 3, '人物'), (4, 6, '地点')]\"\n",
    "names of columns.csv": "token,tag\n"
    + "".join(map("{},{}\n".format, "茅以升在杭州", TAGS.split())),
    "names that lists have, too.tsv": "words\tlabels\n"
    + "".join(map("{}\t{}\n".format, "茅以升在杭州", TAGS.split())),
    "comments.txt": "# text = 茅以升在杭州\n# id = 1\n"
    + "".join(map("{}\t{}\n".format, "茅以升在杭州", TAGS.split())),
    "a row a token.csv": "Sentence #,Word,Tag\n"
    + "Sentence: 1"
    + "".join(map(",{},{}\n".format, "茅以升在杭州", TAGS.split()))
    + "Sentence: 2,雨,O\n",
}


@pytest.mark.parametrize("name", TAGGED)
def test_tags_and_places_in_tables_and_texts(name, written):
    """Each was refused, the first two with the advice to make a classification of them."""
    reading = read_any(written(TAGGED[name], name), say=None)
    records = list(reading)
    assert entities(records[0]) == [("茅以升", "人物", [0, 3]), ("杭州", "地点", [4, 6])]
    assert [one["sentence"] for one in records[1:]] == ["雨"] * name.startswith("a row")
    assert not reading.noted


def test_classes_are_no_tags(written):
    """A label that a text has as a whole, and as many numbers as it has characters."""
    for label in ("好", ["好", "坏"], [0, 1]):
        with pytest.raises(DataError, match="no format that we know"):
            read_any(written([{"text": "茅以", "labels": label}]), say=None)


def test_relations_in_a_table_without_places(written):
    """They were taken for DeepKE's, whose places are missing then."""
    for header in ("sentence,head,relation,tail", "text,subject,predicate,object"):
        table = f"{header}\n钱塘江大桥由茅以升设计,钱塘江大桥,修建者,茅以升\n"
        [record] = read_any(written(table, "x.csv"), say=None)
        assert (sides(record), record["annotation"]) == ([BUILT], "one-pair")


def test_what_spreadsheets_leave_in_a_table(written):
    """Formulas that failed were taught, of two columns of one name one vanished."""
    table = "sep=;\r\ninstruction;output;;\r\n问好;你好。;;\r\n;;;\r\n"
    [row] = read_any(written(table, "x.csv"), say=None)
    assert (row["instruction"], row["output"]) == ("问好", "你好。")
    table = "instruction,output\n问好,你好。\n问好,#REF!\n"
    with pytest.raises(DataError, match="x.csv, line 3: field output: found '#REF!'"):
        list(read_any(written(table, "x.csv"), say=None))
    with pytest.raises(DataError, match="the column 'output' stands twice"):
        read_any(written("instruction,output,output\n问,答,好\n", "x.csv"), say=None)


BRIDGES = "茅以升在杭州"
PLACE = {"start_offset": 4, "end_offset": 6, "label": "地点"}
WRITTEN = {
    "numbers as texts": {"label": [["4", "6", "地点"]]},
    "numbers as pandas writes them": {"label": [[4.0, 6.0, "地点"]]},
    "a number as type": {"label": [[4, 6, 3]]},
    "a type with its id": {
        "entities": [{"start": 4, "end": 6, "label": {"id": 1, "name": "地点"}}]
    },
    "ids as texts and as numbers": {
        "entities": [PLACE | {"id": "7"}],
        "relations": [{"from_id": 7, "to_id": 7, "type": "在"}],
    },
}


@pytest.mark.parametrize("name", WRITTEN)
def test_numbers_ids_and_types_however_they_are_written(name, written):
    """Parquet makes all three of a triple texts, and then no format fitted; an object with the name
    of a type was a type as Python prints it."""
    reading = read_any(written([{"text": BRIDGES, **WRITTEN[name]}]), task="NER", say=None)
    [record] = reading
    kind = "3" if name == "a number as type" else "地点"
    assert entities(record) == [("杭州", kind, [4, 6])]


UNCLEAR = {
    "null": ({"label": None}, "found None in label, expected a list"),
    "nothing": ({}, "found none of entities, label,"),
    "no type": ({"label": [[0, 3, None]]}, "the type None"),
    "an inclusive end": ({"label": [[4, 4, "地点"]]}, "is it one too small"),
}


@pytest.mark.parametrize("name", UNCLEAR)
def test_a_fault_says_what_was_found(name, written):
    """`'NoneType' object is not iterable`, `the field 'entities' is missing` where it is label."""
    bad, words = UNCLEAR[name]
    good = {"text": BRIDGES, "label": [[4, 6, "地点"]]}
    with pytest.raises(DataError, match=f"line 3: .*{words}"):
        list(read_any(written([good, good, {"text": BRIDGES, **bad}]), say=None))


def test_a_type_that_is_none_is_no_type(written):
    """It was the type `None`."""
    bad = {"text": BRIDGES, "spans": [{"start": 4, "end": 6, "label": None}]}
    with pytest.raises(DataError, match="found the type None"):
        list(read_any(written([bad]), say=None))


def test_one_object_is_shown_as_it_is(written):
    """Of a file of one line the list inside was shown, and nobody knew what was meant."""
    one = {"text": BRIDGES, "ner": [["Nh", 0, 3, 1]], "pos": [["n", "v"]]}
    with pytest.raises(DataError, match=r"it holds objects with text \(text\), ner"):
        read_any(written([one]), say=None)


def test_null_in_the_columns_of_other_tasks(written):
    """A table of records of two tasks has both columns in every row."""
    record = {"sentence": BRIDGES, "entities": None, "relations": []}
    assert [one["relations"] for one in read_any(written([record]), say=None)] == [[]]
    with pytest.raises(DataError, match="field entities: found None"):
        list(read_any(written([{"sentence": BRIDGES, "entities": None}]), say=None))


def test_a_folder_of_brat_in_gbk_with_texts_that_nobody_annotated(tmp_path):
    """GBK was refused, a text without annotations vanished, a line without tabs had Python's
    words."""
    (tmp_path / "a.txt").write_text(BRIDGES, encoding="gbk")
    (tmp_path / "a.ann").write_text("T1\t地点 4 6\t杭州\r\n", encoding="gbk")
    (tmp_path / "b.txt").write_text("雨停了。", encoding="gbk")
    reading = read_any(tmp_path, say=None)
    assert [entities(record) for record in reading] == [[("杭州", "地点", [4, 6])]]
    assert "a .txt without an .ann beside it, left out" in reading.noted[0]
    (tmp_path / "a.ann").write_text("T1 地点 4 6 杭州\n", encoding="utf-8")
    with pytest.raises(DataError, match="expected T1<TAB>type start end<TAB>text"):
        list(read_any(tmp_path, say=None))


def test_persons_and_events_in_xml():
    """Formats of one line a pair, and of marks inside the text."""
    first, _ = read_any(FOLDER / "persons.txt", say=None)
    assert sides(first) == [("梁思成", "2", "林徽因")]
    assert first["annotation"] == "one-pair"
    title, told = read_any(FOLDER / "cec.xml", say=None)
    assert title["events"] == []
    assert told["sentence"] == "昨天夜里，北沟村暴发山洪，村民转移到学校。"
    assert [(e["type"], e["trigger"], e["pos"]) for e in told["events"]] == [
        ("emergency", "暴发", [8, 10]),
        ("movement", "转移", [15, 17]),
    ]
    assert [a["role"] for a in told["events"][1]["arguments"]] == ["Participant", "Location"]


# file -> format, rows
ROWS = {
    "own_rows.jsonl": ("own_rows", 2),
    "alpaca.json": ("alpaca", 2),
    "prompt_response.jsonl": ("prompt_response", 2),
    "question_answer.csv": ("question_answer", 2),
    "input_output.jsonl": ("input_output", 1),
    "sharegpt.json": ("sharegpt", 1),
    "messages.jsonl": ("messages", 1),
    "conversation.jsonl": ("conversation", 1),
}


@pytest.mark.parametrize("name", ROWS)
def test_instruction_rows_are_recognised(name):
    """The first command of every newcomer failed: an Alpaca array, rows without a source, chats."""
    reading = read_any(FOLDER / name, say=None)
    rows = list(reading)
    assert (reading.format, len(rows)) == ROWS[name]
    assert reading.kind == "rows"
    assert all(check_row(row) == row for row in rows)
    assert {row["source"] for row in rows} == {
        "自写" if name == "own_rows.jsonl" else reading.name.split(".")[0]
    }
    assert set(rows[0]) - {"history"} == {"instruction", "input", "output", "source"}


def test_every_own_format_has_a_file():
    """A reader that no file tries breaks unseen."""
    tried = {name for name, _ in [*ENTITIES.values(), *ROWS.values()]} | {*RELATIONS.values()}
    assert tried | {"persons", "cec"} == {*OWN} | {"alpaca"}
    assert {*OWN} <= {*READERS}


def test_dialogues_keep_their_turns(written):
    """The last answer is learned, the turns before are its history; what teaches nothing is
    counted."""
    [row] = read_any(FOLDER / "sharegpt.json", say=None)
    assert (row["instruction"], row["output"]) == ("冬天呢？", "盆土干透再浇。")
    assert row["history"] == [["绿萝几天浇一次水？", "夏天三四天一次。"]]
    reading = read_any(FOLDER / "messages.jsonl", say=None)
    [row] = reading
    assert row["instruction"] == "你说话简短。\n\n蜻蜓低飞说明什么？"
    assert "a system message" in reading.noted[0]

    def turn(role, text):
        return {"role": role, "content": text}

    talk = [
        turn("assistant", "在吗"),
        turn("user", "问"),
        turn("assistant", "答"),
        turn("user", "还问"),
    ]
    reading = read_any(written([{"messages": talk}]), say=None)
    [row] = reading
    assert (row["instruction"], row["output"]) == ("问", "答")
    assert len(reading.noted) == 2
    parts = [{"type": "text", "text": "看"}, {"type": "text", "text": "图"}]
    [row] = read_any(
        written([{"messages": [turn("user", parts), turn("assistant", "好")]}]), say=None
    )
    assert row["instruction"] == "看图"
    for bad, word in (
        ([turn("user", "问"), turn("tool", "{}")], "role 'tool'"),
        (
            [turn("user", "问"), turn("user", "又问"), turn("assistant", "答")],
            "user twice in a row",
        ),
        ([turn("user", "问"), turn("assistant", None)], "content None"),
        ([turn("user", "问")], "no question with an answer"),
    ):
        with pytest.raises(DataError, match=f"^x.jsonl, line 1: .*{word}.*validate FILE"):
            list(read_any(written([{"messages": bad}]), say=None))


def said(*turns):
    """Messages of user and assistant in turns."""
    return [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(turns)]


def test_a_system_message_stands_in_front_of_what_it_was_said_before(written):
    """An order from the middle of a talk stood before an answer that does not follow it."""
    late = {"role": "system", "content": "从现在起说英语。"}
    empty = {"role": "system", "content": ""}
    talk = [empty, *said("问好", "你好。"), late, *said("问好", "Hello."), late]
    reading = read_any(written([{"messages": talk}]), say=None)
    [row] = reading
    assert row["history"] == [["问好", "你好。"]]
    assert (row["instruction"], row["output"]) == ("从现在起说英语。\n\n问好", "Hello.")
    assert [note.partition(" × ")[2] for note in reading.noted] == [
        dialogues.SYSTEM,
        dialogues.UNHEARD,
    ]


TALK = [["你好", "您好"]]
HISTORIES = {
    "pairs": TALK,
    "objects": [{"question": "你好", "answer": "您好"}],
    "messages": said("你好", "您好"),
    "texts": ["你好", "您好"],
    "JSON in a cell": '[["你好", "您好"]]',
}


@pytest.mark.parametrize("name", HISTORIES)
def test_a_history_is_the_same_in_every_shape(name, written):
    """`the field None is missing` was said of messages."""
    row = {"instruction": "再见", "output": "慢走。", "history": HISTORIES[name]}
    assert [one["history"] for one in read_any(written([row]), say=None)] == [TALK]
    empty = {**row, "history": "[]"}
    assert [one.get("history") for one in read_any(written([empty]), say=None)] == [None]


@pytest.mark.parametrize(
    ("given", "output", "notes"),
    [
        (2, "2", 0),
        (0.5, "0.5", 0),
        ({"人物": []}, '{"人物": []}', 1),
        ([{"a": 1}], '[{"a": 1}]', 1),
    ],
)
def test_answers_that_are_no_texts(given, output, notes, written):
    """`"output": 2` was refused, and so was the object that an extraction is to answer."""
    reading = read_any(written([{"instruction": 1, "output": given, "source": 3}]), say=None)
    assert [(r["instruction"], r["output"], r["source"]) for r in reading] == [("1", output, "3")]
    assert len(reading.noted) == notes


UNREAD = {
    "a call": ({**said("问")[0], "role": "assistant", "tool_calls": [{"id": 1}]}, "tool_calls"),
    "a picture": ({"role": "user", "content": [{"type": "image_url"}]}, "'image_url'"),
}


@pytest.mark.parametrize("name", UNREAD)
def test_what_is_no_text_is_named(name, written):
    """`found the content None`: nobody knew that it was a call of a tool."""
    turn, words = UNREAD[name]
    with pytest.raises(DataError, match=words):
        list(read_any(written([{"messages": [turn, *said("问", "答")]}]), say=None))
    for row in ({"messages": said("<image>问", "答")}, {"prompt": "<image>问", "response": "答"}):
        with pytest.raises(DataError, match="found images: a row is text alone"):
            list(read_any(written([{**row, "images": ["a.png"]}]), say=None))


def test_what_nobody_should_learn_is_left_out_and_counted(written):
    """An answer of weight 0 was taught, and thoughts went without a word."""
    good, bad = said("问", "答"), said("又问", "坏")
    good[1]["reasoning_content"], bad[1]["weight"] = "想一想", 0
    reading = read_any(written([{"messages": [*good, *bad]}]), say=None)
    assert [(row["instruction"], row["output"]) for row in reading] == [("问", "答")]
    assert [note.partition(" × ")[2] for note in reading.noted] == [
        dialogues.UNWEIGHTED,
        dialogues.THOUGHT,
        dialogues.UNANSWERED,
    ]


def zipped(files):
    """The bytes of a zip archive."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            # One date, so that two processes that collect the tests see one parameter.
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return whole.getvalue()


ROW = {"instruction": "问好", "output": "你好。"}
LINE = json.dumps(ROW, ensure_ascii=False)
SHAPES = {
    "no source and no input.jsonl": f"{LINE}\n",
    "an empty last line.jsonl": f"{LINE}\n\n",
    "an array.json": f"[{LINE}]",
    "an array in lines.jsonl": f"[\n{LINE}\n]",
    "a list under a name.json": f'{{"data": [{LINE}]}}',
    "columns.json": '{"instruction": ["问好"], "output": ["你好。"]}',
    "columns of pandas.json": '{"instruction": {"0": "问好"}, "output": {"0": "你好。"}}',
    "over several lines.json": json.dumps(ROW, ensure_ascii=False, indent=2),
    "a table.csv": "instruction,output\n问好,你好。\n",
    "a table with Chinese names.csv": "指令,输入,输出\n问好,,你好。\n",
    "tabs.tsv": "instruction\toutput\n问好\t你好。\n",
    "semicolons.csv": "prompt;completion\n问好;你好。\n",
    "capitals.jsonl": '{"Question": "问好", "Answer": "你好。"}',
    "null input.jsonl": '{"instruction": "问好", "input": null, "output": "你好。"}',
    "a mark.jsonl": f"\ufeff{LINE}\n",
    "GBK.csv": "问题,答案\n问好,你好。\n".encode("gbk"),
    "GBK.json": f"[{LINE}]".encode("gbk"),
    "UTF-16.jsonl": f"{LINE}\n".encode("utf-16"),
    "UTF-16 without a mark.jsonl": f"{LINE}\n".encode("utf-16-le"),
    "packed.jsonl.gz": gzip.compress(f"{LINE}\n".encode()),
    "packed, by another name.jsonl": gzip.compress(f"{LINE}\n".encode()),
    "packed.json.xz": lzma.compress(f"[{LINE}]".encode()),
    "windows.jsonl": f"{LINE}\r\n",
    "a list a line.jsonl": (
        '[{"role": "user", "content": "问好"}, {"role": "assistant", "content": "你好。"}]\n'
    )
    * 2,
    "messages in a cell.csv": (
        'messages\n"[{""role"": ""user"", ""content"": ""问好""}, '
        '{""role"": ""assistant"", ""content"": ""你好。""}]"\n'
    ),
    "two arrays.json": f"[\n{LINE}\n]\n[\n{LINE}\n]\n",
    "two arrays, one a line.json": f"[{LINE}]\n[{LINE}]\n",
    "rows by their names.json": f'{{"1": {LINE}, "2": {LINE}}}',
    "a zip.zip": zipped({"__MACOSX/._x": b"", "a/x.jsonl": f"{LINE}\n".encode("gbk")}),
    "texts in turns.jsonl": '{"conversation": ["问好", "你好。"]}',
    "preferences.jsonl": '{"prompt": "问好", "chosen": "你好。", "rejected": "滚。"}',
    "chosen messages.jsonl": json.dumps(
        {"chosen": said("问好", "你好。"), "rejected": said("问好", "滚。")}
    ),
    "chosen messages with their question.jsonl": json.dumps(
        {"prompt": "问好", "chosen": said("问好", "你好。"), "rejected": said("问好", "滚。")}
    ),
    "a chosen message.jsonl": json.dumps(
        {"prompt": "问好", "chosen": said("问好", "你好。")[1:], "rejected": []}
    ),
    "a chosen turn.jsonl": json.dumps(
        {
            "conversations": [{"from": "human", "value": "问好"}],
            "chosen": {"from": "gpt", "value": "你好。"},
            "rejected": {"from": "gpt", "value": "滚。"},
        }
    ),
    "TRL.jsonl": json.dumps(
        {
            "prompt": [{"role": "user", "content": "问好"}],
            "completion": [{"role": "assistant", "content": "你好。"}],
        }
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_row_is_the_same_in_every_shape(name, written):
    """Each of these was refused, with words that led nowhere ("save the file as UTF-8")."""
    rows = list(read_any(written(SHAPES[name], name), say=None))
    assert {(r["instruction"], r["input"], r["output"]) for r in rows} == {("问好", "", "你好。")}


REFUSED = {
    "an empty file": (b"", "the file is empty"),
    "blank lines": (b"\n \n", "the file is empty"),
    "a pointer of Git LFS": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "git lfs pull",
    ),
    "a web page": (b"<!DOCTYPE html>\n<html><body>404</body></html>", "a web page"),
    "half a zip": (b"PK\x03\x04....", "unpack it, or save the table as CSV"),
    "a zip of two": (zipped({"a.txt": b"", "a.ann": b""}), "with a.txt, a.ann: unpack it"),
    "an Excel table": (zipped({"[Content_Types].xml": b"", "xl/a": b""}), "save the table as CSV"),
    "Python's notation": (
        b"[{'a': 1}]",
        "column 3 .Python's own notation: write it with json.dumps",
    ),
    "a comma behind a row": (f"{LINE},\n{LINE}\n".encode(), "a comma too many: take it out"),
    "a pickle": (b"\x80\x04\x95....", "can run code"),
    "zstd": (b"(\xb5/\xfd....", "zstd -d"),
    "a tar": (b"a.jsonl".ljust(257, b"\0") + b"ustar  \0", "tar -xf"),
    "packed and cut": (gzip.compress(LINE.encode() * 99)[:-9], "not a whole packed file"),
    "Japanese": ("{'こんにちは': '世界、元気ですか'}".encode("shift-jis"), "save it as UTF-8"),
    "bytes": (bytes(range(256)) * 4, "binary"),
    "prose": ("从前有座山。\n山上有座庙。\n".encode(), "lines such as '从前有座山。'"),
    "texts alone": ('{"text": "从前有座山。"}\n'.encode(), "nothing to learn"),
    "classes": ('{"text": "真好吃", "label": "好评"}\n'.encode(), "classification"),
    "questions alone": ('{"question": "几点了？"}\n'.encode(), "`respond` lets a teacher"),
    "other fields": (
        b'{"foo": 1, "bar": [{"x": 2}]}\n' * 2,
        r"foo \(number\), bar \(list of objects with x\)",
    ),
    "numbers": (b"[1, 2, 3]", "it holds number"),
    "an empty list": (b"[]", "it holds no rows"),
    "a key twice": (
        b'{"instruction": "a", "output": "b", "output": "c"}\n',
        "line 1: the key 'output' stands twice",
    ),
    "NaN": (b'{"instruction": "a", "output": NaN}\n', "found NaN, which is no JSON"),
    "a broken array": (b'[{"instruction": "a" "output": "b"}]', "line 1: Expecting ',' delimiter"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_data_is_refused_with_the_way_out(case, written):
    """`line 1: Expecting value` says nothing to somebody who downloaded a web page."""
    content, words = REFUSED[case]
    with pytest.raises(DataError, match=rf"^mine\.jsonl[:,] .*{words}"):
        list(read_any(written(content, "mine.jsonl"), say=None))


def test_lists_splits_and_tables_without_names_are_named(written, tmp_path):
    """One file with two splits, a folder of splits, a table whose first line is a row."""
    from datasets import Dataset, DatasetDict

    both = json.dumps({"train": [ROW], "test": [ROW]})
    with pytest.raises(DataError, match="the lists 'train', 'test'; save the one"):
        read_any(written(both, "both.json"))
    DatasetDict({"train": Dataset.from_list([ROW])}).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(DataError, match="name one of them, as saved/train"):
        read_any(tmp_path / "saved")
    assert sum(1 for _ in read_any(tmp_path / "saved" / "train", say=None)) == 1
    with pytest.raises(DataError, match="A table needs a first line that names its columns"):
        read_any(written("问好,你好。\n再见,再见。\n", "bare.csv"))


def test_unused_fields_are_said(written):
    """A column that nothing reads is not gone without a word."""
    said = []
    list(read_any(written([{**ROW, "category": "x", "id": 3}]), say=said.append))
    assert said[-1].endswith("unused fields: category, id")
    old = written([{"id": 1, "data": "李白", "label": [[0, 2, "人物"]]}])
    assert entities(*read_any(old, say=None)) == [("李白", "人物", [0, 2])], "doccano 1.5"


def test_a_missing_file_and_an_unknown_format(tmp_path, written):
    """The nearest names help where a name is mistyped."""
    with pytest.raises(FileNotFoundError, match="no file .*none.json"):
        read_any(tmp_path / "none.json")
    with pytest.raises(ValueError, match="no format 'docanno'; the nearest of .* are doccano"):
        read_any(written([ROW]), "docanno")


def test_a_fault_names_file_place_field_and_step_and_the_rest_is_read(written):
    """One row in a thousand is damaged: which, and what now?"""
    good = {"text": "李白生于碎叶", "label": [[0, 2, "人物"]]}
    rows = [good, {**good, "label": [[4, 9, "地点"]]}, {**good, "label": [["a", 2, "地点"]]}, good]
    path = written(rows)
    with pytest.raises(
        DataError,
        match=r"^x.jsonl, line 2: found the place \[4, 9\) .*has 6 characters\. `validate",
    ):
        list(read_any(path, say=None))
    faults = []
    assert len(list(read_any(path, faults=faults, say=None))) == 2
    assert [fault.place for fault in faults] == ["line 2", "line 3"]


def test_the_hint_about_the_rest_fits_the_reader(written):
    """`load(…, errors="collect")` takes names of the catalog: for one's own file it led nowhere."""
    good = {"text": "李白生于碎叶", "label": [[0, 2, "人物"]]}
    path = written([good, {**good, "label": [[4, 9, "地点"]]}])
    with pytest.raises(DataError, match=r"in Python `read_any\(FILE, faults=\[\]\)` reads it"):
        list(read_any(path, say=None))
    rows = written([{"instruction": "问", "input": "", "output": "答"}, {"instruction": 3}])
    with pytest.raises(DataError, match="A list as `faults` collects such places") as told:
        list(read_file(rows, READERS["alpaca"], "mine"))
    assert "load(" not in str(told.value)
    faults = []
    assert len(list(read_file(rows, READERS["alpaca"], "mine", faults))) == len(faults) == 1


@pytest.mark.parametrize(
    ("history", "words"),
    [
        ([["问", ""]], "something is said"),
        ([[" ", "答"]], "something is said"),
        ([["问", "答"], ["问", "答"]], "stands twice"),
    ],
)
def test_a_history_with_empty_or_repeated_turns_is_named(history, words):
    """minimind#746: a dialogue whose turns were written twice was trained on without a word."""
    row = {"instruction": "再问", "input": "", "output": "好", "source": "s", "history": history}
    with pytest.raises(DataError, match=rf"field history\[\d\]: .*{words}"):
        check_row(row)


def test_xml_in_another_encoding(tmp_path):
    """CEC was annotated on Windows."""
    text = (FOLDER / "cec.xml").read_text(encoding="utf-8").replace("UTF-8", "GB2312")
    (tmp_path / "cec.xml").write_bytes(text.encode("gbk"))
    assert [*read_any(tmp_path / "cec.xml", say=None)] == [*read_any(FOLDER / "cec.xml", say=None)]


def test_records_as_a_list_and_with_empty_lines(tmp_path, written):
    """A JSON list of records needed an option, and an empty line at the end was an error."""
    lines = (FOLDER / "own_records.jsonl").read_text(encoding="utf-8")
    wanted = bare(read_any(FOLDER / "own_records.jsonl", say=None))
    for text in (f"{lines}\n\n", f"[{','.join(lines.splitlines())}]"):
        assert bare(read_any(written(text), say=None)) == wanted


# ---- places beyond the basic plane


def test_places_in_utf16_are_recognised_by_proof(written):
    """doccano#2290: behind an emoji every label was one character off, or outside the text."""
    text, said = "👨🏻‍🚒李白生于碎叶", []
    rows = [
        {"text": text, "label": [[7, 9, "人物"], [11, 13, "地点"]]},
        {"text": "杜甫", "label": []},
    ]
    records = list(read_any(written(rows), say=said.append))
    assert entities(records[0]) == [("李白", "人物", [4, 6]), ("碎叶", "地点", [8, 10])]
    assert "UTF-16" in said[1]
    assert "2 places converted; `convert --read-offsets characters` reads" in said[1]
    assert "2 places converted, which" not in said[1]


def test_places_in_characters_are_recognised_too(written):
    """A script that counts in characters writes doccano's format as well."""
    rows = [{"text": "😀李白生于碎叶", "label": [[1, 3, "人物"], [5, 7, "地点"]]}]
    said = []
    assert entities(*read_any(written(rows), say=said.append))[0] == ("李白", "人物", [1, 3])
    assert not any("UTF-16" in line for line in said)


def test_names_and_edges_tell_where_nothing_proves(written):
    """[2, 4) is 白生 in characters and 李白 in UTF-16: both are inside the text."""
    doubtful = {"text": "😀李白生于碎叶，在蜀长大。", "label": [[2, 4, "人物"]]}
    known = {"text": "李白好酒", "label": [[0, 2, "人物"]]}
    said = []
    first, _ = read_any(written([doubtful, known]), say=said.append)
    assert entities(first) == [("李白", "人物", [1, 3])]
    assert "which the file cannot prove" in said[1]
    forced = read_any(written([doubtful, known]), offsets="characters", say=None)
    assert entities(next(iter(forced))) == [("白生", "人物", [2, 4])]
    documents = [
        {"sentence": "😀甲乙丙丁戊", "entities": [{"name": "", "type": "x", "pos": [3, 5]}]}
    ]
    assert count_of(documents, "utf16").unit == "utf16"
    assert count_of(documents).unit == "characters"
    assert not count_of(documents).sure


def test_names_in_the_file_prove_the_unit(written):
    """label-studio#1347: start and end in UTF-16, and the text that was marked beside them."""
    value = {"start": 13, "end": 23, "text": "annotation", "labels": ["X"]}
    task = {
        "data": {"text": "💩This is an annotation."},
        "annotations": [{"result": [{"id": "a", "type": "labels", "value": value}]}],
    }
    assert entities(*read_any(written([task]), say=None)) == [("annotation", "X", [12, 22])]
    inside = {"sentence": "😀李白来", "entities": [{"name": "李白", "type": "人", "pos": [2, 4]}]}
    assert entities(*read_any(written([inside]), say=None)) == [("李白", "人", [1, 3])]
    # A name that ends in a blank is another than the one without it.
    blank = {"sentence": "1🏻 ", "entities": [{"name": "1🏻 ", "type": "x", "pos": [0, 3]}]}
    assert entities(*read_any(written([blank]), say=None)) == [("1🏻 ", "x", [0, 3])]


texts = st.text(st.sampled_from("骆驼a1😀𠮷é，"), min_size=2, max_size=12)


@given(texts, st.lists(st.tuples(st.integers(0, 11), st.integers(1, 12)), min_size=1, max_size=4))
def test_utf16_places_with_their_names_always_come_back(text, drawn):
    """Off by one behind the second emoji, or at one that begins a name."""
    spans = [(s, e) for s, e in drawn if s < e <= len(text)]

    def units(place):
        return len(text[:place].encode("utf-16-le")) // 2

    results = [
        {
            "id": str(n),
            "type": "labels",
            "value": {"start": units(s), "end": units(e), "text": text[s:e], "labels": ["x"]},
        }
        for n, (s, e) in enumerate(spans)
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.json"
        task = {"data": {"text": text}, "annotations": [{"result": results}]}
        path.write_text(json.dumps([task]), encoding="utf-8")
        [record] = read_any(path, offsets="utf16", say=None)
    assert [tuple(e["pos"]) for e in record["entities"]] == spans


# ---- tags, tables, JSON in pieces


@pytest.mark.parametrize("separator", ["\t", " ", "  ", ",", "|"])
@pytest.mark.parametrize("columns", ["{0}{s}{1}", "{0}{s}n{s}{1}", "{2}{s}{0}{s}n{s}{1}"])
def test_columns_of_any_number_and_separator(columns, separator, written):
    """Three and four columns, a running number in front, another separator: all were refused."""
    lines = [("李", "B-PER"), ("太", "I-PER"), ("白", "E-PER"), ("生", "O"), ("蜀", "S-LOC")]
    told = [columns.format(*line, n, s=separator) for n, line in enumerate(lines, 1)]
    [record] = read_any(written("\n".join(told) + "\n", "x.txt"), say=None)
    assert entities(record) == [("李太白", "PER", [0, 3]), ("蜀", "LOC", [4, 5])]


@pytest.mark.parametrize("separator", ["\t", " "])
def test_a_token_that_begins_with_a_hash_is_no_heading(separator, written):
    """In files of three columns and more it vanished, and its sentence was cut in two."""
    pairs = [("李", "B-PER"), ("白", "I-PER"), ("#", "O"), ("##ing", "O"), ("蜀", "S-LOC")]
    lines = [separator.join((token, "_", "x", tag)) for token, tag in pairs]
    headings = ["# id 12ab domain=zh", "# text = 李白", "# a comment"]
    text = "\n".join([*headings, *lines, "", "# id 13 domain=O", *lines, ""])
    for record in (records := list(read_any(written(text, "x.txt"), say=None))):
        assert record["sentence"] == "李白###ing蜀"
        assert entities(record) == [("李白", "PER", [0, 2]), ("蜀", "LOC", [8, 9])]
    assert len(records) == 2


def test_shapes_that_look_like_others(written):
    """`李白/B-PER 生/O` was cut into columns at the slash; empty relations hid the entities."""
    text = {"text": "李白写诗", "relations": []}
    reading = read_any(written([{**text, "entities": [{"name": "李白", "type": "人"}]}]), say=None)
    assert entities(next(iter(reading.documents()))) == [("李白", "人", [0, 2])]
    spans = [{"start": "0", "end": "2", "label": "人"}]
    told = [{"from": 1, "to": 2, "type": "x"}]
    reading = read_any(written([{**text, "entities": spans, "relations": told}]), say=None)
    assert entities(*reading) == [("李白", "人", [0, 2])]
    assert reading.notes == {"a relation in a form that is not known, left out": 1}
    for content in ("李 PER-B\n白 PER-I\n生 O\n", "李 b-PER\n白 i-PER\n生 o\n"):
        assert entities(*read_any(written(content, "x.txt"), say=None)) == [("李白", "PER", [0, 2])]
    rows = [{"words": ["李", "白"], "ner": ["B-人", "I-人"]}]
    assert entities(*read_any(written(rows), say=None)) == [("李白", "人", [0, 2])]
    assert entities(*read_any(written([{"text": "李白", "spans": [[0, 2, "人"]]}]), say=None))
    turns = [{"role": "user", "content": "问"}, {"role": "assistant", "content": "答"}]
    [row] = read_any(written([turns]), say=None)
    assert (row["instruction"], row["output"]) == ("问", "答")


def test_tags_without_types_and_tags_that_continue_nothing(written):
    """A broken sequence became an entity without a word."""
    reading = read_any(written("李 I-PER\n白 I-PER\n生 O\n\n王 B\n维 I\n", "x.txt"), say=None)
    first, second = reading
    assert entities(first) == [("李白", "PER", [0, 2])]
    assert entities(second) == [("王维", "", [0, 2])]
    assert reading.notes == {"a tag that continues nothing, read as the beginning of an entity": 1}


def test_numbered_tags_need_their_names(written, tmp_path):
    """`ner_tags: [0, 3, 4]` means nothing by itself; a table that `datasets` wrote says it."""
    rows = [{"tokens": ["李", "白", "来"], "ner_tags": [1, 2, 0]}]
    names = ["O", "B-PER", "I-PER"]
    with pytest.raises(DataError, match="--labels O B-PER"):
        list(read_any(written(rows), say=None))
    [record] = read_any(written(rows), labels=names, say=None)
    assert entities(record) == [("李白", "PER", [0, 2])]

    from datasets import ClassLabel, Dataset, Features, Sequence, Value

    told = Features(
        {"tokens": Sequence(Value("string")), "ner_tags": Sequence(ClassLabel(names=names))}
    )
    table = Dataset.from_list(rows, features=told)
    table.to_parquet(str(tmp_path / "t.parquet"))
    table.save_to_disk(str(tmp_path / "saved"))
    arrow = next((tmp_path / "saved").glob("*.arrow"))
    for path in (tmp_path / "t.parquet", tmp_path / "saved", arrow):
        assert entities(*read_any(path, say=None)) == [("李白", "PER", [0, 2])], path


def test_tables_of_rows(tmp_path):
    """Parquet and Arrow hold the rows of most data sets of the hub."""
    from datasets import Dataset

    table = Dataset.from_list([ROW, {"instruction": "问好", "output": "您好"}])
    table.to_parquet(str(tmp_path / "t.parquet"))
    table.save_to_disk(str(tmp_path / "saved"))
    for path in (tmp_path / "t.parquet", tmp_path / "saved"):
        assert [row["output"] for row in read_any(path, say=None)] == ["你好。", "您好"]


words = st.text(st.sampled_from('a"\\骆😀,]}\n'), max_size=9)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99999) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.lists(values, max_size=6), st.integers(1, 40), st.booleans(), st.sampled_from([None, 1]))
def test_a_list_read_in_pieces_is_the_list(items, piece, escaped, indent):
    """A list of 700,000 rows does not fit into memory; a piece's end cuts numbers, escapes and
    characters in two."""
    text = json.dumps(items, ensure_ascii=escaped, indent=indent)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "PIECE", piece)
        path = Path(folder) / "x.json"
        path.write_text(text, encoding="utf-8")
        assert [value for _, value in native.json_values(path, "item", native.list_items)] == items
        path.write_text(text[:-1], encoding="utf-8")
        told = list(native.json_values(path, "item", native.list_items))
        assert isinstance(told[-1][1], DataError)


# ---- names of the catalog


def test_a_source_of_the_catalog_has_the_types_that_the_notebooks_teach(monkeypatch):
    """`train --data resume` taught NAME and ORG, and nobody who asked for 姓名 got an answer."""
    person = {"name": "高勇", "type": "NAME", "pos": [0, 2]}
    told = [{"sentence": "高勇", "entities": [person]}]
    monkeypatch.setattr(loading, "read", lambda *_, **__: iter(told))
    [record] = open_data("resume", say=None)
    assert record["entities"] == [{**person, "type": "姓名"}]


def test_sources_and_recipes_by_name(tmp_path, monkeypatch, written):
    """`--data cluener` looked for a file of that name and said only that there is none."""
    rows = open_data("embedded-instructions", say=None)
    assert sum(1 for _ in rows) == 400 == sum(1 for _ in rows)
    said = []
    assert sum(1 for _ in open_data("embedded", say=said.append)) == 400
    assert "recipe embedded" in said[0]
    reading = open_data("embedded-ner", say=None)
    assert (reading.kind, reading.task) == ("records", "NER")
    with pytest.raises(
        FileNotFoundError, match="embeded-ner: no file.*nearest of .* are embedded-ner"
    ):
        open_data("embeded-ner")
    written([ROW], "embedded")
    monkeypatch.chdir(tmp_path)
    assert sum(1 for _ in open_data("embedded", say=None)) == 1, "a file comes first"


# ---- what the catalog's readers read is recognised, too

TELLS = ("source", "id", "annotation")


def bare(rows):
    """The first hundred rows or records without what depends on where they are from."""
    return [{k: v for k, v in row.items() if k not in TELLS} for row in islice(rows, 100)]


@pytest.mark.parametrize("name", sorted(set(examples()) - {"word_list"}))
def test_the_examples_of_every_reader_are_recognised(name):
    """A format that `load` reads and `read_any` takes for another gives other spans."""
    path = examples()[name]
    wanted = bare(read_file(path, READERS[name], "s"))
    # IEPile holds sentences of three tasks; one reading gives those of one.
    tasks = ("NER", "RE", "EE") if name == "iepile" else (None,)
    readings = [read_any(path, task=task, say=None) for task in tasks]
    assert [row for reading in readings for row in bare(reading)] == wanted


def test_the_real_files_are_recognised(mirror):
    """58 files of 24 sources, as their authors wrote them."""
    tried = 0
    for card in CATALOG.values():
        for split in card.splits if card.reader and card.tasks[0] != "topics" else ():
            if available(card.name, split) is None:
                continue
            for path in files(card.name, split, False)[split][:2]:
                wanted = bare(read_file(path, READERS[card.reader], "s", []))
                assert bare(read_any(path, faults=[], say=None)) == wanted, (card.name, path.name)
                tried += 1
    assert tried > 40


# ---- hostile files

JUNK = st.sampled_from(
    [
        b'"',
        b"[",
        b"]",
        b"{",
        b"}",
        b",",
        b":",
        b"\t",
        b"\n",
        b"null",
        b"-1",
        b"NaN",
        b"\\ud800",
        b"\xff",
    ]
)
FILES = sorted(path for path in FOLDER.rglob("*") if path.is_file() and path.parent.name != "brat")


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(FILES),
    st.binary(max_size=200) | st.tuples(st.floats(0, 1), st.integers(0, 20), JUNK),
)
def test_whatever_the_bytes_only_the_stated_errors(path, damage):
    """A traceback for a file that a crash cut, or that was never data."""
    if isinstance(damage, tuple):
        where, cut, junk = damage
        raw = path.read_bytes()
        damage = raw[: int(where * len(raw))] + junk + raw[int(where * len(raw)) + cut :]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        copy.write_bytes(damage)
        faults = []
        try:
            for one in read_any(copy, faults=faults, say=None):
                assert "instruction" in one or any(name in one for name in TASKS.values())
        except DataError as error:
            assert path.name in str(error)


ATOMS = (None, 5, -1, True, "", "x", "😀", [], {}, [[]], [{}], ["a", 1], {"text": "a"}, 10**30)


def places_in(value, path=()):
    """The paths of all that stands in a JSON value."""
    yield path
    inner = value.items() if isinstance(value, dict) else []
    for key, part in enumerate(value) if isinstance(value, list) else inner:
        yield from places_in(part, (*path, key))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_stands_in_a_field_only_the_stated_errors(data):
    """null for a list, a number for a text, a list for a type: each raised somewhere else."""
    path = data.draw(st.sampled_from([one for one in FILES if one.suffix in (".json", ".jsonl")]))
    text = path.read_text(encoding="utf-8")
    rows = json.loads(text) if text[0] == "[" else [*map(json.loads, text.splitlines())]
    *parents, last = data.draw(st.sampled_from([place for place in places_in(rows) if place]))
    holder = rows
    for key in parents:
        holder = holder[key]
    holder[last] = data.draw(st.sampled_from(ATOMS))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        copy.write_text(json.dumps(rows), encoding="utf-8")
        try:
            list(read_any(copy, faults=[], say=None))
            convert(copy, Path(folder) / "out", to="brat", skip=True, say=None)
        except DataError as error:
            assert path.name in str(error) or "cannot hold" in str(error)


def test_a_fault_in_a_list_has_its_own_column(written):
    """The column was counted from where the reader had let go of the text: 1."""
    path = written(f"[{LINE},]", "x.json")
    with pytest.raises(DataError, match=rf"line 1: .* column {len(LINE) + 3} .a comma too many"):
        list(read_any(path, say=None))


def region(start, end, *labels, **more):
    """A region of Label Studio."""
    return {"start": start, "end": end, "text": BRIDGES[start:end], "labels": [*labels], **more}


def test_label_studios_short_form_with_several_controls_and_annotators(written):
    """The labels of the second control vanished, and two annotators gave two records that
    contradict each other."""
    first_one = {"id": 1, "text": BRIDGES, "annotation_id": 3, "who": [region(0, 3, "人物")]}
    first_one["where"] = [region(4, 6, "地点")]
    other = {"id": 1, "text": BRIDGES, "annotation_id": 4, "who": [region(0, 2, "人物")]}
    bare = {"id": 2, "text": BRIDGES, "annotation_id": 5}
    unlabelled = {name: value for name, value in region(0, 3).items() if name != "labels"}
    reading = read_any(written([first_one, other, bare | {"who": [unlabelled]}]), say=None)
    one, two = reading
    assert entities(one) == [("茅以升", "人物", [0, 3]), ("杭州", "地点", [4, 6])]
    assert entities(two) == [("茅以升", "", [0, 3])]
    assert [note.partition(" × ")[2] for note in reading.noted] == [
        "a further annotation of the same task, left out",
        "a region without a label: its type is empty",
    ]


def test_the_annotation_that_was_chosen_as_the_truth(written):
    """The first counted, though the annotators had settled on the second."""
    done = [
        {"result": [{"id": kind, "type": "labels", "value": region(0, 3, kind)}]}
        for kind in ("地点", "人物")
    ]
    done[1]["ground_truth"] = True
    [record] = read_any(written([{"data": {"text": BRIDGES}, "annotations": done}]), say=None)
    assert entities(record) == [("茅以升", "人物", [0, 3])]


def test_names_by_type_without_lists(written):
    """A single name is a text in many files, and none is null."""
    named = {"人物": "茅以升", "地点": ["杭州"], "作品": None, "时间": ""}
    [record] = read_any(written([{"text": BRIDGES, "entities": named}]), say=None)
    assert entities(record) == [("茅以升", "人物", [0, 3]), ("杭州", "地点", [4, 6])]


def test_a_file_that_was_put_behind_another_brings_its_mark(written):
    """`cat a.jsonl b.jsonl` of two files from Notepad: the first line of the second was lost."""
    rows = read_any(written(f"\ufeff{LINE}\n\ufeff{LINE}\n"), say=None)
    assert [row["output"] for row in rows] == ["你好。"] * 2


def test_what_stands_at_places_without_names_is_shown(written):
    """Ends that are inclusive cut the last character off every name, and nothing showed it."""
    one = {"text": BRIDGES, "entities": [{"start": 0, "end": 2, "type": "人物"}]}
    assert "at its first places: 茅以（人物）" in read_any(written([one]), say=None).said
    one["entities"][0]["text"] = "茅以升"
    assert "first places" not in read_any(written([one]), say=None).said
