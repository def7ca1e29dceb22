"""Compare texts and judge them: folding, near-duplicates, refusals, thoughts; Markdown tables.

In: texts. Out: verdicts and numbers. Ground floor, shown in notebooks 01 and 02.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

# ---- folding

PUNCTUATION = re.compile(r"""[,.!?;:'"。、“”‘’「」『』《》〈〉【】()\[\]…—~·-]""")
# Beside one of these a mark may be a sign: 3.5, -2, x>1, (3+4)*2, a[i], 5!
SIGNS = set("0123456789abcdefghijklmnopqrstuvwxyz+*/=<>^%()[]-.!,:'")
# NFKC would make 2³ into 23, and ！ a factorial.
APART = {ord(digit): f"^{number}" for number, digit in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")} | {ord("！"): None}


def folded(text: str) -> str:
    """Return a text as it is compared: NFKC, lower case, without white space and punctuation.

    Punctuation stays where it is a sign of a formula or of code.

    >>> folded("写一首诗， 题目是“Ｓｕｎ”。"), folded("3.5 + 4 等于几?"), folded("2³ 与 -2")
    ('写一首诗题目是sun', '3.5+4等于几', '2^3与-2')
    """
    joined = re.sub(r"\s+", "", unicodedata.normalize("NFKC", text.translate(APART)).casefold())
    return PUNCTUATION.sub(lambda m: m[0] if is_sign(joined, m.start()) else "", joined)


def is_sign(text: str, at: int) -> bool:
    """Return whether the mark at a place belongs to a formula or to code.

    It does with a sign on each side, as in 3.5. An opening one needs the right one only, as in -2,
    a closing one the left one only, if that is a letter or a digit, as in 5!
    """
    mark, left, right = text[at], text[at - 1 : at], text[at + 1 : at + 2]
    if mark in "-([":
        return right in SIGNS
    return left in SIGNS and (right in SIGNS or (mark in "!)]" and left.isalnum()))


# ---- near-duplicates

SHORT = 60  # folded characters: below, two instructions are the same only in the same words
# What makes a request polite, or an ending soft, and no other request of it.
POLITE = re.compile(
    "^(?:请问|请|麻烦|劳驾|烦请|你|您|能否|能不能|可以|可否|可不可以|帮忙|帮我|给我|为我|替我|我想请|我想让|"
    "please|canyou|couldyou|wouldyou|kindly|helpme)+|"
    "(?:吧|呢|吗|啊|呀|哦|嘛|好吗|行吗|可以吗|谢谢|多谢|please|thanks|thankyou|[?!])+$|一下|的"
)


# Words that only join or soften, and words of which each says what the first one says.
LIGHT = {"一下", *"的了着吧呢吗啊呀哦嘛请就便还也而却则"}
SAME = (
    "你 您|怎样 怎么 如何 怎么样|为什么 为何 为啥|因为 由于|所以 因此 因而|但是 但 可是 然而 不过|"
    "如果 假如 若 要是|和 与 及 以及 跟|可以 能 能够|非常 十分 很|大约 大概 大致|总是 一直 始终|"
    "赶快 赶紧 尽快|已经 已|下面 以下 下列 下述|上面 以上 上述|这 该 此|例如 比如 譬如|时 时候|"
    "关于 有关|或者 或|仍然 仍 依然|经常 常常 常|曾经 曾|正在 正|使用 用|写出 写明 列出 列举 给出|"
    "设计 策划|写 撰写 编写|解释 说明|描述 描写"
)
FIRST = {word: group.split()[0] for group in SAME.split("|") for word in group.split()}
# Three of something are three, whatever Chinese counts them by; but 三位数 is one number, and
# 三个月 is not 三月.
COUNTED = re.compile(
    r"([一二两三四五六七八九十百千万几每这那\d])(?:[个名条项种]|位(?![上是为小置于和与]))(?![月半数])"
)


def plain_words(text: str) -> str:
    """Return a folded text in its plain words: two texts of the same ones ask or say the same.

    What only makes it polite is left out, and of words that say the same stands the first. Numbers,
    names, nouns, adjectives and negations stay, in their order.

    >>> plain_words("请帮我写一首诗吧"), plain_words("北京的首都"), plain_words("请")
    ('写 一首 诗', '北京 首都', '请')
    >>> plain_words("怎样策划三项活动") == plain_words("如何设计三个活动")
    True
    >>> plain_words("列出三个活动") == plain_words("列出两个活动")
    False
    >>> plain_words("三个月后") == plain_words("三月后")
    False
    """
    import rjieba

    words = rjieba.cut(COUNTED.sub(r"\1", POLITE.sub("", text)))
    return " ".join(FIRST.get(word, word) for word in words if word not in LIGHT) or text


def digits(text: str) -> list[str]:
    """Return the numbers of a text in order: 3个苹果 and 5个苹果 make different tasks."""
    return re.findall(r"\d+|[零一二三四五六七八九十百千万亿两]{2,}", text)


# Characters in a shingle: one changed character of 60 leaves a similarity of 0.90, two 0.81.
WIDTH = 3
PERMUTATIONS = 128
# Templates share bands by the thousand: kept texts that a band remembers, candidates compared.
FULLEST, MOST = 32, 12
BATCH = 10_000


def shingles(text: str) -> set[str]:
    """Return every run of `WIDTH` characters of a folded text; a shorter text is its own one.

    >>> sorted(shingles("迷你骆驼")), shingles("骆驼")
    (['你骆驼', '迷你骆'], {'骆驼'})
    """
    return {text[i : i + WIDTH] for i in range(len(text) - WIDTH + 1)} or {text}


def jaccard(a: set, b: set) -> float:
    """Return shared elements over all elements, 0 for two empty sets.

    >>> jaccard({1, 2, 3}, {2, 3, 4})
    0.5
    """
    return len(a & b) / len(a | b) if a or b else 0.0


class Match(NamedTuple):
    """An earlier text that a text nearly repeats: its number among all given, and how similar."""

    number: int
    similarity: float


class NearDuplicates:
    """The texts kept so far; a new one is kept unless it nearly repeats one of them.

    Candidates share a band of a MinHash signature (rensa). Those that share most bands are compared
    exactly, by the Jaccard similarity of their shingles, so a match is never a false one. Memory:
    the kept texts and about 2 KB each.

    With `words`, as for instructions, texts whose digits differ repeat nothing, and short ones only
    a text of the same words (similarity 1): 北京 or 东京 makes another question, 请 and 吧 do not.

    >>> kept = NearDuplicates(0.6)
    >>> kept.add(["怎样在家里种一盆薄荷", "怎样在阳台种一盆薄荷", "怎样在家里种一盆薄荷？"])
    [None, None, Match(number=0, similarity=1.0)]
    >>> NearDuplicates(0.6, words=True).add(["写一首诗", "请写一首诗吧！", "写一首歌"])
    [None, Match(number=0, similarity=1.0), None]
    """

    def __init__(self, threshold: float = 0.8, seed: int = 42, words: bool = False) -> None:
        if not 0 < threshold <= 1:
            raise ValueError(
                f"threshold: found {threshold}, expected a similarity above 0 and up to 1"
            )
        self.threshold, self.seed, self.rows = threshold, seed, rows_for(threshold)
        self.words: dict[str, int] | None = {} if words else None  # of short texts -> number
        self.count = 0  # texts given so far
        self.texts: dict[int, str] = {}  # number -> folded text, of those kept
        self.buckets: dict[int, tuple[int, ...] | int] = {}  # band -> kept texts that have it

    def add(self, texts: Sequence[str]) -> list[Match | None]:
        """Return for each text the kept text that it nearly repeats, or None: then it is kept."""
        return [
            self._keep(text, bands, self._closest(text, bands))
            for text, bands in self._signed(texts)
        ]

    def lookup(self, texts: Sequence[str]) -> list[Match | None]:
        """Return for each text the kept text that it nearly repeats, or None; keep nothing."""
        return [self._closest(text, bands) for text, bands in self._signed(texts)]

    def _signed(self, texts: Sequence[str]) -> Iterator[tuple[str, list[int]]]:
        for at in range(0, len(texts), BATCH):
            batch = [folded(text) or text for text in texts[at : at + BATCH]]
            yield from zip(batch, signature_bands(batch, self.seed, self.rows), strict=True)

    def _closest(self, text: str, bands: list[int]) -> Match | None:
        # Of so few characters each counts: shared shingles tell nothing.
        if self.words is not None and len(text) < SHORT:
            number = self.words.get(plain_words(text))
            return None if number is None else Match(number, 1.0)
        shared: Counter[int] = Counter()
        for band in bands:
            held = self.buckets.get(band, ())
            shared.update((held,) if type(held) is int else held)

        # The earliest of equals, in the choice of candidates and among matches.
        ranked = sorted(shared.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST]
        own = shingles(text) if ranked else set()
        if self.words is not None:
            ranked = [pair for pair in ranked if digits(self.texts[pair[0]]) == digits(text)]
        matches = [Match(n, jaccard(own, shingles(self.texts[n]))) for n, _ in ranked]
        best = max(matches, key=lambda m: (m.similarity, -m.number), default=None)
        return best if best and best.similarity >= self.threshold else None

    def _keep(self, text: str, bands: list[int], match: Match | None) -> Match | None:
        number, self.count = self.count, self.count + 1
        if match is None:
            self.texts[number] = text
            if self.words is not None and len(text) < SHORT:
                self.words.setdefault(plain_words(text), number)
            for band in bands:
                held = self.buckets.get(band)
                # Nearly every band belongs to one text: a bare number there halves the memory.
                if held is None:
                    self.buckets[band] = number
                elif type(held) is int:
                    self.buckets[band] = (held, number)
                elif len(held) < FULLEST:
                    self.buckets[band] = (*held, number)
        return match


def rows_for(threshold: float) -> int:
    """Return the rows per band with which a pair at the threshold is found in 99 of 100 cases.

    The most rows with that chance to share a band, and so the fewest candidates.

    >>> [rows_for(t) for t in (0.9, 0.8, 0.7, 0.6, 0.5)]
    [10, 6, 4, 3, 3]
    """
    return max(
        (r for r in range(1, 13) if 1 - (1 - threshold**r) ** (PERMUTATIONS // r) >= 0.99),
        default=1,
    )


def signature_bands(texts: Sequence[str], seed: int, rows: int) -> list[list[int]]:
    """Return the MinHash signature of each folded text, cut into bands of `rows` numbers.

    A band is one number, the hash of its numbers and its place, so equal bands at other places
    differ.
    """
    import numpy as np
    from rensa import RMinHash

    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        *shingle_hashes(texts), PERMUTATIONS, seed
    )
    bands = PERMUTATIONS // rows
    signatures = np.array(matrix.to_rows(), dtype=np.uint64)[:, : bands * rows]
    signatures = signatures.reshape(len(texts), bands, rows)
    return mixed([np.arange(bands), *np.moveaxis(signatures, 2, 0)]).tolist()


def shingle_hashes(texts: Sequence[str], width: int = WIDTH) -> tuple[np.ndarray, np.ndarray]:
    """Return a 64-bit hash of every shingle of all texts, and where each text's begin.

    Both are one array; the second has one number more than there are texts.
    """
    import numpy as np

    # All texts as one array of code points, hashed at once: a loop over them took most of the time.
    # Zeros between: a text shorter than a shingle must not take in the next one's characters.
    padded = ("\0" * width).join([*texts, ""])
    codes = np.frombuffer(padded.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    lengths = np.array([len(text) for text in texts])
    starts = np.cumsum(lengths + width) - lengths - width
    counts = np.maximum(lengths - width + 1, 1)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    at = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - starts, counts)
    return rolling(codes, width)[at], offsets.astype(np.uint64)


def rolling(codes: np.ndarray, width: int) -> np.ndarray:
    """Return a hash of every window of `width` code points: (n,) -> (n - width + 1,) uint64."""
    return mixed([codes[i : len(codes) - width + 1 + i] for i in range(width)])


def mixed(parts: Iterable[np.ndarray]) -> np.ndarray:
    """Return one 64-bit hash of arrays of one shape, element by element; their order counts."""
    import numpy as np

    value = np.uint64(0)
    with np.errstate(over="ignore"):
        for part in parts:
            value = (value ^ (part.astype(np.uint64) + np.uint64(1))) * np.uint64(
                0x9E3779B97F4A7C15  # the golden ratio in 64 bits, as in Fibonacci hashing
            )
            value = value ^ (value >> np.uint64(29))
    return value


# ---- refusals

MAKERS = (
    "OpenAI|百度|阿里巴巴|阿里云|通义实验室|谷歌|Google|Anthropic|科大讯飞|字节跳动|腾讯|华为|"
    "智谱(?:AI|华章)?|微软|深度求索|DeepSeek|月之暗面|Moonshot(?: AI)?|MiniMax|零一万物|百川智能|"
    "商汤(?:科技)?|阶跃星辰|面壁智能|昆仑万维|Meta(?: AI)?|Mistral(?: AI)?|xAI|Microsoft|"
    "Alibaba(?: Cloud)?|Baidu"
)
KIND = r"(?:(?:超?大(?:型|规模)?|预训练|生成式|对话式?|认知|智能|先进的?|专业的?|虚拟)\s?)*"
MODEL = (
    rf"{KIND}(?:AI|人工智能|语言模型|大模型|聊天机器人|"
    r"(?:AI|人工智能|智能|虚拟|语言)\s?(?:助[手理]|模型|程序|机器人))"
)
NAMES = (
    "(?:ChatGPT|GPT-?[345o]?|文心一言|文小言|通义千问|千问|Qwen|讯飞星火|星火|智谱清言|ChatGLM|GLM|豆包|"
    r"腾讯混元|混元|Claude|Bard|Gemini|Kimi|DeepSeek|Llama|Grok|Mistral)[-A-Za-z0-9_.]*"
)
MADE = "(?:自主|共同|联合)?(?:开发|训练|研发|创建|创造|推出|打造|研制|构建)"
MADE_EN = "(?:developed|trained|created|made|built)"
ONE = r"(?:一[个名款种位])?\s?"
# Not “我是人工智能专家”.
NO_JOB = (
    r"(?!\s?(?:产品|技术|领域|行业|方面|专业|专家|公司|系的|课|应用|算法|开发[者人]|项目|爱好|工程|研究|"
    r"教授|老师|训练师|设计|创业|的))"
)
# Who says it speaks of itself: not “ChatGPT作为一个语言模型”, not “作为人工智能助手，Siri可以……”.
SPEAKS = (
    r"(?:^|(?<=[^\u4e00-\u9fffA-Za-z0-9])|(?<=[我但而])|"
    "(?<=(?:但是|不过|因为|由于|所以|因此|只是|虽然|尽管|毕竟)))"
)
OF_ITSELF = (
    r"\s?(?:[，,]\s?(?!它|其|他|她|该|这|此|用户|人们|《|[A-Z])"
    r"(?=[^。！？\n]{0,40}?(?:我|本人|没有|无法|不能|不会|不具|为[您你]))|我|本)"
)
# An example, and the pattern that finds it and its like.
SELF_NAMING = {
    "作为一个人工智能语言模型，我没有喜好。": (
        rf"{SPEAKS}[作身]为{ONE}(?:由?[^，。！？\n]{{1,16}}?{MADE}的\s?)?"
        rf"(?:{MODEL}(?:\s?{MODEL})*|{NAMES}){OF_ITSELF}"
    ),
    "As an AI language model, I have no taste.": (
        r"\b[Aa]s an? (?:AI|artificial intelligence|(?:large )?language model)(?: language)?"
        rf"(?: (?:model|assistant|chatbot|program))?(?: {MADE_EN} by [^,.]{{1,30}})?(?:,| I\b)"
    ),
    "我是一个由某公司训练的大型语言模型。": (
        rf"我[只就]?是(?:[您你]的)?{ONE}(?:由.{{1,16}}?{MADE}的)?\s?{MODEL}{NO_JOB}"
    ),
    "我是一个基于GPT-4的模型。": (
        rf"我[只就]?是{ONE}基于\s?(?:{NAMES}|Transformer|深度学习|人工智能|{MODEL})[^，。！？\n]{{0,16}}?"
        r"(?:模型|程序|助[手理]|机器人|系统)"
    ),
    "我叫文心一言。": (
        rf"(?:我(?:叫|是|的名字[叫是])\s?(?:(?:{MAKERS})的?\s?)?|[Ii](?: a|')m |[Mm]y name is )"
        rf"{NAMES}(?:\s?{MODEL})?(?=[，。！；、,.!（(]|\s(?![A-Z])|$)"
    ),
    "我由百度公司研发。": (
        rf"我是?由\s?[^，。！？\n]{{0,14}}?(?:{MAKERS})[^，。！？\n]{{0,14}}?{MADE}"
    ),
    "我是OpenAI训练的。": rf"我是\s?(?:{MAKERS})\s?(?:公司)?\s?{MADE}的",
    "我是由某某公司开发的DeepSeek。": (
        rf"我是?由[^，。！？\n]{{1,20}}?{MADE}的[^，。！？\n]{{0,12}}?(?:{NAMES}|{MODEL}{NO_JOB})"
    ),
    "我是来自阿里云的大语言模型。": (
        rf"我是(?:来自)?\s?(?:{MAKERS})\s?(?:公司)?(?:旗下)?的\s?(?:{MODEL}{NO_JOB}|{NAMES})"
    ),
    "我的开发者是百度。": (
        r"我(?:背后)?的(?:开发者|创造者|研发者|训练者|开发商|(?:开发|研发)?(?:公司|团队))[是为]"
        rf"[^，。！？\n]{{0,6}}?(?:{MAKERS})"
    ),
    "本AI无法回答。": (
        r"本(?:AI|人工智能|语言模型|智能助[手理])\s?(?:助[手理])?\s?(?:无法|不能|没有|不会|不具|只能)"
    ),
    "I was created by Anthropic.": (
        rf"\bI(?: a|')m (?:an? )?(?:AI|(?:large )?language model)\b(?! [a-z]+er\b)"
        rf"|\bI (?:was|am|have been) {MADE_EN} by (?:{MAKERS})\b"
    ),
}
SELF = re.compile("|".join(SELF_NAMING.values()))
# Whoever translates or plays a part says what others say.
OTHERS_WORDS = re.compile(
    "翻译|译成|译为|译文|英译|汉译|扮演|改写|续写|仿写|润色|小说|剧本|台词|对白|故事|"
    "[Tt]ranslat|[Rr]ewrite|[Rr]ole.?play|[Ss]tory|[Pp]araphrase"
)

TASK = (
    "提供|回答|完成|协助您|帮助您|帮你|访问|生成|执行|满足|处理|继续|查看|播放|创建|给出|讨论|"
    "打开|绘制|识别|预测|编写|撰写|这样做|做到"
)
CANNOT = rf"(?:无法|不能|没有办法|没办法|不可以|不便)[^。！？，\n]{{0,14}}?(?:{TASK})"
SORRY = "(?:抱歉|对不起|不好意思|遗憾)"
CANNOT_EN = (
    r"(?:can(?:not|'t|not)|could(?: not|n't)|(?:am|'m) (?:unable|not able)|"
    r"won't|will not|do(?:n't| not) have|must decline)\b"
)
REFUSALS = {
    "您好，我很抱歉，但无法回答。": (
        rf"^\W*(?:您好|你好)?\W*我?(?:很|非常|十分|感到)*{SORRY}[^。！？\n]{{0,30}}?{CANNOT}"
    ),
    # A sentence may end in between.
    "抱歉！这个问题我不能回答。": rf"^\W*(?:很|非常)*{SORRY}[^\n]{{0,40}}?我们?{CANNOT}",
    # Not “我无法给出我的感激”, which is an answer.
    "我无法提供实时天气。": (
        r"^\W*我(?:无法|不能)(?:直接)?(?:提供|回答|生成|访问|满足|执行|协助|处理|讨论|给出)"
        r"(?!.{0,12}的(?:帮助|感激))"
    ),
    "无法完成这个任务。": (
        r"^\W*无法(?:直接)?(?:回答|完成|提供|执行|生成)[^。，\n]{0,12}(?:问题|任务|请求|信息)"
    ),
    "这个问题我无法回答。": (
        r"^\W*(?:关于|对于|对)?(?:这|该|此|您|你)[^。！？\n]{0,10}(?:问题|请求|要求|内容|话题|任务)"
        rf"[^。！？\n]{{0,4}}?我(?:还|也|暂时|目前|确实|恐怕)*{CANNOT}"
    ),
    "I'm sorry, but I cannot help.": (
        rf"^\W*(?:I(?:'m| am) )?(?:[Vv]ery |[Ss]o )?[Ss]orry\b[^.!?\n]{{0,50}}?\bI {CANNOT_EN}"
        rf"|^\W*(?:I(?:'m| am) unable|I {CANNOT_EN} "
        r"(?:assist|help|provide|answer|fulfil|comply|do that|generate)|"
        rf"Unfortunately, I {CANNOT_EN})"
    ),
}
REFUSAL = re.compile("|".join(REFUSALS.values()))
ABOUT_DECLINING = re.compile(
    "抱歉|对不起|道歉|致歉|遗憾|拒绝|婉拒|回绝|[Ss]orry|[Aa]pologi|[Dd]eclin"
)
# A text that was asked for may be full of regret; then only words about the task itself decline.
WRITING = re.compile(
    "写|撰|拟|起草|翻译|译成|译为|改写|润色|回复|邮件|信函|一封|短信|致辞|通知|公告|对话|台词|剧本|"
    "[Ww]rite|[Dd]raft|[Cc]ompose|[Tt]ranslat|[Ll]etter|[Ee]-?mail|[Rr]eply|[Nn]otice|[Ss]peech"
)
OF_THE_TASK = re.compile(
    r"(?:无法|不能|没办法|不便)[^。！？\n]{0,12}?"
    r"(?:(?:这|此|该|那|您的|你的|相关|上述)[^。！？，\n]{0,6})?(?:任务|请求|要求|内容|问题|帮助|信息|实时)"
    r"|(?:无法|不能|没办法|不便)[^。！？\n]{0,6}?(?:帮|替|为|协助)(?:您|你)"
    r"|\b(?:assist|help|comply|fulfil|provide|write|translate|create|generate|do)\b[^.!?\n]{0,24}"
    r"\b(?:that|this|request|content)\b|\bI cannot (?:assist|help|comply)\b",
    re.IGNORECASE,
)
# Words of its own even there: who begs pardon for being one plays no part.
BEGS = re.compile(r"\W*(?:(?:很|非常)?(?:抱歉|对不起|不好意思)|(?:由于|因为)我是)")
CURLY = str.maketrans(dict.fromkeys("’‘＇", "'"))


def declines(asked: str, answer: str) -> bool:
    """Return whether an answer begins by declining to do the task.

    Where the task is about declining or apologising, such words are an answer; in a text that was
    to be written or translated only words about the task itself decline.

    >>> all(declines("问", example) for example in REFUSALS)
    True
    >>> declines("婉拒一次邀请。", "抱歉，我无法提供帮助。"), declines("翻译", "I can't wait!")
    (False, False)
    >>> declines("造句", "我无法用言语表达我的感激之情。")
    False
    >>> declines("写信说延期", "很抱歉，我们无法按期完成交付。")
    False
    """
    begins = answer[:80].translate(CURLY)
    if not REFUSAL.search(begins) or ABOUT_DECLINING.search(asked):
        return False
    return not WRITING.search(asked) or OF_THE_TASK.search(begins) is not None


def names_itself(answer: str, asked: str = "") -> bool:
    """Return whether the teacher names itself; a student should not learn another's name.

    What it translates, or lets somebody say in a story that was `asked` for, is not its own.

    >>> all(names_itself(example) for example in SELF_NAMING)
    True
    >>> names_itself("机器学习作为人工智能的分支，发展很快。")
    False
    >>> names_itself("我是一个人工智能语言模型。", "翻译成中文：I am an AI language model.")
    False
    """
    told = OTHERS_WORDS.search(asked)
    told = told and not (BEGS.match(answer) and not told[0].startswith(("翻", "译", "英", "汉")))
    return not told and bool(SELF.search(answer.translate(CURLY)))


# ---- thoughts

# How models mark what they think before they answer: opening and closing marks, and whose they are.
NAMED = r"(?:seed:)?think(?:ing)?|thoughts?|reason(?:ing)?|思考(?:过程)?|推理(?:过程)?"
THOUGHTS = (
    # DeepSeek-R1, Qwen3, GLM, MiniMax; <thought> of EXAONE Deep and Gemini; Seed-OSS
    (rf"[<＜]\s*(?:{NAMED})(?:\s[^<>]{{0,80}})?[>＞]", rf"[<＜]\s*[/／]\s*(?:{NAMED})\s*[>＞]"),
    ("◁think▷", "◁/think▷"),  # Kimi-VL
    (r"(?-i:\[THINK\])", r"(?-i:\[/THINK\])"),  # Magistral
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),  # Sky-T1, OpenThinker
    (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),  # Command A
    (r"<\|inner_prefix\|>", r"<\|inner_suffix\|>"),  # Apertus
    (r"<\|channel>thought\b", r"<channel\|>"),  # Gemma 4
    (r"<unused94>(?:thought)?", "<unused95>"),  # MedGemma
    # One of these means something only with the other.
    (r"\A\s*<details\s[^<>]*reasoning[^<>]*>", "</details>"),  # Open WebUI
    (r"\A\s*Here is my thought process:(?=(?s:.)*?\nHere is my r)", r"\nHere is my response:"),
    (r"\A\s*## Thinking\n(?=(?s:.)*?\n## Final R)", r"\n## Final Response\n"),
)
OPENS = re.compile("|".join(opening for opening, _ in THOUGHTS), re.IGNORECASE)
CLOSES = re.compile("|".join(closing for _, closing in THOUGHTS[:-3]), re.IGNORECASE)
ANY_CLOSES = re.compile("|".join(closing for _, closing in THOUGHTS), re.IGNORECASE)
MARK = re.compile(f"{OPENS.pattern}|{CLOSES.pattern}", re.IGNORECASE)
# In an answer about such marks they stand as code or in quotes.
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
QUOTED = re.compile(rf"[“\"'‘「『](?:{OPENS.pattern}|{CLOSES.pattern})[”\"'’」』]", re.IGNORECASE)
SHORTEST = 8  # characters: 用 <think> 和 </think> 标出思考 holds no thought

# gpt-oss writes in channels. Where a server has dropped the marks, only their words are left.
CHANNEL = re.compile(
    r"(?:<\|start\|>)?(?:assistant)?<\|channel\|>\s*(\w*)[^<]*(?:<\|constrain\|>[^<]*)?"
    r"(?:<\|message\|>(.*?)(?=<\|(?:end|return|call|start|channel)\|>|\Z)|\Z)",
    re.DOTALL,
)
CONTROL = re.compile(r"<\|(?:start\|>(?:assistant)?|end\|>|return\|>|call\|>)")
UNMARKED = re.compile(r"(?:\A|(?<=\S)|(?<=\n))assistantfinal(?: ?json(?=\s*[{\[]))?")
UNMARKED_BEGIN = re.compile(r"\Aanalysis(?=(?:We|The|User|I|Need|Let|This|Just|Okay)\b)")

# What some wrap the answer in behind their thoughts, and half a mark at the end of a stream.
WRAPPED = re.compile(
    r"\A\s*(?:<(answer|response|output|final)>(.*?)(?:</\1>|\Z)"
    r"|<\|(?:begin_of_solution|START_RESPONSE)\|>(.*?)(?:<\|(?:end_of_solution|END_RESPONSE)\|>|\Z))",
    re.DOTALL | re.IGNORECASE,
)
HALF = re.compile(r"(?:<\|start\|>[a-z]*|[<＜◁][^>＞▷\n]{0,24}|\[/?[A-Z]{0,5})\Z")


def split_thoughts(text: str, whole: bool = True) -> tuple[str, str]:
    """Return what a model thought and what it answered: (thoughts, answer). Never raises.

    Knows the marks of `THOUGHTS` and gpt-oss's channels. Thoughts that never close reach to the
    end, and all that stands before a closing mark alone is thoughts: DeepSeek-R1's template has the
    opening one in the prompt. Marks in code or quotes belong to the answer, which stays as it is
    where there are no thoughts. For a text that still grows, `whole=False` keeps half a mark at the
    end back.

    >>> split_thoughts("<think>\\n东湖在哪？\\n</think>\\n\\n在武汉。")
    ('东湖在哪？', '在武汉。')
    >>> split_thoughts("东湖在武汉吧。</think>武汉。"), split_thoughts("<think>好，我先想")
    (('东湖在武汉吧。', '武汉。'), ('好，我先想', ''))
    >>> split_thoughts("<|channel|>analysis<|message|>想<|end|><|channel|>final<|message|>答")
    ('想', '答')
    >>> split_thoughts("把思考写在 `<think>` 里。")
    ('', '把思考写在 `<think>` 里。')
    """
    text = text if whole else HALF.sub("", text)
    thoughts, answer = by_channel(text)
    inner, answer = by_marks(answer)
    thoughts = [thought.strip() for thought in thoughts + inner if thought.strip()]
    if answer == text:
        return "", text
    found = WRAPPED.match(answer) if thoughts else None
    if found and not answer[found.end() :].strip():
        answer = found[2] or found[3] or ""
    return "\n".join(thoughts), answer.lstrip()


def by_marks(text: str) -> tuple[list[str], str]:
    """Return the thoughts between marks, and the rest; see `split_thoughts`."""
    thoughts, answer, done, at = [], "", 0, 0
    last = max((found.start() for found in ANY_CLOSES.finditer(text)), default=-1)
    while mark := next_mark(text, at):
        at = mark.end()
        if CLOSES.fullmatch(mark[0]):
            before = answer + text[done : mark.start()]
            # A second closing mark behind the answer closes nothing.
            if thoughts and before.strip() and not text[at:].strip():
                return thoughts, before
            thoughts, answer, done = [*thoughts, before], "", at
            continue

        # In the middle of a line only a pair that holds something is no mere mention.
        closing = closing_of(mark, text) if at <= last else None
        body = text[at : closing.start() if closing else len(text)]
        line = (answer + text[done : mark.start()]).rpartition("\n")[2]
        if line.strip() and (closing is None or len(body.strip()) < SHORTEST):
            at = closing.end() if closing else at
            continue
        thoughts.append(body)
        answer += text[done : mark.start()]
        done = at = closing.end() if closing else len(text)
    return thoughts, answer + text[done:]


def next_mark(text: str, at: int) -> re.Match | None:
    """Return the next mark from a place on that stands neither in code nor in quotes."""
    while mark := MARK.search(text, at):
        quoted = QUOTED.match(text, max(mark.start() - 1, 0))
        end = quoted.end() if quoted else end_of_code(text, at, mark.start())
        if end is None:
            return mark
        at = end
    return None


def end_of_code(text: str, at: int, place: int) -> int | None:
    """Return where the code round a place ends, looking from `at` on; None where none is."""
    # Nearly every mark stands outside of code: no search to the end of the text for it.
    for code in CODE.finditer(text, at) if "`" in text[at:place] else ():
        if code.start() > place:
            return None
        # A fence that was left open in the thoughts ends in the answer only: it guards nothing.
        broken = code[0].startswith("```") and CLOSES.search(code[0]) and not OPENS.search(code[0])
        if code.end() > place and not broken:
            return code.end()
    return None


def closing_of(mark: re.Match, text: str) -> re.Match | None:
    """Return the closing of an opening mark: of its own kind, else any."""
    kinds = (c for o, c in THOUGHTS if re.compile(o, re.IGNORECASE).match(text, mark.start()))
    own = re.compile(next(kinds), re.IGNORECASE)
    # One that the thoughts only mention, as code, counts where there is no other.
    free = (m for m in own.finditer(text, mark.end()) if not in_code(text, mark.end(), m.start()))
    return next(free, None) or own.search(text, mark.end()) or CLOSES.search(text, mark.end())


def in_code(text: str, at: int, place: int) -> bool:
    """Return whether a place stands in code, looking from `at` on."""
    return end_of_code(text, at, place) is not None


def by_channel(text: str) -> tuple[list[str], str]:
    """Return what stands in gpt-oss's channels but the final one, and the rest."""
    start = text.lstrip()
    if CHANNEL.match(start) or re.search(r"<\|end\|>\s*<\|start\|>assistant<\|channel\|>", text):
        pieces, answers, at = [], [], 0
        for found in CHANNEL.finditer(text):
            outside = CONTROL.sub("", text[at : found.start()])
            # What stands before the first channel was begun by the prompt.
            (answers if at else pieces).append(outside)
            (answers if found[1].lower() == "final" else pieces).append(found[2] or "")
            at = found.end()
        return pieces, "".join(answers) + CONTROL.sub("", text[at:])
    finals = list(UNMARKED.finditer(text))
    if finals:
        return [text[: finals[-1].start()].removeprefix("analysis")], text[finals[-1].end() :]
    begun = UNMARKED_BEGIN.match(text)
    return ([text[begun.end() :]], "") if begun else ([], text)


# ---- tables


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table.

    >>> print(markdown(["名字", "条数"], [["resume", "4,761"]]))
    | 名字 | 条数 |
    | --- | --- |
    | resume | 4,761 |
    """
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *lines])
