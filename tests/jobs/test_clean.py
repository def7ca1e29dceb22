"""`clean` and `mix` in a shell: what notebook 01 does, for people's own files."""

import json

import pytest

from miniluotuo_utils.__main__ import main
from miniluotuo_utils.data import clean, mix
from miniluotuo_utils.data.mixture import recipe
from miniluotuo_utils.files import read_jsonl
from miniluotuo_utils.jobs.clean import clean_file

ROWS = [
    {"instruction": "写一句问候。", "input": "", "output": "你好，很高兴认识你。"},
    {"instruction": "写一句问候。", "input": "", "output": "你好，很高兴认识你。"},
    {"instruction": "说一说骆驼。", "input": "", "output": ""},
    {"instruction": "怎样联系客服？", "input": "", "output": "请拨打13800138000，我们会回答您。"},
]


@pytest.fixture
def alpaca(tmp_path):
    """One JSON list in GBK, as some editors save it."""
    path = tmp_path / "mine.json"
    path.write_bytes(json.dumps(ROWS, ensure_ascii=False).encode("gbk"))
    return path


def test_a_file_of_any_format_is_cleaned_and_what_was_done_is_said(alpaca, tmp_path, capsys):
    """There was no way to clean a file from the shell; it named its steps in English only."""
    out = tmp_path / "clean.jsonl"
    assert main(["clean", str(alpaca), str(out)]) == 0
    kept = read_jsonl(out)
    assert [row["instruction"] for row in kept] == ["写一句问候。", "怎样联系客服？"]
    assert "<手机号>" in kept[1]["output"]
    said = capsys.readouterr().out
    assert "4 条 → 2 条" in said
    assert "没有回答 no answer 1" in said
    assert "重复 duplicate 1" in said


def test_it_is_what_the_function_does(alpaca, tmp_path):
    """Two ways that drift apart."""
    report = clean_file(alpaca, tmp_path / "out.jsonl")
    rows = [row | {"source": "mine.json"} for row in ROWS]
    assert report.removed == clean(rows)[1].removed


def test_nobody_s_file_is_replaced(alpaca, tmp_path, capsys):
    """The input named as output, and a file that is there already."""
    before = alpaca.read_bytes()
    assert main(["clean", str(alpaca), str(alpaca)]) == 2
    out = tmp_path / "thesis.txt"
    out.write_text("三年", encoding="utf-8")
    assert main(["clean", str(alpaca), str(out)]) == 2
    assert main(["mix", "embedded", str(out)]) == 2
    assert alpaca.read_bytes() == before
    assert out.read_text(encoding="utf-8") == "三年"
    capsys.readouterr()


def test_a_recipe_is_mixed_into_a_file(tmp_path, capsys):
    """There was no way to mix from the shell, and a wrong name printed all of them."""
    out = tmp_path / "mix.jsonl"
    assert main(["mix", "embedded", str(out), "--seed", "7"]) == 0
    assert read_jsonl(out) == mix(recipe("embedded", 7))
    assert main(["mix", "embeded", str(tmp_path / "no.jsonl")]) == 2
    assert "embedded" in capsys.readouterr().err
    assert not (tmp_path / "no.jsonl").exists()
