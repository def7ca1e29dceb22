"""Everything a notebook shows: pictures, highlighted text, forms."""

from miniluotuo_utils.moved import names as moved_names
from miniluotuo_utils.show.cleaning import mended, removed
from miniluotuo_utils.show.correcting import correction_form
from miniluotuo_utils.show.doubts import suspect_table
from miniluotuo_utils.show.exercises import check
from miniluotuo_utils.show.forms import (
    agreement_table,
    error_examples,
    explorer,
    live_loss,
    question_box,
    rating_form,
)
from miniluotuo_utils.show.html import (
    coloured_tokens,
    difference,
    folded,
    highlight,
    highlight_rows,
    html,
    shifted_tokens,
    shown,
    source_of,
    table,
)
from miniluotuo_utils.show.page import plain
from miniluotuo_utils.show.scores import faults, moved, scores
from miniluotuo_utils.show.words import native, said

__all__ = [
    "agreement_table",
    "check",
    "coloured_tokens",
    "correction_form",
    "difference",
    "error_examples",
    "explorer",
    "faults",
    "folded",
    "highlight",
    "highlight_rows",
    "html",
    "live_loss",
    "mended",
    "moved",
    "native",
    "plain",
    "question_box",
    "rating_form",
    "removed",
    "said",
    "scores",
    "shifted_tokens",
    "shown",
    "source_of",
    "suspect_table",
    "table",
]
__getattr__ = moved_names(__name__)
