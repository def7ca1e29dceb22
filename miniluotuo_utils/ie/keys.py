"""Tell the keys of an answer from its types: what models call the parts of an item.

In: a key, or what was asked for. Out: whether it is a name for a part, or may be a type. One table
holds all words; a key is looked up without case, spaces, `_` and `-`. Shown in notebook 05.
The words are those of OneKE, IEPile, YAYI-UIE, InstructUIE, UIE and PaddleNLP, DuIE, DuEE, CMeIE,
LangExtract, GLiNER, LightRAG, spaCy and transformers, and what chat models make of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from miniluotuo_utils.ie.names import is_odd, unguarded
from miniluotuo_utils.ie.schema import Schema

# Part -> its names, the likeliest first: of two keys for one part the earlier is read.
WORDS = {
    "name": """
        entity_name entity_text entity entity_mention entity_value extraction_text mention
        mention_text name names word words term phrase span surface surface_form text matched_text
        original_text original raw string value content token tokens chars characters @value
        实体名称 实体名 实体文本 实体内容 实体提及 实体值 实体词 实体原文 实体 提及 名称 名字 名
        词语 词汇 词 原词 片段 文本片段 原文片段 文本 原文 内容 值""",
    "type": """
        entity_type entity_label entity_category entity_class entity_group ner_type ner_label
        ner_tag ner_tags tags bio label_ extraction_class semantic_type type types label labels
        category class cls tag ner kind group
        实体类型 实体类别 实体标签 实体种类 实体分类 实体类 所属类型 所属类别 类型 类别 标签 种类
        分类 类""",
    "head": """
        head_entity head_name head_text head subject_entity subject_name subject_text subject subj
        sub s h entity1 entity_1 e1 arg1 source_entity source src from node1 source_node first
        头实体名称 头实体 头实体名 头 主体名称 主体 主语 主实体 实体1 实体一 源实体 源 起点
        头节点 首实体 起始实体""",
    "tail": """
        tail_entity tail_name tail_text tail object_entity object_name object_text object obj o t
        entity2 entity_2 e2 arg2 target_entity target dst to node2 target_node second
        尾实体名称 尾实体 尾实体名 尾 客体名称 客体 宾语 客实体 实体2 实体二 目标实体 目标 终点
        尾节点 末实体""",
    "relation": """
        relation_type relation_name relation_label relation predicate pred rel rel_type
        relationship_type relationship property edge_type edge link p r type label
        关系类型 关系名称 关系名 关系类别 关系标签 关系 谓词 谓语 属性 联系 类型 类别""",
    "trigger": """
        event_trigger trigger_word trigger_text trigger_name trigger triggers event_mention
        事件触发词 触发词 触发语 触发 触发动词 动词""",
    "event": """
        event_type event_name event_class event_category event_label event type label category
        class kind 事件类型 事件类别 事件名称 事件名 事件 事件类 类型 类别""",
    "arguments": """
        event_arguments event_argument argument_list event_argument_list arguments argument args
        roles participants slots elements
        事件论元 论元列表 论元 事件要素 要素 参数 参与者 角色 事件角色 论元角色""",
    "role": """
        argument_role arg_role role_type role_name role argument_type type label name key
        论元角色 角色类型 角色名称 角色名 角色 论元类型 要素类型 参数名 类型 名称""",
    "argument": """
        argument_text argument_name argument_value argument text value word mention entity content
        span name @value
        论元内容 论元文本 论元值 论元名称 论元 要素内容 参数值 内容 文本 值 实体 名称 词""",
    # What may stand around all items: of a task, or of any.
    "NER": """
        entities entity ents entity_list entity_mentions named_entities ner ner_result ner_results
        nodes spans mentions label entity_extraction named_entity_recognition
        实体 实体列表 命名实体 命名实体列表 实体识别 实体抽取""",
    "RE": """
        relations relation relation_list relationships relation_triples triples triple triplets
        triple_list triplet_list spo_list spos spo edges links facts re relation_extraction
        predicates
        关系 关系列表 三元组 三元组列表 关系三元组 关系抽取""",
    "EE": """
        events event event_list event_mentions ee 事件 事件列表 事件抽取""",
    "any": """
        answer answers final_answer final result results output outputs response data items list
        extractions extraction predictions prediction annotations annotation records record json
        parameters input value return content function tool_call tool_calls
        结果 答案 最终答案 最终结果 回答 输出 抽取结果 识别结果 提取结果 数据 列表 标注 标注结果
        实体识别结果 关系抽取结果 事件抽取结果 返回""",
    # What may stand beside the parts and is none.
    "meta": """
        id idx index no num start end start_idx end_idx start_index end_index start_pos end_pos
        start_offset end_offset offset offsets pos position positions char_start char_end indices
        score confidence probability prob weight strength reason explanation rationale thought
        thoughts thinking reasoning analysis note notes comment comments remark description desc
        summary sentence context evidence language lang task status code message count total number
        schema instruction prompt alias aliases attributes properties metadata meta version model
        head_type tail_type subject_type object_type source_type target_type head_label tail_label
        keyword keywords sentiment topic topics intent error precision recall f1 f1_score accuracy
        support entity1_type entity2_type h_type t_type s_type o_type trigger_start_index
        trigger_start
        argument_start_index role_id event_id entity_id tool function_name query question step
        序号 编号 索引 起始位置 结束位置 起始 结束 开始 开始位置 终止位置 偏移 置信度 概率 得分
        理由 解释 说明 备注 注 注释 注意 分析 思考 推理 依据 证据 句子 输入 原句 描述 总结 小结
        上下文 别名 提示 语言 任务 状态 问题 步骤 例子 示例 例如
        关键词 关键字 情感 情感倾向 主题 意图
        头实体类型 尾实体类型 主体类型 客体类型 主语类型 宾语类型 实体1类型 实体2类型""",
}
# Common types, roles and relations: where no schema says which of two words is the type.
LABELS = """
    人物 人名 姓名 人 地点 地名 地址 位置 地区 国家 城市 机构 组织 组织机构 机构名 机构名称
    团体 公司 公司名 企业 政府 学校 时间 日期 年份 作品 书名 书籍 图书 电影 歌曲 游戏 节目 景点
    职位 职务 职业 头衔 产品 品牌 民族 学历 专业 籍贯 朝代 疾病 症状 药物 药品 身体 身体部位
    部位 检查 科室 手术 治疗 货币 金额 数量 数值 数字 百分比 事件 语言 动物 植物 食物 武器
    交通工具 法律 per person pers people loc location org organization organisation gpe fac
    facility time date work work_of_art event product misc money norp law language percent
    quantity cardinal ordinal name address company government book movie game scene position
    title cont edu pro race organization_name person_name location_name disease drug symptom
    animal place city country dis sym bod dru ite mic dep equ
"""
ROLES = """
    主体 客体 参与者 参与人 原因 结果 方式 工具 对象 受害者 伤亡人数 死亡人数 受伤人数 触发
    时间 地点 人物 航天器 火箭 agent patient victim attacker place time instrument target buyer
    seller
"""
RELATIONS = """
    作者 出生地 出生日期 出生时间 出生年月 出生 出生于 导演 主演 编剧 位于 国籍 毕业院校 毕业于
    就读于 妻子 丈夫 配偶 父亲 母亲 子女 儿子 女儿 朝代 所在城市 所在地 所在 总部地点 总部
    成立日期 成立时间 创始人 创办者 董事长 首都 省会 民族 职业 歌手 作词 作曲 所属专辑 出品公司
    出版社 校长 面积 海拔 任职 任职于 就职于 隶属 属于 别名 简称 代表作 作品 祖籍 籍贯 死亡日期
    逝世 去世 制片人 主持人 嘉宾 改编自 主角 号 字 人口 邮编 包含 拥有 收购 投资 合作 生产 治疗
    症状 病因 并发症 born_in author located_in located in founder spouse works_for nationality
    capital director place_of_birth birthplace founded_by member_of part_of
"""
MARKS = re.compile(r"[\s_\-]+")
# What may hang on a label: `人物：`, `**人物**`, `B-PER`, `人物（PER）`.
EDGES = " \t\r\n\u3000\u200b\u200c\u200d\u2060\ufeff:：*_`#\"'“”‘’「」"
TAG = re.compile(r"[BIMESLU][-_](?=.)")
COUNTED = re.compile(
    r"\s*(?:\d{1,2}\s*[.、)）:：]|[(（]\d{1,2}[)）]|[一二三四五六七八九十]{1,2}、)\s*(?=\S)"
)
# `人物实体`, `persons`, `organization_list`: what was asked for, and how much of it.
MANY = re.compile(r"(?<=.)(?:[ _-]?(?:实体|列表|entities|entity|list|names)|s)\Z", re.IGNORECASE)
ASIDE = re.compile(r"(.+?)\s*[(（\[【](.+?)[)）\]】]")
NUMBERED = re.compile(r"(?<=.)[-_ ]?[0-9一二三四五六七八九十]{1,3}\Z")


@lru_cache(100_000)
def key(text: str) -> str:
    """Return a key or label as it is looked up.

    >>> key("Entity_Type"), key(" 实体 类型："), key("＠value")
    ('entitytype', '实体类型', '@value')
    """
    return MARKS.sub("", unicodedata.normalize("NFKC", text).casefold().strip(EDGES))


def ranked(words: str) -> dict[str, int]:
    """Return words by how they are looked up, with their numbers."""
    return {key(word): number for number, word in enumerate(words.split())}


TABLE = {part: ranked(words) for part, words in WORDS.items()}
COMMON = {key(word) for word in LABELS.split()}
COMMON_ROLES = COMMON | {key(word) for word in ROLES.split()}
COMMON_RELATIONS = {key(word) for word in RELATIONS.split()}


def rank(word: object, part: str) -> int | None:
    """Return how early a word stands among the names of a part, None if it is none of them.

    `实体3` is read as `实体`, `result_list` and `识别的结果` as what they end in.

    >>> rank("entity", "name") < rank("text", "name"), rank("地点", "name")
    (True, None)
    """
    if not isinstance(word, str) or len(word) > 40:
        return None
    return looked_rank(key(word), part)


@lru_cache(100_000)
def looked_rank(looked: str, part: str) -> int | None:
    """Return the rank of a word as it is looked up."""
    for form in (looked, NUMBERED.sub("", looked)):
        if form in TABLE[part]:
            return TABLE[part][form]
    if part == "any" and re.search(r"(?:结果|列表|results?|list|output|answer)\Z", looked):
        return len(TABLE[part])
    return None


def is_word(word: object) -> bool:
    """Tell whether a word names a part or stands beside the parts: then it is no type.

    >>> is_word("entities"), is_word("理由"), is_word("人物")
    (True, True, False)
    """
    return isinstance(word, str) and len(word) <= 40 and looked_is_word(key(word))


@lru_cache(100_000)
def looked_is_word(looked: str) -> bool:
    """Tell whether a word as it is looked up names a part."""
    return any(looked_rank(looked, part) is not None for part in TABLE)


@dataclass(frozen=True)
class Asked:
    """What was asked for: the types by how they are looked up, and for EE the roles, if known.

    strict: a key is a type only beyond doubt, as in layouts where any line may look like a key.
    """

    task: str
    types: Mapping[str, str]
    roles: Mapping[str, str]
    strict: bool = False

    @classmethod
    def of(cls, task: str, schema: Schema | None) -> Asked:
        """Return what a schema asks for; nothing is known without one."""
        types = [kind for kind in schema or () if isinstance(kind, str)]
        roles = []
        if isinstance(schema, Mapping):
            roles = [role for names in schema.values() for role in names if isinstance(role, str)]
        return cls(task, *map(table_of, (types, roles)))

    def known(self, label: object) -> str | None:
        """Return the type that was asked for by this label, None if it was not.

        >>> asked = Asked.of("NER", ["人物", "PER"])
        >>> asked.known("**人物**："), asked.known("B-PER")
        ('人物', 'PER')
        """
        return looked_up(label, self.types)

    def is_type(self, label: object) -> bool:
        """Tell whether a label is surely a type: asked for or, without a schema, a common one."""
        return looked_up(label, self.types or COMMON[self.task]) is not None

    def is_role(self, label: object) -> bool:
        """Tell whether a label is a role beyond doubt."""
        return looked_up(label, self.roles or COMMON["role"]) is not None

    def label(self, label: str) -> str:
        """Return a label as it was asked for, else without what hangs on it.

        >>> Asked.of("NER", None).label(" **茶叶**："), Asked.of("NER", ["茶叶"]).label("茶叶(TEA)")
        ('茶叶', '茶叶')
        """
        known = self.known(label)
        if known is not None:
            return known
        # Without a schema the aside of a common type goes: 人物（PER）.
        bare = unguarded(label, bare_label)
        aside = None if self.types else ASIDE.fullmatch(bare)
        counted = COUNTED.sub("", bare, count=1)
        if not self.types and counted != bare and self.is_type(counted):
            return counted  # `1. 人物`
        return aside[1] if aside and self.is_type(aside[1]) else bare

    def only(self) -> str | None:
        """Return the type where exactly one was asked for."""
        kinds = set(self.types.values())
        return kinds.pop() if len(kinds) == 1 else None


def bare_label(label: str) -> str:
    """Return a label without what hangs on it: `人物：` → `人物`."""
    return label.strip(EDGES)


def table_of(words: Iterable[str]) -> dict[str, str]:
    """Return words by how they are looked up; spelt exactly, each is found itself."""
    words = list(words)
    return {key(word): word for word in words} | {word: word for word in words}


COMMON = {
    "NER": table_of(LABELS.split()),
    "RE": table_of(RELATIONS.split()),
    "EE": {},
    "role": table_of(f"{LABELS} {ROLES}".split()),
}


def looked_up(label: object, table: Mapping[str, str]) -> str | None:
    """Return the entry of a table under a label, or under what it is without a tag or an aside."""
    if not isinstance(label, str) or len(label) > 40:
        return None
    aside = ASIDE.fullmatch(label.strip(EDGES))
    # As it was asked for, or as `written` guards it.
    for form in (label, label[1:] if is_odd(label[1:], bare_label) else label):
        if form in table:
            return table[form]
    # 人物（PER） is its first part, or the second where both are types: 鲁班（人物） is none.
    asides = aside.groups() if aside and key(aside[1]) in COMMON["NER"] else ()
    asides = asides or ((aside[1],) if aside else ())
    bare = COUNTED.sub("", label.strip(EDGES), count=1)
    forms = [label, TAG.sub("", label.strip(EDGES), count=1), *asides, bare, MANY.sub("", bare)]
    return next((table[key(form)] for form in forms if key(form) in table), None)
