"""A BiLSTM-CRF from random embeddings, the form that is published for CLUENER.

Two layers of 384 a direction over 128-d characters, dropout 0.5 between the layers, a CRF; Adam at
1e-3, times 0.8 every 5 epochs, batches of 32; a tenth of the training records is kept out and
chooses the epoch. The numbers are those of github.com/hemingkx/CLUENER2020, folder BiLSTM-CRF
(commit 1600c9d), which reaches 0.675 on CLUENER dev; the code is our own. Its labels are BIO here,
as the tagger's are, and a character that was read once stands for those never read.

In: NER records. Out: a `BiLstmCrf` and its log. Used by `extractors.py`.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from miniluotuo_utils.files import batches, expect, written_whole
from miniluotuo_utils.ie import micro, schema_of, score
from miniluotuo_utils.ie.tagger import apart, bio, chunks

EMBEDDING, HIDDEN, DROPOUT = 128, 384, 0.5
RATE, EVERY, FACTOR = 1e-3, 5, 0.8  # the learning rate is multiplied by FACTOR every EVERY epochs
BATCH, EPOCHS = 32, 30
PATIENCE, LEAST = 5, 2e-4  # epochs without a gain of LEAST end the training
KEPT_OUT = 0.1  # of the training records
POOL = 50  # batches that are shuffled and then sorted by length together
SAVED = 60  # seconds of computing between two states on the disk
UNKNOWN = 0  # the id of a character that is not in the vocabulary


class Crf(nn.Module):
    """Scores of whole tag sequences: of each character's tag and of each step from tag to tag."""

    def __init__(self, tags: int) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.empty(tags).uniform_(-1, 1))
        self.steps = nn.Parameter(torch.empty(tags, tags).uniform_(-1, 1))  # (from, to)
        self.last = nn.Parameter(torch.empty(tags).uniform_(-1, 1))

    def log_partition(self, scores: Tensor, mask: Tensor) -> Tensor:
        """Return the logarithm of the sum over all tag sequences: (texts,).

        scores: (texts, longest, tags). mask: (texts, longest), False on padding, which stands on
        the right.
        """
        total = self.first + scores[:, 0]  # over the sequences that end in each tag
        for now in range(1, scores.shape[1]):
            ways = total[:, :, None] + self.steps + scores[:, now, None]  # (texts, from, to)
            total = torch.where(mask[:, now, None], ways.logsumexp(1), total)
        return (total + self.last).logsumexp(1)

    def score_of(self, scores: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Return the score of one tag sequence for each text: (texts,)."""
        own = scores.gather(2, tags[:, :, None])[:, :, 0]  # (texts, longest)
        steps = self.steps[tags[:, :-1], tags[:, 1:]]
        ends = tags.gather(1, mask.sum(1, keepdim=True) - 1)[:, 0]
        inner = (own * mask).sum(1) + (steps * mask[:, 1:]).sum(1)
        return inner + self.first[tags[:, 0]] + self.last[ends]

    def best(self, scores: Tensor, mask: Tensor) -> list[list[int]]:
        """Return the best tag sequence of each text, by Viterbi's algorithm."""
        total, back = self.first + scores[:, 0], []
        for now in range(1, scores.shape[1]):
            most, come = (total[:, :, None] + self.steps).max(1)  # (texts, to)
            total = torch.where(mask[:, now, None], most + scores[:, now], total)
            back.append(come)
        ends = (total + self.last).argmax(1).tolist()

        # From each text's own end backwards: padding has no tag.
        came = torch.stack(back).tolist() if back else []
        found = []
        for text, (tag, length) in enumerate(zip(ends, mask.sum(1).tolist(), strict=True)):
            path = [tag]
            for now in range(length - 2, -1, -1):
                path.append(came[now][text][path[-1]])
            found.append(path[::-1])
        return found


class BothWays(nn.Module):
    """An LSTM from the left and one from the right: what `nn.LSTM(bidirectional=True)` computes.

    Packed texts take that one a fifth longer on a CPU, which then does not use its library for
    whole sequences. So each text is turned round here, its padding left where it is, and both read
    from the front: what reads backwards does not read the padding first.
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.right = nn.LSTM(inputs, HIDDEN, batch_first=True)
        self.left = nn.LSTM(inputs, HIDDEN, batch_first=True)

    def forward(self, given: Tensor, turned: Tensor) -> Tensor:
        """Return what both have read at each character: (texts, longest, 2 * HIDDEN).

        given: (texts, longest, inputs). turned: the place of each character from its text's other
        end, (texts, longest).
        """
        right, _ = self.right(given)
        left, _ = self.left(at_places(given, turned))
        return torch.cat([right, at_places(left, turned)], -1)


def at_places(given: Tensor, places: Tensor) -> Tensor:
    """Return what stands at the places of each text.

    >>> at_places(torch.tensor([[[5.0], [6.0], [0.0]]]), torch.tensor([[1, 0, 2]]))[0, :, 0]
    tensor([6., 5., 0.])
    """
    return given.gather(1, places[:, :, None].expand(-1, -1, given.shape[2]))


class BiLstmCrf(nn.Module):
    """The model with its vocabulary of characters and its labels, `O` first."""

    def __init__(self, characters: Sequence[str], labels: Sequence[str]) -> None:
        super().__init__()
        self.characters, self.labels = list(characters), list(labels)
        self.ids = {character: number for number, character in enumerate(characters, 1)}
        self.embedding = nn.Embedding(len(characters) + 1, EMBEDDING)
        self.layers = nn.ModuleList([BothWays(EMBEDDING), BothWays(2 * HIDDEN)])
        self.dropout = nn.Dropout(DROPOUT)
        self.output = nn.Linear(2 * HIDDEN, len(labels))
        self.crf = Crf(len(labels))

    def forward(self, sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return the scores (texts, longest, labels) and the mask (texts, longest)."""
        lengths = torch.tensor([len(sentence) for sentence in sentences])[:, None]
        rows = [[self.ids.get(c, UNKNOWN) for c in sentence] for sentence in sentences]
        ids = padded(rows, UNKNOWN)
        places = torch.arange(ids.shape[1])
        mask = places < lengths
        turned = torch.where(mask, lengths - 1 - places, places)

        device = self.output.weight.device
        first, second = self.layers
        read = first(self.embedding(ids.to(device)), turned.to(device))
        read = second(self.dropout(read), turned.to(device))
        return self.output(read), mask.to(device)

    def loss(self, sentences: Sequence[str], tags: Sequence[Sequence[int]]) -> Tensor:
        """Return the mean negative log-likelihood of the tags, by sentence."""
        scores, mask = self(sentences)
        gold = self.crf.score_of(scores, padded(tags, 0).to(mask.device), mask)
        return (self.crf.log_partition(scores, mask) - gold).mean()

    def predict(self, sentences: Sequence[str]) -> list[dict]:
        """Return the entities of each sentence as an IE record."""
        self.eval()
        found = [{"sentence": s, "source": "", "entities": []} for s in sentences]
        order = sorted((n for n, s in enumerate(sentences) if s), key=lambda n: len(sentences[n]))
        with torch.inference_mode():
            for batch in batches(order, 64):
                scores, mask = self([sentences[n] for n in batch])
                for n, path in zip(batch, self.crf.best(scores, mask), strict=True):
                    found[n]["entities"] = self.entities(sentences[n], path)
        return found

    def entities(self, sentence: str, path: Iterable[int]) -> list[dict]:
        """Return the entities that the labels of a sentence's characters say."""
        return [
            {"name": sentence[start:end], "type": kind, "pos": [start, end]}
            for kind, start, end in chunks(self.labels[tag] for tag in path)
        ]


def padded(rows: Sequence[Sequence[int]], filler: int) -> Tensor:
    """Return rows filled up on the right: (rows, longest).

    >>> padded([[5, 6, 7], [8]], 0).tolist()
    [[5, 6, 7], [8, 0, 0]]
    """
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[filler] * (longest - len(row))] for row in rows])


# ---- training


@dataclass
class Progress:
    """Where a training stands.

    epoch, batch: what comes next, from 0. minutes, core_minutes: of the wall clock and of all
    cores, training alone. best: F1 of the chosen epoch on the records kept out. log: one line an
    epoch. ended: whether patience or epochs are used up.
    """

    epoch: int = 0
    batch: int = 0
    minutes: float = 0.0
    core_minutes: float = 0.0
    best: float = -1.0
    waited: int = 0
    loss: float = 0.0
    ended: bool = False
    log: list[dict] = field(default_factory=list)


@dataclass
class Trainer:
    """A training that can be killed at any moment and goes on from its file."""

    model: BiLstmCrf
    rows: list[tuple[str, list[int]]]  # sentence, tags
    kept_out: list[dict]
    gold: list[dict]
    seed: int
    file: Path
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        # Fused, Adam passes over the weights once a step instead of once for each operation.
        self.optimizer = torch.optim.Adam(self.model.parameters(), RATE, fused=True)
        self.best = {name: value.clone() for name, value in self.model.state_dict().items()}
        if self.file.is_file():
            self.load()

    def run(self, core_minutes: float) -> bool:
        """Train until nothing is gained or `core_minutes` are used up; whether it came to its end.

        The model that comes out is that of the best epoch on the records kept out.
        """
        now = self.progress
        while not now.ended and now.core_minutes < core_minutes:
            if self.train_epoch(core_minutes):
                self.end_epoch()
            self.save()
        self.model.load_state_dict(self.best)
        return now.ended

    def train_epoch(self, core_minutes: float) -> bool:
        """Train on what is left of the epoch; whether its end was reached."""
        now, order = self.progress, random.Random(f"{self.seed} {self.progress.epoch}")
        made = list(shuffled(self.rows, order))
        self.optimizer.param_groups[0]["lr"] = RATE * FACTOR ** (now.epoch // EVERY)
        self.model.train()
        saved = now.core_minutes
        while now.batch < len(made):
            begun = time.time(), time.process_time()
            now.loss += self.step(made[now.batch])
            now.batch += 1
            now.minutes += (time.time() - begun[0]) / 60
            now.core_minutes += (time.process_time() - begun[1]) / 60

            # Whoever is killed loses a minute of computing.
            if now.core_minutes - saved > SAVED / 60:
                self.save()
                saved = now.core_minutes
                print(f"epoch {now.epoch + 1}, batch {now.batch} of {len(made)}", flush=True)
            if now.core_minutes >= core_minutes:
                return now.batch == len(made)
        return True

    def step(self, batch: Sequence[tuple[str, list[int]]]) -> float:
        """Take one step; return the loss."""
        loss = self.model.loss([s for s, _ in batch], [tags for _, tags in batch])
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()

    def end_epoch(self) -> None:
        """Measure the epoch, keep its weights if it is the best, and decide whether to go on."""
        now = self.progress
        kept = f1_of(self.model, self.kept_out)
        line = {
            "epoch": now.epoch + 1,
            "minutes": now.minutes,
            "core_minutes": now.core_minutes,
            "loss": now.loss / now.batch,
            "kept_out": kept["f1"],
            **f1_of(self.model, self.gold),
        }
        now.log.append(line)
        print(" ".join(f"{name} {value:.4g}" for name, value in line.items()), flush=True)

        # The records kept out choose; what is judged has no say.
        now.waited = 0 if kept["f1"] - now.best >= LEAST else now.waited + 1
        if kept["f1"] > now.best:
            now.best = kept["f1"]
            self.best = {name: value.clone() for name, value in self.model.state_dict().items()}
        now.epoch, now.batch, now.loss = now.epoch + 1, 0, 0.0
        now.ended = now.waited >= PATIENCE or now.epoch >= EPOCHS

    def save(self) -> None:
        """Write weights, optimizer, random state and progress into one file, whole or not."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        for number, own in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{number}.{name}": value for name, value in own.items()}
        tensors["random"] = torch.get_rng_state()
        with written_whole(self.file) as partial:
            save_file(
                {name: value.contiguous().clone() for name, value in tensors.items()},
                partial,
                {"progress": json.dumps(asdict(self.progress)), "made_by": self.made_by()},
            )

    def load(self) -> None:
        """Go on from the file; DataError where it is another training's."""
        with safe_open(self.file, "pt") as file:
            notes = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        name = f"{self.file.name}, made_by"
        expect(notes["made_by"] == self.made_by(), name, notes["made_by"], self.made_by())
        self.progress = Progress(**json.loads(notes["progress"]))
        self.model.load_state_dict(part(tensors, "model."))
        self.best = part(tensors, "best.")

        # Adam's averages, by the number of the parameter that they belong to.
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in part(tensors, "adam.").items():
            number, _, what = key.partition(".")
            state.setdefault(int(number), {})[what] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        torch.set_rng_state(tensors["random"])

    def made_by(self) -> str:
        """Return what a state must share with this training for it to go on."""
        sizes = (len(self.rows), len(self.kept_out), len(self.gold), len(self.model.characters))
        return f"seed {self.seed}, records {sizes}, labels {' '.join(self.model.labels)}"


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors under a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def f1_of(model: BiLstmCrf, gold: Sequence[Mapping]) -> dict[str, float]:
    """Return span precision, recall and F1 on gold records."""
    figures = micro(score(gold, model.predict([r["sentence"] for r in gold]), "NER"))[0][1]
    return {name: figures[name] for name in ("precision", "recall", "f1")}


def shuffled(rows: Sequence[tuple], order: random.Random) -> Iterator[list[tuple]]:
    """Yield an epoch's batches, rows of similar length together, in a random order."""
    made: list[list] = []
    for pool in batches(order.sample(rows, len(rows)), BATCH * POOL):
        made += batches(sorted(pool, key=lambda row: len(row[0])), BATCH)
    yield from order.sample(made, len(made))


def halves(records: Sequence[Mapping], seed: int) -> tuple[list[dict], list[dict]]:
    """Return the records to train on and the tenth that is kept out to choose by."""
    records = [dict(record) for record in records if record["sentence"]]
    random.Random(seed).shuffle(records)
    cut = round(KEPT_OUT * len(records))
    return records[cut:], records[:cut]


def trainer_of(
    records: Sequence[Mapping], gold: list[dict], file: Path, seed: int = 42, device: str = "cpu"
) -> Trainer:
    """Return a training on records, less the tenth kept out; from `file` where it has begun.

    gold: what is judged after every epoch, and chooses nothing.
    """
    torch.manual_seed(seed)
    train, kept_out = halves(records, seed)

    # Characters read once are learned as the unknown one, so that it means something.
    counts = Counter(character for record in train for character in record["sentence"])
    characters = sorted(character for character, count in counts.items() if count > 1)
    labels = ["O", *(f"{mark}-{kind}" for kind in schema_of(train, "NER") for mark in "BI")]
    number = {label: at for at, label in enumerate(labels)}

    rows = []
    for record in train:
        places = [(at, at + 1) for at in range(len(record["sentence"]))]
        tags = [number[tag] for tag in bio(apart(record["entities"]), places)]
        rows.append((record["sentence"], tags))
    model = BiLstmCrf(characters, labels).to(device)
    return Trainer(model, rows, kept_out, gold, seed, file)
