"""Mixtures: the recipe decides, whatever the order of files; loud where a source is short;
published with the data's own numbers."""

import json
import random
from collections import Counter
from dataclasses import replace

import pyarrow.parquet
import pytest
import yaml
from datasets import load_dataset
from hypothesis import given
from hypothesis import strategies as st

from miniluotuo_utils.data import CATALOG, clean, mix
from miniluotuo_utils.data.mixture import Portion, draw, permitted, recipe
from miniluotuo_utils.data.publishing import publish
from miniluotuo_utils.files import DataError
from miniluotuo_utils.writing import Taken

ROWS = [
    {"instruction": f"问题{i}", "input": "", "output": f"回答{i}。", "source": "甲"}
    for i in range(200)
]
PARTS = [Portion("甲", "train", "sample", 30, 42), Portion("乙", "train", "all", 5, 42)]


def test_the_mixture_of_mini_luotuo():
    """The table that its README states; each source is one of the catalog's."""
    parts = recipe("mini-luotuo-683k")
    assert [p.rows for p in parts] == [168_886, 48_818, 165_531, 150_000, 150_000]
    assert sum(p.rows for p in parts) == 683_235
    for name in ("embedded", "cpu", "t4", "mini-luotuo-683k"):
        assert all(p.split in CATALOG[p.source].splits for p in recipe(name))


def test_the_five_files_of_mini_luotuo_under_their_own_names(tmp_path, monkeypatch):
    """Who has the files has them under these names, in a format that its table does not state."""
    parts = recipe("mini-luotuo-files")
    names = ["luotuo_all_data", "alpaca_gpt4_data_zh", "coig_data"]
    names += ["baike_all_data_rs150000", "web_text_all_data_rs150000"]
    assert [part.split for part in parts] == names
    assert [part.rows for part in parts] == [168_886, 48_818, 165_531, 150_000, 150_000]
    assert {part.take for part in parts} == {"all"}

    row = {"instruction": "数到二", "input": "", "output": "一二"}
    said = [{"role": "user", "content": "数到二"}, {"role": "assistant", "content": "一二"}]
    shapes = [
        json.dumps([row] * 3),  # Alpaca's array
        "\n".join([json.dumps(row)] * 2),  # JSON Lines
        "\n".join([json.dumps({"prompt": "数到二", "response": "一二"})] * 2),
        "\n".join([json.dumps({"messages": said})] * 2),
        json.dumps({"data": [row] * 2}),  # an array inside an object
    ]
    folder = tmp_path / "manual" / "mini-luotuo"
    folder.mkdir(parents=True)
    for name, text in zip(names, shapes, strict=True):
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    monkeypatch.setenv("MINILUOTUO_HOME", str(tmp_path))
    monkeypatch.setenv("MINILUOTUO_MIRROR", "")
    small = [replace(part, rows=2 + (part is parts[0])) for part in parts]
    mixed = mix(small)
    assert len(mixed) == 11
    assert {(one["instruction"], one["output"]) for one in mixed} == {("数到二", "一二")}
    assert {one["source"].split("/")[0] for one in mixed} == {"mini-luotuo-files"}
    with pytest.raises(DataError, match=r"luotuo_all_data: found 3 rows.*expects 168,886"):
        mix(parts)


@given(st.randoms(use_true_random=False), st.integers(0, 9))
def test_the_order_of_files_changes_nothing(order, seed):
    """Reservoir sampling gives another sample when a mirror lists its files in another order."""
    rows = list(ROWS)
    order.shuffle(rows)
    assert draw(iter(rows), 20, seed) == draw(ROWS, 20, seed)
    parts = [Portion("甲", "train", "sample", 30, seed), Portion("乙", "train", "all", 5, seed)]
    assert mix(parts, {"甲": rows, "乙": rows[:5]}) == mix(
        parts[::-1], {"乙": sorted(rows[:5], key=str), "甲": ROWS}
    )


def test_a_sample_is_random_and_decided_by_its_seed():
    """Each row must have the same chance: the mean of many draws shows a bias towards the first
    rows."""
    means = [
        sum(int(r["instruction"][2:]) for r in draw(ROWS, 50, seed)) / 50 for seed in range(40)
    ]
    assert 90 < sum(means) / len(means) < 109
    assert len(set(means)) > 30
    assert draw(ROWS, 10, 1) != draw(ROWS, 10, 2)
    assert len(draw(ROWS, 10_000, 1)) == 200
    parts = [Portion("甲", "train", "sample", 30, 42), Portion("乙", "train", "all", 60, 42)]
    places = [
        i
        for i, r in enumerate(
            mix(parts, {"甲": ROWS, "乙": [{**r, "source": "乙"} for r in ROWS[100:160]]})
        )
        if r["source"] == "甲"
    ]
    assert 35 < sum(places) / 30 < 55, (
        "a sample has the smallest keys: ordered by the same keys it would stand in front of all"
    )
    order = [r["instruction"] for r in mix(PARTS, {"甲": ROWS, "乙": ROWS[:5]})]
    assert order != sorted(order)
    assert len(order) == 35


def test_a_source_of_another_size_is_loud():
    """A truncated file once made a mixture of 600,000 rows that called itself 683,235."""
    for given_rows, words in (
        (
            {"甲": ROWS[:29], "乙": ROWS[:5]},
            "甲 train: found 29 rows, the recipe expects at least 30",
        ),
        ({"甲": ROWS, "乙": ROWS[:4]}, "乙 train: found 4 rows, the recipe expects 5"),
        ({"甲": ROWS, "乙": ROWS[:6]}, "乙 train: found 6 rows, the recipe expects 5"),
        ({"甲": ROWS, "乙": []}, "乙 train: found 0 rows"),
    ):
        with pytest.raises(DataError, match=words):
            mix(PARTS, given_rows)


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("甲\ttrain\tsome\t5\t42", "take"),
        ("甲\ttrain\tall\tviele\t42", "rows"),
        ("甲\ttrain\tall\t5", "seed"),
        ("甲 train all 5 42", "split"),
    ],
)
def test_a_bad_recipe_names_its_line_and_field(line, field, tmp_path):
    """A table typed with spaces once gave a KeyError."""
    path = tmp_path / "mine.tsv"
    path.write_text(f"source\tsplit\ttake\trows\tseed\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=f"mine.tsv, line 2, field {field}"):
        recipe(path)
    with pytest.raises(
        ValueError,
        match="no recipe 'cpus'; expected one of cpu, embedded, mini-luotuo-683k, "
        "mini-luotuo-files, t4",
    ):
        recipe("cpus")


def test_the_licence_filter_says_what_it_leaves_out():
    """Who may not use a source must be able to see that it is not in the mixture."""
    kept, out = permitted(recipe("mini-luotuo-683k"))
    assert {p.source for p in kept} | {p.source for p in out} == {
        p.source for p in recipe("mini-luotuo-683k")
    }
    assert "coig" in {p.source for p in kept}
    assert {"luotuo-all", "alpaca-gpt4-zh"} <= {p.source for p in out}
    assert permitted(recipe("embedded"), terms=()) == ([], recipe("embedded"))


def test_a_published_set_says_what_is_in_it(tmp_path):
    """A card typed by hand states the numbers of last month."""
    parts = recipe("embedded")
    rows = mix(parts)
    random.Random(1).shuffle(rows)
    kept, report = clean([*rows, rows[0]])
    folder = publish(tmp_path / "set", kept, parts, report, "测试集")
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"{len(kept):,} 条中文指令" in card
    assert "| duplicate | −1 |" in card
    assert "| embedded-instructions | train | all | 400 | 42 |" in card
    assert CATALOG["embedded-instructions"].licence in card
    assert yaml.safe_load(card.split("---")[1]) == {
        "language": ["zh"],
        "license": "other",
        "task_categories": ["text-generation"],
        "size_categories": ["n<1K"],
        "configs": [{"config_name": "default", "data_files": "train.parquet"}],
    }
    assert pyarrow.parquet.read_table(folder / "train.parquet").to_pylist() == kept
    loaded = load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))
    assert Counter(map(json.dumps, loaded.to_list())) == Counter(map(json.dumps, kept))
    (folder / "notes.md").write_text("mine")
    publish(folder, kept, parts, report, "again")
    assert (folder / "notes.md").is_file(), "a clone of one's data set keeps its other files"
    with pytest.raises(ValueError, match="not to be published.*alpaca-chinese: none stated"):
        publish(tmp_path / "closed", kept, recipe("cpu"), report, "x")
    with pytest.raises(ValueError, match="the report says"):
        publish(tmp_path / "other", kept[1:], parts, report, "x")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("name", ["README.md", "train.parquet"])
def test_what_a_person_changed_in_a_published_set_stays(name, tmp_path):
    """A card with an afternoon of work in it still said whose it was, and was written anew."""
    parts = recipe("embedded")
    kept, report = clean(mix(parts))
    for _ in range(2):
        folder = publish(tmp_path / "set", kept, parts, report, "测试集")
    with open(folder / name, "ab") as file:
        file.write("我写的。".encode())
    mine = (folder / name).read_bytes()
    with pytest.raises(Taken, match=f"set/{name} was changed since we wrote it"):
        publish(folder, kept, parts, report, "测试集")
    assert (folder / name).read_bytes() == mine
