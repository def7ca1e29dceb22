"""Everything a notebook shows: pictures, coloured text, forms."""

from miniluotuo_utils.show.forms import (
    error_examples,
    explorer,
    live_loss,
    question_box,
    rater,
    rating_form,
)
from miniluotuo_utils.show.html import (
    coloured_tokens,
    difference,
    html,
    marked,
    marked_rows,
    shown,
    source_of,
    table,
)

__all__ = [
    "coloured_tokens",
    "difference",
    "error_examples",
    "explorer",
    "html",
    "live_loss",
    "marked",
    "marked_rows",
    "question_box",
    "rater",
    "rating_form",
    "shown",
    "source_of",
    "table",
]
