"""Give every type of the course one colour, and every licence one that says what it allows.

In: a type or a reading of a licence. Out: colours as `#rrggbb`. Shown in notebooks 00 to 05.
"""

from __future__ import annotations

from typing import NamedTuple
from zlib import crc32

# The colours of series in pictures, one after the other.
COLOURS = (
    "#c8553d",
    "#588b8b",
    "#f28f3b",
    "#2d3047",
    "#93b7be",
    "#8a5a83",
    "#6a994e",
    "#bc6c25",
    "#4361ee",
    "#adb5bd",
)
INK = "#1f2328"  # the text in every box
PAPER = "#ffffff"


class Shade(NamedTuple):
    """A pale fill for the text, and a dark edge of the same hue for its border and its label."""

    fill: str
    edge: str


# Text on each fill has a contrast of 4.5 : 1 and more (WCAG 2, level AA), the label too.
SHADES = {
    "blue": Shade("#d6e4ff", "#1a55ad"),
    "green": Shade("#d3f0d9", "#186a30"),
    "purple": Shade("#e8dcff", "#6238ad"),
    "yellow": Shade("#fff1b8", "#7a5600"),
    "red": Shade("#ffd9d6", "#a4231c"),
    "teal": Shade("#c9f0ee", "#005f61"),
    "orange": Shade("#ffdfbf", "#8f4300"),
    "lime": Shade("#e4f2b6", "#4c6000"),
    "magenta": Shade("#ffd6ee", "#941464"),
    "slate": Shade("#dde3ea", "#3d4b5e"),
    "brown": Shade("#ecdccb", "#63431f"),
    "cyan": Shade("#cdebff", "#005682"),
}
GREY = Shade("#f0f1f3", "#57606a")

# The types of the sets that the course loads: no two of one sentence share a colour, but for
# several events in it.
TYPES = {
    "blue": "人物 姓名 人名 主演 获奖者 收购方 胜者",
    "green": "地点 地址 地名 籍贯 位于 灾害地点",
    "purple": "机构 公司 机构名 导演 建设方 被收购方 发布方 主办方",
    "yellow": "时间 成立时间 学历",
    "red": "作品 书名 作者 伤亡",
    "teal": "产品 游戏 专业 出生地 设施 航天器",
    "orange": "食物 电影 创始人 奖项 火箭 金额 会议 比分",
    "lime": "生物 景点 民族 原产地",
    "slate": "政府 败者",
    "brown": "职位 职称 强度",
    "cyan": "组织机构 国籍 赛事 总部地点",
    "magenta": "毕业院校 自然灾害 比赛获胜 建成启用 获奖 航天发射 收购 产品发布 会议召开",
}
HUE_OF = {kind: hue for hue, kinds in TYPES.items() for kind in kinds.split()}


def shade_of(kind: str) -> Shade:
    """Return the colours of a type: the same in every picture, process and notebook.

    >>> shade_of("地点") == shade_of("灾害地点") == SHADES["green"]
    True
    >>> shade_of("一种新的类型") == shade_of("一种新的类型")
    True
    """
    # Python's own hash differs from process to process.
    hue = HUE_OF.get(kind) or list(SHADES)[crc32(kind.encode()) % len(SHADES)]
    return SHADES[hue]


class Look(NamedTuple):
    """How the members of a group are drawn, and what a legend calls them ("" has no entry)."""

    words: str
    colour: str
    marker: str


# What each reading of a licence (`data.catalog.TERMS`) allows; its shape tells it in grey too.
LICENCES = {
    "permissive": Look("宽松 permissive", "#2c9b4b", "o"),
    "share-alike": Look("同样方式共享 share-alike", "#e0a100", "^"),
    "non-commercial": Look("禁止商用 non-commercial", "#e0701b", "v"),
    "none stated": Look("没有写明 none stated", "#cf222e", "s"),
    "contradictory": Look("自相矛盾 contradictory", "#8f1d2c", "X"),
    "not looked up": Look("没有查过 not looked up", "#8c959f", "D"),
    "restricted": Look("不许转发 restricted", "#6e40c9", "P"),
}
