"""13,500 hostile texts through everything that reads what others wrote: only the stated errors."""

import random

from miniluotuo_utils.data import read_any
from miniluotuo_utils.data.readers import READERS, examples, read_file
from miniluotuo_utils.files import DataError
from miniluotuo_utils.ie import locate, parse
from miniluotuo_utils.ie.styles import STYLES
from miniluotuo_utils.records import TASKS
from miniluotuo_utils.teacher.guided import parse_examples

# What answers and files are made of, put together by somebody who wants to break a reader.
WORDS = """
    { } [ ] " ' : ： , ， ( ) | --- - ** # = // 0 -1 1e999 \\ \\u \\ud83d NaN null None 无 人物 李白
    é 😀 entities name type {"a": [[ "人物":["李白"] <think> </think> ```json ``` 1.
    <example> </example>
    &lt;example&gt;
"""
BLANKS = ("\n", "\t", "\r", " ", "\0", "\u2028", "\ufeff", "\u200b", "\ud83d")
PIECES = [*WORDS.split(), *BLANKS]


def hostile(seed, count):
    """That many texts of up to 40 pieces, drawn from a seed."""
    draw = random.Random(seed)
    for _ in range(count):
        yield "".join(draw.choices(PIECES, k=draw.randint(0, 40))), draw


def test_an_answer_never_raises():
    """A list as a key, from a bracket that opens too early, was a TypeError for events."""
    for text, draw in hostile("answers", 6000):
        task = draw.choice([*TASKS])
        schema = {"type": ["李白", "name"]} if task == "EE" else ["人物", "type"]
        parse(text, task, draw.choice([*STYLES]), draw.choice([None, schema]))
    for text, _ in hostile("examples", 2000):
        parse_examples(text)


def test_half_a_character_has_no_place_and_does_not_raise():
    """OpenCC cannot encode half of a surrogate pair: a text of an odd page ended an evaluation."""
    for text, draw in hostile("places", 2500):
        names = [name[:6] for name, _ in hostile(draw.random(), 3)]
        for places in locate(text, names, draw.choice(["first", "every"])):
            assert all(0 <= start < end <= len(text) for start, end in places)


def test_a_file_raises_only_the_stated_errors(tmp_path):
    """A traceback for a file that a crash cut, or that was never data."""
    endings = ["json", "jsonl", "csv", "txt", "tsv", "gz", "xml", "conll", "ann", "parquet"]
    for text, draw in hostile("files", 1500):
        path = tmp_path / f"x.{draw.choice(endings)}"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            list(read_any(path, say=None))
        except (ValueError, OSError) as error:
            assert f"{path.stem}." in str(error)
        path.unlink()


def test_a_damaged_file_of_a_known_format_is_a_data_error(tmp_path):
    """One damaged place, anywhere in a file of any of the formats."""
    known = examples()
    for text, draw in hostile("damage", 1500):
        name = draw.choice([*known])
        raw = bytearray(known[name].read_bytes())
        at = draw.randrange(len(raw))
        raw[at : at + draw.randint(0, 5)] = text.encode("utf-8", "surrogatepass")[:20]
        path = tmp_path / known[name].name
        path.write_bytes(raw)
        try:
            list(read_file(path, READERS[name], "s"))
        except DataError as error:
            assert path.name in str(error)
