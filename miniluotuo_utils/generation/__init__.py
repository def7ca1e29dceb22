"""00 and 07: answers of a student, in batches or piece by piece."""

from miniluotuo_utils.generation.answers import as_published, generate
from miniluotuo_utils.generation.streaming import stream, whole_characters

__all__ = ["as_published", "generate", "stream", "whole_characters"]
