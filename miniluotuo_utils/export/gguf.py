"""Write a student as GGUF, the file of llama.cpp and Ollama.

In: a student. Out: a folder with `student.gguf` in float32, which llama.cpp, its bindings and its
server load, and a Modelfile for Ollama. Used by `export --to gguf`; shown in notebook 07.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from miniluotuo_utils.export.asking import SLOTS, asking, exported, template_of
from miniluotuo_utils.export.vocabulary import add_tokenizer, tokenizer_of
from miniluotuo_utils.files import DataError
from miniluotuo_utils.prompts import has_own_template
from miniluotuo_utils.students.lessons import write_lessons

if TYPE_CHECKING:
    import torch

    from miniluotuo_utils.students import Student

FLOAT32 = 0  # llama.cpp's file type


def to_gguf(
    student: Student,
    folder: Path | str,
    overwrite: bool = False,
    say: Callable[[str], None] | None = print,
) -> Path:
    """Write a student as a folder with a GGUF file and a Modelfile; return the folder.

    Says what llama.cpp does not carry (`not_carried`), and writes it into the folder's README.

    Raises ValueError for an encoder–decoder; DataError for a family, a setting or a tokenizer that
    llama.cpp would compute otherwise (`FAMILIES`, `vocabulary.tokenizer_of`); `Taken` where
    something stands that we did not write, or, without `overwrite`, an earlier export; OSError
    where the disk is full.
    """
    folder = Path(folder)
    with exported(student, folder, "gguf", overwrite) as whole:
        # What it is and what it has learned from: `push` asks before it publishes.
        student.model.config.save_pretrained(whole)
        write_lessons(whole, student.lessons)
        write_gguf(student, whole / "student.gguf")
        (whole / "Modelfile").write_text(modelfile(student), encoding="utf-8")
        notes = not_carried(student)
        page = README.format(name=student.name.removeprefix("./")) + "".join(
            f"\n{note}\n" for note in notes
        )
        (whole / "README.md").write_text(page, encoding="utf-8")
    for note in notes if say else ():
        say(note)
    return folder


def not_carried(student: Student) -> list[str]:
    """Return what llama.cpp or Ollama do otherwise than Python, a line each."""
    found = []
    if json.loads(student.tokenizer.backend_tokenizer.to_str())["normalizer"]:
        found.append(
            "llama.cpp 不做 Unicode 规整：分开写的重音符号，编号会不一样。 llama.cpp does not "
            "normalise Unicode: accents that are characters of their own get other ids."
        )
    if not has_own_template(student.tokenizer):
        found.append(
            "Alpaca 的提示里，输入有自己的一栏；服务器和 Ollama 只转交一条消息，按没有输入的格式"
            "提问。 Alpaca's wrapper has a field for the input; servers and Ollama hand on one "
            "message, which is asked in the form without input."
        )
    return found


# ---- families


class Family(NamedTuple):
    """How a family of models becomes one of llama.cpp's.

    `shape` writes the numbers that the graph is built from, `fixed` are settings that llama.cpp
    takes for granted. `transposed`: linear weights lie the other way round. `untied`: its loader
    wants the output's weights, though they be the embedding's (llama.cpp#12567).
    """

    shape: Callable[[Any, Any], None]
    fixed: dict[str, Any]
    transposed: tuple[str, ...] = ()
    untied: bool = False


def add_gpt2(writer: Any, config: Any) -> None:
    """Write the numbers of a GPT-2."""
    writer.add_feed_forward_length(config.n_inner or 4 * config.n_embd)
    writer.add_layer_norm_eps(config.layer_norm_epsilon)


def add_qwen2(writer: Any, config: Any) -> None:
    """Write the numbers of a Qwen2: rotary positions, grouped heads."""
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])


def add_qwen3(writer: Any, config: Any) -> None:
    """Write the numbers of a Qwen3, whose heads have a width of their own."""
    add_qwen2(writer, config)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)


QWEN = {"hidden_act": "silu", "use_sliding_window": False}
FAMILIES = {
    "gpt2": Family(
        add_gpt2,
        {
            "activation_function": "gelu_new",
            "scale_attn_weights": True,
            "scale_attn_by_inverse_layer_idx": False,
        },
        ("c_attn.weight", "c_proj.weight", "c_fc.weight"),
        untied=True,
    ),
    "qwen2": Family(add_qwen2, QWEN),
    "qwen3": Family(add_qwen3, {**QWEN, "attention_bias": False}),
}


def family_of(student: Student) -> Family:
    """Return the family of a student; DataError for one that is not written here, or that has a
    setting which llama.cpp does not read.
    """
    config = student.model.config
    if config.model_type not in FAMILIES:
        raise DataError(
            f"{student.name}：GGUF 这里只写 {'、'.join(FAMILIES)} 三种结构，用 --to onnx。 "
            f"{student.name}, field model_type: found {config.model_type!r}, expected one of "
            f"{', '.join(FAMILIES)}, which --to gguf knows; --to onnx takes nearly any decoder"
        )
    family = FAMILIES[config.model_type]
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    found = {name: getattr(config, name) for name in family.fixed} | {"rope_type": rope}
    for name, wanted in {**family.fixed, "rope_type": "default"}.items():
        if found[name] != wanted:
            raise DataError(
                f"{student.name}：llama.cpp 不看 {name}，算出来会不一样，用 --to onnx。 "
                f"{student.name}, field {name}: found {found[name]!r}, expected {wanted!r}, with "
                "which llama.cpp always computes; --to onnx keeps it"
            )
    return family


# ---- the file


def write_gguf(student: Student, path: Path) -> None:
    """Write one GGUF file of float32: shape, tokenizer, chat template, weights."""
    import gguf

    # What does not fit is said before anything is written.
    family, config = family_of(student), student.model.config
    tokenizer = tokenizer_of(student)
    names = gguf.get_tensor_name_map(
        {name: arch for arch, name in gguf.MODEL_ARCH_NAMES.items()}[config.model_type],
        config.num_hidden_layers,
    )

    writer = gguf.GGUFWriter(path, config.model_type)
    writer.add_name(student.name)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(student.context)
    writer.add_embedding_length(config.hidden_size)
    writer.add_head_count(config.num_attention_heads)
    family.shape(writer, config)
    writer.add_file_type(FLOAT32)
    add_tokenizer(writer, student, tokenizer)

    # llama.cpp's names for the weights; one that it does not know would be left out in silence.
    for name, weight in weights_of(student, family):
        place = names.get_name(name, (".weight", ".bias"))
        if place is None:
            raise DataError(
                f"{student.name}: found the weight {name}, which llama.cpp has none for"
            )
        writer.add_tensor(place, weight.detach().float().cpu().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def weights_of(student: Student, family: Family) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield every weight that llama.cpp reads, the way round that it reads it."""
    config, state = student.model.config, student.model.state_dict()
    tied = config.tie_word_embeddings and not family.untied
    for name, weight in state.items():
        # What is tied is written once: llama.cpp takes the embedding for the output too.
        if not (tied and name == "lm_head.weight"):
            yield name, weight.T.contiguous() if name.endswith(family.transposed) else weight


# ---- Ollama


def modelfile(student: Student) -> str:
    """Return the Modelfile with which Ollama asks a student as it was trained."""
    _, around = template_of(student, {"instruction": SLOTS[0]})
    ends = student.tokenizer.convert_ids_to_tokens(asking(student)["ends"])
    template = "{{ .Prompt }}".join(around)
    stops = "".join(f'PARAMETER stop "{text}"\n' for text in ends)
    return (
        f'FROM ./student.gguf\nTEMPLATE """{template}{{{{ .Response }}}}{ends[0]}"""\n'
        f"PARAMETER temperature 0\nPARAMETER num_ctx {student.context}\n{stops}"
    )


README = """# {name}：GGUF

给 llama.cpp 和 Ollama；权重是 float32，回答和 Python 里的一样。
*For llama.cpp and Ollama; in float32, so that it answers as in Python.*

```bash
llama-server -m student.gguf --jinja
ollama create my-student -f Modelfile
ollama create my-student -f Modelfile -q q8_0    # 四分之一大小，回答可能不一样
```

最后一行小到四分之一，回答可能不一样。
*The last line makes it a quarter of the size; answers may differ.*
"""
