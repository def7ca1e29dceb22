"""What the notebooks of Mini-Luotuo (迷你骆驼) share."""

import miniluotuo_utils.moved  # noqa: F401  names the new place of what moved
from miniluotuo_utils.runtime import Runtime, setup

__all__ = ["Runtime", "setup"]
