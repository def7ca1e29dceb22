"""Pretrain the tiny base that makes `smoke` mean something, and write it to
`miniluotuo_utils/embedded/student/`.

    MINILUOTUO_MIRROR=… python scripts/pretrain_tiny.py --minutes 68 --threads 1

What it reads is in `tiny_material.py`. Copying is what extraction needs and what comes latest in a
small model. So three heads start as an induction circuit (`head_start`), some rows practise bare
copying of random characters, and the hidden matrices are trained by Muon. Writes the model (bf16
safetensors), its tokenizer, `training.jsonl` (the log, one line per 50 steps), `loss.png` and
`data.json` (sources, licences, figures); a snapshot every ten minutes stands beside, in
`--snapshots`.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from tiny_material import Material
from tiny_tokenizer import build
from torch.utils.data import DataLoader, IterableDataset
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerBase

from miniluotuo_utils.data import CATALOG
from miniluotuo_utils.files import written_whole
from miniluotuo_utils.runtime import EMBEDDED
from miniluotuo_utils.students.loop import summed_loss
from miniluotuo_utils.tokens import IGNORED, collate, encode, pack

SOURCES = (
    "thuocl",
    "deepke-re",
    "oasst-zh",
    "embedded-instructions",
)  # all state MIT or Apache-2.0, or are ours
LENGTH, BATCH, SEED = 384, 12, 7
MUON, ADAM = 0.02, 4e-3  # peak learning rates: hidden matrices; embeddings, biases and norms


class Packed(IterableDataset):
    """Endless packed sequences of the material; made in a process of its own."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, share: torch.Tensor) -> None:
        self.tokenizer, self.share = tokenizer, share

    def __iter__(self) -> Iterator[dict]:
        material = Material(SEED)
        known = self.tokenizer.get_vocab()
        material.characters = [c for c in material.characters if c in known]
        stream = material.rows(lambda: float(self.share))
        while True:
            rows = [next(stream) for _ in range(400)]
            encoded = encode([r for r in rows if "instruction" in r], self.tokenizer, LENGTH).rows
            encoded += [self.bare(r) for r in rows if "instruction" not in r]
            packed = pack(encoded, LENGTH)
            material.rng.shuffle(packed)
            yield from packed

    def bare(self, row: dict) -> dict:
        """Plain text, wholly supervised; or a given text and its copy, which alone is
        supervised."""
        ids = partial(self.tokenizer.encode, add_special_tokens=False)
        given, rest = (
            ids(row.get("given", "")),
            ids(row.get("copy") or row["text"]) + [self.tokenizer.eos_token_id],
        )
        return {
            "input_ids": (given + rest)[:LENGTH],
            "labels": ([IGNORED] * len(given) + rest)[:LENGTH],
        }


@torch.no_grad()
def head_start(model: GPT2LMHeadModel, scale: float = 0.05) -> None:
    """Initialise three heads as an induction circuit (Olsson et al. 2022, "In-context Learning and
    Induction Heads").

    The 256 dimensions begin as three parts: 128 for the token, 64 for the token before it, 64 for
    the position (sines of 32 random frequencies, so that "one earlier" is a rotation). Head 0 of
    layer 0 looks one token back and writes what stood there into the second part; heads 0 and 1 of
    layer 1 look for the place whose predecessor is the present token and write what stands there.
    Everything is trained afterwards. From random weights the same came after 8 M tokens.
    """
    width, size = model.config.n_embd, model.config.n_embd // model.config.n_head
    token, before, position = slice(0, 128), slice(128, 192), slice(192, 256)
    query, key, value = (
        lambda h, k=k: slice(k * width + h * size, k * width + (h + 1) * size) for k in range(3)
    )
    words, places = model.transformer.wte.weight, model.transformer.wpe.weight
    words.zero_()[:, token] = torch.randn(len(words), 128) * scale
    frequency = torch.rand(32) * math.pi
    angle = torch.arange(len(places))[:, None] * frequency
    places.zero_()[:, position] = math.sqrt(2) * scale * torch.cat([angle.cos(), angle.sin()], 1)
    cos, sin = torch.diag(frequency.cos()), torch.diag(frequency.sin())
    one_back = torch.cat([torch.cat([cos, -sin], 1), torch.cat([sin, cos], 1)])
    some = torch.linalg.qr(torch.randn(128, 64))[0]  # 64 of the token's 128 dimensions
    first, second = model.transformer.h[0].attn, model.transformer.h[1].attn
    for attention, head in ((first, 0), (second, 0), (second, 1)):
        for part in (query, key, value):
            attention.c_attn.weight[:, part(head)] = 0
        attention.c_proj.weight[head * size : (head + 1) * size] = 0
    first.c_attn.weight[position, query(0)], first.c_attn.weight[position, key(0)] = (
        1.3 * one_back,
        torch.eye(64),
    )
    first.c_attn.weight[token, value(0)], first.c_proj.weight[:size, before] = (
        some,
        scale * torch.eye(64),
    )
    for head in (0, 1):
        half = slice(64 * head, 64 * head + 64)
        second.c_attn.weight[token, query(head)], second.c_attn.weight[before, key(head)] = (
            1.5 * some,
            torch.eye(64),
        )
        (
            second.c_attn.weight[half, value(head)],
            second.c_proj.weight[head * size : (head + 1) * size, half],
        ) = torch.eye(64), 2 * scale * torch.eye(64)


def optimizers(model: GPT2LMHeadModel) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks, AdamW for the rest."""
    hidden = [p for name, p in model.named_parameters() if p.ndim == 2 and ".h." in name]
    rest = [p for name, p in model.named_parameters() if not (p.ndim == 2 and ".h." in name)]
    return [
        torch.optim.Muon(hidden, lr=MUON, momentum=0.95, weight_decay=0.01),
        torch.optim.AdamW(rest, lr=ADAM, betas=(0.9, 0.95), weight_decay=0.01, fused=True),
    ]


def train(
    model: GPT2LMHeadModel,
    batches: Iterator,
    share: torch.Tensor,
    minutes: float,
    log: Path,
    snapshot,
) -> list[dict]:
    """Warm-up, a flat stretch and a linear fall over the last 40 %, all measured in wall time."""
    opts = optimizers(model)
    peaks = [group["lr"] for o in opts for group in o.param_groups]
    start, last, lines, tokens, supervised, sums, step = (
        time.time(),
        time.time(),
        [],
        0,
        0,
        [0.0, 0],
        0,
    )
    while share < 1:
        step += 1
        factor = min(1, step / 100, max(0.01, (1 - float(share)) / 0.4))
        for group, peak in zip((g for o in opts for g in o.param_groups), peaks, strict=True):
            group["lr"] = peak * factor
        batch = next(batches)
        with torch.autocast("cpu", torch.bfloat16):
            loss = summed_loss(model, batch, plain=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for o in opts:
            o.step()
            o.zero_grad(set_to_none=True)
        tokens, supervised = (
            tokens + batch["input_ids"].numel(),
            supervised + int((batch["labels"] != IGNORED).sum()),
        )
        sums = [sums[0] + float(loss.detach()), sums[1] + 1]
        share.fill_((time.time() - start) / (minutes * 60))
        if not math.isfinite(sums[0]):
            raise FloatingPointError(f"the loss is not finite at step {step}; lower MUON or ADAM")
        if step % 50 == 0:
            lines.append(
                {
                    "step": step,
                    "seconds": round(time.time() - start),
                    "tokens": tokens,
                    "supervised": supervised,
                    "loss": round(sums[0] / sums[1], 4),
                }
            )
            sums = [0.0, 0]
            with open(log, "a", encoding="utf-8") as file:
                file.write(json.dumps(lines[-1]) + "\n")
        if time.time() - last > 600:
            snapshot()
            last = time.time()
    return lines


def draw(lines: list[dict], path: Path) -> None:
    """The loss over tokens, as a picture."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3))
    axes.plot(
        [line["tokens"] / 1e6 for line in lines], [line["loss"] for line in lines], linewidth=1
    )
    axes.set(
        xlabel="million tokens",
        ylabel="loss per supervised token",
        title="Pretraining the tiny base",
    )
    figure.tight_layout()
    figure.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=68)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=EMBEDDED / "student")
    parser.add_argument(
        "--snapshots", type=Path, help="a folder for the student as it is every ten minutes"
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(SEED)
    material = Material(SEED)
    listed = [w for words in material.names.words.values() for w in words]
    tokenizer = build(
        [
            *listed,
            *(material.sentence() for _ in range(5000)),
            *(r["output"] for r in material.chats),
            *[r["output"] for r in material.bank] * 20,
        ]
    )
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=512,
        n_embd=256,
        n_layer=4,
        n_head=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=1,
    )
    model = GPT2LMHeadModel(config).train()
    head_start(model)
    print(
        f"{model.num_parameters():,} parameters, {len(material.patterns.all)} patterns, "
        f"{len(listed):,} words, {len(material.pairs):,} sentences with a pair",
        flush=True,
    )
    share = torch.zeros(()).share_memory_()
    loader = DataLoader(
        Packed(tokenizer, share),
        BATCH,
        num_workers=1,
        prefetch_factor=8,
        collate_fn=partial(collate, pad_id=tokenizer.pad_token_id),
    )

    def write(folder: Path) -> None:
        GPT2LMHeadModel.from_pretrained(
            None, config=config, state_dict=model.state_dict(), dtype=torch.bfloat16
        ).save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    with written_whole(args.out) as folder:
        folder.mkdir()
        lines = train(
            model,
            iter(loader),
            share,
            args.minutes,
            folder / "training.jsonl",
            lambda: args.snapshots and write(args.snapshots),
        )
        write(folder)
        draw(lines, folder / "loss.png")
        sources = {
            n: {"licence": CATALOG[n].licence, "homepage": CATALOG[n].homepage, "split": "train"}
            for n in SOURCES
        }
        about = {
            "minutes": args.minutes,
            "threads": args.threads,
            "parameters": model.num_parameters(),
            "last": lines[-1],
            "sources": sources,
        }
        (folder / "data.json").write_text(
            json.dumps(about, ensure_ascii=False, indent=1), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
