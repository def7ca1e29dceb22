"""Sentences made of frames and names: exact labels for what the corpus seldom says plainly.

In: a source of names of a type. Out: a sentence, its spans and its relations. Some frames tell
nothing about the types of the names in them, so that the names themselves must be known; the others
tell how two names belong together. They shape the base's pre-training only
(`scripts/pretrain.py`).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from silver_labels import COARSER, Relation, Span

Named = tuple[str, Sequence[str]]  # a name and all types that it is of


class Framed(NamedTuple):
    """A sentence, what is named in it, and how that belongs together."""

    text: str
    spans: list[Span]
    relations: list[Relation]


# Frames for names of any type.
NEUTRAL = tuple(
    """
{}、{}、{}
{}和{}
{}，{}，还有{}
{}、{}、{}和{}都写在黑板上。
说到{}，他马上想起了{}。
{}旁边画着{}。
名单上有{}、{}和{}。
今天的关键词是{}。
这一页讲{}，下一页讲{}。
猜谜语，谜底是{}。
老师让我们用{}造句。
题目里提到了{}和{}。
他念了三遍“{}”，还是记不住。
关于{}，网上的说法不一。
{}又上了热搜，评论里却都在聊{}。
第一题问{}，第二题问{}，第三题问{}。
照片背面写着{}。
我从没听说过{}。
你知道{}吗？
{}，这个词怎么写？
比起{}，我更熟悉{}。
弟弟把{}认成了{}。
为什么大家都喜欢{}？
一提{}，全班都笑了。
报纸用半个版面介绍{}。
这期节目的主角是{}，嘉宾谈到了{}。
她的作文从{}写起，最后落在{}上。
展板左边是{}，右边是{}。
字典里查不到{}。
展览的主题是{}。
他在日记里写：{}，{}，{}。
找了半天，原来要找的是{}，不是{}。
{}跟{}有什么关系？
翻到目录，{}排在{}前面。
广告词里反复出现{}。
连{}都没见过的人，怎么会知道{}？
纪录片第一集讲的是{}。
有人投票给{}，也有人投票给{}。
导游讲完{}，又讲起{}。
这张邮票上印着{}。
孩子的画里总有{}。
课本插图画的是{}和{}。
群里正在讨论{}。
{}的英文怎么说？
拼图拼出来是{}。
除了{}，别的我都忘了。
收藏夹里存着{}、{}、{}、{}、{}。
他把{}写得很大。
晚会的第一个节目与{}有关。
问卷第五题：您听过{}吗？
关于{}和{}，各写一段话。
她说起{}来滔滔不绝。
我梦见了{}。
刚才那段话里，{}出现了两次。
外公最常念叨的就是{}。
请把{}翻译成英文。
这首儿歌唱的是{}、{}和{}。
""".strip().split("\n")
)

# What is said of a subject: the relation, the type of the other name, ways to say it.
CLAUSES = {
    "人物": (
        ("出生地", "地点", "出生于{} 生于{} 出生在{} 是{}人 祖籍{} 老家在{} 在{}出生"),
        ("出生日期", "时间", "{}出生 生于{} 出生于{}"),
        (
            "毕业院校",
            "学校",
            "毕业于{} 从{}毕业 考上了{} 在{}读完本科 先在{}念书 是{}的校友 {}毕业",
        ),
        ("任职机构", "机构", "进入{}工作 加入了{} 任职于{} 后来到{}上班"),
        ("职务", "职位", "担任{} 出任{} 是一位{} 后来当了{}"),
        ("国籍", "国家", "是{}人 国籍是{}"),
        ("父亲", "人物", "的父亲是{} 父亲叫{}"),
        ("配偶", "人物", "的妻子是{} 的丈夫是{} 和{}结了婚"),
    ),
    "公司": (
        ("总部地点", "地点", "总部设在{} 总部位于{} 把总部搬到了{} 的总部在{} 总部就在{}"),
        ("成立时间", "时间", "成立于{} {}成立 创立于{} 是{}创办的"),
        (
            "创始人",
            "人物",
            "由{}创办 的创始人是{} 由{}一手创立 的创办人叫{} 是{}创立的 的创始人之一是{}",
        ),
    ),
    "学校": (
        ("位于", "地点", "位于{} 坐落在{} 在{}市郊 设在{}"),
        ("成立时间", "时间", "创办于{} {}成立 建于{}"),
        ("创始人", "人物", "由{}创办 的创办人是{}"),
    ),
    "作品": (
        ("作者", "人物", "的作者是{} 是{}写的 由{}所著 出自{}之手 是{}的代表作 作者{}"),
        ("导演", "人物", "由{}执导 的导演是{} 是{}拍的 导演是{}"),
        ("主演", "人物", "由{}主演 由{}领衔主演 的主演是{} 请来了{}主演 里{}演主角 男主角是{}"),
    ),
    "景点": (
        ("位于", "地点", "位于{} 在{}境内 坐落在{} 就在{}"),
        ("成立时间", "时间", "始建于{} 建于{} {}建成"),
    ),
    "政区": (("位于", "地点", "位于{} 在{}北部 是{}的一座小城 地处{}"),),
    "生物": (
        (
            "原产地",
            "地点",
            "原产于{} 原产{} 的原产地是{} 最早生长在{} 的故乡是{} 产自{} 是从{}传来的",
        ),
    ),
    "食物": (("原产地", "地点", "产自{} 是{}的特产 最早出现在{} 原产于{} 起源于{}"),),
}
# The other name comes first.
BACKWARDS = (
    ("出生地", "人物", "地点", "{1}是{0}的故乡。"),
    ("出生地", "人物", "地点", "{1}是{0}的出生地。"),
    ("出生地", "人物", "地点", "{1}人{0}今天来到我们学校。"),
    ("毕业院校", "人物", "学校", "{1}毕业的{0}回母校做了讲座。"),
    ("毕业院校", "人物", "学校", "{1}走出了{0}。"),
    ("毕业院校", "人物", "学校", "{1}的校友{0}捐了一座图书馆。"),
    ("创始人", "公司", "人物", "{1}创办了{0}。"),
    ("创始人", "公司", "人物", "{1}是{0}的创始人。"),
    ("创始人", "公司", "人物", "{1}白手起家，创立了{0}。"),
    ("创始人", "公司", "人物", "辞职以后，{1}和朋友一起创办了{0}。"),
    ("成立时间", "公司", "时间", "{1}，{0}成立了。"),
    ("成立时间", "学校", "时间", "{1}创办的{0}今年扩建。"),
    ("总部地点", "公司", "地点", "{1}是{0}的总部所在地。"),
    ("总部地点", "公司", "地点", "总部在{1}的{0}正在招人。"),
    ("作者", "作品", "人物", "{1}写了{0}。"),
    ("作者", "作品", "人物", "{1}的{0}我读了两遍。"),
    ("作者", "作品", "人物", "{1}花了十年写成{0}。"),
    ("作者", "作品", "人物", "你读过{1}写的{0}吗？"),
    ("导演", "作品", "人物", "{1}执导的{0}今晚上映。"),
    ("导演", "作品", "人物", "{1}导演了{0}。"),
    ("导演", "作品", "人物", "{1}凭{0}拿了最佳导演奖。"),
    ("主演", "作品", "人物", "{1}主演的{0}很感人。"),
    ("主演", "作品", "人物", "{1}在{0}里演男主角。"),
    ("主演", "作品", "人物", "{1}出演了{0}。"),
    ("位于", "景点", "地点", "{1}有一座{0}。"),
    ("位于", "景点", "地点", "到了{1}，一定要去看看{0}。"),
    ("位于", "政区", "地点", "{1}的{0}风景很好。"),
    ("原产地", "生物", "地点", "{1}是{0}的原产地。"),
    ("原产地", "生物", "地点", "{1}盛产{0}。"),
    ("原产地", "食物", "地点", "{1}的{0}远近闻名。"),
    ("首都", "国家", "地点", "{1}是{0}的首都。"),
)
LEADS = ("", "", "", "", "据介绍，", "资料上说，", "大家都知道，", "我查了一下，", "读书笔记：")
TYPES = {"人物": 2, "地点": 2, "机构": 2, "作品": 2, "时间": 1, "食物": 4, "生物": 4, "产品": 4} | (
    dict.fromkeys(("国家", "政区", "山水", "景点", "公司", "学校", "政府", "媒体"), 1)
)
WORKS = {"作品"} | {kind for kind, coarse in COARSER.items() if coarse == "作品"}


class Writer:
    """A sentence that grows; `name` says where each name stands."""

    def __init__(self, draw: random.Random, name_of: Callable[[str], Named]) -> None:
        self.draw, self.name_of = draw, name_of
        self.text = ""
        self.spans: list[Span] = []
        self.relations: list[Relation] = []

    def name(self, kind: str) -> Span:
        """Write a name of a type, a work mostly between 《 and 》; return its span."""
        word, kinds = self.name_of(kind)
        marked = bool(WORKS & set(kinds)) and self.draw.random() < 0.9
        start = len(self.text) + marked
        self.text += f"《{word}》" if marked else word
        self.spans += [Span(start, start + len(word), one) for one in kinds]
        return Span(start, start + len(word), kind)

    def framed(self) -> Framed:
        """Return what was written."""
        return Framed(self.text, sorted(dict.fromkeys(self.spans)), self.relations)


def neutral(draw: random.Random, name_of: Callable[[str], Named]) -> Framed:
    """Return a sentence that tells nothing about the types of the names in it.

    >>> told = neutral(random.Random(2), lambda kind: ("豆浆", ["食物"]))
    >>> {told.text[a:b] for a, b, _ in told.spans}
    {'豆浆'}
    """
    writer, pieces = Writer(draw, name_of), draw.choice(NEUTRAL).split("{}")
    for piece in pieces[:-1]:
        writer.text += piece
        writer.name(draw.choices(list(TYPES), list(TYPES.values()))[0])
    writer.text += pieces[-1]
    return writer.framed()


def told(draw: random.Random, name_of: Callable[[str], Named]) -> Framed:
    """Return a sentence that says one to three things of a subject, with the relations."""
    writer = Writer(draw, name_of)
    if draw.random() < 0.4:
        kind, first, second, frame = draw.choice(BACKWARDS)
        spans = {}
        for piece in re.split(r"(\{[01]\})", frame):
            if piece in ("{0}", "{1}"):
                spans[piece] = writer.name(first if piece == "{0}" else second)
            else:
                writer.text += piece
        writer.relations.append(Relation(spans["{0}"], kind, spans["{1}"]))
        return writer.framed()

    writer.text = draw.choice(LEADS)
    subject = draw.choice(list(CLAUSES))
    head = writer.name(subject)
    said = draw.sample(CLAUSES[subject], draw.randint(1, min(3, len(CLAUSES[subject]))))
    for number, (kind, other, ways) in enumerate(said):
        before, after = draw.choice(ways.split()).split("{}")
        writer.text += ("，" + before.removeprefix("的")) if number else before
        tail = writer.name(other)
        writer.text += after
        writer.relations.append(Relation(head, kind, tail))
    writer.text += "。"
    return writer.framed()


KINDS = (neutral, neutral, told)
