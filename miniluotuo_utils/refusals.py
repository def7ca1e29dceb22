"""Answers that are none: the teacher declines, or names itself. Floor 0, used by data and teacher.

In: what was asked and what was answered. Out: whether a student should not learn from it.
"""

from __future__ import annotations

import re

MAKERS = "OpenAI|百度|阿里巴巴|阿里云|谷歌|Google|Anthropic|科大讯飞|字节跳动|腾讯|华为|智谱|微软"
SELF = re.compile(
    r"作为(?:一[个名款种])?(?:大型)?(?:AI|人工智能)?(?:语言)?(?:AI|人工智能|模型|助[手理]|机器人)[，,\s]*(?:我|本模型)|"
    r"[Aa]s an? (?:AI|artificial intelligence|large language model|language model)\b|"
    r"我(?:只)?是(?:一[个名款种])?(?:大型)?(?:AI|人工智能)?(?:语言模型|大模型|助[手理])|我是(?:一[个名款种])?(?:AI|人工智能)(?=[，。！,.!])|"
    r"(?:我(?:叫|是|的名字[叫是])|[Ii](?: a|')m |[Mm]y name is )(?:ChatGPT|GPT|文心一言|通义千问|讯飞星火|智谱清言|豆包|Claude|Bard|Gemini|Kimi|DeepSeek|百川|盘古)|"
    rf"我是?由\s?(?:{MAKERS})"
)
CANNOT = (
    r"(?:无法|不能|没有办法|没办法|不可以|不便)[^。！？\n]{0,14}?(?:提供|回答|完成|协助|帮助|帮你|访问|生成|执行|满足|处理|继续|查看|播放|创建|确定|判断|给出|讨论|打开|绘制|识别|预测|编写|撰写|这样做|做到)"
)
REFUSAL = re.compile(
    rf"^\W*我?(?:很|非常|十分|感到)*(?:抱歉|对不起|不好意思|遗憾)[^。！？\n]{{0,30}}?{CANNOT}|^\W*我{CANNOT}|"
    r"^\W*(?:[Ss]orry|I(?:'m| am) (?:sorry|unable)|I can(?:not|'t)|Unfortunately, I)"
)


def declines(asked: str, answer: str) -> bool:
    """The answer begins by declining to do the task. Where the task is about declining or apologising, it is an answer.

    >>> declines("明天下雨吗？", "抱歉，我无法提供实时天气。"), declines("婉拒一次邀请。", "抱歉，我无法提供帮助。")
    (True, False)
    """
    return bool(REFUSAL.search(answer[:80])) and not re.search("抱歉|对不起|道歉|致歉|遗憾|拒绝|婉拒|回绝|[Ss]orry", asked)


def names_itself(answer: str) -> bool:
    """The teacher names itself: “作为一个人工智能语言模型，我……”, “我是ChatGPT”. A student should not learn another's name.

    >>> names_itself("作为AI助手，我没有喜好。"), names_itself("机器学习作为人工智能的分支，发展很快。")
    (True, False)
    """
    return bool(SELF.search(answer))
