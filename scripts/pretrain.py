"""Pre-train the shipped base: a small Qwen3-shaped decoder that copies and extracts.

    python scripts/pretrain.py LABELS PARAGRAPHS TOKENIZER OUT --minutes 90
    python scripts/pretrain.py … --minutes 40 --decay      then let the learning rate fall to nought

In: labelled sentences and paragraphs (`scripts/corpus.py`, `annotate`), a tokenizer; beside the
paragraphs `held_out.jsonl`. Out: a student folder, and beside it `training.jsonl` and `state.pt` to
go on from.
Warm-up, a stable stretch, a decay: each call goes on from what the last one left, so a training can
be killed and lengthened. One process trains, another makes the rows. `--branch text` trains the
same on text and copying alone.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from corpus import HELD_OUT
from pretraining_rows import SETTLED, SHARES, WITHOUT_LABELS, Dialogue, Material, labels_of
from torch.nn.functional import cross_entropy
from torch.overrides import TorchFunctionMode
from torch.utils.data import DataLoader, IterableDataset
from transformers import AutoTokenizer, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from miniluotuo_utils.files import json_line, read_jsonl, write_jsonl, written_whole
from miniluotuo_utils.generation import generate
from miniluotuo_utils.prompts import SHORT_TOKENS
from miniluotuo_utils.runtime import EMBEDDED
from miniluotuo_utils.students import Student
from miniluotuo_utils.students.devices import autocast
from miniluotuo_utils.students.internals import cpu_computes_bf16
from miniluotuo_utils.tokens import IGNORED, prompts_of
from miniluotuo_utils.writing import Touched, guard

LAYERS, WIDTH, HEADS, KEY_HEADS, INNER = 5, 256, 4, 2, 704
CONTEXT = 1024
BATCH = 4096  # tokens of a step, padding included
LONGEST = 512  # tokens of a row
MUON, ADAM = 0.02, 4e-3  # peak learning rates: matrices inside the layers; embedding and norms
WARM_UP = 100  # steps
SEED = 7
KEPT_OUT = 400  # sentences at the end of the labels, never trained on


# ---- rows → batches


class Batches(IterableDataset):
    """Batches without end, of rows of about one length; made in a process of their own.

    Rows of one length need no mask: the attention is causal, and padding stands behind the rows.
    Packed rows with a mask take a quarter longer (`benchmarks/row_shapes.py`).
    """

    def __init__(self, options: argparse.Namespace, progress: torch.Tensor, seed: int) -> None:
        self.options, self.progress, self.seed = options, progress, seed

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        torch.set_num_threads(1)
        tokenizer = AutoTokenizer.from_pretrained(self.options.tokenizer)
        material = Material(self.options.labels, self.options.paragraphs, own_rows(), self.seed)
        del material.labelled[-KEPT_OUT:]
        shares = WITHOUT_LABELS if self.options.branch == "text" else SHARES
        stream = material.rows(lambda: min(1.0, float(self.progress) / SETTLED), shares)
        while True:
            rows = [encoded(next(stream), tokenizer) for _ in range(3200)]
            rows = sorted((row for row in rows if len(row[0]) <= LONGEST), key=lambda r: len(r[0]))
            batches = list(cut(rows))
            material.rng.shuffle(batches)
            for batch in batches:
                yield tensors(batch, tokenizer.pad_token_id)


def own_rows() -> list[dict]:
    """Return the project's own instruction rows, without the tenth that is kept out."""
    rows = list(read_jsonl(EMBEDDED / "bank.jsonl"))
    return [row for number, row in enumerate(rows) if number % 10 != 9]


def encoded(dialogue: Dialogue, tokenizer: PreTrainedTokenizerFast) -> tuple[list[int], list[int]]:
    """Return ids and labels of a dialogue: every answer is learned, no question is.

    The ids are those of the chat template. Bare text, the answer to "", is learned whole.
    """
    user, assistant = tokenizer.convert_tokens_to_ids(list(SHORT_TOKENS[:2]))
    ids: list[int] = []
    labels: list[int] = []
    for question, answer in dialogue:
        asked = tokenizer.encode(question, add_special_tokens=False)
        asked = [user, *asked, assistant] if question else [tokenizer.eos_token_id]
        told = [*tokenizer.encode(answer, add_special_tokens=False), tokenizer.eos_token_id]
        ids += asked + told
        labels += [IGNORED] * len(asked) + told
    return ids, labels


def cut(rows: list) -> Iterator[list]:
    """Cut rows, the shortest first, into batches of at most `BATCH` tokens with their padding."""
    batch: list = []
    for row in rows:
        if batch and padded(len(row[0])) * (len(batch) + 1) > BATCH:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def padded(length: int) -> int:
    """Return a length rounded up to a multiple of 16.

    >>> padded(17)
    32
    """
    return -(-length // 16) * 16


def tensors(rows: list, pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and labels as int64 [rows, longest], filled up behind the rows."""
    longest = padded(max(len(ids) for ids, _ in rows))
    inputs = torch.full((len(rows), longest), pad)
    labels = torch.full((len(rows), longest), IGNORED)
    for number, (ids, wanted) in enumerate(rows):
        inputs[number, : len(ids)] = torch.tensor(ids)
        labels[number, : len(ids)] = torch.tensor(wanted)
    return inputs, labels


# ---- model, optimizers, schedule


def new_model(tokenizer: PreTrainedTokenizerFast, options: argparse.Namespace) -> Qwen3ForCausalLM:
    """Return the base with random weights."""
    torch.manual_seed(SEED)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=options.width,
        intermediate_size=options.inner,
        num_hidden_layers=options.layers,
        num_attention_heads=options.heads,
        num_key_value_heads=options.key_heads,
        head_dim=options.head_size,
        max_position_embeddings=CONTEXT,
        rope_theta=10_000.0,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Qwen3ForCausalLM(config)


def optimizers_of(model: Qwen3ForCausalLM) -> list[torch.optim.Optimizer]:
    """Return Muon for the matrices inside the layers, and AdamW for the rest."""
    named = list(model.named_parameters())
    hidden = [weight for name, weight in named if weight.ndim == 2 and ".layers." in name]
    rest = [weight for name, weight in named if weight.ndim != 2 or ".layers." not in name]
    return [
        torch.optim.Muon(hidden, lr=MUON, momentum=0.95, weight_decay=0.01),
        torch.optim.AdamW(rest, lr=ADAM, betas=(0.9, 0.95), weight_decay=0.01, fused=True),
    ]


class InFloat32(TorchFunctionMode):
    """Inside, `tensor.bfloat16()` is float32: Muon's products, on a CPU that imitates bfloat16.

    There they took three quarters of a step.
    """

    def __torch_function__(
        self, func: Callable, types: Any, args: Sequence = (), kwargs: Mapping | None = None
    ) -> Any:
        asked = torch.Tensor.float if func is torch.Tensor.bfloat16 else func
        return asked(*args, **(kwargs or {}))


def factor(step: int, part: float, decay: bool) -> float:
    """Return what the peak rates are multiplied by; `part` of this call's minutes is over."""
    return min(1.0, (step + 1) / WARM_UP, max(0.0, 1 - part) if decay else 1.0)


# ---- training


class Run:
    """A training that goes on from `OUT/state.pt`, if it is there."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.out = options, options.out
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        # Read now: an evaluation comes after minutes of training.
        unseen = read_jsonl(options.paragraphs.with_name(HELD_OUT))
        self.unseen = [row["text"][:160] for row in unseen[:200]]
        self.tokenizer = AutoTokenizer.from_pretrained(options.tokenizer)
        self.model = new_model(self.tokenizer, options).to(self.device).train()
        body = self.model.model
        self.body = torch.compile(body, dynamic=True) if options.compile else body
        self.optimizers = optimizers_of(self.model)
        self.step = self.tokens = self.supervised = 0
        self.seconds = 0.0
        if (self.out / "state.pt").is_file():
            self.load()
        self.progress = torch.tensor(float(self.tokens)).share_memory_()

    def load(self) -> None:
        """Go on from the last saved state."""
        state = torch.load(self.out / "state.pt", weights_only=True, map_location=self.device)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        for name in ("step", "tokens", "supervised", "seconds"):
            setattr(self, name, state[name])
        self.shorten_log()

    def shorten_log(self) -> None:
        """Take the steps out of the log that come after the saved state: they are done again."""
        log = self.out / "training.jsonl"
        if log.is_file():
            lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
            whole = (json.loads(line) for line in lines if line.endswith("\n"))
            write_jsonl(log, [line for line in whole if line["step"] <= self.step], overwrite=True)

    def save(self) -> None:
        """Write the state and the student, each whole or not at all."""
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "tokens": self.tokens,
            "supervised": self.supervised,
            "seconds": self.seconds,
        }
        with written_whole(self.out / "state.pt") as path:
            torch.save(state, path)
        half = {name: w.to(torch.bfloat16) for name, w in self.model.state_dict().items()}
        half.pop("lm_head.weight")  # the embedding once more
        with written_whole(self.out / "student") as folder:
            self.model.save_pretrained(folder, state_dict=half)
            self.tokenizer.save_pretrained(folder)

    def train(self) -> None:
        """Train for the minutes asked for; log, evaluate and save on the way."""
        batches = Batches(self.options, self.progress, SEED + self.step)
        loader = iter(DataLoader(batches, batch_size=None, num_workers=1, prefetch_factor=16))
        start = last = saved = time.time()
        losses: list[float] = []
        away = 0.0  # seconds of evaluations
        while (part := (time.time() - start - away) / 60 / self.options.minutes) < 1:
            rate = factor(self.step, part, self.options.decay)
            for group, peak in self.groups():
                group["lr"] = peak * rate
            losses.append(self.one_step(*next(loader)))
            if self.step % 50 == 0:
                now = time.time()
                self.seconds += now - last
                last = now
                self.note({"loss": sum(losses) / len(losses), "rate": rate})
                losses.clear()
            if time.time() - saved > 60 * self.options.every:
                began = time.time()
                self.seconds += began - last
                self.save()
                self.note(self.evaluate())
                saved = last = time.time()
                away += saved - began
        self.seconds += time.time() - last
        self.save()
        self.note(self.evaluate())

    def groups(self) -> list[tuple[dict, float]]:
        """Return each optimizer's group with its peak rate."""
        return [(o.param_groups[0], p) for o, p in zip(self.optimizers, (MUON, ADAM), strict=True)]

    def one_step(self, inputs: torch.Tensor, labels: torch.Tensor) -> float:
        """Learn one batch; return its loss in nats per supervised token."""
        inputs, labels = inputs.to(self.device), labels.to(self.device)
        with autocast(self.device):
            hidden = self.body(input_ids=inputs, use_cache=False).last_hidden_state[:, :-1]
            wanted = labels[:, 1:] != IGNORED
            # Logits only where something is learned: they are most of the time of a small model.
            logits = self.model.lm_head(hidden[wanted])
        loss = cross_entropy(logits.float(), labels[:, 1:][wanted])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        imitated = self.device == "cpu" and not cpu_computes_bf16()
        with InFloat32() if imitated else nullcontext():
            for optimizer in self.optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)

        self.step += 1
        self.tokens += int((inputs != self.tokenizer.pad_token_id).sum())
        self.supervised += int(wanted.sum())
        self.progress.fill_(float(self.tokens))
        value = loss.item()
        if not math.isfinite(value):
            raise FloatingPointError(f"the loss is {value} at step {self.step}")
        return value

    def note(self, line: dict) -> None:
        """Add a line to the log and print it."""
        known = {"step": self.step, "tokens": self.tokens, "supervised": self.supervised}
        whole = known | {"seconds": round(self.seconds, 1)} | line
        with open(self.out / "training.jsonl", "a", encoding="utf-8") as log:
            log.write(json_line(whole))
        print(json.dumps(whole, ensure_ascii=False), flush=True)

    # ---- evaluation

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Return exact repetition, extraction against the teacher, and bits per character.

        All on sentences and paragraphs that are never trained on.
        """
        self.model.eval()
        lines = self.options.labels.read_text(encoding="utf-8").splitlines()[-KEPT_OUT:]
        rows = [labels_of(line) for line in lines]
        some = [text for text, _ in rows if 30 <= len(text) <= 45][:60]
        told = self.answers([f"重复下面的话。\n{text}" for text in some], 64)
        repeated = sum(map(str.__eq__, told, some)) / len(some)
        result = {"repeated": repeated, "silver_f1": self.silver(rows[:120])}
        result["bits"] = self.bits()
        self.model.train()
        return {name: round(value, 4) for name, value in result.items()}

    def silver(self, rows: list) -> float:
        """Return the F1 of names and types, four types asked at once, against the teacher's."""
        types = ("人物", "地点", "机构", "时间")
        ask = f"找出句子里的实体，类型有：{'、'.join(types)}。用JSON回答。\n"
        told = self.answers([ask + text for text, _ in rows], 120)
        right = given = wanted = 0
        for (text, labels), answer in zip(rows, told, strict=True):
            gold = {(kind, text[a:b]) for a, b, kind in labels if kind in types}
            pairs = pairs_in(answer)
            right, given, wanted = right + len(gold & pairs), given + len(pairs), wanted + len(gold)
        return 2 * right / max(1, given + wanted)

    def bits(self) -> float:
        """Return bits per character on paragraphs that were kept out."""
        nats = 0.0
        for text in self.unseen:
            ids = torch.tensor([self.tokenizer.encode(text, add_special_tokens=False)])
            end = torch.tensor([[self.tokenizer.eos_token_id]])
            ids = torch.cat([end, ids], 1).to(self.device)
            logits = self.model(ids).logits[0, :-1].float()
            nats += cross_entropy(logits, ids[0, 1:], reduction="sum").item()
        return nats / math.log(2) / sum(map(len, self.unseen))

    def answers(self, questions: list[str], most: int) -> list[str]:
        """Return greedy answers of at most `most` tokens, in order."""
        student = Student("pretraining", self.model, self.tokenizer)
        asked = prompts_of(student, [{"instruction": text, "input": ""} for text in questions])
        with autocast(self.device):
            return generate(student, asked, max_new_tokens=most, batch_size=40)


def pairs_in(answer: str) -> set[tuple[str, str]]:
    """Return the (type, name) pairs of a JSON answer, none where it is no JSON."""
    try:
        value = json.loads(answer)
    except ValueError:
        return set()
    if not isinstance(value, dict):
        return set()
    lists = [(kind, names) for kind, names in value.items() if isinstance(names, list)]
    return {(kind, name) for kind, names in lists for name in names if isinstance(name, str)}


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("labels", "paragraphs", "tokenizer", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--minutes", type=float, required=True, help="minutes of this call")
    parser.add_argument("--decay", action="store_true", help="let the rate fall in this call")
    parser.add_argument("--every", type=float, default=10, help="minutes between two evaluations")
    parser.add_argument("--branch", choices=("labels", "text"), default="labels")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="two minutes more at the start")
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--width", type=int, default=WIDTH)
    parser.add_argument("--heads", type=int, default=HEADS)
    parser.add_argument("--key-heads", type=int, default=KEY_HEADS)
    parser.add_argument("--head-size", type=int, default=64)
    parser.add_argument("--inner", type=int, default=INNER)
    return parser.parse_args(arguments)


def main() -> None:
    """Train as the command line says."""
    options = parsed()
    torch.set_num_threads(options.threads)
    # Said before hours of training: what it writes takes no other files' place.
    guard([Touched("out", options.out / "student", "folder")], overwrite=True)
    options.out.mkdir(parents=True, exist_ok=True)
    Run(options).train()


if __name__ == "__main__":
    main()
