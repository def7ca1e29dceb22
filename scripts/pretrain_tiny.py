"""Pretrain the tiny base that makes `smoke` mean something, and write it to `miniluotuo_utils/embedded/student/`.

    MINILUOTUO_MIRROR=… python scripts/pretrain_tiny.py --minutes 60 --threads 1

Reads only sources whose stated licence allows it (see `SOURCES`) and text written for this project; never a test or
evaluation split. Copying is what a student needs for extraction and what comes latest, so most rows practise it:
repeat, complete, pull out brackets, list words of a kind. Writes the model (bf16 safetensors), its tokenizer,
`training.jsonl` (the log, one line per 50 steps), `data.json` (sources, licences, rows) and `loss.png`.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import torch
from tiny_tokenizer import build
from transformers import GPT2Config, GPT2LMHeadModel

from miniluotuo_utils.data import CATALOG
from miniluotuo_utils.data.catalog import read
from miniluotuo_utils.records import read_jsonl
from miniluotuo_utils.runtime import EMBEDDED, written_whole
from miniluotuo_utils.students.finetune import supervised_loss
from miniluotuo_utils.tokens import collate, encode, pack

SOURCES = ("finre", "deepke-re", "oasst-zh", "thuocl", "embedded-instructions")  # all state MIT, Apache-2.0, or are ours
KINDS = {"diming": "地点", "lishimingren": "人物", "animal": "动物", "food": "食物", "car": "汽车", "medical": "医学词", "law": "法律词"}
DEEPKE_TYPES = {"出生地": ("人物", "地点"), "总部地点": ("机构", "地点"), "毕业院校": ("人物", "机构"), "导演": ("作品", "人物"),
                "主演": ("作品", "人物"), "作者": ("作品", "人物"), "出版社": ("作品", "机构"), "创始人": ("机构", "人物"),
                "成立日期": ("机构", "时间"), "出生日期": ("人物", "时间"), "歌手": ("作品", "人物"), "作曲": ("作品", "人物"),
                "作词": ("作品", "人物"), "所属专辑": ("作品", "作品"), "祖籍": ("人物", "地点"), "上映时间": ("作品", "时间"),
                "连载网站": ("作品", "机构"), "所在城市": ("地点", "地点"), "首都": ("地点", "地点"), "制片人": ("作品", "人物"),
                "编剧": ("作品", "人物"), "董事长": ("机构", "人物"), "丈夫": ("人物", "人物"), "妻子": ("人物", "人物")}  # fmt: skip
LENGTH, BATCH, PEAK = 384, 12, 2e-3


def row(instruction: str, input: str, output: str) -> dict:
    """An instruction row of this script."""
    return {"instruction": instruction, "input": input, "output": output}


def chinese(chat: dict) -> bool:
    """Whether most of a chat's question and answer is Chinese."""
    text = chat["instruction"] + chat["output"]
    return sum("\u4e00" <= c <= "\u9fff" for c in text) > 0.6 * len(text)


def dump(value: object) -> str:
    """Compact JSON, the students' answer format."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Material:
    """The texts that the tasks draw from: sentences, chats, pairs with relations, words by kind."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.relations: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
        self.typed: dict[str, dict[str, str]] = defaultdict(dict)
        self.names: dict[str, list[str]] = defaultdict(list)
        for source in ("finre", "deepke-re"):
            for record in read(source, "train"):
                self.take(record)
        self.chats = [r for r in read("oasst-zh", "train") if 4 < len(r["output"]) < 300 and chinese(r) and not r.get("history")]
        self.bank = list(read("embedded-instructions", "train")) if (EMBEDDED / "bank.jsonl").exists() else []
        self.words = {kind: [] for kind in KINDS.values()}
        for item in read("thuocl", "train"):
            kind = KINDS.get(item["source"].rpartition("_")[2])
            if kind and 2 <= len(item["word"]) <= 8 and (item["frequency"] or 0) > 30:
                self.words[kind].append(item["word"])
        self.seen_words = {w for words in self.words.values() for w in words}
        answers = (p for chat in self.chats for p in re.split(r"(?<=[。！？])|\n", chat["output"]))
        prose = [p.strip() for p in answers if 12 <= len(p.strip()) <= 80]
        self.sentences = [s for s in self.relations if 10 <= len(s) <= 90] + prose * 2

    def take(self, record: dict) -> None:
        """Keep one record's pair, and what its relation tells about the types of its two names."""
        sentence = self.tidy(record["sentence"])
        pairs = self.relations[sentence]
        for found in record["relations"]:
            head, kind, tail = found["head"]["name"], found["type"], found["tail"]["name"]
            if head not in sentence or tail not in sentence:
                continue
            pairs.append((head, kind, tail))
            if kind in DEEPKE_TYPES:
                for name, of in zip((head, tail), DEEPKE_TYPES[kind], strict=True):
                    self.typed[sentence][name] = of
                    self.names[of].append(name)

    def tidy(self, sentence: str) -> str:
        """FinRE writes every number as `<N>` and its commas half-width: plain numbers and Chinese commas again.

        The numbers depend only on the sentence, because FinRE repeats a sentence once per pair.
        """
        rng = random.Random(sentence)
        sentence = re.sub(r"(?<=[^0-9a-zA-Z]),|,(?=[^0-9a-zA-Z])", "，", sentence)
        return re.sub("<N>", lambda _: str(rng.choice([rng.randint(1, 30), rng.randint(1, 12), rng.randint(1990, 2020)])), sentence)


def repeat(m: Material) -> dict:
    """Say a sentence again, or its first or last half sentence."""
    sentence = m.rng.choice(m.sentences)
    parts = [p for p in re.split(r"[，。；]", sentence) if p]
    return m.rng.choice([
        row("重复下面这句话。", sentence, sentence),
        row("写出这句话的第一个分句。", sentence, parts[0] if parts else sentence),
        row("写出这句话的最后一个分句。", sentence, parts[-1] if parts else sentence),
    ])  # fmt: skip


def complete(m: Material) -> dict:
    """Given the first characters of a piece, copy on to a given last character."""
    sentence = m.rng.choice(m.sentences)
    start = m.rng.randrange(len(sentence) - 5)
    piece = sentence[start : start + m.rng.randint(3, 10)]
    return row(f"抄出从“{piece[:2]}”开始的{len(piece)}个字。", sentence, piece)


def brackets(m: Material) -> dict:
    """Pull out the bracketed pieces, as a JSON list."""
    sentence = m.rng.choice(m.sentences)
    cuts = sorted(m.rng.sample(range(1, len(sentence)), min(m.rng.choice([2, 2, 4]), len(sentence) - 1) // 2 * 2))
    pieces, marked, last = [], "", 0
    for start, end in zip(cuts[::2], cuts[1::2], strict=True):
        end = min(end, start + 8)
        marked += f"{sentence[last:start]}【{sentence[start:end]}】"
        pieces.append(sentence[start:end])
        last = end
    return row("把【】里的内容列成JSON。", marked + sentence[last:], dump(pieces))


def words(m: Material) -> dict:
    """A sentence with planted words of two or three kinds; list them by kind."""
    kinds = m.rng.sample(list(m.words), m.rng.randint(2, 4))
    planted = {kind: m.rng.sample(m.words[kind], m.rng.choice([0, 1, 1, 2])) for kind in kinds}
    bits = [(w, k) for k, ws in planted.items() for w in ws]
    m.rng.shuffle(bits)
    fillers = [m.rng.choice(m.sentences)[: m.rng.randint(2, 12)] for _ in range(len(bits) + 1)]
    sentence = fillers[0] + "".join(w + f for (w, _), f in zip(bits, fillers[1:], strict=True))
    found = {k: sorted(planted[k], key=sentence.find) for k in kinds if planted[k]}
    return row(ask_entities(m, kinds), sentence, dump(found))


def ask_entities(m: Material, kinds: list[str]) -> str:
    """One of several ways to ask for names by type."""
    joined = "、".join(kinds)
    return m.rng.choice([
        f"找出句子里的实体，类型有：{joined}。用JSON回答。", f"句子里有哪些{joined}？按类型列成JSON。",
        f"抽取下列类型的名称：{joined}。输出JSON。", f"按类型（{joined}）整理句中出现的名称，写成JSON。",
    ])  # fmt: skip


def gather(sentence: str, typed: dict[str, str], order: list[str]) -> dict[str, list[str]]:
    """Names by type in order of position, only the types that occur."""
    names = sorted(typed, key=sentence.find)
    return {k: [n for n in names if typed[n] == k] for k in order if k in typed.values()}


def entities(m: Material) -> dict:
    """Names by type from DeepKE's pairs: half of the time other names of the same type are put in their places."""
    sentence = m.rng.choice(list(m.typed))
    typed = dict(m.typed[sentence])
    if m.rng.random() < 0.6:
        for name, kind in list(typed.items()):
            other = m.rng.choice(m.names[kind])
            if sentence.count(name) == 1 and other not in sentence:
                sentence = sentence.replace(name, other)
                typed[other] = typed.pop(name)
    kinds = list(dict.fromkeys([*typed.values(), *m.rng.sample(["人物", "地点", "机构", "作品", "时间"], 2)]))
    m.rng.shuffle(kinds)
    return row(ask_entities(m, kinds), sentence, dump(gather(sentence, typed, kinds)))


def relations(m: Material) -> dict:
    """Relations of a sentence as pairs of names by type."""
    sentence = m.rng.choice(m.related)
    pairs = m.relations[sentence]
    kinds = list(dict.fromkeys([*(k for _, k, _ in pairs), *m.rng.sample(m.kinds, 2)]))
    m.rng.shuffle(kinds)
    found = {k: [[h, t] for h, of, t in pairs if of == k] for k in kinds if any(of == k for _, of, _ in pairs)}
    return row(f"找出句子里的关系，类型有：{'、'.join(kinds)}。用JSON回答。", sentence, dump(found))


def plain(m: Material) -> dict:
    """Text as it is: every token is supervised."""
    return {"text": m.rng.choice(m.sentences)}


def chat(m: Material) -> dict:
    """A question and its answer, ours or OpenAssistant's."""
    return m.rng.choice(m.bank if m.bank and m.rng.random() < 0.6 else m.chats)


MENU = {repeat: 10, complete: 8, brackets: 8, words: 22, entities: 16, relations: 8, plain: 14, chat: 14}


def rows_of(m: Material) -> Iterator[dict]:
    """An endless mixture of the menu's tasks."""
    makers, weights = list(MENU), list(MENU.values())
    while True:
        yield m.rng.choices(makers, weights)[0](m)


def sequences(m: Material, tokenizer, per_round: int = 1200) -> Iterator[dict]:
    """Endless packed sequences: texts fully supervised, tasks on their answers only."""
    stream = rows_of(m)
    while True:
        rows = [next(stream) for _ in range(per_round)]
        encoded = encode([r for r in rows if "text" not in r], tokenizer, LENGTH).rows
        for text in (r["text"] for r in rows if "text" in r):
            ids = (tokenizer(text, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id])[:LENGTH]
            encoded.append({"input_ids": ids, "labels": list(ids)})
        packed = pack(encoded, LENGTH)
        m.rng.shuffle(packed)
        yield from packed


def train(model: GPT2LMHeadModel, batches: Iterator, minutes: float, log: Path) -> list[dict]:
    """AdamW with warm-up, a flat stretch and a linear fall over the last third, all measured in wall time."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    start, lines, tokens, supervised, sums = time.time(), [], 0, 0, [0.0, 0]
    step = 0
    while (share := (time.time() - start) / (minutes * 60)) < 1:
        step += 1
        for group in optimizer.param_groups:
            group["lr"] = PEAK * min(1, step / 100, max(0.02, (1 - share) / 0.35))
        batch = next(batches)
        with torch.autocast("cpu", torch.bfloat16):
            loss = supervised_loss(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        tokens, supervised = tokens + batch["input_ids"].numel(), supervised + int((batch["labels"] != -100).sum())
        sums = [sums[0] + float(loss.detach()), sums[1] + 1]
        if step % 50 == 0:
            lines.append({"step": step, "seconds": round(time.time() - start), "tokens": tokens, "supervised": supervised,
                          "loss": round(sums[0] / sums[1], 4)})  # fmt: skip
            sums = [0.0, 0]
            with open(log, "a", encoding="utf-8") as file:
                file.write(json.dumps(lines[-1]) + "\n")
            if step % 500 == 0:
                print(lines[-1], flush=True)
        if not math.isfinite(float(loss.detach())):
            raise FloatingPointError(f"loss is {float(loss)} at step {step}; lower PEAK")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=EMBEDDED / "student")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(7)
    material = Material(random.Random(7))
    material.related = [s for s, pairs in material.relations.items() if pairs]
    material.kinds = [k for k, _ in Counter(k for pairs in material.relations.values() for _, k, _ in pairs).most_common(60)]
    ours = [r[f] for r in material.bank for f in ("instruction", "input", "output")]
    ours += [r["sentence"] for t in ("ner", "re", "ee") for p in [EMBEDDED / f"{t}_train.jsonl"] if p.exists() for r in read_jsonl(p)]
    tokenizer = build([*material.sentences, *material.seen_words, *(c["output"] for c in material.chats), *ours * 20])
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=512, n_embd=256, n_layer=4, n_head=4, resid_pdrop=0.0,
                        embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0, pad_token_id=1)  # fmt: skip
    model = GPT2LMHeadModel(config)
    print(f"{model.num_parameters():,} parameters, {len(material.sentences):,} sentences, {len(material.chats)} chats, "
          f"{len(material.bank)} of our pairs", flush=True)  # fmt: skip
    stream = sequences(material, tokenizer)
    batches = (collate([next(stream) for _ in range(BATCH)], tokenizer.pad_token_id) for _ in iter(int, 1))
    with written_whole(args.out) as folder:
        folder.mkdir()
        lines = train(model.train(), batches, args.minutes, folder / "training.jsonl")
        model.to(torch.bfloat16).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        listed = {n: {"licence": CATALOG[n].licence, "homepage": CATALOG[n].homepage, "split": "train"} for n in SOURCES}
        about = {"minutes": args.minutes, "threads": args.threads, "parameters": model.num_parameters(), "last": lines[-1], "sources": listed}
        (folder / "data.json").write_text(json.dumps(about, ensure_ascii=False, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
