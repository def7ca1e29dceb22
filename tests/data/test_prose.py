"""What is asked of sentences is not asked of JSON; HTML goes from prose and stays where it is the
subject."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniluotuo_utils.data import clean
from miniluotuo_utils.data.markup import without_markup
from miniluotuo_utils.data.prose import cut_json, is_json, prose

EVENTS = [
    {"类型": "质押", "触发词": "质押", "论元": [{"角色": "质押方", "名称": "某某集团股份有限公司"}]}
] * 8
LONG = json.dumps(EVENTS, ensure_ascii=False)


def removed_by(output: str, instruction: str = "找出事件。", given: str = "下雨了。") -> list[str]:
    """Return the steps that drop a row with this answer."""
    row = {"instruction": instruction, "input": given, "output": output, "source": "s"}
    return [step for step, count in clean([row])[1].removed.items() if count]


@pytest.mark.parametrize(
    "output",
    [
        "{}",
        "[]",
        '{"人物": []}',
        "```json\n{}\n```",
        '{"作品": ["《红楼梦（上", "长长的一个名字，以及"], "人物": ["曹雪芹", "高鹗"]}',
        LONG,
        f"```json\n{json.dumps(EVENTS, ensure_ascii=False, indent=2)}\n```",
        f"按照要求抽取出来的全部事件如下，一共有八个：\n{LONG}",
        "\n".join(json.dumps(event, ensure_ascii=False) for event in EVENTS),
        '["抱歉，我无法提供帮助", "我是ChatGPT。"]',
        str(EVENTS),
        "\n".join(["质押：质押；质押方=某某集团股份有限公司；质权方=某某银行股份有限公司"] * 6),
        ", ".join(["(type:质押, trigger:质押, arguments:(name:某某股份有限公司,role:质押方))"] * 6),
        "government: 美国使馆驻北京的签证处; name: （charles; position: 签证官和他的同事们",
        "{'作品': ['《红楼梦（上', '长长的一个名字，以及'], '人物': ['曹雪芹', '高鹗']}",
    ],
)
def test_json_answers_stay(output):
    """`{}` was "no answer" (9,373 of 11,000 rows of DuIE's slices), a bracket in a name
    "truncated", a long event answer a "repetition", a quoted refusal a refusal."""
    assert removed_by(output) == []


@pytest.mark.parametrize(
    "output",
    ['{"人物": ["李白", "杜', '[{"类型": "质押", "论元": [', '```json\n{"人物": ["李白"]}', "{"],
)
def test_json_that_was_cut_goes(output):
    """Half an object teaches to stop in the middle."""
    assert removed_by(output)[0] in ("truncated", "no answer")


def test_a_word_for_nothing_is_an_answer_where_it_was_asked_for():
    """`None` is what InstructUIE's style answers; elsewhere it is a hole in a table."""
    assert removed_by("None", "找出人名，没有就回答 None。") == []
    assert removed_by("None", "介绍一下长城。") == ["no answer"]


@pytest.mark.parametrize(
    ("output", "cut"),
    [
        ("这次会议讨论了预算、人员安排和明年的三个项目，以及", True),
        ("他每天早上都去公园里跑步锻炼身体，回来以后再吃早饭，并", True),
        ("北方的冬天比较干燥，常见的办法有很多种，比如", True),
        ("常用的连词有很多，下面列出其中的三个：但是、所以、以及", False),
        ("这种水果含有丰富的维生素，吃起来口感柔软，味道温和", False),
        ("在这个季节里，花园里开着许多花，有玫瑰、百合、茉莉、月季以及菊花", False),
    ],
)
def test_an_answer_that_ends_with_a_joining_word_was_cut(output, cut):
    """`，以及` at the end stayed; a list of conjunctions and 温和 are whole."""
    asked = "说出三个连词。" if "连词" in output else "说说看。"
    assert removed_by(output, asked) == (["truncated"] if cut else [])


@pytest.mark.parametrize(
    ("text", "became"),
    [
        ("<p>第一段。</p><p>第二段。</p>", "第一段。\n第二段。"),
        ("第一行<br/>第二行<BR>第三行", "第一行\n第二行\n第三行"),
        ("甲&nbsp;乙&amp;丙&ldquo;丁&rdquo;&#39;", "甲 乙&丙“丁”'"),
        ("&lt;p&gt;逃了一次&lt;/p&gt;", "逃了一次"),
        ("&amp;nbsp;逃了两次", " 逃了两次"),
        ('<p><span style="color:red">红</span>的<b>花</b></p>', "红的花"),
        ("今晚吃<b>馄饨</b>", None),
        ('<img src="pie.png" width="500">', None),
        ("面积是5m<sup>2</sup>，H<sub>2</sub>O", "面积是5m^2，H2O"),
        ("a<b 且 c>d", None),
        ("List<String>，<输入>，<手机号>", None),
        ("AT&T，R&D; ?a=1&copy=2", None),
        ('<form action="/x"><p>页面</p></form>', None),
    ],
)
def test_html_goes_from_prose(text, became):
    """`<p>…<br/>&nbsp;` of scraped pages was learned as Chinese."""
    assert without_markup(text) == (became or text)


def test_html_that_is_the_subject_stays():
    """An answer with code lost its tags, and JSON names no longer stood in their text."""
    rows = [
        ("用HTML写一个段落。", "", "<p>你好</p>"),
        ("创建一个网页标题。", "", "<h1>标题</h1>"),
        ("怎样换行？", "", "用 `<br/>` 就行。"),
        ("找出人名。", "<p>李白</p>", '{"人物": ["李白"]}'),
    ]
    for instruction, given_text, output in rows:
        row = {"instruction": instruction, "input": given_text, "output": output, "source": "s"}
        assert clean([row])[0] == [row]


values = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=4), values, max_size=3))
def test_every_json_is_no_prose_and_none_of_it_is_cut(value):
    """A raw decoder that stops too early leaves half of an answer as prose."""
    for text in (json.dumps(value, ensure_ascii=False), json.dumps(value, indent=1)):
        assert is_json(text)
        assert prose(text) == ""
        assert not cut_json(text)


@given(st.text(alphabet='{}[]",:a1 \n`<>&;p/', max_size=40))
def test_odd_texts_raise_nothing_and_lose_no_letter_outside_json(text):
    """Brackets of a poem or of code are not JSON."""
    rest = prose(text)
    assert rest.strip() == text.strip() or "{" in text or "[" in text
    assert without_markup(without_markup(text)) == without_markup(text)
    assert cut_json(text) in (True, False)
