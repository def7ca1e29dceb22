"""Judge rows by a small model that learned from faults which were planted in copies of them.

In: instruction rows, and how many bits per character of an answer cost a student. Out: how doubtful
each row is, and which fault it looks like. What rules can find is in `steps`. Used by
`clean --quality` and `validate --quality`; shown in jobs/README.md.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, pairwise
from typing import TYPE_CHECKING, NamedTuple

from miniluotuo_utils.data.prose import is_json
from miniluotuo_utils.data.steps import HAN
from miniluotuo_utils.files import DataError
from miniluotuo_utils.text import folded

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_matrix

# What rows cost a student: bits per character of each answer; None where it cannot read one.
Bits = Callable[[Sequence[Mapping]], Sequence[float | None]]

GOOD = ""
LEAST = 0.9  # the doubt from which a row counts as doubtful
FEWEST = 100  # rows, below which there is nothing to learn from
MOST = 4_000  # rows whose copies get a fault: more make the model no better, only slower
FOLDS = 4
COLUMNS = 2**14  # of hashed runs of characters
WINDOW = 8  # pairs of characters in which new ones are counted
LOUD = 3  # how much runs of characters weigh: a row's have length 1 together, a number about 1 each
SHORTEST = 16  # characters of an answer that can be broken so that one sees it

# ---- faults


def garbled(row: Mapping, draw: random.Random) -> str | None:
    """Return the answer with a third of it in a random order of characters.

    >>> row = {"output": "天气转凉以后，叶绿素分解得快、合成得慢，叶子就变黄了。"}
    >>> garbled(row, random.Random(1))
    '天气转凉后绿以叶素解，得分快、合成得慢，叶子就变黄了。'
    """
    text = row["output"]
    if len(text) < SHORTEST:
        return None
    size = max(8, len(text) // 3)
    start = draw.randrange(len(text) - size + 1)
    part = draw.sample(text[start : start + size], size)
    return text[:start] + "".join(part) + text[start + size :]


def truncated(row: Mapping, draw: random.Random) -> str | None:
    """Return the answer up to a random place in its middle, without a mark at the end.

    >>> truncated({"output": "密封存放，避免受潮和吸入异味，远离灶台。"}, random.Random(1))
    '密封存放，避免受'
    """
    text = row["output"]
    if len(text) < SHORTEST or is_json(text):
        return None
    cut = re.sub(r"[\W_]+$", "", text[: draw.randint(len(text) * 3 // 10, len(text) * 8 // 10)])
    return cut or None


# What a word-by-word translation from English sounds like -> how a Chinese writer says it. Ours.
STIFF = {
    "因为": "由于这样一个事实，那就是",
    "所以": "作为一个结果，",
    "可以": "是能够去",
    "应该": "被期望去",
    "需要": "有一个需要去",
    "喜欢": "有一个对于它的喜欢，喜欢",
    "帮助": "给予一个帮助给",
    "非常": "在一个很高的程度上",
    "很": "是非常地",
    "如果": "在如果的情况下，",
    "时候": "的那个时间点的时候",
    "我们": "我们中的每一个",
    "人们": "人们他们",
    "这样": "以这样的一种方式",
    "重要": "具有着重要性的",
    "不要": "请不去做",
    "然后": "并且接着地，",
    "一些": "一些数量的",
    "但是": "但是无论如何，",
    "使": "使得它去",
    "让": "让它去",
    "和": "以及还有",
    "在": "在于",
    "了": "已经了",
    "把": "去把",
    "会": "将会去",
    "能": "能够去",
    "要": "想要去",
    "是": "是一个",
}
STIFF_WORD = re.compile("|".join(sorted(STIFF, key=len, reverse=True)))
STIFF_LEAST = 3  # words that were changed


def translated(row: Mapping, draw: random.Random) -> str | None:
    """Return the answer in the words of a bad translation.

    >>> translated({"output": "我们应该早睡，因为人们需要休息。"}, random.Random(0))
    '我们中的每一个被期望去早睡，由于这样一个事实，那就是人们他们有一个需要去休息。'
    """
    # Half of them where there are many: a translation is not stiff in every word.
    found = list(STIFF_WORD.finditer(row["output"]))
    share = 1.0 if len(found) < 2 * STIFF_LEAST else 0.5
    chosen = {one.start() for one in found if draw.random() < share}
    if len(chosen) < STIFF_LEAST:
        return None
    return STIFF_WORD.sub(
        lambda one: STIFF[one[0]] if one.start() in chosen else one[0], row["output"]
    )


def off_topic(number: int, order: Sequence[int], draw: random.Random) -> int:
    """Return any row, whose answer is taken."""
    return draw.choice(order)


def shuffled_in(number: int, order: Sequence[int], draw: random.Random) -> int:
    """Return the row that asks most alike, beginning with the same words; its answer is taken.

    `order` are the rows by their questions.
    """
    at = order.index(number)
    return order[at + 1 if at + 1 < len(order) else at - 1]


BROKEN: dict[str, Callable[[Mapping, random.Random], str | None]] = {
    "garbled": garbled,
    "truncated": truncated,
    "translationese": translated,
}
TAKEN: dict[str, Callable[[int, Sequence[int], random.Random], int]] = {
    "off topic": off_topic,
    "wrong answer": shuffled_in,
}
FAULTS = (*BROKEN, *TAKEN)
CHINESE = {
    "garbled": "语序错乱",
    "truncated": "没写完",
    "translationese": "翻译腔",
    "off topic": "答非所问",
    "wrong answer": "串了答案",
}


class Planted(NamedTuple):
    """A copy of a row with a fault.

    number: of the row. fault: its name. origin: the row that the answer is from. row: the copy.
    """

    number: int
    fault: str
    origin: int
    row: dict


def planted(rows: Sequence[Mapping], seed: int = 0, most: int = MOST) -> list[Planted]:
    """Return copies of at most `most` rows with one fault each, the faults in turn.

    A row that cannot have its fault (too short to be cut) gets the next one, or none.

    >>> rows = [{"instruction": f"第{n}问", "input": "", "output": "好" * n} for n in range(20, 60)]
    >>> sorted({one.fault for one in planted(rows)})
    ['off topic', 'truncated', 'wrong answer']
    """
    draw, turn = random.Random(seed), cycle(FAULTS)
    chosen = sorted(draw.sample(range(len(rows)), min(most, len(rows))))
    order = sorted(chosen, key=lambda number: rows[number]["instruction"])
    made = []
    for number in chosen:
        for fault, _ in zip(turn, FAULTS, strict=False):
            origin = TAKEN[fault](number, order, draw) if fault in TAKEN else number
            broken = BROKEN.get(fault)
            answer = broken(rows[number], draw) if broken else rows[origin]["output"]
            # The answer of another row may be the same: yes, 3.
            if answer and folded(answer) != folded(rows[number]["output"]):
                copy = {**rows[number], "output": answer}
                made.append(Planted(number, fault, origin, copy))
                break
    return made


# ---- what the model sees of a row


def table_of(
    rows: Sequence[Mapping], origins: Sequence[int], bits: Bits | None = None
) -> csr_matrix:
    """Return rows as the model sees them: numbers, then hashed runs of one and two characters.

    origins: of each row the one that its answer is from; copies stand behind all of those.
    """
    import numpy as np
    from scipy.sparse import csr_matrix, hstack
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.preprocessing import StandardScaler

    words = HashingVectorizer(
        analyzer="char", ngram_range=(1, 2), n_features=COLUMNS, alternate_sign=False
    )
    asked = words.transform([row["instruction"] + "\n" + row["input"] for row in rows])
    answers = words.transform([row["output"] for row in rows])

    columns = [*measures(rows, asked, answers), *novelty(rows, origins), *loose(rows)]
    columns += costs(rows, bits) if bits else []
    scaled = StandardScaler().fit_transform(np.array(columns, dtype=float).T)
    return hstack([csr_matrix(scaled), LOUD * answers]).tocsr()


# What an answer may end in; a long one that ends in none of a sentence's is cut.
ENDS = (r"[。！？!?….”」』）)]$", "[\u4e00-\u9fff]$", r"[\w}\]>`]$")
KINDS = (r"[^\w\s]", "[\u4e00-\u9fff]")  # characters whose share is counted


def measures(
    rows: Sequence[Mapping], asked: csr_matrix, answers: csr_matrix
) -> list[Sequence[float]]:
    """Return what can be counted of each row: lengths, ends, marks, words of the question."""
    import numpy as np

    texts = [row["output"].rstrip() for row in rows]
    sizes = np.log1p(list(map(len, texts)))
    questions = np.log1p([len(row["instruction"] + row["input"]) for row in rows])

    # An answer off the topic says nothing of what was asked, nor anything like it.
    shared = np.asarray(answers.multiply(asked).sum(axis=1)).ravel()
    found = [sizes, questions, shared, topics(asked, answers)]

    # A word or a name needs no full stop, a paragraph does: so each end is told with the length.
    for end in map(re.compile, ENDS):
        ends = np.array([end.search(text) is not None for text in texts], float)
        found += [ends, ends * sizes]
    for kind in map(re.compile, KINDS):
        found.append(np.array([len(kind.findall(text)) / max(1, len(text)) for text in texts]))
    return found


def novelty(rows: Sequence[Mapping], origins: Sequence[int]) -> list[np.ndarray]:
    """Return how many of an answer's pairs of characters no other row has: of all, and at worst.

    Text in the wrong order has many. The row that an answer is from does not count: an answer that
    was taken from another row would be known by all its pairs, which no fault outside of here is.

    >>> rows = [{"output": "秋天到了"}, {"output": "秋天很短"}, {"output": "天秋到了"}]
    >>> [share.round(2).tolist() for share in novelty(rows, [0, 1, 0])][0]
    [0.67, 0.67, 1.0]
    """
    import numpy as np

    pairs = [list(map("".join, pairwise(row["output"]))) for row in rows]
    known = Counter(pair for own in pairs[: max(origins) + 1] for pair in set(own))
    shares, worst = [], []
    for own, origin in zip(pairs, origins, strict=True):
        mine = set(pairs[origin])
        new = np.array([known[pair] <= (pair in mine) for pair in own] or [False], float)
        shares.append(new.mean())
        worst.append(np.convolve(new, np.ones(WINDOW) / WINDOW).max())
    return [np.array(shares), np.array(worst)]


def loose(rows: Sequence[Mapping]) -> list[np.ndarray]:
    """Return how many of an answer's words have one character: of all, and at worst in a row.

    Characters in a random order make no words, so each of them is cut for one.

    >>> rows = [{"output": "我们在图书馆看书"}, {"output": "书看馆们图在书我"}]
    >>> loose(rows)[0].round(2).tolist()
    [0.25, 0.86]
    """
    import numpy as np
    import rjieba

    shares, worst = [], []
    for row in rows:
        words = [word for word in rjieba.cut(row["output"]) if HAN.match(word)]
        single = np.array([len(word) == 1 for word in words] or [False], float)
        shares.append(single.mean())
        worst.append(np.convolve(single, np.ones(WINDOW) / WINDOW).max())
    return [np.array(shares), np.array(worst)]


def topics(asked: csr_matrix, answers: csr_matrix, size: int = 100) -> np.ndarray:
    """Return how alike question and answer are by the company that their words keep, -1 to 1.

    It is the cosine in the space of latent semantic analysis (Deerwester et al. 1990) of all texts.
    """
    import numpy as np
    from scipy.sparse import vstack
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer

    weighted = TfidfTransformer(sublinear_tf=True).fit_transform(vstack([asked, answers]))
    size = min(size, weighted.shape[0] - 1)
    points = TruncatedSVD(size, random_state=0, n_iter=3).fit_transform(weighted)
    points /= np.linalg.norm(points, axis=1, keepdims=True) + 1e-9
    first, second = np.split(points, 2)
    return (first * second).sum(axis=1)


def costs(rows: Sequence[Mapping], bits: Bits) -> list[np.ndarray]:
    """Return bits per character of each answer, and how many fewer they are for its question."""
    import numpy as np

    given = np.array(bits(rows), dtype=float)
    alone = np.array(bits([{**row, "instruction": "说。", "input": ""} for row in rows]), float)

    # What the student cannot read is neither good nor bad.
    return [filled(given), filled(alone - given)]


def filled(values: np.ndarray) -> np.ndarray:
    """Return numbers, each that is missing replaced by the median of the others, else by 0."""
    import numpy as np

    known = values[~np.isnan(values)]
    return np.nan_to_num(values, nan=float(np.median(known)) if len(known) else 0.0)


# ---- the model


@dataclass(frozen=True)
class Judged:
    """What the model says of rows, and how far it may be believed.

    doubts: of each row, 0 to 1. faults: what it looks like, one of `FAULTS`.
    tried: fault → (number planted, share of them found at a doubt of `LEAST`), each judged by a
      model that saw neither the copy nor its row.
    flagged: the share of the given rows that are as doubtful: real faults, and mistakes.
    """

    doubts: list[float]
    faults: list[str]
    tried: dict[str, tuple[int, float]]
    flagged: float


def judged(rows: Sequence[Mapping], bits: Bits | None = None, seed: int = 0) -> Judged:
    """Judge every row by a model that learned from the other rows and from faults in their copies.

    A logistic regression tells rows as they are from copies with a planted fault. Each row is
    judged by one that saw neither it nor its copy. Most rows must be good: a fault that half of
    them have is what the model takes for good.

    bits: the costs of a student (`evaluation.perplexity.bits_of_rows`); None does without.

    Raises DataError for fewer than `FEWEST` rows.
    """
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_predict

    # Copies stand behind the rows; a copy is judged in the fold of its row.
    if len(rows) < FEWEST:
        raise DataError(
            f"found {len(rows)} rows, expected at least {FEWEST} for a quality model to learn from"
            f"（质量模型至少要 {FEWEST} 条才学得会）"
        )
    bad = planted(rows, seed)
    names = [GOOD, *sorted({one.fault for one in bad})]
    numbers = [*range(len(rows)), *(one.number for one in bad)]
    origins = [*range(len(rows)), *(one.origin for one in bad)]
    labels = np.array([0] * len(rows) + [names.index(one.fault) for one in bad])

    # Rows count as much as their copies: doubt 1/2 is where both are equally likely.
    weights = {number: len(rows) / len(bad) if number else 1.0 for number in range(len(names))}
    model = LogisticRegression(C=1.0, max_iter=300, class_weight=weights)
    likely = cross_val_predict(
        model,
        table_of([*rows, *(one.row for one in bad)], origins, bits),
        labels,
        groups=numbers,
        cv=GroupKFold(FOLDS),
        method="predict_proba",
    )

    doubts, worst = 1 - likely[:, 0], likely[:, 1:].argmax(axis=1) + 1
    found = doubts >= LEAST
    tried = {}
    for number, fault in enumerate(names[1:], 1):
        own = found[labels == number]
        tried[fault] = (len(own), float(own.mean()))
    return Judged(
        doubts[: len(rows)].tolist(),
        [names[one] for one in worst[: len(rows)]],
        tried,
        float(found[: len(rows)].mean()),
    )
