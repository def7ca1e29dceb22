"""Answers that are none: the teacher declines, or names itself. Floor 0, used by data and teacher.

In: what was asked and what was answered. Out: whether a student should not learn from it.
"""

from __future__ import annotations

import re

MAKERS = "OpenAI|百度|阿里巴巴|阿里云|谷歌|Google|Anthropic|科大讯飞|字节跳动|腾讯|华为|智谱|微软"
MODEL = r"(?:AI|人工智能|语言模型|大模型|聊天机器人|(?:AI|人工智能|智能|虚拟|语言)\s?(?:助[手理]|模型|程序|机器人))"
NAMES = "ChatGPT|GPT-?[34]?|文心一言|通义千问|讯飞星火|智谱清言|豆包|Claude|Bard|Gemini|Kimi|DeepSeek"
SELF = re.compile(
    rf"作为(?:一[个名款种])?\s?(?:大型)?\s?{MODEL}(?:\s?{MODEL})*\s?(?:[，,]|我|本)|"
    r"[Aa]s an? (?:AI|artificial intelligence|large language model|language model)\b|"
    rf"我(?:只)?是(?:一[个名款种])?(?:由.{{1,12}}?(?:开发|训练|研发|创建|推出)的)?\s?(?:大型)?\s?{MODEL}(?![\u4e00-\u9fff]*[专家工程师研究员爱好者教授老师])|"
    rf"(?:我(?:叫|是|的名字[叫是])|[Ii](?: a|')m |[Mm]y name is )(?:{NAMES})(?=[，。！,.! ]|$)|"
    rf"我是?由\s?(?:{MAKERS})\s?(?:公司)?(?:开发|训练|研发|创建|推出)|我是\s?(?:{MAKERS})\s?(?:公司)?(?:开发|训练|研发|创建|推出)的"
)
TASK = "提供|回答|完成|协助您|帮助您|帮你|访问|生成|执行|满足|处理|继续|查看|播放|创建|给出|讨论|打开|绘制|识别|预测|编写|撰写|这样做|做到"
CANNOT = rf"(?:无法|不能|没有办法|没办法|不可以|不便)[^。！？，\n]{{0,14}}?(?:{TASK})"
SORRY = "(?:抱歉|对不起|不好意思|遗憾)"
REFUSAL = re.compile(
    rf"^\W*(?:您好|你好)?\W*我?(?:很|非常|十分|感到)*{SORRY}[^。！？\n]{{0,30}}?{CANNOT}|"
    rf"^\W*(?:很|非常)*{SORRY}[^\n]{{0,40}}?我们?{CANNOT}|"
    rf"^\W*我(?:无法|不能)(?:直接)?(?:提供|回答|生成|访问|满足|执行|协助|处理|讨论|给出)(?!.{{0,12}}的(?:帮助|感激))|^\W*无法(?:直接)?(?:回答|完成|提供|执行|生成)[^。，\n]{{0,12}}(?:问题|任务|请求|信息)|"
    r"^\W*(?:[Ss]orry, (?:but )?I|I(?:'m| am) (?:sorry|unable)|I can(?:not|'t) (?:assist|help|provide|answer|fulfil|comply|do that|generate)|Unfortunately, I (?:can|am))"
)


def declines(asked: str, answer: str) -> bool:
    """The answer begins by declining to do the task. Where the task is about declining or apologising, it is an answer.

    >>> declines("明天下雨吗？", "抱歉，我无法提供实时天气。"), declines("婉拒一次邀请。", "抱歉，我无法提供帮助。")
    (True, False)
    >>> declines("翻译", "I can't wait to see you!"), declines("造句", "我无法用言语表达我的感激之情。")
    (False, False)
    """
    return bool(REFUSAL.search(answer[:80])) and not re.search("抱歉|对不起|道歉|致歉|遗憾|拒绝|婉拒|回绝|[Ss]orry", asked)


def names_itself(answer: str) -> bool:
    """The teacher names itself: “作为一个人工智能语言模型，我……”, “我是ChatGPT”. A student should not learn another's name.

    >>> names_itself("作为AI助手，我没有喜好。"), names_itself("机器学习作为人工智能的分支，发展很快。")
    (True, False)
    """
    return bool(SELF.search(answer))
