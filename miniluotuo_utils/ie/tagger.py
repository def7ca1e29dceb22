"""Find entities by a label for each token, from a student's own body. Shown in notebook 05b.

In: a student and NER records to train on. Out: a `Tagger`, whose predictions are IE records that
`score` takes.
"""

from __future__ import annotations

import math
import random
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.files import batches
from miniluotuo_utils.ie.schema import schema_of
from miniluotuo_utils.ie.spans import Place

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

IGNORED = -100  # the label that the loss leaves out
PREDICTED = 32  # parts of sentences that are tagged together
POOL = 50  # batches that are shuffled and then sorted by length together
WARM = 0.05  # share of the training in which the learning rate rises


@dataclass
class Tagger:
    """A token classifier, the tokenizer that it reads with, and how its training went.

    labels: `O`, then `B-` and `I-` of each type.
    counts, of the training records: `entities`; those left out because they have no place
      (`unplaced`) or overlap a longer one (`overlapping`); those that begin or end inside a token
      (`inside_token`), learned with the tokens that they fill by more than half; sentences longer
      than the model's context (`cut`), read in parts.
    steps, seconds: of the training.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    labels: list[str]
    counts: Counter = field(default_factory=Counter)
    steps: int = 0
    seconds: float = 0.0

    def predict(self, sentences: Sequence[str]) -> list[dict]:
        """Return the entities of each sentence as an IE record.

        Every `pos` cuts its name out of the sentence, and no entity overlaps another.
        """
        read = [tokenised(self.tokenizer, sentence) for sentence in sentences]
        tags = [[IGNORED] * len(ids) for ids, _ in read]
        for n, first, last, scores in self.scored([ids for ids, _ in read]):
            tags[n][first:last] = scores.argmax(-1).tolist()
        found = []
        for sentence, (_, places), own in zip(sentences, read, tags, strict=True):
            found.append(read_tags(sentence, places, [self.labels[tag] for tag in own]))
        return found

    def probabilities(self, sentences: Sequence[str]) -> list[np.ndarray]:
        """Return how likely every label is at each token of a sentence: [tokens, labels] each."""
        import numpy as np

        ids = [tokenised(self.tokenizer, sentence)[0] for sentence in sentences]
        found = [np.zeros((len(own), len(self.labels)), np.float32) for own in ids]
        for n, first, last, scores in self.scored(ids):
            found[n][first:last] = scores.softmax(-1).cpu().numpy()
        return found

    def scored(self, ids: Sequence[Sequence[int]]) -> Iterator[tuple[int, int, int, Tensor]]:
        """Yield parts of token rows, in no order: row, first and last token, [tokens, labels]."""
        import torch

        # Parts of similar length together: a batch is padded to its longest.
        size = context(self.model)
        parts = [(n, a, b) for n, own in enumerate(ids) for a, b in stretches(len(own), size)]
        parts.sort(key=lambda part: part[2] - part[1])
        self.model.eval()
        for batch in batches(parts, PREDICTED):
            with torch.inference_mode():
                scores = logits(self.model, [ids[n][a:b] for n, a, b in batch]).float()
            for (n, a, b), found in zip(batch, scores, strict=True):
                yield n, a, b, found[: b - a]


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
    soft: tuple[Sequence[Any], list[str]] | None = None,
) -> Tagger:
    """Train a BIO tagger on NER records, on the student's device.

    student: a causal student, or a tagger, which goes on with its output layer too where it has all
      labels of the records; `student.model` stays as it is. The tagger, transformers'
      `AutoModelForTokenClassification`, starts from a copy of its weights, all but the output
      layer, so it is as large as the student and has read the same texts.
    bidirectional: let every token look both ways. A causal student sees only what stands left of a
      token; its pre-training never looked right, and a few hundred steps teach it.
    epochs, minutes: whichever ends first. The learning rate rises and falls with the share that is
      done, so with `minutes` the clock has a say in every step; without, `seed` decides all.
    batch_size: sentences in a step. learning_rate: its highest value.
    soft: what a teacher thinks of every character, as `Annotator.probabilities` returns it: of each
      record an array [characters, labels], and the labels. It is learned in the place of the
      records' entities: what the teacher takes for second best, too.

    Raises ValueError for records without entities, for `epochs` or `batch_size` that are not
    positive, and for a student that is quantised or has an adapter.
    """
    import torch
    from transformers import set_seed

    started = time.time()
    labels = soft[1] if soft else labels_to_learn(student, records)
    if epochs <= 0 or batch_size < 1:
        raise ValueError(
            f"epochs is {epochs} and batch_size {batch_size}; expected more than 0 and at least 1"
        )
    if labels == ["O"]:
        raise ValueError(
            f"found no entity in {len(records)} records, expected NER records to learn from"
        )

    # The student's body, which has read much, under an output layer that the seed draws.
    set_seed(seed)
    tagger = Tagger(classifier(student, labels, bidirectional), student.tokenizer, labels)
    rows = list(soft_rows(tagger, records, soft[0]) if soft else training_rows(tagger, records))

    # Up over the first steps, while AdamW's averages are still young, then down to nothing. Fused,
    # AdamW passes over the weights once a step instead of once for each of its operations.
    planned = max(1, round(epochs * math.ceil(len(rows) / batch_size)))  # steps
    optimizer = torch.optim.AdamW(
        tagger.model.parameters(), learning_rate, weight_decay=0.01, fused=True
    )
    tagger.model.train()
    for batch in shuffled(rows, batch_size, random.Random(seed)):
        done = max(
            tagger.steps / planned,
            (time.time() - started) / (60 * minutes) if minutes else 0.0,
        )
        if done >= 1:
            break
        optimizer.param_groups[0]["lr"] = learning_rate * min(1, done / WARM + 0.01) * (1 - done)
        step(tagger.model, batch, optimizer)
        tagger.steps += 1
    tagger.model.eval()
    tagger.seconds = time.time() - started
    return tagger


def labels_of(records: Sequence[Mapping]) -> list[str]:
    """Return `O`, then `B-` and `I-` of each type of NER records.

    >>> labels_of([{"entities": [{"name": "李白", "type": "人物", "pos": [0, 2]}]}])
    ['O', 'B-人物', 'I-人物']
    """
    return ["O", *(f"{mark}-{kind}" for kind in schema_of(records, "NER") for mark in "BI")]


def labels_to_learn(student: Any, records: Sequence[Mapping]) -> list[str]:
    """Return the labels of the records; where a tagger has them all, its own, in its own order."""
    own, found = getattr(student, "labels", []), labels_of(records)
    return own if set(found) <= set(own) else found


def step(model: Any, batch: Sequence[tuple[Sequence[int], Sequence[int]]], optimizer: Any) -> None:
    """Take one training step on a batch of (token ids, label ids)."""
    import torch

    scores = logits(model, [ids for ids, _ in batch])  # (rows, longest, labels)
    targets = [tags for _, tags in batch]
    loss = soft_loss(scores, targets) if is_soft(targets) else hard_loss(scores, targets)
    loss.backward()  # every weight gets its gradient
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # no odd batch throws them far away
    optimizer.step()  # every weight moves a little against its gradient
    optimizer.zero_grad()  # or the next batch would add to these gradients


def hard_loss(scores: Tensor, tags: Sequence[Sequence[int]]) -> Tensor:
    """Return how surprised a model is by the right labels: a mean over all tokens but padding."""
    import torch

    labels = padded(tags, IGNORED).to(scores.device)  # (rows, longest)
    return torch.nn.functional.cross_entropy(
        scores.flatten(0, 1),  # (rows × longest, labels)
        labels.flatten(),  # (rows × longest,)
        ignore_index=IGNORED,
    )


def soft_loss(scores: Tensor, wanted: Sequence[Any]) -> Tensor:
    """Return the same of distributions over labels, [tokens, labels] of each row.

    It is KL(teacher ‖ tagger) and the teacher's own entropy, which no step changes. A token
    without a character of its own has a row of zeros, and counts for nothing.

    >>> import torch
    >>> scores, sure = torch.randn(1, 2, 3), torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])
    >>> torch.allclose(soft_loss(scores, [sure]), hard_loss(scores, [[0, 2]]))
    True
    """
    import torch

    rows = [torch.as_tensor(one) for one in wanted]
    likely = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(scores.device)
    return -(likely * scores.log_softmax(-1)).sum() / likely.sum()


def is_soft(targets: Sequence[Any]) -> bool:
    """Return whether the targets of rows are distributions, and not the numbers of labels."""
    return getattr(targets[0], "ndim", 1) == 2


def logits(model: Any, rows: Sequence[Sequence[int]]) -> Tensor:
    """Return the scores of every label for each token: (rows, longest, labels)."""
    ids = padded(rows, 0).to(model.device)  # (rows, longest)
    mask = padded([[1] * len(row) for row in rows], 0).to(model.device)  # 0 on padding
    return model(input_ids=ids, attention_mask=mask).logits


def padded(rows: Sequence[Sequence[int]], filler: int) -> Tensor:
    """Return rows filled up on the right: (rows, longest).

    >>> padded([[5, 6, 7], [8]], 0).tolist()
    [[5, 6, 7], [8, 0, 0]]
    """
    import torch

    longest = max(map(len, rows))
    return torch.tensor([[*row, *[filler] * (longest - len(row))] for row in rows])


def classifier(student: Any, labels: Sequence[str], bidirectional: bool) -> PreTrainedModel:
    """Return the student's body, copied in float32, under a new token classification layer."""
    from transformers import AutoModelForTokenClassification

    model = student.model
    quantised = getattr(model, "hf_quantizer", None)
    if hasattr(model, "peft_config") or quantised or model.config.is_encoder_decoder:
        raise ValueError(
            "found an adapter, quantised weights or an encoder-decoder, expected a plain causal "
            "student: merge(student) an adapter first, load others without bits=…"
        )
    config = deepcopy(model.config)
    numbers = {label: number for number, label in enumerate(labels)}
    config.update({"id2label": dict(enumerate(labels)), "label2id": numbers})

    # Most architectures ask their config whether a token may look to its right.
    if bidirectional:
        config.is_causal = False
    try:
        tagger = AutoModelForTokenClassification.from_config(config).float()
    except ValueError:
        raise ValueError(
            f"transformers has no token classifier for {config.model_type}: take another student"
        ) from None
    tagger.base_model.load_state_dict(model.base_model.state_dict())
    if getattr(student, "labels", None) == labels:
        tagger.load_state_dict(model.state_dict())

    # Some architectures (GPT-Neo) build their mask without asking the config: try it.
    if bidirectional and not looks_right(tagger.eval()):
        raise ValueError(
            f"a {config.model_type} cannot look to the right of a token (it does not heed "
            "config.is_causal): pass bidirectional=False"
        )
    return tagger.to(model.device)


def looks_right(model: Any) -> bool:
    """Whether the scores of the first token depend on the last one."""
    one, other = logits(model, [[5, 6, 7], [5, 6, 8]])[:, 0]
    return not one.allclose(other)


def tokenised(tokenizer: Any, sentence: str) -> tuple[list[int], list[Place | None]]:
    """Return the token ids of a sentence, and for each the characters [start, end) it stands for.

    The place is None for a token that has no character of its own: a further byte of a character
    that an earlier token began. Half of a surrogate pair is read as U+FFFD.
    """
    readable = re.sub("[\ud800-\udfff]", "\ufffd", sentence)
    read = tokenizer(readable, return_offsets_mapping=True, add_special_tokens=False)
    return read["input_ids"], own_places(sentence, read["offset_mapping"])


def own_places(sentence: str, offsets: Iterable[Place]) -> list[Place | None]:
    """Return the characters of each token, without white space around them.

    None stands for a token whose characters an earlier one has.

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
    """Return a span without the white space at its ends; one that is nothing else stays.

    >>> trimmed("a bc ", 1, 5)
    (2, 4)
    """
    text = sentence[start:end]
    if not text.strip():
        return start, end
    return end - len(text.lstrip()), start + len(text.rstrip())


def apart(entities: Iterable[Mapping]) -> list[Mapping]:
    """Return the entities that have a place and do not overlap each other, left to right.

    Of those that overlap the longest stays, of equally long ones the first.

    >>> places = ([0, 2], [0, 4], [4, 6], None)
    >>> [e["pos"] for e in apart({"pos": place} for place in places)]
    [[0, 4], [4, 6]]
    """
    kept: list[Mapping] = []
    placed = [e for e in entities if e["pos"]]
    for entity in sorted(placed, key=lambda e: (e["pos"][0] - e["pos"][1], e["pos"][0])):
        start, end = entity["pos"]
        if all(end <= other["pos"][0] or other["pos"][1] <= start for other in kept):
            kept.append(entity)
    return sorted(kept, key=lambda e: e["pos"])


def bio(entities: Iterable[Mapping], places: Sequence[Place | None]) -> list[str]:
    """Return the tag of each token: `B-type` where an entity begins, `I-type` in it, else `O`.

    A token belongs to an entity that holds more than half of its characters. A token without a
    place has the tag "". Entities must not overlap.

    >>> entities = [{"type": "人物", "pos": [0, 2]}, {"type": "人物", "pos": [2, 3]}]
    >>> bio(entities, [(0, 1), (1, 2), (2, 3), None, (3, 4)])
    ['B-人物', 'I-人物', 'B-人物', '', 'O']
    """
    tags = ["O" if place else "" for place in places]
    for entity in entities:
        start, end = entity["pos"]
        inside = [
            i
            for i, place in enumerate(places)
            if place and 2 * (min(place[1], end) - max(place[0], start)) > place[1] - place[0]
        ]
        for i in inside:
            tags[i] = ("B-" if i == inside[0] else "I-") + entity["type"]
    return tags


def chunks(tags: Iterable[str]) -> Iterator[tuple[str, int, int]]:
    """Yield type and tokens [first, last) of each chunk; as in conlleval, a stray `I-` opens one.

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


def read_tags(sentence: str, places: Sequence[Place | None], tags: Sequence[str]) -> dict:
    """Return a sentence with the entities that the tags of its tokens say.

    >>> read_tags("李白说", [(0, 1), (1, 2), (2, 3)], ["B-人物", "I-人物", "O"])["entities"]
    [{'name': '李白', 'type': '人物', 'pos': [0, 2]}]
    """
    # A token without a place of its own says nothing.
    tagged = [(place, tag) for place, tag in zip(places, tags, strict=True) if place]
    entities = []
    for kind, first, last in chunks(tag for _, tag in tagged):
        start, end = trimmed(sentence, tagged[first][0][0], tagged[last - 1][0][1])
        entities.append({"name": sentence[start:end], "type": kind, "pos": [start, end]})
    return {"sentence": sentence, "source": "", "entities": entities}


def training_rows(
    tagger: Tagger, records: Iterable[Mapping]
) -> Iterator[tuple[list[int], list[int]]]:
    """Yield token ids and label ids of each record, and fill `tagger.counts`.

    A record that is longer than the context comes in parts.
    """
    number = {label: i for i, label in enumerate(tagger.labels)} | {"": IGNORED}
    for record in records:
        # Labelled twice, an entity counts once.
        entities = list({(e["type"], *(e["pos"] or ())): e for e in record["entities"]}.values())
        kept, placed = apart(entities), sum(e["pos"] is not None for e in entities)

        ids, places = tokenised(tagger.tokenizer, record["sentence"])
        parts = stretches(len(ids), context(tagger.model))
        borders = {border for place in places if place for border in place}
        tagger.counts.update(
            entities=len(entities),
            unplaced=len(entities) - placed,
            overlapping=placed - len(kept),
            inside_token=sum(not borders.issuperset(e["pos"]) for e in kept),
            cut=len(parts) > 1,
        )

        # Where every label is left out there is nothing to learn, and a mean over nothing is NaN.
        tags = [number[tag] for tag in bio(kept, places)]
        for first, last in parts:
            if set(tags[first:last]) != {IGNORED}:
                yield ids[first:last], tags[first:last]


def soft_rows(
    tagger: Tagger, records: Sequence[Mapping], probabilities: Sequence[Any]
) -> Iterator[tuple[list[int], Any]]:
    """Yield token ids of each record, and of each token a teacher's distribution over labels.

    A token has that of its first character, one without a character zeros. ValueError where a
    record has other characters than its distributions.
    """
    import numpy as np

    size = context(tagger.model)
    for number, (record, found) in enumerate(zip(records, probabilities, strict=True)):
        sentence = record["sentence"]
        if found.shape != (len(sentence), len(tagger.labels)):
            raise ValueError(
                f"soft[0][{number}] has the shape {found.shape}; expected {len(sentence)} "
                f"characters and {len(tagger.labels)} labels"
            )
        ids, places = tokenised(tagger.tokenizer, sentence)
        rows = np.zeros((len(ids), len(tagger.labels)), np.float32)
        for at, place in enumerate(places):
            if place:
                rows[at] = found[place[0]]
        for first, last in stretches(len(ids), size):
            if rows[first:last].any():
                yield ids[first:last], rows[first:last]


def context(model: Any) -> int:
    """Return how many tokens the model reads at once; 512 where its positions have no limit."""
    return getattr(model.config, "max_position_embeddings", None) or 512


def stretches(tokens: int, size: int) -> list[Place]:
    """Return [first, last) of the parts of a text of so many tokens, each of `size` at most.

    An entity over a cut goes on in the next part.

    >>> stretches(5, 2), stretches(0, 2)
    ([(0, 2), (2, 4), (4, 5)], [])
    """
    return [(first, min(first + size, tokens)) for first in range(0, tokens, size)]


def shuffled(rows: Sequence[tuple], batch_size: int, order: random.Random) -> Iterator[list[tuple]]:
    """Yield batches of rows of similar length without end, each round in another order."""
    while rows:
        made: list[list] = []
        for pool in batches(order.sample(rows, len(rows)), batch_size * POOL):
            made += batches(sorted(pool, key=lambda row: len(row[0])), batch_size)
        yield from order.sample(made, len(made))
