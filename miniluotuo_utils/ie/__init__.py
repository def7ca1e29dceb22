"""05: Chinese information extraction with a student: instructions, extraction, parsing, scoring."""

from miniluotuo_utils.ie.dictionary import dictionary_baseline
from miniluotuo_utils.ie.extraction import extract, recorded
from miniluotuo_utils.ie.instructions import build_instructions
from miniluotuo_utils.ie.parsing import parse
from miniluotuo_utils.ie.schema import only_types, schema_of
from miniluotuo_utils.ie.scoring import errors, micro, score, score_files, table, wholly_right
from miniluotuo_utils.ie.significance import compare, interval, over_orders
from miniluotuo_utils.ie.slicing import hard_negatives
from miniluotuo_utils.ie.spans import locate
from miniluotuo_utils.ie.tagger import train_tagger
from miniluotuo_utils.moved import names as moved_names

__all__ = [
    "build_instructions",
    "compare",
    "dictionary_baseline",
    "errors",
    "extract",
    "hard_negatives",
    "interval",
    "locate",
    "micro",
    "only_types",
    "over_orders",
    "parse",
    "recorded",
    "schema_of",
    "score",
    "score_files",
    "table",
    "train_tagger",
    "wholly_right",
]

__getattr__ = moved_names(__name__)
