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
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.export.asking import exported, write_asking, write_tokenizer
from miniluotuo_utils.files import DataError
from miniluotuo_utils.writing import is_full

if TYPE_CHECKING:
    import torch

    from miniluotuo_utils.students import Student

EXAMPLE = Path(__file__).with_name("example.py")
LARGEST = 1 << 31  # bytes that one ONNX file can hold: weights beyond that stand in others
UNTRACED = ("glm", "ernie4_5")  # pairs of neighbours are turned, by an operator that it lacks
# Sizes of a mixture of experts, which are counted by an operator that it lacks.
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
OPSET = 18  # what onnxruntime reads since 1.14, in Python and in browsers
INPUTS = ("input_ids", "attention_mask", "position_ids")


def to_onnx(student: Student, folder: Path | str, overwrite: bool = False) -> Path:
    """Write a student as a folder of ONNX in float32 and in int8; return the folder.

    The folder also holds the tokenizer, the chat template, `asking.json` (how the student is
    asked) and `example.py`, which runs it with onnxruntime, tokenizers and numpy alone. Of int8
    only the weights of matrix products are rounded, dynamically; its answers may differ.

    Raises ValueError for an encoder–decoder and for an adapter, DataError for a family that the
    exporter fails on, `Taken` where something stands that we did not write, or, without
    `overwrite`, an earlier export; OSError where the disk is full.
    """
    folder = Path(folder)
    with exported(student, folder, "onnx", overwrite) as whole:
        (whole / "onnx").mkdir()
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
    """Write a decoder with its cache as one ONNX file of float32: any batch, any length.

    Traced, by torch's older exporter: the newer one (`dynamo=True`) gives the same answers, takes
    many times as long and needs one more library.
    """
    import torch

    # A copy: the student goes on as it is, on its device and in its precision.
    model = deepcopy(student.model).to("cpu").float().eval()
    # What a training leaves around `forward` still calls the model that was copied.
    vars(model).pop("forward", None)
    inputs = [*INPUTS, *cache_names("past_key_values", model.config.num_hidden_layers)]
    outputs = ["logits", *cache_names("present", model.config.num_hidden_layers)]
    with torch.no_grad(), silent(), traceable(student):
        torch.onnx.export(
            with_cache(model),
            traced(model.config),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            dynamic_axes={name: axes(name) for name in (*inputs, *outputs)},
        )
    size = sum(weight.numel() for weight in model.parameters()) * 4
    if model.config.tie_word_embeddings and size < LARGEST:
        share_embedding(path)


@contextmanager
def traceable(student: Student) -> Iterator[None]:
    """Raise DataError for a model that torch's exporter fails on, which prints pages of its graph.

    An operator that ONNX lacks, a cache of another shape (Falcon), no cache at all (Mamba). A disk
    that fills is told of elsewhere.
    """
    config = student.model.config
    if any(getattr(config, name, None) for name in EXPERTS):
        raise untraced(student, "its experts")
    if config.model_type in UNTRACED:
        raise untraced(student, "its rotary positions")
    try:
        yield
    except (RuntimeError, AttributeError, TypeError, ValueError) as error:
        if is_full(error):
            raise
        raise untraced(student, str(error).strip().partition("\n")[0][:200]) from error


def untraced(student: Student, why: str) -> DataError:
    """Return the error of a model that cannot be written as ONNX."""
    kind = student.model.config.model_type
    return DataError(
        f"{student.name}：torch 的导出器写不出 {kind}，这个学生导不成 ONNX；用 serve。 "
        f"{student.name}, field model_type: found {kind!r}, which torch's exporter cannot write as "
        f"ONNX ({why}): take serve"
    )


def axes(name: str) -> dict[int, str]:
    """Return which axes of a tensor have no fixed size; transformers.js knows them by these names.

    >>> axes("present.0.key"), axes("input_ids")
    ({0: 'batch_size', 2: 'total_sequence_length'}, {0: 'batch_size', 1: 'sequence_length'})
    """
    kind, place = name.partition(".")[0], 2 if "." in name else 1
    length = {"past_key_values": "past_sequence_length", "present": "total_sequence_length"}
    length["attention_mask"] = "total_sequence_length"
    return {0: "batch_size", place: length.get(kind, "sequence_length")}


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

        def forward(self, input_ids, attention_mask, position_ids, *past):
            """Return logits [batch, length, vocabulary] and the cache with the new tokens."""
            output = self.model(
                input_ids=input_ids,
                attention_mask=attention_mask,
                past_key_values=DynamicCache(list(zip(past[::2], past[1::2], strict=True))),
                use_cache=True,
                **({"position_ids": position_ids} if positioned else {}),
            )
            layers = output.past_key_values.layers
            return output.logits, *chain.from_iterable((at.keys, at.values) for at in layers)

    return WithCache().eval()


def share_embedding(path: Path) -> None:
    """Write an embedding once that is the output's weights, too: the exporter turns and copies it.

    A session turns it back as it opens.
    """
    import numpy as np
    import onnx
    from onnx.numpy_helper import to_array as values

    # The last product of matrices is the output; a table that is read by ids is an embedding.
    model = onnx.load(path)
    nodes = model.graph.node
    weights = {one.name: one for one in model.graph.initializer}
    at = max(at for at, node in enumerate(nodes) if node.op_type == "MatMul")
    output = weights.get(nodes[at].input[1])
    tables = [node.input[0] for node in nodes if node.op_type == "Gather"]

    # Names say nothing after a trace: equal numbers do.
    for name in tables if output else ():
        if name in weights and np.array_equal(values(weights[name]).T, values(output)):
            turned = onnx.helper.make_node("Transpose", [name], ["turned"], perm=[1, 0])
            model.graph.initializer.remove(output)
            nodes[at].input[1] = "turned"
            nodes.insert(at, turned)
            onnx.save(model, path)
            return


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
    cache = [torch.randn(size) for _ in range(2 * config.num_hidden_layers)]
    ids = torch.zeros(batch, length, dtype=torch.long)
    mask = torch.ones(batch, past + length, dtype=torch.long)
    positions = torch.arange(past, past + length).repeat(batch, 1)
    return ids, mask, positions, *cache


@contextmanager
def silent() -> Iterator[None]:
    """Keep the exporters' own remarks back: on their age, on what a trace cannot see."""
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

    with silent():
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            use_external_data_format=len([*source.parent.iterdir()]) > 1,
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
