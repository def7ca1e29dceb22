"""Pages: what colours say is also said in words, and every letter can be read."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniluotuo_utils import show
from miniluotuo_utils.data import CATALOG
from miniluotuo_utils.export.trying import chromium
from miniluotuo_utils.files import read_jsonl
from miniluotuo_utils.runtime import EMBEDDED
from miniluotuo_utils.show.colours import GREY, HUE_OF, INK, PAPER, SHADES, shade_of
from miniluotuo_utils.show.page import plain
from miniluotuo_utils.show.spans import labelled

STYLES = re.compile(r"""\sstyle=("[^"]*"|'[^']*')""")
RECORDS = {
    task: read_jsonl(EMBEDDED / f"{task}_train.jsonl") + read_jsonl(EMBEDDED / f"{task}_test.jsonl")
    for task in ("ner", "re", "ee")
}


def entity(name, kind, start=None):
    """An entity, at its place or at none."""
    pos = None if start is None else [start, start + len(name)]
    return {"name": name, "type": kind, "pos": pos}


def record(sentence, *entities):
    """An IE record."""
    return {"sentence": sentence, "source": "", "entities": list(entities)}


def without_styles(page):
    """What a page says where its styles are dropped."""
    return plain(STYLES.sub("", page if isinstance(page, str) else page.data))


def luminance(colour):
    """Relative luminance of `#rrggbb` (WCAG 2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    """Contrast of two colours, 1 to 21 (WCAG 2)."""
    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


def test_spans_are_told_without_styles():
    """On GitHub spans lost their beginning: 神农架 地点的金丝猴 生物在雪地里."""
    told = record("神农架的金丝猴", entity("神农架", "地点", 0), entity("金丝猴", "生物", 4))
    assert without_styles(show.highlight(told)) == "［神农架｜地点］的［金丝猴｜生物］"
    pair = {"head": entity("老残游记", "", 0), "tail": entity("刘鹗", "", 5), "type": "作者"}
    related = {"sentence": "老残游记是刘鹗写的", "relations": [pair]}
    assert without_styles(show.highlight(related)) == "［老残游记｜作者·头］是［刘鹗｜作者·尾］写的"
    prize = {"name": "图灵奖", "role": "奖项", "pos": [2, 5]}
    event = {"type": "获奖", "trigger": "荣获", "pos": [0, 2], "arguments": [prize]}
    told = show.highlight({"sentence": "荣获图灵奖", "events": [event]})
    assert without_styles(told) == "［荣获｜获奖］［图灵奖｜奖项］"


def test_nothing_that_a_record_names_is_lost():
    """Inner names, a second role of a name, slots and invented names were dropped in silence."""
    nested = record("北京大学", entity("北京大学", "机构", 0), entity("北京", "地点", 0))
    assert without_styles(show.highlight(nested)) == "［［北京｜地点］大学｜机构］"
    crossing = record("北京大学", entity("北京大", "地点", 0), entity("大学", "机构", 2))
    assert (
        without_styles(show.highlight(crossing))
        == "［北京大｜地点］学（交叠 overlaps：大学｜机构）"
    )
    twice = record("李白", entity("李白", "人物", 0), entity("李白", "诗人", 0))
    assert without_styles(show.highlight(twice)) == "［李白｜人物、诗人］"
    names = [entity("杜甫", "人物"), entity("杜甫", "人物"), entity("成都", "地点")]
    invented = without_styles(show.highlight(record("李白", *names)))
    assert invented == "李白（不在句中 not in the sentence：杜甫｜人物、成都｜地点）"
    pair = {
        "type": "上映",
        "head": entity("甲", "", 0),
        "tail": entity("乙", "", 1),
        "slots": {"地点": entity("丙", "", 2)},
    }
    assert "［丙｜上映·地点］" in without_styles(
        show.highlight({"sentence": "甲乙丙", "relations": [pair]})
    )


def test_an_ambiguous_name_says_so():
    """Names that stand twice were left unmarked, and looked forgotten."""
    told = show.highlight(record("老舍写，老舍改", entity("老舍", "人物")))
    assert without_styles(told) == "［老舍｜有歧义］写，［老舍｜有歧义］改"
    assert told.count("dashed") == 2
    assert GREY.fill in told


spans = st.tuples(st.integers(0, 8), st.integers(1, 9)).map(lambda p: (p[0], min(9, p[0] + p[1])))


@given(st.lists(spans, max_size=6))
def test_any_spans_leave_the_sentence_whole(found):
    """A box that closes too late swallows text, or crosses another and breaks the page."""
    sentence = '一<二&三"四五六'
    entities = [entity(sentence[a:b], "人物", a) for a, b in found if a < b]
    marked = show.highlight(record(sentence, *entities))
    boxes = re.sub(r"（交叠[^）]*）", "", plain(marked))
    assert re.sub(r"［|｜人物］", "", boxes) == sentence
    depth = 0
    for tag in re.findall(r"</?mark", marked):
        depth += 1 if tag == "<mark" else -1
        assert depth >= 0
    assert depth == 0


@pytest.mark.parametrize("hue", [*SHADES.values(), GREY], ids=[*SHADES, "grey"])
def test_every_colour_can_be_read(hue):
    """White on #f28f3b had a contrast of 2.4; 4.5 is the least for text of this size."""
    for text in (INK, hue.edge):
        assert contrast(text, hue.fill) >= 4.5, (text, hue)
    assert contrast(hue.edge, PAPER) >= 4.5


def test_every_style_sets_text_and_ground_together():
    """On a dark page a text colour without its ground is dark on dark."""
    pages = [
        show.highlight_rows([("标准", RECORDS["ner"][0])]).data,
        show.difference("甲乙丙", "甲丁丙").data,
        show.source_of(show.table).data,
    ]
    styles = re.findall(r'<(?:div|mark|del|ins|pre)[^>]* style="([^"]*)"', "".join(pages))
    assert len(styles) > 5
    for style in styles:
        assert re.search(r"background:#\w{6};color:#\w{6}", style), style
    for colour in set(re.findall(r"color: (#[0-9A-Fa-f]{6})", show.source_of(show.table).data)):
        assert contrast(colour, PAPER) >= 4.5, colour


@pytest.mark.parametrize("task", list(RECORDS))
def test_a_type_has_one_colour_and_a_sentence_no_two_alike(task):
    """A type had another colour in the next sentence, and two types could share one."""
    alone = [{**told, "events": [e]} for told in RECORDS[task] for e in told.get("events", [])]
    for told in alone or RECORDS[task]:
        kinds = {kind for _, kind, _ in labelled(told)}
        assert kinds <= HUE_OF.keys(), kinds - HUE_OF.keys()
        assert len({HUE_OF[kind] for kind in kinds}) == len(kinds), kinds


@pytest.mark.parametrize("name", ["cluener", "resume", "msra"])
def test_the_sets_of_the_course_have_colours_of_their_own(name):
    """Two types of one hash had one colour, in the very set that the lesson is about."""
    kinds = set(CATALOG[name].type_names.values())
    assert len({HUE_OF[kind] for kind in kinds}) == len(kinds)


def test_the_colour_of_another_type_is_the_same_in_every_process():
    """Python's `hash` of a text differs from run to run."""
    code = "from miniluotuo_utils.show.colours import shade_of; print(shade_of('疾病').fill)"
    command = [sys.executable, "-c", code]
    drawn = {subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()}
    assert drawn == {shade_of("疾病").fill}


def test_a_difference_is_told_without_styles():
    """One changed word of 110 characters was bold: invisible on a projector, lost on GitHub."""
    assert without_styles(show.difference("去年卖出", "今年卖出")) == "[-去-]{+今+}年卖出"
    long = "从前有座山，山里有座庙，庙里有3个和尚，天天挑水砍柴。"
    told = show.difference(long, long.replace("3", "5"), around=4)
    assert without_styles(told) == "……，庙里有[-3-]{+5+}个和尚，……"
    assert without_styles(show.difference("甲\u200b", "甲")) == "甲[-U+200B-]"
    assert show.difference("同", "同").data == "同"


def test_tokens_are_told_without_styles(tiny):
    """The picture of the mask became plain text, and a long line was cut at the edge."""
    ids = tiny.tokenizer("骆驼在沙漠里 walks\n走")["input_ids"]
    labels = [-100] * 3 + ids[3:5] + [-100] * (len(ids) - 5)
    page = show.coloured_tokens(tiny.tokenizer, ids, labels)
    strip = without_styles(page).rsplit("\n", 1)[0]
    assert strip.count("⟦") == strip.count("⟧") == 1
    assert strip.split("⟦")[1].split("⟧")[0].count("¦") == 1
    assert re.sub("[¦⟦⟧\n]", "", strip).replace("↵", "\n") == tiny.tokenizer.decode(ids)
    assert page.data.count("<wbr>") >= len(ids) - 2
    assert "不算损失 not in the loss" in without_styles(page)


def test_the_shift_is_drawn(tiny):
    """Which place predicts which token was never shown."""
    ids = tiny.tokenizer("骆驼走")["input_ids"]
    names = [tiny.tokenizer.decode([i]) for i in ids]
    labels = [-100, *ids[1:]]
    told = without_styles(show.shifted_tokens(tiny.tokenizer, ids, labels))
    places, inputs, targets, _ = told.splitlines()
    assert inputs.split(" | ")[1:] == names
    assert targets.split(" | ")[1:] == [f"⟦{name}⟧" for name in names[1:]] + ["—"]
    assert places.split(" | ")[1:] == [str(at) for at in range(len(ids))]
    hidden = show.shifted_tokens(tiny.tokenizer, ids, [-100] * len(ids), start=1, width=1)
    assert without_styles(hidden).count("-100") == len(ids) - 2
    assert hidden.data.count("<table") == len(ids) - 1
    losses = show.shifted_tokens(tiny.tokenizer, ids, labels, more={"损失": range(len(ids))})
    assert "损失 | 0 | 1" in without_styles(losses)


def test_a_giant_table_is_folded_and_loses_no_row():
    """71 rows at minute three lose a class; rows that a page cannot unfold would be lost."""
    rows = [{"名字": f"集{n}", "数": n} for n in range(71)]
    page = show.table(rows, first=3, fold="其余 68 个来源（点开看）")
    before, folded = page.data.split("<details>")
    assert before.count("<tr>") == 4
    assert folded.startswith("<summary>其余 68 个来源（点开看）</summary><table")
    assert folded.count("<tr>") == 69
    assert [f"集{n} | {n}" in repr(page) for n in range(71)] == [True] * 71
    assert "<details>" not in show.table(rows[:3], first=3).data
    assert "还有 1 行 1 more rows" in repr(show.table(rows[:4], first=3))
    wide = show.table([{"why": "长", "no_repeat_ngram_size": 1}], widths={"why": 50}).data
    assert "width='50%'" in wide
    assert "no_<wbr>repeat_" in wide


def test_source_is_in_monospace():
    """A helper's source came out in the letters of the prose."""
    page = show.source_of(show.table).data
    assert page.startswith('<pre style="font-family:monospace')
    assert "<code>" in page
    assert plain(page).startswith("def table(\n    rows: Sequence")


BROWSER = chromium()
MEASURE = """<script>
const cut = [...document.querySelectorAll('mark')].filter(box => {
  const outer = box.getBoundingClientRect(), inner = box.querySelector('small')
  const label = inner.getBoundingClientRect()
  return label.top < outer.top || label.bottom > outer.bottom || label.right > outer.right
})
const wide = document.documentElement.scrollWidth > 1100
document.title = `cut ${cut.length} of ${document.querySelectorAll('mark').length}, ${wide}`
</script>"""


@pytest.mark.skipif(not BROWSER, reason="no browser here: install chromium to measure the boxes")
def test_no_label_is_cut_in_a_browser(tmp_path):
    """The lower third of every label hung below its box, and long ones were sliced."""
    records = [told for records in RECORDS.values() for told in records[:20]]
    body = show.highlight_rows([("标准", told) for told in records]).data
    path = tmp_path / "page.html"
    path.write_text(f"<meta charset=utf-8><body>{body}{MEASURE}</body>", encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1100,900"]
    command = [BROWSER, *options, f"--user-data-dir={tmp_path}", "--dump-dom", path.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    found = re.search(r"<title>cut (\d+) of (\d+), (\w+)</title>", dom)
    assert found, dom[:500]
    assert found[1] == "0"
    assert int(found[2]) > 60
    assert found[3] == "false", "wider than the page"
