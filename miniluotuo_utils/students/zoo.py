"""Read the zoo of students: one row of published facts each, from `zoo.tsv`. Shown in notebook 04.

In: a name. Out: a `Spec`: what the hub calls it, its configuration, licence and notes.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.moved import names as moved_names
from miniluotuo_utils.runtime import EMBEDDED

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

TABLE = Path(__file__).with_name("zoo.tsv")
KEPT = Path(__file__).with_name("zoo_memory.json")  # written by `scripts/notebooks.py tables`

# Columns that are fields of the configuration, by the names that most architectures use.
SIZES = (
    "num_hidden_layers",
    "hidden_size",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "intermediate_size",
    "vocab_size",
)

# Names of an architecture's own that transformers' `attribute_map` does not hold.
T5_NAMES = {"intermediate_size": "d_ff", "max_position_embeddings": "n_positions"}
OWN_NAMES = {
    "t5": T5_NAMES,
    "mt5": T5_NAMES,
    "bloom": {"max_position_embeddings": "seq_length"},
}


@dataclass(frozen=True)
class Spec:
    """One student of the zoo.

    `architecture` is transformers' native model type. `sizes` holds those fields of its published
    configuration that differ from transformers' defaults, by their common names (`hidden_size`, not
    GPT-2's `n_embd`). `context` counts tokens. `tokenizer` is byte-bpe, wordpiece or sentencepiece.
    `licence` is what the model's page states. `revision` is a commit that somebody read from the
    real repository, None where nobody looked (unverified). `learning_rate` is for full fine-tuning.
    `parameters` counts tied embeddings once.
    """

    hub: str | None
    family: str
    architecture: str
    context: int
    tokenizer: str
    sizes: Mapping[str, Any] = field(default_factory=dict)
    licence: str | None = None
    revision: str | None = None
    learning_rate: float = 2e-5
    note: str = ""
    parameters: int = 0

    @property
    def source(self) -> str:
        """What transformers loads: a hub id, or the folder inside the package."""
        return self.hub or str(EMBEDDED / "student")

    @property
    def link(self) -> str:
        """The model's page; empty for the student inside the package."""
        return f"https://huggingface.co/{self.hub}" if self.hub else ""

    def config(self) -> PreTrainedConfig:
        """Return the transformers configuration; no network is needed."""
        from transformers import CONFIG_MAPPING, AutoConfig

        if not self.hub:
            return AutoConfig.from_pretrained(self.source)

        # T5 derives its decoder's depth from `num_layers` only where it is called that.
        kind = CONFIG_MAPPING[self.architecture]
        own = {**kind.attribute_map, **OWN_NAMES.get(self.architecture, {})}
        return kind(**{own.get(name, name): value for name, value in self.sizes.items()})

    @property
    def own_head(self) -> bool:
        """Whether the checkpoint holds an output embedding of its own (T5 1.1), which transformers'
        T5 ties where it builds one anew.
        """
        t5 = self.architecture in ("t5", "mt5")
        return t5 and self.sizes.get("tie_word_embeddings") is False


def read_zoo() -> dict[str, Spec]:
    """Read the table of students, in its order; an empty cell is transformers' or `Spec`'s default.

    Parameters take a model to count them, so they come from what was counted once.
    """
    kept = json.loads(KEPT.read_text(encoding="utf-8"))
    with open(TABLE, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return {row["name"]: spec_of(row, kept.get(row["name"], {})) for row in rows}


def spec_of(row: Mapping[str, str], counted: Mapping[str, Any]) -> Spec:
    """Make a `Spec` from one row of the table; `settings` holds further fields as JSON."""
    context = int(row["context"])
    sizes = {name: int(row[name]) for name in SIZES if row[name]}
    sizes |= {"max_position_embeddings": context, **json.loads(row["settings"] or "{}")}
    return Spec(
        hub=row["hub"] or None,
        family=row["family"],
        architecture=row["architecture"],
        context=context,
        tokenizer=row["tokenizer"],
        sizes=sizes if row["hub"] else {},
        licence=row["licence"] or None,
        revision=row["revision"] or None,
        learning_rate=float(row["learning_rate"] or Spec.learning_rate),
        note=row["note"],
        parameters=counted.get("parameters", 0),
    )


ZOO: dict[str, Spec] = read_zoo()


__getattr__ = moved_names(__name__)
