"""Find the labels that taggers, trained on other sentences, read otherwise.

In: NER records and a student. Out: the labels in doubt, the worst first, each with what the taggers
read in its place. Shown in notebook 05b.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.files import DataError, json_line, written_whole
from miniluotuo_utils.ie.scoring import errors
from miniluotuo_utils.ie.spans import Place
from miniluotuo_utils.ie.tagger import (
    apart,
    bio,
    labels_of,
    read_tags,
    tokenised,
    train_tagger,
)
from miniluotuo_utils.students.loading import fingerprint

if TYPE_CHECKING:
    import numpy as np

# How the taggers' reading differs from the label, as `errors` calls it -> what the label may be.
KINDS = {
    "wrong_type": "类型错 wrong type",
    "wrong_boundary": "边界错 wrong boundary",
    "missed": "多标了 no such entity",
    "spurious": "漏标了 left out",
}
FOLDS = 3


@dataclass(frozen=True)
class Suspect:
    """A label in doubt.

    record: its number. kind: one of `KINDS`. labelled: the entity as it stands, None for one that
      was left out.
    read: what the taggers read there, None where they read nothing. doubt: how sure they are of
      that where it differs from the label, 0 to 1.
    """

    record: int
    kind: str
    labelled: dict | None
    read: dict | None
    doubt: float


def suspects(
    student: Any,
    records: Sequence[Mapping],
    *,
    folds: int = FOLDS,
    rounds: int = 1,
    seed: int = 0,
    folder: Path | None = None,
    **training: Any,
) -> list[Suspect]:
    """Return the labels of NER records that taggers read otherwise, the most doubtful first.

    The records are dealt into `folds`; the taggers that judge one were trained on the others. Each
    of the `rounds` deals them anew, and what is likely is a mean over rounds. `training` goes to
    `train_tagger`, such as `epochs`. With a `folder` what a fold gave is kept there, so that a
    killed call goes on with the next fold.

    A tagger is wrong itself: these are labels to look at, not faults. Raises DataError for fewer
    records than two a fold, and for records of another task.
    """
    # Of each record the sum over rounds of what a tagger that never saw it takes for likely.
    check_records(records, folds)
    labels = labels_of(records)
    likely: list[Any] = [0.0] * len(records)
    for turn in range(rounds):
        for number, held in enumerate(dealt(records, folds, seed + turn)):
            file = folder / f"round-{turn}-fold-{number}.npz" if folder else None
            made_by = {"held": held, "seed": seed + turn, **training}
            found = kept_fold(file, student, records, labels, made_by)
            for one, probabilities in zip(held, found, strict=True):
                likely[one] = likely[one] + probabilities.astype("float32") / rounds

    # What the taggers could not learn (without a place, inside another) they are not asked for.
    found: list[Suspect] = []
    for number, (record, own) in enumerate(zip(records, likely, strict=True)):
        sentence = record["sentence"]
        read = Reading(tokenised(student.tokenizer, sentence)[1], own, labels)
        found += suspects_of(number, sentence, apart(record["entities"]), read)
    return sorted(found, key=lambda one: -one.doubt)


def check_records(records: Sequence[Mapping], folds: int) -> None:
    """Raise DataError for what cannot be judged by taggers of entities."""
    for number, record in enumerate(records):
        if record.get("entities") is None:
            raise DataError(
                f"record {number}: found no field entities; expected NER records: labels of "
                "relations and events are not judged（只看实体；关系和事件不看）"
            )
    if folds < 2 or len(records) < 2 * folds:
        raise DataError(
            f"found {len(records)} records and {folds} folds, expected two folds or more of at "
            "least two records（至少两份，每份至少两条）"
        )


def dealt(records: Sequence[Mapping], folds: int, seed: int) -> list[list[int]]:
    """Return the numbers of the records in each fold, rare types spread over all folds.

    >>> kinds = ["甲", "乙", "甲", "甲", "乙", "甲"]
    >>> dealt([{"entities": [{"type": kind}]} for kind in kinds], 2, seed=0)
    [[0, 1, 3], [2, 4, 5]]
    """
    count = Counter(entity["type"] for record in records for entity in record["entities"])

    def rarest(number: int) -> tuple[int, str]:
        kinds = {entity["type"] for entity in records[number]["entities"]}
        return min(((count[kind], kind) for kind in kinds), default=(len(records), ""))

    order = random.Random(seed).sample(range(len(records)), len(records))
    order.sort(key=rarest)
    return [sorted(order[fold::folds]) for fold in range(folds)]


def kept_fold(
    file: Path | None,
    student: Any,
    records: Sequence[Mapping],
    labels: Sequence[str],
    made_by: Mapping[str, Any],
) -> list[np.ndarray]:
    """Return what `judged_fold` gives; read from `file` where it is there, else kept in it.

    Raises DataError for a file that was made of other records or options.
    """
    import numpy as np

    # Whatever changes the result changes the digest: a folder of yesterday's records is no cache.
    facts = {**made_by, "student": fingerprint(student), "labels": list(labels)}
    said = json_line([facts, [[r["sentence"], r["entities"]] for r in records]])
    digest = sha256(said.encode()).hexdigest()
    if file and file.is_file():
        with np.load(file) as kept:
            if str(kept["made_by"]) != digest:
                raise DataError(
                    f"{file.name} was made of other records or options: choose another folder"
                    "（是用别的数据或选项做的：换一个文件夹）"
                )
            return np.split(kept["likely"], np.cumsum(kept["tokens"])[:-1])

    # Minutes of training: from here on nothing may be lost.
    found = judged_fold(student, records, labels, **made_by)
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(file) as whole, open(whole, "wb") as out:
            tokens = [len(own) for own in found]
            np.savez_compressed(out, made_by=digest, tokens=tokens, likely=np.concatenate(found))
    return found


def judged_fold(
    student: Any,
    records: Sequence[Mapping],
    labels: Sequence[str],
    held: Sequence[int],
    seed: int,
    **training: Any,
) -> list[np.ndarray]:
    """Return how likely each label is at each token of the held-out records: [tokens, labels].

    The tagger is trained on the others. A label that none of them has is never likely. Half
    precision tells 0.9 from 0.901, which is more than a doubt needs.
    """
    import numpy as np

    out = set(held)
    others = [record for number, record in enumerate(records) if number not in out]
    tagger = train_tagger(student, others, seed=seed, **training)
    places = [labels.index(label) for label in tagger.labels]
    found = []
    for own in tagger.probabilities([records[number]["sentence"] for number in held]):
        whole = np.zeros((len(own), len(labels)), np.float16)
        whole[:, places] = own
        found.append(whole)
    return found


# ---- one record


def suspects_of(
    number: int, sentence: str, labelled: Sequence[Mapping], read: Reading
) -> Iterator[Suspect]:
    """Yield what a record's labels and a reading of its sentence disagree on.

    >>> import numpy as np
    >>> entity = {"name": "李白", "type": "人物", "pos": [0, 2]}
    >>> likely = np.array([[0.1, 0.9, 0.0], [0.2, 0.0, 0.8], [0.7, 0.3, 0.0]])
    >>> read = Reading([(0, 1), (1, 2), (2, 3)], likely, ["O", "B-人物", "I-人物"])
    >>> list(suspects_of(0, "李白说", [entity], read))
    []
    >>> [(one.kind, round(one.doubt, 2)) for one in suspects_of(0, "李白说", [], read)]
    [('spurious', 0.8)]
    """
    stands = bio(labelled, read.places)
    found = read_tags(sentence, read.places, read.tags)
    [compared] = errors([{"sentence": sentence, "entities": labelled}], [found])
    for item in compared["entities"]:
        if item["kind"] == "right":
            continue
        sure = read.surety(stands, [one["pos"] for one in (item["gold"], item["pred"]) if one])
        if sure is not None:
            yield Suspect(number, item["kind"], item["gold"], item["pred"], sure)


@dataclass(frozen=True)
class Reading:
    """What taggers read in a sentence.

    places: of its tokens. likely: how likely each label is there, [tokens, labels]. labels.
    """

    places: Sequence[Place | None]
    likely: np.ndarray
    labels: Sequence[str]

    @property
    def tags(self) -> list[str]:
        """The likeliest label of each token."""
        return [self.labels[best] for best in self.likely.argmax(-1)]

    def surety(self, stands: Sequence[str], spans: Sequence[Place]) -> float | None:
        """Return how likely the reading is at the token of the spans where it is least likely.

        Tokens that are tagged as they stand have no say; None where all of them are.
        """
        first, last = min(start for start, _ in spans), max(end for _, end in spans)
        sure = [
            float(own.max())
            for place, own, best, tag in zip(
                self.places, self.likely, self.tags, stands, strict=True
            )
            if place and place[0] < last and place[1] > first and best != tag
        ]
        return min(sure, default=None)
