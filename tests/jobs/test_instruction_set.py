"""The large instruction set: what is asked, what is left out, a folder that is whole or absent."""

import json
from collections import Counter

import pytest

from miniluotuo_utils import __main__ as cli
from miniluotuo_utils.__main__ import main
from miniluotuo_utils.data.loading import read
from miniluotuo_utils.files import read_jsonl
from miniluotuo_utils.ie import parse
from miniluotuo_utils.jobs import instructions as instructing
from miniluotuo_utils.jobs.instructions import drawn, instruction_set, usable
from miniluotuo_utils.records import check_row

EMBEDDED_SETS = ["embedded-ner", "embedded-re", "embedded-ee"]
PEOPLE = {"name": "李白", "type": "人物", "pos": [0, 2]}


def pair(sentence: str, *types: str) -> dict:
    """A record that labels the pair of its first and last character."""
    head, tail = (
        {"name": sentence[i], "type": "", "pos": [i, i + 1]} for i in (0, len(sentence) - 1)
    )
    return {
        "sentence": sentence,
        "annotation": "one-pair",
        "relations": [{"head": head, "type": kind, "tail": tail} for kind in types],
    }


def sourced(monkeypatch, **splits: list[dict]) -> None:
    """Put records in place of those of embedded-re."""
    monkeypatch.setattr(instructing, "read", lambda name, split, **_: iter(splits[split]))


def test_the_embedded_sets_with_their_card(tmp_path):
    """Counts in a card that are not the file's, rows that do not lead back to their record."""
    stats = instruction_set(tmp_path / "set", EMBEDDED_SETS, seed=3)
    rows = read_jsonl(tmp_path / "set" / "train.jsonl", check_row)
    assert sorted(p.name for p in (tmp_path / "set").iterdir()) == [
        ".mini-luotuo.json",
        "README.md",
        "stats.json",
        "train.jsonl",
    ]
    assert len(rows) == stats["rows"] > 400
    assert json.loads((tmp_path / "set" / "stats.json").read_text())["rows"] == len(rows)
    records = {name: list(read(name, "train")) for name in EMBEDDED_SETS}
    for one in stats["sources"]:
        mine = [row for row in rows if row["source"] == one["name"]]
        assert len(mine) == one["rows"]
        assert Counter(kind for row in mine for kind in row["types"]) == one["asked"]
        assert one["records"] == one["used"] + sum(one["left_out"].values())
        for row in mine:
            assert row["input"] == records[one["name"]][row["record"]]["sentence"]
            assert {item["type"] for item in parse(row["output"], one["task"]).items} <= set(
                row["types"]
            )
        empty = sum(not parse(row["output"], one["task"]).items for row in mine)
        assert empty == one["empty_rows"] <= 0.25 * len(mine)
    card = (tmp_path / "set" / "README.md").read_text()
    assert stats["sha256"] in card
    assert "Apache-2.0" in card
    assert f"{stats['rows']:,}" in card


def test_the_same_seed_gives_the_same_file_in_both_formats(tmp_path):
    """Two runs of one seed differed; Parquet lost the types of a row."""
    from datasets import Dataset

    one = instruction_set(tmp_path / "a", ["embedded-re"], limit=30)
    assert instruction_set(tmp_path / "b", ["embedded-re"], limit=30)["sha256"] == one["sha256"]
    assert (
        instruction_set(tmp_path / "c", ["embedded-re"], limit=30, seed=1)["sha256"]
        != one["sha256"]
    )
    instruction_set(tmp_path / "d", ["embedded-re"], limit=30, format="parquet")
    assert Dataset.from_parquet(
        str(tmp_path / "d" / "train.parquet"), cache_dir=str(tmp_path)
    ).to_list() == read_jsonl(tmp_path / "a" / "train.jsonl")


@pytest.mark.parametrize("style", ["yayi", "instructuie", "plain"])
def test_every_style_is_an_instruction_row(tmp_path, style):
    """A style that puts the text into the instruction left `input` away."""
    instruction_set(tmp_path / "set", EMBEDDED_SETS, style=style, limit=20)
    assert {row["task"] for row in read_jsonl(tmp_path / "set" / "train.jsonl", check_row)} == {
        "NER",
        "RE",
        "EE",
    }


def test_records_of_one_pair_are_joined_and_asked_for_their_relations_only(tmp_path, monkeypatch):
    """A sentence with one labelled pair became the proof that no other relation stands in it."""
    train = [pair("甲在乙", "位于"), pair("甲在乙", "属于"), pair("丙和丁", "配偶"), pair("戊和己")]
    sourced(monkeypatch, train=train, test=[])
    (stats,) = instruction_set(tmp_path / "set", ["embedded-re"])["sources"]
    rows = read_jsonl(tmp_path / "set" / "train.jsonl")
    assert [(row["record"], sorted(row["types"])) for row in rows] == [
        (0, ["位于", "属于"]),
        (2, ["配偶"]),
    ]
    assert stats["empty_rows"] == 0
    assert stats["one_pair"] == 2
    assert {k: n for k, n in stats["left_out"].items() if n} == {"no relation": 1, "joined": 1}


def test_evaluation_sentences_repeats_and_types_without_a_name_stay_out():
    """A test sentence with another comma was trained on; a type "" was asked for."""
    records = [
        {"sentence": s, "entities": [PEOPLE | {"type": kind}]}
        for s, kind in (
            ("李白，诗人", "人物"),
            ("李白诗人。", "人物"),
            ("李白生于碎叶", "人物"),
            ("李白饮酒", ""),
        )
    ]
    kept, left_out = usable(list(enumerate(records)), "NER", {instructing.key("李白生于 碎叶！")})
    assert [n for n, _ in kept] == [0]
    assert +left_out == {"repeated": 1, "evaluation": 1, "untyped": 1}


def test_rare_types_are_drawn_before_frequent_ones_fill_up():
    """Of 1,000 records the first hundred were all of one type."""
    records = [(n, {"entities": [{"type": "常见" if n % 50 else "罕见"}]}) for n in range(500)]
    kept = drawn(records, "NER", None, 8, "0")
    assert Counter(r["entities"][0]["type"] for _, r in kept) == {"常见": 8, "罕见": 8}
    assert kept == sorted(kept, key=lambda p: p[0])
    assert len(drawn(records, "NER", 20, None, "0")) == 20
    # Drawn from all of them, not taken from the beginning.
    assert {n for n, _ in drawn(records, "NER", 20, None, "1")} != set(range(20))


def test_a_run_that_stops_leaves_the_old_set(tmp_path, monkeypatch):
    """A set of which one source was missing looked finished."""
    instruction_set(tmp_path / "set", ["embedded-re"], limit=5)
    before = (tmp_path / "set" / "train.jsonl").read_bytes()
    real = instructing.build_instructions

    def breaks(records: list, task: str, *rest: object, **options: object) -> list:
        if task == "EE":
            raise KeyboardInterrupt
        return real(records, task, *rest, **options)

    monkeypatch.setattr(instructing, "build_instructions", breaks)
    with pytest.raises(KeyboardInterrupt):
        instruction_set(tmp_path / "set", EMBEDDED_SETS, overwrite=True)
    assert (tmp_path / "set" / "train.jsonl").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_what_cannot_be_had_is_listed_and_mistakes_are_named(tmp_path, monkeypatch):
    """One source without files stopped the other forty; somebody's own folder was replaced."""
    monkeypatch.setenv("MINILUOTUO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MINILUOTUO_MIRROR", str(tmp_path / "nothing"))
    stats = instruction_set(tmp_path / "set", ["embedded-ner", "duie2", "nyt10", "iepile"], limit=5)
    assert list(stats["absent"]) == ["duie2", "nyt10", "iepile"]
    assert "duie2" in (tmp_path / "set" / "README.md").read_text()
    with pytest.raises(ValueError, match="no row from duie2"):
        instruction_set(tmp_path / "none", ["duie2"])
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "thesis.txt").write_text("")
    for wrong, message in (
        ({"limit": 0}, "limit is 0"),
        ({"format": "csv"}, "format is 'csv'"),
        ({"names": ["thuocl"]}, "thuocl has the tasks"),
        ({"names": ["nobody"]}, "no data set 'nobody'"),
        ({"out": tmp_path / "own"}, "own is there"),
    ):
        with pytest.raises(ValueError, match=message):
            instruction_set(**{"out": tmp_path / "new", "names": ["embedded-ner"]} | wrong)
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "none").exists()


def test_the_command(tmp_path, capsys):
    """An option of the command that does not reach the function."""
    chosen = ["--limit", "7", "--style", "plain", "--format", "parquet", "--seed", "5"]
    assert main(["instructions", "embedded-ee", "--out", str(tmp_path / "set"), *chosen]) == 0
    stats = json.loads((tmp_path / "set" / "stats.json").read_text())
    assert stats["options"] == {
        "names": ["embedded-ee"],
        "split": "train",
        "per_type": None,
        "limit": 7,
        "seed": 5,
        "style": "plain",
        "slice_size": "default",
        "pure_negative": 0.25,
        "format": "parquet",
    }
    assert f"{stats['rows']:,} rows of 1 sources" in capsys.readouterr().out


def test_everything_in_the_mirror(tmp_path, mirror):
    """Real sources: types of both languages, no evaluation sentence, few empty answers."""
    stats = instruction_set(tmp_path / "set", ["cluener", "finre", "fewfc", "wnut17"], limit=300)
    rows = read_jsonl(tmp_path / "set" / "train.jsonl", check_row)
    asked = {one["name"]: one for one in stats["sources"]}
    assert "公司" in asked["cluener"]["asked"]
    assert "person" in asked["wnut17"]["asked"]
    assert asked["finre"]["empty_rows"] == 0
    held = set()
    for name in asked:
        splits = {"dev", "test"} & set(instructing.CATALOG[name].splits)
        # The test split of cluener has no labels.
        for split in splits - {"test"} if name == "cluener" else splits:
            held |= {instructing.key(record["sentence"]) for record in read(name, split)}
    assert held
    assert not held & {instructing.key(row["input"]) for row in rows}
    assert all(one["empty_rows"] <= 0.25 * one["rows"] for one in stats["sources"])


def test_the_command_without_names_takes_the_whole_catalog(tmp_path, monkeypatch):
    """argparse gives `[]` for no names, which is no source at all: nothing could be written."""
    asked = []

    def recorded(out, names, say, **options):
        asked.append((names, options))
        return {"rows": 0, "sources": [], "absent": {}}

    monkeypatch.setattr(cli, "instruction_set", recorded)
    assert main(["instructions", "--out", str(tmp_path / "set")]) == 0
    plain = {"split": "train", "seed": 0, "style": "json", "pure_negative": 0.25, "format": "jsonl"}
    assert asked == [(None, plain | {"overwrite": False})]
