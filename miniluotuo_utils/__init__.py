"""迷你骆驼 Mini-Luotuo: how small Chinese language models are made, as notebooks. Start with `setup`."""

from miniluotuo_utils.runtime import Runtime, setup

__all__ = ["Runtime", "setup"]
