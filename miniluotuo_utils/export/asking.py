"""Say how a student is asked, for programs that have none of our code.

In: a student. Out: what stands around a question, what ends an answer, a tokenizer whose own
`decode` gives our texts. Used by every export; shown in notebook 07.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.files import DataError, written_whole
from miniluotuo_utils.generation.batching import end_ids
from miniluotuo_utils.prompts import Prompt
from miniluotuo_utils.students.devices import quiet
from miniluotuo_utils.students.folder import generation_settings
from miniluotuo_utils.students.lessons import write_lessons
from miniluotuo_utils.tokens import prompt_ids, prompt_of
from miniluotuo_utils.tokens.template import written_down
from miniluotuo_utils.tokens.vocabulary import CONTINUES, kind_of, tokenised
from miniluotuo_utils.writing import check_folder

if TYPE_CHECKING:
    from miniluotuo_utils.students import Student

# Where instruction and text stand in a template: characters that Unicode leaves to programs.
SLOTS = ("\ue000", "\ue001")
# Letters and digits below U+0250, as `tokens.vocabulary.is_word` counts them.
LATIN = "0-9A-Za-zªµºÀ-ÖØ-öø-ɏ²³¹¼-¾"


@contextmanager
def exported(student: Student, folder: Path, way: str, overwrite: bool) -> Iterator[Path]:
    """Give a folder to write an export into, which takes its place if the block ends well.

    Raises what `decoder_only` raises; `Taken` where something stands that we did not write, or,
    without `overwrite`, an earlier export; OSError where the disk is full.
    """
    # Whatever is in the way is said before minutes of work.
    decoder_only(student, way)
    check_folder(folder.resolve(), folder.name, overwrite)
    with written_whole(folder, overwrite) as whole:
        whole.mkdir(parents=True)
        yield whole


def decoder_only(student: Student, way: str) -> Student:
    """Return the student; ValueError for an adapter and for an encoder–decoder."""
    if student.is_adapter:
        raise ValueError(
            f"{student.name} 上有适配器，{way} 装不下：先用 merge 合并，再导出合并出来的。 "
            f"{student.name} has an adapter on it, which --to {way} does not carry: merge(student) "
            "first, and export what that returns"
        )
    if student.encoder_decoder:
        raise ValueError(
            f"{student.name} 是编码器–解码器，{way} 导不出来：编码器要另一张计算图，这里只写解码器"
            "的；可以用 serve --page 或者 predict。 "
            f"{student.name} is an encoder–decoder, which --to {way} does not carry: its encoder "
            "is a graph of its own, and only a decoder's is written here; take serve --page, or "
            "predict"
        )
    return student


def asking(student: Student) -> dict[str, Any]:
    """Return how a student is asked, as JSON keeps it.

    `start`: ids before everything. `around`: the texts before the instruction, between it and the
    text, and behind both, tokenised as one with them. `ends`: ids that end an answer; `special`:
    ids that are no text. `context`: tokens of prompt and answer together.
    """
    tokenizer = student.tokenizer
    start, around = template_of(student, dict(zip(("instruction", "input"), SLOTS, strict=True)))
    return {
        "start": start,
        "around": around,
        "ends": end_ids(student),
        "special": sorted(tokenizer.all_special_ids),
        "context": student.context,
    }


def template_of(student: Student, row: dict[str, str]) -> tuple[list[int], list[str]]:
    """Return the ids before a prompt, and its texts around what stands in the slots of a row."""
    tokenizer = student.tokenizer
    prompt = prompt_of(student, row)
    text = prompt.pieces[-1] if isinstance(prompt, Prompt) else prompt
    ids, rest = prompt_ids(tokenizer, [prompt])[0], tokenised(tokenizer, [text], special=True)[0]
    around = re.split("|".join(row.values()), text)
    if len(around) != len(row) + 1 or ids[len(ids) - len(rest) :] != rest:
        raise DataError(
            f"{student.name}: its chat template does not write a message as it stands, once: found "
            f"{text[:80]!r}. Mend chat_template.jinja（对话模板要把消息原样写一次）"
        )
    return ids[: len(ids) - len(rest)], around


def write_asking(student: Student, path: Path, **more: Any) -> None:
    """Write `asking`, and what else a program has to know, as one JSON file."""
    told = asking(student) | more
    path.write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def write_tokenizer(student: Student, folder: Path) -> None:
    """Write configuration, settings of generation, tokenizer and chat template, but no weights.

    What the student has learned from stands there, too: `push` asks it before it publishes.
    """
    student.model.config.save_pretrained(folder)
    generation_settings(student).save_pretrained(folder)
    write_lessons(folder, student.lessons)
    with quiet():
        student.tokenizer.save_pretrained(folder)
    if not student.tokenizer.chat_template:
        text = written_down(student.tokenizer)
        (folder / "chat_template.jinja").write_text(text, encoding="utf-8")
    if kind_of(student.tokenizer) == "WordPiece":
        write_decoder(folder / "tokenizer.json")


def write_decoder(file: Path) -> None:
    """Give a WordPiece tokenizer.json a decoder with our spaces, and no others.

    BERT's own writes one between any two pieces: 李 白. Ours, `tokens.text_of`, writes one between
    two words of Latin letters or digits, where Chinese text has it.
    """
    from tokenizers import Regex, Tokenizer, decoders

    inner = Tokenizer.from_file(str(file))
    outside = Regex(f"(?<![{LATIN}]) | (?![{LATIN}])")
    inner.decoder = decoders.Sequence(
        [
            decoders.WordPiece(prefix=CONTINUES, cleanup=False),
            decoders.Fuse(),
            decoders.Replace(outside, ""),
        ]
    )
    inner.save(str(file))
