"""Ask a student through onnxruntime: `python example.py INSTRUCTION TEXT [--int8]`.

Beside this file stand asking.json, tokenizer.json and onnx/. Needs numpy, onnxruntime, tokenizers.
"""

import json
import sys
from pathlib import Path

import numpy as np
from onnxruntime import InferenceSession
from tokenizers import Tokenizer


def written(session: InferenceSession, prompt: list[int], ends: list[int], room: int) -> list[int]:
    """Return the greedy answer's ids; after the first step only the newest token goes in."""
    inputs = {one.name: one for one in session.get_inputs()}
    past = [one for name, one in inputs.items() if name.startswith("past_key_values")]
    cache = [np.zeros((1, one.shape[1], 0, one.shape[3]), np.float32) for one in past]
    ids, said = np.array([prompt]), []
    for seen in range(len(prompt), len(prompt) + room):
        given = {"input_ids": ids, "attention_mask": np.ones((1, seen), np.int64)}
        given["position_ids"] = np.arange(seen - ids.shape[1], seen)[None]
        given |= {one.name: part for one, part in zip(past, cache, strict=True)}
        logits, *cache = session.run(None, {name: given[name] for name in inputs})
        ids = logits[:, -1:].argmax(-1)
        if ids.item() in ends:
            break
        said.append(ids.item())
    return said


def answer(folder: Path, instruction: str, text: str, model: str = "model.onnx") -> str:
    """Return a student's answer of at most 128 tokens, asked as it was trained."""
    asking = json.loads((folder / "asking.json").read_text(encoding="utf-8"))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    session = InferenceSession(folder / "onnx" / model, providers=["CPUExecutionProvider"])
    before, between, after = asking["around"]
    prompt = before + instruction + between + text + after
    ids = asking["start"] + tokenizer.encode(prompt, add_special_tokens=False).ids
    room = min(128, asking["context"] - len(ids))
    said = tokenizer.decode(written(session, ids, asking["ends"], room))
    return said.replace("\ufffd", "")  # bytes that make no whole character


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--int8"]
    model = "model_int8.onnx" if "--int8" in sys.argv else "model.onnx"
    print(answer(Path(__file__).parent, *words, model=model))
