"""What the notebooks of Mini-Luotuo (迷你骆驼) share."""

import miniluotuo_utils.extras  # noqa: F401  names the extra that brings what is not installed
from miniluotuo_utils.moved import names as moved_names
from miniluotuo_utils.runtime import Runtime, setup

__all__ = ["Runtime", "setup"]
__getattr__ = moved_names(__name__)
