"""Evaluation sentences in training data: found by character 13-grams and by near duplication, and taken out.

In: texts. Out: for each the evaluation sentence that it leaks, or None. Shown in notebook 01.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from miniluotuo_utils.data.catalog import CATALOG, Card
from miniluotuo_utils.data.loading import read
from miniluotuo_utils.files import batches
from miniluotuo_utils.text import NearDuplicates, folded, rolling

GRAM = 13  # characters, after folding; shorter sentences are found as a whole only
SHARE = 0.5  # of a sentence's 13-grams that a text must hold: one alone may be a common phrase, such as an official's title
NEAR = 0.8


class Leaks:
    """The sentences of evaluation sets, and the search for them in other texts.

    A text leaks a sentence if it holds at least half of the sentence's character 13-grams, or is a near duplicate of it (Jaccard
    similarity of 3-grams ≥ 0.8), which also finds sentences too short for a 13-gram.

    >>> leaks = Leaks({"测试集": ["敦煌研究院在甘肃省敦煌市，离莫高窟不远。"]})
    >>> list(leaks.found_in(["问：敦煌研究院在甘肃省敦煌市，离莫高窟不远吗？", "莫高窟在哪里？"]))
    [{'source': '测试集', 'sentence': '敦煌研究院在甘肃省敦煌市，离莫高窟不远。'}, None]
    """

    def __init__(self, sets: Mapping[str, Iterable[str]]) -> None:
        import numpy as np

        self.sentences = [
            {"source": name, "sentence": text} for name, texts in sets.items() for text in texts
        ]
        keys = [folded(one["sentence"]) for one in self.sentences]
        self.near = NearDuplicates(NEAR)
        self.near.add(keys)
        hashes, owners = grams(keys)
        order = np.argsort(hashes, kind="stable")
        self.hashes, self.owners = hashes[order], owners[order]
        self.counts = np.bincount(owners, minlength=len(keys))

    def found_in(self, texts: Iterable[str | Sequence[str]]) -> Iterator[dict | None]:
        """For each text the evaluation sentence that it leaks, or None. A text may come in parts: then a part may be the sentence, too."""
        for batch in batches(texts, 10_000):
            parts = [[text] if isinstance(text, str) else list(text) for text in batch]
            held = self.by_grams([folded("\n".join(of_text)) for of_text in parts])
            near = iter(self.near.lookup([part for of_text in parts for part in of_text]))
            for number, of_text in zip(held, parts, strict=True):
                alike = [match.number for match in (next(near) for _ in of_text) if match]
                number = number if number is not None else alike[0] if alike else None
                yield None if number is None else self.sentences[number]

    def by_grams(self, keys: Sequence[str]) -> list[int | None]:
        """For each folded text the number of the first sentence of which it holds at least `SHARE` of the 13-grams."""
        import numpy as np

        found: list[int | None] = [None] * len(keys)
        hashes, texts = grams(keys)
        if not len(hashes) or not len(self.hashes):
            return found
        left, right = (np.searchsorted(self.hashes, hashes, side) for side in ("left", "right"))
        hits = [
            (int(t), int(owner), int(h))
            for t, a, b, h in zip(
                texts[left < right],
                left[left < right],
                right[left < right],
                hashes[left < right],
                strict=True,
            )
            for owner in self.owners[a:b]
        ]
        shared: dict[tuple[int, int], set[int]] = {}
        for text, owner, gram in hits:
            shared.setdefault((text, owner), set()).add(gram)
        for (text, owner), held in sorted(shared.items()):
            if found[text] is None and len(held) >= SHARE * self.counts[owner]:
                found[text] = owner
        return found


def grams(keys: Sequence[str]):
    """The hash of every different 13-gram of each folded text and the text's number: two (n,) arrays."""
    import numpy as np

    long = [(i, key) for i, key in enumerate(keys) if len(key) >= GRAM]
    hashes = [
        np.unique(rolling(np.frombuffer(key.encode("utf-32-le", "surrogatepass"), np.uint32), GRAM))
        for _, key in long
    ]
    owners = [np.full(len(h), i) for (i, _), h in zip(long, hashes, strict=True)]
    return (
        (np.concatenate(hashes), np.concatenate(owners))
        if long
        else (np.zeros(0, np.uint64), np.zeros(0, int))
    )


def evaluation_splits() -> list[tuple[Card, str]]:
    """Every split of the catalog that students are evaluated on: dev, test, and what ends with them."""
    return [
        (card, split)
        for card in CATALOG.values()
        for split in card.splits
        if split.split("_")[-1] in ("dev", "test")
    ]


def evaluation_sentences(progress: bool = True) -> tuple[dict[str, list[str]], list[str]]:
    """The sentences of every evaluation split whose files are at hand or can be had, and the names of those that could not.

    For an instruction set the sentence is what is asked. Raises DataError for a malformed record: a test set of which only a part
    is guarded against is none.
    """
    sets, absent = {}, []
    for card, split in evaluation_splits():
        name = f"{card.name}/{split}"
        try:
            rows = list(read(card.name, split, progress))
        except FileNotFoundError:
            absent.append(name)
            continue
        sets[name] = [
            r["sentence"]
            if "sentence" in r
            else "\n".join(filter(None, (r["instruction"], r["input"])))
            for r in rows
        ]
    return sets, absent
