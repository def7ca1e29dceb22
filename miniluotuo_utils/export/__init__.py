"""07: a student outside of Python: a page in the browser, ONNX, GGUF."""

from miniluotuo_utils.export.browser import to_browser
from miniluotuo_utils.export.gguf import to_gguf
from miniluotuo_utils.export.onnx import to_onnx

__all__ = ["to_browser", "to_gguf", "to_onnx"]
