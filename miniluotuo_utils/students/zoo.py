"""The student zoo: one table of students, and `load_student`, which takes a zoo name, a local folder or a hub id.

In: a name. Out: a `Student`: model and tokenizer that belong together. Shown in notebooks 00 and 04.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from miniluotuo_utils.runtime import EMBEDDED

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Spec:
    """One student of the zoo. `revision` is null where nobody read it from the real repository (unverified)."""

    hub: str | None
    parameters: str
    context: int
    revision: str | None = None
    learning_rate: float = 2e-5  # for full fine-tuning
    note: str = ""

    @property
    def source(self) -> str:
        """What transformers loads: a hub id, or the folder inside the package."""
        return self.hub or str(EMBEDDED / "student")


ZOO: dict[str, Spec] = {
    "tiny": Spec(None, "4.5 M", 512, learning_rate=1e-3, note="ships in the package; pretrained by scripts/pretrain_tiny.py"),
    "wenzhong-110m": Spec("IDEA-CCNL/Wenzhong-GPT2-110M", "124 M", 1024, note="GPT-2, English byte-level BPE"),
    "wenzhong-3.5b": Spec("IDEA-CCNL/Wenzhong2.0-GPT2-3.5B-chinese", "3.55 B", 1024, note="30 layers × 3072; one 7 GB .bin"),
    "luotuo-110m": Spec("Midkey/GPT2-110M-chinese-ft-luotuo", "124 M", 1024, note="Mini-Luotuo, fine-tuned"),
    "luotuo-312m": Spec("Midkey/GPT2-312M-chinese-ft-BertTokenizer-luotuo", "312 M", 1024, note="its BertTokenizer loses text"),
    "luotuo-3.5b": Spec("Midkey/GPT2-3.5B-chinese-ft-luotuo", "3.55 B", 1024, note="Mini-Luotuo, fine-tuned"),
}


@dataclass
class Student:
    """A model and its tokenizer; `name` is the zoo name or hub id that an adapter writes down as its base."""

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    @property
    def context(self) -> int:
        """How many tokens fit, prompt and answer together."""
        return self.model.config.max_position_embeddings

    @property
    def parameters(self) -> int:
        """Number of parameters, counted."""
        return self.model.num_parameters()  # knows that 4-bit weights are packed two to a byte


def load_student(name: str | Path, device: str | None = None, dtype: str = "float32", bits: int | None = None) -> Student:
    """A student by zoo name, folder (a whole model or an adapter) or hub id, ready to generate.

    `bits=4` loads it in 4-bit NF4 (needs a GPU and bitsandbytes). Raises FileNotFoundError for a folder that is not
    there and OSError, from transformers, for a hub id that cannot be had.
    """
    folder = Path(name)
    if (folder / "adapter_config.json").is_file():
        return load_adapter(folder, device, dtype, bits)
    if folder.is_absolute() and not folder.is_dir():
        raise FileNotFoundError(f"no student folder {folder.name}; run notebook 04 first, or name one of: {', '.join(ZOO)}")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    spec = ZOO.get(str(name))
    source, revision = (spec.source, spec.revision) if spec else (str(name), None)
    tokenizer = AutoTokenizer.from_pretrained(source, revision=revision, padding_side="left")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model = AutoModelForCausalLM.from_pretrained(source, revision=revision, dtype=dtype, **placement(device, dtype, bits))
    if bits is None and device:
        model = model.to(device)
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return Student(folder.name if folder.is_dir() else str(name), model.eval(), tokenizer)


def placement(device: str | None, dtype: str, bits: int | None) -> dict:
    """The extra arguments of `from_pretrained` for a 4-bit student; none for an ordinary one."""
    if bits is None:
        return {}
    if bits != 4:
        raise ValueError(f"bits is {bits}; expected 4 or None")
    from transformers import BitsAndBytesConfig

    four = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype)
    return {"quantization_config": four, "device_map": {"": device or "cuda"}}


@contextmanager
def quiet() -> Iterator[None]:
    """Without the libraries' notes to their own developers, which a reader can do nothing about; errors stay."""
    from transformers.utils import logging as transformers_logging

    kept = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*(fan_in_fan_out|Could not find a config file).*")
        try:
            yield
        finally:
            transformers_logging.set_verbosity(kept)


def load_adapter(folder: Path, device: str | None, dtype: str, bits: int | None) -> Student:
    """An adapter folder on the base that its configuration names."""
    base_name = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"]
    base = load_student(base_name, device, dtype, bits)
    with quiet():
        from peft import PeftModel

        return Student(base_name, PeftModel.from_pretrained(base.model, str(folder)).eval(), base.tokenizer)


def trained_student(folder: Path, fallback: str, **how: object) -> tuple[Student, bool]:
    """The student of `folder` if notebook 04 left one there, else the zoo's `fallback`; and whether it was there."""
    there = (folder / "run.json").is_file()  # written last, so a folder without it is not whole
    return load_student(folder if there else fallback, **how), there
