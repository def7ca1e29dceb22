"""The other way to find entities: a label for each token, from a student's own body. Shown in notebook 05.

In: a student and NER records to train on. Out: a `Tagger`, whose predictions are IE records that `score` takes.
"""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.ie.schema import schema_of
from miniluotuo_utils.ie.spans import Place

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

IGNORED = -100  # the label that the loss leaves out
POOL = 50  # batches that are shuffled and then sorted by length together
WARM = 0.05  # share of the training in which the learning rate rises


@dataclass
class Tagger:
    """A token classifier, the tokenizer that it reads with, and how its training went.

    labels: `O`, then `B-` and `I-` of each type. counts, of the training records: entities, those left out because
    they have no place (`unplaced`) or overlap a longer one (`overlapping`), those that begin or end inside a token
    (`inside_token`: learned with the tokens that they fill by more than half), and sentences longer than the model's
    context (`cut`).
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    labels: list[str]
    counts: Counter = field(default_factory=Counter)
    steps: int = 0
    seconds: float = 0.0

    def predict(self, sentences: Sequence[str], batch_size: int = 32) -> list[dict]:
        """The entities of each sentence as an IE record; every `pos` cuts its name out, and none overlaps another."""
        import torch

        read = [tokenised(self.tokenizer, sentence) for sentence in sentences]
        tags = [[IGNORED] * len(ids) for ids, _ in read]
        parts = sorted(
            (
                (n, a, b)
                for n, (ids, _) in enumerate(read)
                for a, b in windows(len(ids), context(self.model))
            ),
            key=lambda part: part[2] - part[1],
        )
        self.model.eval()
        for first in range(0, len(parts), batch_size):
            batch = parts[first : first + batch_size]
            with torch.inference_mode():
                best = (
                    logits(self.model, [read[n][0][a:b] for n, a, b in batch]).argmax(-1).tolist()
                )
            for (n, a, b), found in zip(batch, best, strict=True):
                tags[n][a:b] = found[: b - a]
        return [
            self.record(*of_one)
            for of_one in zip(sentences, (places for _, places in read), tags, strict=True)
        ]

    def record(self, sentence: str, places: Sequence[Place | None], tags: Sequence[int]) -> dict:
        """A sentence with the entities that the tags of its tokens say."""
        labelled = [
            (place, self.labels[tag]) for place, tag in zip(places, tags, strict=True) if place
        ]
        found = (
            (kind, *trimmed(sentence, labelled[a][0][0], labelled[b - 1][0][1]))
            for kind, a, b in chunks([tag for _, tag in labelled])
        )
        entities = [{"name": sentence[a:b], "type": kind, "pos": [a, b]} for kind, a, b in found]
        return {
            "sentence": sentence,
            "source": "",
            "entities": [entity for entity in entities if entity["name"]],
        }


def train_tagger(
    student: Any,
    records: Sequence[Mapping],
    *,
    bidirectional: bool = True,
    epochs: float = 10,
    minutes: float | None = None,
    batch_size: int = 8,
    learning_rate: float = 1e-3,
    seed: int = 42,
) -> Tagger:
    """A BIO tagger (transformers' `AutoModelForTokenClassification`) trained on NER records, on the student's device.

    It starts from a copy of `student.model`'s weights, all but the output layer, so it is as large as the student and
    has read the same texts; `student.model` stays as it is. A causal student sees only what stands left of a token:
    `bidirectional` lets every token look both ways, which its pre-training never did and a few hundred steps teach.
    The training ends after `epochs` or `minutes`, whichever comes first; without `minutes` the seed decides it wholly.
    ValueError for records without entities, and for a student that is quantised or has an adapter.
    """
    import torch
    from transformers import set_seed

    types = schema_of(records, "NER")
    if epochs <= 0 or batch_size < 1:
        raise ValueError(
            f"epochs is {epochs} and batch_size {batch_size}; expected more than 0 and at least 1"
        )
    if not types:
        raise ValueError(
            f"found no entity in {len(records)} records, expected NER records to learn from"
        )
    started, labels = time.time(), ["O", *(f"{mark}-{kind}" for kind in types for mark in "BI")]
    set_seed(seed)
    tagger = Tagger(classifier(student, labels, bidirectional), student.tokenizer, labels)
    rows = list(training_rows(tagger, records))
    order, planned = random.Random(seed), max(1, round(epochs * -(-len(rows) // batch_size)))
    optimizer = torch.optim.AdamW(tagger.model.parameters(), learning_rate, weight_decay=0.01)
    tagger.model.train()
    for batch in shuffled(rows, batch_size, order):
        done = max(
            tagger.steps / planned, (time.time() - started) / (60 * minutes) if minutes else 0.0
        )
        if done >= 1:
            break
        optimizer.param_groups[0]["lr"] = learning_rate * min(1, done / WARM + 0.01) * (1 - done)
        step(tagger.model, batch, optimizer)
        tagger.steps += 1
    tagger.model.eval()
    tagger.seconds = time.time() - started
    return tagger


def classifier(student: Any, labels: Sequence[str], bidirectional: bool) -> PreTrainedModel:
    """The student's body, copied in float32, under a new token classification layer."""
    from transformers import AutoModelForTokenClassification

    model = student.model
    if (
        hasattr(model, "peft_config")
        or getattr(model, "hf_quantizer", None)
        or model.config.is_encoder_decoder
    ):
        raise ValueError(
            "found an adapter, quantised weights or an encoder-decoder, expected a plain causal student: "
            "merge(student) an adapter first, load others without bits=…"
        )
    config = deepcopy(model.config)
    config.id2label, config.label2id = (
        dict(enumerate(labels)),
        {label: i for i, label in enumerate(labels)},
    )
    if bidirectional:
        config.is_causal = False
    try:
        tagger = AutoModelForTokenClassification.from_config(config).float()
    except ValueError:
        raise ValueError(
            f"transformers has no token classifier for {config.model_type}: take another student"
        ) from None
    tagger.base_model.load_state_dict(model.base_model.state_dict())
    if bidirectional and not looks_right(tagger.eval()):
        raise ValueError(
            f"a {config.model_type} cannot look to the right of a token (it does not heed config.is_causal): pass bidirectional=False"
        )
    return tagger.to(model.device)


def looks_right(model: Any) -> bool:
    """Whether the first token's scores depend on the last one: tried, since some architectures (GPT-Neo) build their mask without asking."""
    import torch

    with torch.inference_mode():
        one, other = logits(model, [[5, 6, 7], [5, 6, 8]])[:, 0]
    return not torch.allclose(one, other)


def tokenised(tokenizer: Any, sentence: str) -> tuple[list[int], list[Place | None]]:
    """The token ids of a sentence and the characters [start, end) of each; half of a surrogate pair is read as U+FFFD.

    The place is None for a token that has no character of its own: a byte of a character that an earlier token began.
    """
    read = tokenizer(
        re.sub("[\ud800-\udfff]", "\ufffd", sentence),
        return_offsets_mapping=True,
        add_special_tokens=False,
    )
    return read["input_ids"], own_places(sentence, read["offset_mapping"])


def own_places(sentence: str, offsets: Iterable[Place]) -> list[Place | None]:
    """The characters of each token, without white space around them, None where an earlier token has them.

    >>> own_places("𠀀 好a", [(0, 1), (0, 1), (1, 3), (3, 4)])
    [(0, 1), None, (2, 3), (3, 4)]
    """
    places, covered = [], 0
    for start, end in offsets:
        start, end = trimmed(sentence, max(start, covered), end)
        places.append((start, end) if start < end else None)
        covered = max(covered, end)
    return places


def trimmed(sentence: str, start: int, end: int) -> Place:
    """A span without the white space at its ends, unless it is nothing else.

    >>> trimmed("a bc ", 1, 5)
    (2, 4)
    """
    text = sentence[start:end]
    return (
        (start + len(text) - len(text.lstrip()), end - len(text) + len(text.rstrip()))
        if text.strip()
        else (start, end)
    )


def apart(entities: Iterable[Mapping]) -> list[Mapping]:
    """Entities with a place, none overlapping another, left to right; of those that overlap the longest stays, then the first.

    >>> [e["pos"] for e in apart([{"pos": [0, 2]}, {"pos": [0, 4]}, {"pos": [4, 6]}, {"pos": None}])]
    [[0, 4], [4, 6]]
    """
    kept: list[Mapping] = []
    for entity in sorted(
        (e for e in entities if e["pos"]), key=lambda e: (e["pos"][0] - e["pos"][1], e["pos"][0])
    ):
        if all(
            entity["pos"][1] <= other["pos"][0] or other["pos"][1] <= entity["pos"][0]
            for other in kept
        ):
            kept.append(entity)
    return sorted(kept, key=lambda e: e["pos"])


def bio(entities: Iterable[Mapping], places: Sequence[Place | None]) -> list[str]:
    """The tag of each token: `B-type` at the first token of an entity, `I-type` at its others, `O`, "" for no place.

    A token belongs to an entity that holds more than half of its characters. Entities must not overlap.

    >>> bio([{"type": "人物", "pos": [0, 2]}, {"type": "人物", "pos": [2, 3]}], [(0, 1), (1, 2), (2, 3), None, (3, 4)])
    ['B-人物', 'I-人物', 'B-人物', '', 'O']
    """
    tags = ["O" if place else "" for place in places]
    for entity in entities:
        start, end = entity["pos"]
        inside = [
            i
            for i, p in enumerate(places)
            if p and 2 * (min(p[1], end) - max(p[0], start)) > p[1] - p[0]
        ]
        for i in inside:
            tags[i] = ("B-" if i == inside[0] else "I-") + entity["type"]
    return tags


def chunks(tags: Iterable[str]) -> Iterator[tuple[str, int, int]]:
    """Type and tokens [first, last) of each chunk of BIO tags; as in conlleval, a stray `I-` opens one.

    >>> list(chunks(["I-人物", "I-地点", "I-地点", "O", "B-地点", "B-地点"]))
    [('人物', 0, 1), ('地点', 1, 3), ('地点', 4, 5), ('地点', 5, 6)]
    """
    open_type, first, at = "", 0, 0
    for at, tag in enumerate([*tags, "O"]):
        mark, _, kind = tag.partition("-")
        if open_type and (mark != "I" or kind != open_type):
            yield open_type, first, at
            open_type = ""
        if kind and not open_type:
            open_type, first = kind, at


def training_rows(
    tagger: Tagger, records: Iterable[Mapping]
) -> Iterator[tuple[list[int], list[int]]]:
    """Token ids and label ids of each record, in parts where it is longer than the context; `tagger.counts` is filled."""
    number = {label: i for i, label in enumerate(tagger.labels)} | {"": IGNORED}
    for record in records:
        ids, places = tokenised(tagger.tokenizer, record["sentence"])
        entities = [
            dict(t)
            for t in dict.fromkeys(
                (("type", e["type"]), ("pos", e["pos"] and tuple(e["pos"])))
                for e in record["entities"]
            )
        ]
        kept, placed = apart(entities), sum(e["pos"] is not None for e in entities)
        borders = {border for place in places if place for border in place}
        tagger.counts.update(
            entities=len(entities),
            unplaced=len(entities) - placed,
            overlapping=placed - len(kept),
            inside_token=sum(not borders.issuperset(e["pos"]) for e in kept),
            cut=len(ids) > context(tagger.model),
        )
        tags = [number[tag] for tag in bio(kept, places)]
        parts = ((ids[a:b], tags[a:b]) for a, b in windows(len(ids), context(tagger.model)))
        yield from (
            part for part in parts if set(part[1]) != {IGNORED}
        )  # nothing to learn there, and a mean over nothing is NaN


def context(model: Any) -> int:
    """How many tokens the model reads at once; 512 where its positions have no limit."""
    return getattr(model.config, "max_position_embeddings", None) or 512


def windows(tokens: int, size: int) -> list[Place]:
    """[first, last) of each part of a text that is too long; an entity over the cut goes on in the next part.

    >>> windows(5, 2), windows(0, 2)
    ([(0, 2), (2, 4), (4, 5)], [])
    """
    return [(first, min(first + size, tokens)) for first in range(0, tokens, size)]


def shuffled(rows: Sequence[tuple], batch_size: int, order: random.Random) -> Iterator[list[tuple]]:
    """Batches of rows of similar length, for ever; each round through the rows is another."""
    while rows:
        mixed, batches = order.sample(rows, len(rows)), []
        for first in range(0, len(rows), batch_size * POOL):
            pool = sorted(mixed[first : first + batch_size * POOL], key=lambda row: len(row[0]))
            batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
        yield from order.sample(batches, len(batches))


def logits(model: Any, rows: Sequence[Sequence[int]]) -> Tensor:
    """The scores of every label for each token of rows padded on the right: (rows, longest, labels)."""
    import torch

    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=model.device)
    mask = torch.tensor(
        [[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=model.device
    )
    return model(input_ids=ids, attention_mask=mask).logits


def step(model: Any, batch: Sequence[tuple[Sequence[int], Sequence[int]]], optimizer: Any) -> None:
    """One step: cross-entropy of the labels, gradients clipped at 1."""
    import torch

    scores = logits(model, [ids for ids, _ in batch])  # (rows, longest, labels)
    labels = torch.tensor(
        [[*tags, *[IGNORED] * (scores.shape[1] - len(tags))] for _, tags in batch],
        device=scores.device,
    )
    torch.nn.functional.cross_entropy(
        scores.flatten(0, 1), labels.flatten(), ignore_index=IGNORED
    ).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
