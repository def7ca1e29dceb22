"""Write a student as ONNX, with its key–value cache, as transformers.js and onnxruntime take it.

In: a student. Out: a folder with `onnx/model.onnx` in float32 and `onnx/model_int8.onnx`, inputs
and outputs named as in the repositories of `onnx-community`, and a program of forty lines that
runs them. Used by `export --to onnx`; shown in notebook 07.
"""

from __future__ import annotations

import inspect
import logging
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.export.asking import decoder_only, write_asking, write_tokenizer
from miniluotuo_utils.files import written_whole
from miniluotuo_utils.writing import check_folder

if TYPE_CHECKING:
    import torch

    from miniluotuo_utils.students import Student

EXAMPLE = Path(__file__).with_name("example.py")
LARGEST = 1 << 31  # bytes that one ONNX file can hold: weights beyond that stand in a second one


def to_onnx(student: Student, folder: Path | str, overwrite: bool = False) -> Path:
    """Write a student as a folder of ONNX in float32 and in int8; return the folder.

    The folder also holds the tokenizer, the chat template, `asking.json` (how the student is
    asked) and `example.py`, which runs it with onnxruntime, tokenizers and numpy alone. Of int8
    only the weights of matrix products are rounded, dynamically; its answers may differ.

    Raises ValueError for an encoder–decoder, `Taken` where something stands that we did not write,
    or, without `overwrite`, an earlier export; OSError where the disk is full.
    """
    folder = Path(folder)
    decoder_only(student, "onnx")
    check_folder(folder.resolve(), folder.name, overwrite)
    with written_whole(folder, overwrite) as whole:
        (whole / "onnx").mkdir(parents=True)
        write_tokenizer(student, whole)
        write_asking(student, whole / "asking.json")
        shutil.copyfile(EXAMPLE, whole / "example.py")
        (whole / "README.md").write_text(
            README.format(name=student.name.removeprefix("./")), encoding="utf-8"
        )
        write_onnx(student, whole / "onnx" / "model.onnx")
        write_int8(whole / "onnx" / "model.onnx", whole / "onnx" / "model_int8.onnx")
    return folder


def write_onnx(student: Student, path: Path) -> None:
    """Write a decoder with its cache as one ONNX file of float32: any batch, any length."""
    import onnxscript  # noqa: F401  (torch's exporter stands on it; here its lack is said in words)
    import torch

    # A copy: the student goes on as it is, on its device and in its precision.
    model = deepcopy(student.model).to("cpu").float().eval().requires_grad_(False)
    layers = model.config.num_hidden_layers
    now = {0: "batch_size", 1: "sequence_length"}
    whole = {0: "batch_size", 1: "total_sequence_length"}
    before = {0: "batch_size", 2: "past_sequence_length"}
    with torch.no_grad(), silent():
        program = torch.onnx.export(
            with_cache(model),
            traced(model.config),
            dynamo=True,
            dynamic_shapes=(now, whole, now, [(before, before)] * layers),
            input_names=[*INPUTS, *cache_names("past_key_values", layers)],
            output_names=["logits", *cache_names("present", layers)],
            external_data=False,
            verbose=False,
        )
    size = sum(weight.numel() for weight in model.parameters()) * 4
    program.save(path, external_data=size > LARGEST)


INPUTS = ("input_ids", "attention_mask", "position_ids")


def with_cache(model: Any) -> torch.nn.Module:
    """Return a student that takes its cache as plain tensors and gives it back so."""
    import torch
    from transformers import DynamicCache

    # BLOOM reads positions off the mask.
    positioned = "position_ids" in inspect.signature(model.forward).parameters

    class WithCache(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask, position_ids, past):
            """Return logits [batch, length, vocabulary] and the cache with the new tokens."""
            output = self.model(
                input_ids=input_ids,
                attention_mask=attention_mask,
                past_key_values=DynamicCache(past),
                use_cache=True,
                **({"position_ids": position_ids} if positioned else {}),
            )
            return output.logits, [(at.keys, at.values) for at in output.past_key_values.layers]

    return WithCache().eval()


def cache_names(prefix: str, layers: int) -> list[str]:
    """Return the names of a cache's tensors, in order.

    >>> cache_names("present", 1)
    ['present.0.key', 'present.0.value']
    """
    return [f"{prefix}.{layer}.{part}" for layer in range(layers) for part in ("key", "value")]


def cache_shape(config: Any) -> tuple[int, int]:
    """Return how many heads a cache has and how wide each is.

    >>> from types import SimpleNamespace
    >>> cache_shape(SimpleNamespace(num_attention_heads=4, hidden_size=256))
    (4, 64)
    """
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return heads, width


def traced(config: Any, batch: int = 2, length: int = 3, past: int = 4) -> tuple:
    """Return inputs of no meaning to trace a student with."""
    import torch

    heads, width = cache_shape(config)
    size = (batch, heads, past, width)
    cache = [(torch.randn(size), torch.randn(size)) for _ in range(config.num_hidden_layers)]
    ids = torch.zeros(batch, length, dtype=torch.long)
    mask = torch.ones(batch, past + length, dtype=torch.long)
    positions = torch.arange(past, past + length).repeat(batch, 1)
    return ids, mask, positions, cache


@contextmanager
def silent() -> Iterator[None]:
    """Keep the exporter's own remarks back: on torchvision, on axes that share a name."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def write_int8(source: Path, target: Path) -> None:
    """Write the same model with the weights of its matrix products in 8 bits, a scale a column."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    large = source.stat().st_size > LARGEST or source.with_name(source.name + ".data").is_file()
    with silent():
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            use_external_data_format=large,
        )


README = """# {name}：ONNX

`onnx/model.onnx` 是 float32，`onnx/model_int8.onnx` 的矩阵是 8 位：小得多，回答可能不一样。
*`onnx/model.onnx` is float32; the matrices of `onnx/model_int8.onnx` have 8 bits: much smaller,
and its answers may differ.*

```bash
pip install numpy onnxruntime tokenizers
python example.py "找出句子里的实体，类型有：人物、地点。用JSON回答。" "苏轼在黄州写下《赤壁赋》。"
```

文件夹的样子和 transformers.js 要的一样，`asking.json` 写着怎样提问。
*The folder is laid out as transformers.js takes it; `asking.json` says how the student is asked.*
"""
