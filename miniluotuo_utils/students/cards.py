"""Show the zoo as a table, in the notebook and in this folder's README.

In: the zoo. Out: one dict of texts per student. Training memory takes seconds per student to
compute, so it stands in `zoo_memory.json`, which `python scripts/notebooks.py tables` writes anew.
Shown in notebook 04.
"""

from __future__ import annotations

import json
from hashlib import sha256

from miniluotuo_utils.students.devices import GIB
from miniluotuo_utils.students.estimate import layers_of
from miniluotuo_utils.students.zoo import KEPT, ZOO, Spec


def zoo_table() -> list[dict[str, str]]:
    """Return the zoo as the notebook and the README show it: one dict of texts per student.

    Memory is in GiB, for one row of 1,024 tokens (or of the context, where that is shorter).
    """
    kept = json.loads(KEPT.read_text(encoding="utf-8"))
    return [zoo_row(name, spec, kept.get(name, {})) for name, spec in ZOO.items()]


def zoo_row(name: str, spec: Spec, memory: dict) -> dict[str, str]:
    """Return one row of `zoo_table`, without memory that was computed for another configuration."""
    config = spec.config()
    layers = "+".join(str(number) for number in layers_of(config) if number)
    current = memory.get("configuration") == fingerprint(spec)
    gib = {
        method: f"{memory[method] / GIB:.1f}" if current else "—"
        for method in ("full", "lora", "qlora")
    }
    return {
        "名字 name": name,
        "链接 link": spec.link or "随包提供 in the package",
        "家族 family": spec.family,
        "架构 architecture": spec.architecture,
        "宽×层 width×layers": f"{config.hidden_size}×{layers}",
        "参数 parameters": shown(spec.parameters),
        "上下文 context": f"{spec.context:,}",
        "词表 tokenizer": f"{spec.tokenizer} {config.vocab_size:,}",
        "许可证 licence": spec.licence or "未查 not looked up",
        "版本 revision": spec.revision or ("未核实 unverified" if spec.hub else "—"),
        "全参数 full GiB": gib["full"],
        "LoRA GiB": gib["lora"],
        "QLoRA GiB": gib["qlora"],
        "备注 note": spec.note,
    }


def shown(parameters: int) -> str:
    """Return a number of parameters for a table.

    >>> shown(60_506_624), shown(1_315_575_808)
    ('60.5 M', '1.32 B')
    """
    return f"{parameters / 1e9:.2f} B" if parameters >= 1e9 else f"{parameters / 1e6:.1f} M"


def fingerprint(spec: Spec) -> str:
    """Return sixteen digits that change with the configuration's sizes or the context."""
    config = spec.config()
    facts = [
        spec.architecture,
        spec.context,
        dict(spec.sizes),
        config.vocab_size,
        config.hidden_size,
        config.num_hidden_layers,
    ]
    return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
