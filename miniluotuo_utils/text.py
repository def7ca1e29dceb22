"""Text as data: folding, near-duplicates, refusals, Markdown tables. Ground floor, shown in notebooks 01 and 02.

In: texts. Out: verdicts and numbers.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np


PUNCTUATION = re.compile(r"""[,.!?;:'"。、“”‘’「」『』《》〈〉【】()\[\]…—~·-]""")
SIGNS = set(
    "0123456789abcdefghijklmnopqrstuvwxyz+*/=<>^%()[]-.!,:'"
)  # beside them a mark may be a sign: 3.5, -2, x>1, (3+4)*2, a[i], 5!
APART = str.maketrans(
    {sign: f"^{digit}" for digit, sign in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")} | {"！": None}
)  # NFKC would make 2³ into 23, and ！ a factorial
WIDTH = 3  # characters in a shingle: one changed character of 60 leaves a Jaccard similarity of 0.90, two leave 0.81
PERMUTATIONS = 128
FULLEST, MOST = (
    32,
    12,
)  # kept texts that a band remembers, and candidates that are compared: templates share bands by the thousand
BATCH = 10_000


def folded(text: str) -> str:
    """A text as it is compared: NFKC, lower case, no white space, no punctuation but where it is a sign of a formula or of code.

    >>> folded("写一首诗， 题目是“Ｓｕｎ”。"), folded("3.5 + 4 等于几?"), folded("2³ 与 -2")
    ('写一首诗题目是sun', '3.5+4等于几', '2^3与-2')
    """
    joined = re.sub(r"\s+", "", unicodedata.normalize("NFKC", text.translate(APART)).casefold())
    return PUNCTUATION.sub(lambda m: m[0] if is_sign(joined, m.start()) else "", joined)


def is_sign(text: str, at: int) -> bool:
    """Whether the mark at a place belongs to a formula or to code: a sign on its right, or one on its left and nothing else follows."""
    left, right = text[at - 1 : at], text[at + 1 : at + 2]
    if text[at] in "-([":
        return right in SIGNS and right != ""
    return (
        left in SIGNS
        and left != ""
        and (right in SIGNS and right != "" or text[at] in "!)]" and left.isalnum())
    )


def shingles(text: str) -> set[str]:
    """Every run of `WIDTH` characters of a folded text; a shorter text is its own one shingle.

    >>> sorted(shingles("迷你骆驼")), shingles("骆驼")
    (['你骆驼', '迷你骆'], {'骆驼'})
    """
    return {text[i : i + WIDTH] for i in range(len(text) - WIDTH + 1)} or {text}


def jaccard(a: set, b: set) -> float:
    """Shared elements over all elements; 0 for two empty sets.

    >>> jaccard({1, 2, 3}, {2, 3, 4})
    0.5
    """
    return len(a & b) / len(a | b) if a or b else 0.0


class Match(NamedTuple):
    """An earlier text that a text nearly repeats: its number among all texts given so far, and their similarity."""

    number: int
    similarity: float


class NearDuplicates:
    """The texts kept so far; a new one is kept unless it nearly repeats one of them.

    Candidates share a band of a MinHash signature (rensa); those that share most are compared exactly, by the Jaccard similarity of their
    shingles, so a match is never a false one. Memory: the kept texts and about 2 KB each.

    >>> kept = NearDuplicates(0.6)
    >>> kept.add(["怎样在家里种一盆薄荷", "怎样在阳台种一盆薄荷", "骆驼为什么耐渴", "怎样在家里种一盆薄荷？"])
    [None, None, None, Match(number=0, similarity=1.0)]
    """

    def __init__(self, threshold: float = 0.8, seed: int = 42) -> None:
        if not 0 < threshold <= 1:
            raise ValueError(
                f"threshold: found {threshold}, expected a similarity above 0 and up to 1"
            )
        self.threshold, self.seed, self.rows = threshold, seed, rows_for(threshold)
        self.count = 0  # texts given so far
        self.texts: dict[int, str] = {}  # number -> folded text, of those kept
        self.buckets: dict[
            int, tuple[int, ...] | int
        ] = {}  # band -> the kept text that has it, or several

    def add(self, texts: Sequence[str]) -> list[Match | None]:
        """For each text, in order, the kept text that it nearly repeats, or None: then it is kept."""
        return [
            self._keep(text, bands, self._closest(text, bands))
            for text, bands in self._signed(texts)
        ]

    def lookup(self, texts: Sequence[str]) -> list[Match | None]:
        """For each text the kept text that it nearly repeats, or None; keeps nothing."""
        return [self._closest(text, bands) for text, bands in self._signed(texts)]

    def _signed(self, texts: Sequence[str]) -> Iterator[tuple[str, list[int]]]:
        for at in range(0, len(texts), BATCH):
            batch = [folded(text) or text for text in texts[at : at + BATCH]]
            yield from zip(batch, signature_bands(batch, self.seed, self.rows), strict=True)

    def _closest(self, text: str, bands: list[int]) -> Match | None:
        shared: Counter[int] = Counter()
        for band in bands:
            if (held := self.buckets.get(band)) is not None:
                shared.update((held,) if type(held) is int else held)
        candidates = [
            n for n, _ in sorted(shared.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST]
        ]
        own = shingles(text) if candidates else set()
        matches = (Match(n, jaccard(own, shingles(self.texts[n]))) for n in candidates)
        best = max(matches, key=lambda m: (m.similarity, -m.number), default=None)
        return best if best and best.similarity >= self.threshold else None

    def _keep(self, text: str, bands: list[int], match: Match | None) -> Match | None:
        number, self.count = self.count, self.count + 1
        if match is None:
            self.texts[number] = text
            for band in (
                bands
            ):  # nearly every band belongs to one text: a bare number there halves the memory
                held = self.buckets.get(band)
                if type(held) is tuple and len(held) >= FULLEST:
                    continue
                self.buckets[band] = (
                    number
                    if held is None
                    else (held, number)
                    if type(held) is int
                    else (*held, number)
                )
        return match


def rows_for(threshold: float) -> int:
    """Rows per band: the most, and so the fewest candidates, with which a pair at the threshold shares a band in 99 of 100 cases.

    >>> [rows_for(t) for t in (0.9, 0.8, 0.7, 0.6, 0.5)]
    [10, 6, 4, 3, 3]
    """
    return max(
        (r for r in range(1, 13) if 1 - (1 - threshold**r) ** (PERMUTATIONS // r) >= 0.99),
        default=1,
    )


def signature_bands(texts: Sequence[str], seed: int, rows: int) -> list[list[int]]:
    """The MinHash signature of each folded text, cut into bands of `rows` numbers, each band hashed with its place."""
    import numpy as np
    from rensa import RMinHash

    if not texts:
        return []
    hashes, offsets = shingle_hashes(texts)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, PERMUTATIONS, seed)
    bands = PERMUTATIONS // rows
    signatures = np.array(matrix.to_rows(), dtype=np.uint64)[:, : bands * rows].reshape(
        len(texts), bands, rows
    )
    places = np.broadcast_to(
        np.arange(bands, dtype=np.uint64)[None, :, None], (len(texts), bands, 1)
    )
    numbered = np.concatenate([places, signatures], axis=2)  # (texts, bands, 1 + rows)
    return mixed(np.moveaxis(numbered, 2, 0)).tolist()


def shingle_hashes(texts: Sequence[str], width: int = WIDTH) -> tuple[np.ndarray, np.ndarray]:
    """A 64-bit hash of every shingle of all texts in one array, and where each text's begin (one number more than texts)."""
    import numpy as np

    codes = np.frombuffer(
        "".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32
    ).astype(np.uint64)
    lengths = np.array([len(text) for text in texts])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    counts = np.maximum(lengths - width + 1, 1)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    rolled = rolling(np.concatenate([codes, np.zeros(width, np.uint64)]), width)
    at = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - starts[:-1], counts)
    hashes = rolled[np.minimum(at, len(rolled) - 1)]
    for i in np.flatnonzero(
        lengths < width
    ):  # a short text must not take in the next one's characters
        hashes[offsets[i]] = rolling(
            np.concatenate([codes[starts[i] : starts[i + 1]], np.zeros(width, np.uint64)]), width
        )[0]
    return hashes, offsets.astype(np.uint64)


def rolling(codes: np.ndarray, width: int) -> np.ndarray:
    """Hash of every window of `width` code points: (n,) -> (n - width + 1,) uint64."""
    return mixed([codes[i : len(codes) - width + 1 + i] for i in range(width)])


def mixed(parts: Iterable[np.ndarray]) -> np.ndarray:
    """One 64-bit hash of several equally long arrays, element by element; the order of the parts counts."""
    import numpy as np

    value = np.uint64(0)
    with np.errstate(over="ignore"):
        for part in parts:
            value = (value ^ (part.astype(np.uint64) + np.uint64(1))) * np.uint64(
                0x9E3779B97F4A7C15
            )
            value = value ^ (value >> np.uint64(29))
    return value


MAKERS = "OpenAI|百度|阿里巴巴|阿里云|谷歌|Google|Anthropic|科大讯飞|字节跳动|腾讯|华为|智谱|微软"
MODEL = r"(?:AI|人工智能|语言模型|大模型|聊天机器人|(?:AI|人工智能|智能|虚拟|语言)\s?(?:助[手理]|模型|程序|机器人))"
NAMES = (
    "ChatGPT|GPT-?[34]?|文心一言|通义千问|讯飞星火|智谱清言|豆包|Claude|Bard|Gemini|Kimi|DeepSeek"
)
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
    return bool(REFUSAL.search(answer[:80])) and not re.search(
        "抱歉|对不起|道歉|致歉|遗憾|拒绝|婉拒|回绝|[Ss]orry", asked
    )


def names_itself(answer: str) -> bool:
    """The teacher names itself: “作为一个人工智能语言模型，我……”, “我是ChatGPT”. A student should not learn another's name.

    >>> names_itself("作为AI助手，我没有喜好。"), names_itself("机器学习作为人工智能的分支，发展很快。")
    (True, False)
    """
    return bool(SELF.search(answer))


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table.

    >>> print(markdown(["名字", "条数"], [["resume", "4,761"]]))
    | 名字 | 条数 |
    | --- | --- |
    | resume | 4,761 |
    """
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *lines])
