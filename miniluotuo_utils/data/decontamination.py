"""Find evaluation sentences in training data, by character 13-grams and by near duplication.

In: texts. Out: for each the evaluation sentence that it leaks, or None. Shown in notebook 01.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from miniluotuo_utils.data.catalog import CATALOG, Card
from miniluotuo_utils.data.loading import read
from miniluotuo_utils.files import batches
from miniluotuo_utils.text import NearDuplicates, folded, rolling

GRAM = 13  # characters, after folding; shorter sentences are found as a whole only
# Of a sentence's 13-grams that a text must hold: one alone may be a common phrase, such as an
# official's title.
SHARE = 0.5


class Leaks:
    """The sentences of evaluation sets, and the search for them in other texts.

    A text leaks a sentence if it holds at least half of the sentence's character 13-grams, or is a
    near duplicate of it (Jaccard similarity of 3-grams ≥ 0.8), which also finds sentences too short
    for a 13-gram.

    >>> leaks = Leaks({"测试集": ["敦煌研究院在甘肃省敦煌市，离莫高窟不远。"]})
    >>> asked = "问：敦煌研究院在甘肃省敦煌市，离莫高窟不远吗？"
    >>> list(leaks.found_in([asked, "莫高窟在哪里？"]))
    [{'source': '测试集', 'sentence': '敦煌研究院在甘肃省敦煌市，离莫高窟不远。'}, None]
    """

    def __init__(self, sets: Mapping[str, Iterable[str]]) -> None:
        import numpy as np

        self.sentences = [
            {"source": name, "sentence": text} for name, texts in sets.items() for text in texts
        ]
        keys = [folded(one["sentence"]) for one in self.sentences]
        self.near = NearDuplicates()
        self.near.add(keys)
        # Sorted, so that a binary search finds all sentences of a 13-gram at once.
        hashes, owners = grams(keys)
        order = np.argsort(hashes, kind="stable")
        self.hashes, self.owners = hashes[order], owners[order]
        self.counts = np.bincount(owners, minlength=len(keys))

    def found_in(self, texts: Iterable[str | Sequence[str]]) -> Iterator[dict | None]:
        """Yield for each text the evaluation sentence that it leaks, or None.

        A text may come in parts: then a part may be the sentence, too.
        """
        for batch in batches(texts, 10_000):
            parts = [[text] if isinstance(text, str) else list(text) for text in batch]
            held = self.by_grams([folded("\n".join(of_text)) for of_text in parts])
            near = iter(self.near.lookup([part for of_text in parts for part in of_text]))
            for number, of_text in enumerate(parts):
                alike = [match.number for match in islice(near, len(of_text)) if match]
                found = held.get(number, alike[0] if alike else None)
                yield None if found is None else self.sentences[found]

    def by_grams(self, keys: Sequence[str]) -> dict[int, int]:
        """Return text → sentence: the first of whose 13-grams a folded text holds `SHARE`."""
        import numpy as np

        hashes, texts = grams(keys)
        left = np.searchsorted(self.hashes, hashes, "left")
        right = np.searchsorted(self.hashes, hashes, "right")
        hit = left < right
        shared: Counter[tuple[int, int]] = Counter()
        for text, start, end in zip(texts[hit], left[hit], right[hit], strict=True):
            # Each 13-gram counts once: `grams` gives it once for a text and once for a sentence.
            shared.update((int(text), int(owner)) for owner in self.owners[start:end])

        found: dict[int, int] = {}
        for (text, owner), count in sorted(shared.items()):
            if count >= SHARE * self.counts[owner]:
                found.setdefault(text, owner)
        return found


class Overlaps:
    """The 13-grams of evaluation sentences, and the search for texts that hold any one of them.

    Stricter than `Leaks`, for texts of which there are plenty: what a student is pretrained on.
    A sentence too short for a 13-gram is found where it is the whole text.

    >>> overlaps = Overlaps({"测试集": ["研究院在甘肃省敦煌市，离莫高窟不远。", "西湖在杭州。"]})
    >>> overlaps.found_in(["院在甘肃省敦煌市，离莫高窟不算近。", "西湖在杭州！", "西湖，杭州"])
    ['测试集', '测试集', None]
    """

    def __init__(self, sets: Mapping[str, Iterable[str]]) -> None:
        import numpy as np

        keys, names = [], []
        for name, texts in sets.items():
            keys += map(folded, texts)
            names += [name] * (len(keys) - len(names))
        self.names = names  # of each sentence, that of its set
        self.short = {
            key: name for key, name in zip(keys, names, strict=True) if 0 < len(key) < GRAM
        }
        hashes, owners = grams(keys)
        # The first sentence of each 13-gram; sorted, so that a binary search finds it.
        self.hashes, first = np.unique(hashes, return_index=True)
        self.owners = owners[first]

    def found_in(self, texts: Sequence[str]) -> list[str | None]:
        """Return for each text the name of a set that it shares a 13-gram with, or None."""
        import numpy as np

        keys = [folded(text) for text in texts]
        found = [self.short.get(key) for key in keys]
        if len(self.hashes):
            hashes, numbers = grams(keys)
            at = np.searchsorted(self.hashes, hashes).clip(max=len(self.hashes) - 1)
            hit = self.hashes[at] == hashes
            for number, owner in zip(numbers[hit], self.owners[at[hit]], strict=True):
                found[number] = self.names[owner]
        return found


def grams(keys: Sequence[str]) -> tuple[Any, Any]:
    """Return the hash of every different 13-gram of each text, and the text's number: (n,) each."""
    import numpy as np

    hashes, owners = [np.zeros(0, np.uint64)], [np.zeros(0, int)]
    for number, key in enumerate(keys):
        if len(key) >= GRAM:
            codes = np.frombuffer(key.encode("utf-32-le", "surrogatepass"), np.uint32)
            hashes.append(np.unique(rolling(codes, GRAM)))
            owners.append(np.full(len(hashes[-1]), number))
    return np.concatenate(hashes), np.concatenate(owners)


def evaluation_splits() -> list[tuple[Card, str]]:
    """Return every split of the catalog that students are evaluated on: dev, test, and `…_test`."""
    return [
        (card, split)
        for card in CATALOG.values()
        for split in card.splits
        if split.split("_")[-1] in ("dev", "test")
    ]


def evaluation_sentences(progress: bool = True) -> tuple[dict[str, list[str]], list[str]]:
    """Return the sentences of every evaluation split, and the names of those not to be had.

    Of an instruction set the sentence is what is asked. Raises DataError for a malformed record:
    a test set that is guarded in part is not guarded.
    """
    sets, absent, fields = {}, [], ("sentence", "instruction", "input")
    for card, split in evaluation_splits():
        name = f"{card.name}/{split}"
        try:
            rows = read(card.name, split, progress)
            sets[name] = ["\n".join(filter(None, map(row.get, fields))) for row in rows]
        except FileNotFoundError:
            absent.append(name)
    return sets, absent
