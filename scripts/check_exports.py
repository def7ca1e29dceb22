"""Check that other programs read a student as transformers does: same ids, same greedy answers.

    python scripts/check_exports.py STUDENT SENTENCES.jsonl --ways transformers onnx llama js
    python scripts/check_exports.py STUDENT SENTENCES.jsonl --ways js --node-modules FOLDER

In: a student folder, and JSON Lines with a field "sentence". Out: a line for each thing compared;
the exit status is 1 where something differs. Each way needs its own packages, which may lie in an
environment of their own: onnx and onnxruntime; gguf and xllamacpp; node with
@huggingface/transformers (`--node-modules` names the folder that holds `node_modules`).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from miniluotuo_utils.export import to_gguf, to_onnx
from miniluotuo_utils.export.trying import Llama
from miniluotuo_utils.files import DataError, read_jsonl
from miniluotuo_utils.students import load_student

SEED = 3
SPECIAL = "<|user|>你<|assistant|>好<|endoftext|><|pad|> <|user <<|user|>> <s></s><unk><0x41>"
NASTY = (
    *("", " ", "  ", "   甲  乙 ", "\n", "\n\n \n", "\r\n", "\t", "\x00\x01\x1f\x7f\x85", SPECIAL),
    *(
        "😀👨‍👩‍👧🇨🇳",
        "ＡＢＣ１２３",
        "　全角　",
        "▁",
        "▁▁a ▁",
        "café naïve",
        "e\u0301",
        "𠀀𪚥",
        "\ufffd\U0010ffff",
    ),
    *(
        "甲\ufeff乙",
        "\u200b\u200d",
        "한국어 日本語 ไทย עברית",
        "ﷺ",
        "1234567890",
        '{"人物":["马云","任正非"],"地点":[]}',
    ),
    *('"' * 20, '","' * 10, '"]' * 9, ',"' * 9, "{}{}{}"),
)
QUESTIONS = (
    "重复下面的话。",
    "找出句子里的实体，类型有：人物、地点、机构、时间。用JSON回答。",
)
NEEDED = {
    "transformers": ("torch", "transformers"),
    "onnx": ("torch", "onnx", "onnxruntime"),
    "llama": ("gguf", "xllamacpp"),
    "js": ("torch", "onnx"),
}


@dataclass
class Expected:
    """What transformers gives, and every other way is held to."""

    texts: list[str]
    ids: list[list[int]]
    messages: list[list[dict]]
    prompts: list[str]
    answers: list[list[int]]  # without the token that ends them
    end: int
    most: int


# ---- texts, ids and answers of transformers


def nasty_texts(pieces: list[str], count: int) -> Iterator[str]:
    """Yield texts that trip tokenizers up: odd characters, and pieces cut and joined at random."""
    rng = random.Random(SEED)
    yield from NASTY
    letters = sorted(set("".join(pieces)))
    for _ in range(count):
        yield "".join(rng.choices(letters, k=rng.randint(1, 30)))
        chosen = rng.choices(pieces, k=rng.randint(1, 12))
        yield "".join(piece[rng.randint(0, 3) :] for piece in chosen)
        yield "".join(map(odd_character, [rng] * rng.randint(1, 30)))


def odd_character(rng: random.Random) -> str:
    """Return a character of any script, a space, or the "▁" that stands for one elsewhere."""
    low, high = rng.choice([(0, 0x2FF), (0x2000, 0x30FF), (0x4E00, 0x9FFF), (0xE000, 0x10FFFF)])
    return rng.choice([chr(rng.randint(low, high))] * 8 + [" ", "▁"])


def long_pieces(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Return the tokens that merges make."""
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"].get("merges", [])
    return list(dict.fromkeys("".join(pair) for pair in merges)) or ["甲乙", "ab"]


def greedy(student: Path, prompts: list[list[int]], most: int) -> list[list[int]]:
    """Return the greedy answers of transformers in float32, one prompt at a time."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(student, dtype=torch.float32).eval()
    answers = []
    for ids in prompts:
        output = model.generate(torch.tensor([ids]), max_new_tokens=most, do_sample=False)
        answers.append(output[0, len(ids) :].tolist())
    return answers


def expected(student: Path, options: argparse.Namespace) -> Expected:
    """Return texts, ids, prompts and answers by transformers alone."""
    tokenizer = AutoTokenizer.from_pretrained(student)
    if not tokenizer.chat_template:
        raise DataError(f"{student}: no chat template, so nobody knows how to ask this student")
    sentences = (row["sentence"] for row in read_jsonl(options.file))
    texts = [*islice(sentences, options.sentences)]
    step = max(1, len(texts) // options.prompts)
    asked = [
        QUESTIONS[n % 2] + "\n" + text for n, text in enumerate(texts[::step][: options.prompts])
    ]
    messages = [[{"role": "user", "content": text}] for text in asked]
    prompts = [prompt_of(tokenizer, talk) for talk in messages]
    texts += nasty_texts(long_pieces(tokenizer), options.nasty)
    answers = greedy(student, [encoded(tokenizer, prompt) for prompt in prompts], options.tokens)
    end = tokenizer.eos_token_id
    ids = [encoded(tokenizer, text) for text in texts]
    answers = [cut(answer, end) for answer in answers]
    return Expected(texts, ids, messages, prompts, answers, end, options.tokens)


def prompt_of(tokenizer: PreTrainedTokenizerFast, talk: list[dict]) -> str:
    """Return a conversation as the chat template writes it, ready for the answer."""
    return tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)


def encoded(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    """Return the ids of a text as it is."""
    return tokenizer.encode(text, add_special_tokens=False)


def cut(ids: list[int], end: int) -> list[int]:
    """Return an answer up to the token that ends it.

    >>> cut([5, 6, 0, 1], 0)
    [5, 6]
    """
    return ids[: ids.index(end)] if end in ids else ids


def compared(what: str, found: list, wanted: list) -> tuple[bool, str]:
    """Return whether two lists are equal, and a line that says so or shows the first difference.

    >>> compared("ids", [1, 3], [1, 2])
    (False, 'ids: 1 of 2 equal; number 1: found 3, expected 2')
    """
    unequal = [n for n, pair in enumerate(zip(found, wanted, strict=True)) if pair[0] != pair[1]]
    line = f"{what}: {len(wanted) - len(unequal):,} of {len(wanted):,} equal"
    if unequal:
        first = unequal[0]
        line += f"; number {first}: found {found[first]!r}, expected {wanted[first]!r}"
    return not unequal, line


# ---- the ways


def check_transformers(student: Path, told: Expected) -> Iterator[tuple[bool, str]]:
    """Yield what plain transformers must give: lossless text, sane settings, its pipeline."""
    from transformers import pipeline

    tokenizer = AutoTokenizer.from_pretrained(student)
    yield compared("decoded", [tokenizer.decode(ids) for ids in told.ids], told.texts)
    yield compared(
        "with special tokens", [tokenizer.encode(t) for t in told.texts[:200]], told.ids[:200]
    )
    settings = ("bos_token", "eos_token_id", "padding_side", "model_max_length")
    config = json.loads((student / "config.json").read_text(encoding="utf-8"))
    wanted = [None, config["eos_token_id"], "left", config["max_position_embeddings"]]
    yield compared(f"settings {settings}", [getattr(tokenizer, name) for name in settings], wanted)
    pad = tokenizer.pad_token_id
    yield pad not in (None, told.end), f"pad token: {tokenizer.pad_token} ({pad})"

    answer = pipeline("text-generation", model=str(student), tokenizer=tokenizer, dtype="float32")
    asked = [answer(m, max_new_tokens=told.most, do_sample=False) for m in told.messages]
    texts = [output[0]["generated_text"][-1]["content"] for output in asked]
    yield compared("pipeline's answers", texts, [tokenizer.decode(ids) for ids in told.answers])


def check_onnx(student: Path, told: Expected) -> Iterator[tuple[bool, str]]:
    """Yield whether onnxruntime gives the same logits, alone and in a padded batch, and answers."""
    import torch
    from onnxruntime import InferenceSession
    from transformers import AutoModelForCausalLM

    from miniluotuo_utils.export.example import written

    model = AutoModelForCausalLM.from_pretrained(student, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(student)
    with tempfile.TemporaryDirectory() as folder:
        file = to_onnx(load_student(student), Path(folder) / student.name) / "onnx" / "model.onnx"
        session = InferenceSession(file, providers=["CPUExecutionProvider"])
    batch = tokenizer(told.prompts[:4], padding=True, add_special_tokens=False, return_tensors="pt")
    ids, mask = batch["input_ids"], batch["attention_mask"]
    places = (mask.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        wanted = model(ids, attention_mask=mask, position_ids=places).logits[mask == 1]
    given = {
        "input_ids": ids.numpy(),
        "attention_mask": mask.numpy(),
        "position_ids": places.numpy(),
    }
    empty = [one for one in session.get_inputs() if one.name.startswith("past_key_values")]
    shape = len(ids), empty[0].shape[1], 0, empty[0].shape[3]
    given |= {one.name: np.zeros(shape, np.float32) for one in empty}
    found = session.run(["logits"], given)[0][mask.numpy() == 1]
    apart = float((torch.tensor(found) - wanted).abs().max())
    size = float(wanted.abs().max())
    yield apart < 1e-4 * size, f"logits of a padded batch: at most {apart:.1e} apart, of {size:.1f}"
    prompts = [encoded(tokenizer, prompt) for prompt in told.prompts]
    answers = [written(session, ids, [told.end], told.most) for ids in prompts]
    yield compared("greedy answers", answers, told.answers)


def check_llama(student: Path, told: Expected) -> Iterator[tuple[bool, str]]:
    """Yield whether llama.cpp gives the same ids, prompts and answers from a GGUF in float32."""
    with tempfile.TemporaryDirectory() as folder:
        ask = Llama(to_gguf(load_student(student), Path(folder) / "out") / "student.gguf")
        parsed = {"add_special": True, "parse_special": True}
        found = [ask("/tokenize", content=text, **parsed)["tokens"] for text in told.texts]
        yield compared("ids", found, told.ids)
        prompts = [ask("/apply-template", messages=talk)["prompt"] for talk in told.messages]
        yield compared("prompts", prompts, told.prompts)
        fixed = {"n_predict": told.most, "samplers": ["top_k"], "top_k": 1, "return_tokens": True}
        answers = [ask("/completion", prompt=p, cache_prompt=False, **fixed) for p in told.prompts]
        answers = [cut(answer["tokens"], told.end) for answer in answers]
        yield compared("greedy answers", answers, told.answers)


def check_js(student: Path, told: Expected, modules: Path) -> Iterator[tuple[bool, str]]:
    """Yield whether transformers.js gives the same ids, texts, prompts and answers."""
    with tempfile.TemporaryDirectory() as folder:
        there = to_onnx(load_student(student), Path(folder) / "student")
        yield from compared_js(there, student, told, modules)


def compared_js(
    there: Path, student: Path, told: Expected, modules: Path
) -> Iterator[tuple[bool, str]]:
    """Yield what transformers.js gives for the export `there` of a student."""
    question = {
        "student": str(there.resolve()),
        "texts": told.texts,
        "messages": told.messages,
        "prompts": told.prompts,
        "template": AutoTokenizer.from_pretrained(student).chat_template,
        "tokens": told.most,
    }
    program = Path(__file__).with_name("check_exports.mjs")
    command = ["node", str(program), str(modules.resolve())]
    done = subprocess.run(
        command, input=json.dumps(question), capture_output=True, encoding="utf-8"
    )
    if done.returncode:
        raise DataError(f"{' '.join(command)} failed:\n{done.stderr[-1500:]}")
    # JSON keeps U+2028 and U+0085 as they are, where `splitlines` would cut it.
    found = json.loads(done.stdout.strip("\n").rpartition("\n")[2])
    yield compared("ids", found["ids"], told.ids)
    # It loses U+FEFF where that is written in bytes: its decoder takes it for a byte order mark.
    texts = [text.replace("\ufeff", "") for text in told.texts]
    yield compared("decoded", found["decoded"], texts)
    yield compared("prompts", found["prompts"], told.prompts)
    answers = [cut(answer, told.end) for answer in found["answers"]]
    yield compared("greedy answers", answers, told.answers)


# ---- the command


def missing(way: str, modules: Path) -> list[str]:
    """Return the packages that a way needs and that are not here."""
    absent = [name for name in NEEDED[way] if importlib.util.find_spec(name) is None]
    if way == "js" and shutil.which("node") is None:
        absent.append("node")
    if way == "js" and not (modules / "node_modules" / "@huggingface" / "transformers").is_dir():
        absent.append(f"@huggingface/transformers in {modules}/node_modules (npm install)")
    return absent


def checked(way: str, told: Expected, options: argparse.Namespace) -> Iterator[tuple[bool, str]]:
    """Yield what one way's checks found; a way whose packages are missing has not passed."""
    if absent := missing(way, options.node_modules):
        yield False, f"not checked, missing: {', '.join(absent)}"
    elif way == "js":
        yield from check_js(options.student, told, options.node_modules)
    else:
        ways = {"transformers": check_transformers, "onnx": check_onnx, "llama": check_llama}
        yield from ways[way](options.student, told)


def main() -> int:
    """Read the command line, check, and return how it ended."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("student", type=Path)
    parser.add_argument("file", type=Path, help='JSON Lines with a field "sentence"')
    parser.add_argument("--ways", nargs="+", choices=NEEDED, default=list(NEEDED))
    parser.add_argument("--sentences", type=int, default=10_000)
    parser.add_argument("--nasty", type=int, default=3_000, help="a third of the odd texts")
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=64, help="of an answer, at most")
    parser.add_argument("--node-modules", type=Path, default=Path())
    options = parser.parse_args()
    told = expected(options.student, options)
    passed = True
    for way in options.ways:
        for good, line in checked(way, told, options):
            print("pass" if good else "FAIL", way, line, flush=True)
            passed &= good
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
