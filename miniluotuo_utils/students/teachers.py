"""Ask a teacher for its distribution over the next token: one student, several, or what they kept.

In: one or more students, and batches of token rows. Out: log-probabilities for each label. What a
teacher thought can be kept in a folder, its k best tokens for each label. Shown in notebook 06.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.files import DataError, batches, json_file
from miniluotuo_utils.students.loading import Student, fingerprint, stated_context
from miniluotuo_utils.students.loop import NOBODY, at_labels, has_plain_head
from miniluotuo_utils.students.losses import averaged, best, softened
from miniluotuo_utils.tokens import IGNORED, collate
from miniluotuo_utils.tokens.columns import digest_of, flat, sizes_of
from miniluotuo_utils.writing import Alone, Touched, guard, written_whole

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor

NOTE, STARTS, IDS, VALUES = "kept.json", "starts.npy", "ids.bin", "values.bin"
WAY = (
    "Use method='labels' (the teacher writes answers, the student learns those), or TRL's "
    "cross-tokenizer trainer, GOLD（词表不同：让教师写回答，用 labels；或者用 TRL 的 GOLD）"
)

# ---- which vocabularies go together


def common_vocabulary(student: Student, teacher: Student) -> int:
    """Return how many entries of their logits two students share.

    Their tokenizers must hold the same tokens under the same ids. Rows of the output layer beyond
    these are padding, and are cut. Raises ValueError, with the way out, for other vocabularies.
    """
    own, other = (one.tokenizer.get_vocab() for one in (student, teacher))
    if own != other:
        unlike = sum(other.get(token) != number for token, number in own.items())
        raise ValueError(
            f"{teacher.name} has another vocabulary than {student.name} ({len(other):,} and "
            f"{len(own):,} entries, {unlike:,} of the student's have another id or none there), so "
            f"its distribution says nothing about the student's tokens. {WAY}"
        )
    sizes = [one.model.get_output_embeddings().weight.shape[0] for one in (student, teacher)]
    used = max(own.values()) + 1
    if min(sizes) < used:
        raise ValueError(
            f"{student.name} and {teacher.name} have {sizes[0]:,} and {sizes[1]:,} logits for "
            f"{used:,} tokens: one of them cannot say every token. {WAY}"
        )
    return min(sizes)


def vocabulary_fingerprint(student: Student) -> str:
    """Return what tells one vocabulary from another, as a short hash."""
    vocabulary = sorted(student.tokenizer.get_vocab().items())
    return sha256(json.dumps(vocabulary).encode()).hexdigest()[:16]


# ---- teachers that are here


class Teachers:
    """One student or several that teach together: the mean of their probabilities."""

    def __init__(self, student: Student, teachers: Sequence[Student]) -> None:
        for teacher in teachers:
            check_apart(student, teacher)
        self.students = list(teachers)
        self.size = min(common_vocabulary(student, teacher) for teacher in teachers)
        self.plain = [has_plain_head(teacher) for teacher in teachers]
        for teacher in teachers:
            teacher.model.eval()

    @property
    def fingerprints(self) -> list[str]:
        """What tells these teachers from others."""
        return [fingerprint(teacher) for teacher in self.students]

    def log_probs(self, inputs: Mapping, temperature: float) -> Tensor:
        """Return log-probabilities for each label of a batch: [labels, vocabulary]."""
        import torch

        found = []
        with torch.no_grad():
            for teacher, plain in zip(self.students, self.plain, strict=True):
                logits, _, _ = at_labels(teacher.model, inputs, plain)
                # Else the student's own settings would be blamed, or the disk would keep it.
                if logits.isnan().any():
                    raise FloatingPointError(
                        f"教师 {teacher.name} 的分数不是数了：换个精度加载，或者换一个教师。 the "
                        f"scores of the teacher {teacher.name} are nan: load it in float32 or take "
                        "another one"
                    )
                found.append(softened(logits[:, : self.size], temperature))
        return averaged(found)

    def check_room(self, rows: Dataset) -> None:
        """Raise ValueError where the longest of token rows does not fit into a teacher."""
        packed = "position_ids" in rows.column_names
        longest = int(sizes_of(rows).max()) if not packed else 1 + last_place(rows)
        for teacher in self.students:
            if not has_room(teacher, longest):
                raise ValueError(
                    f"教师 {teacher.name} 装不下最长的一行：把 max_length 改小。 the teacher "
                    f"{teacher.name} has room for {teacher.context:,} tokens, found {longest:,} in "
                    f"the longest row: give max_length={teacher.context}"
                )


def has_room(student: Student, length: int) -> bool:
    """Return whether a row of so many tokens fits; relative positions have no end."""
    return not stated_context(student.model.config) or length <= student.context


def last_place(rows: Dataset) -> int:
    """Return the largest position of packed rows, each of which counts from 0."""
    return max(int(places.max()) for places in flat(rows, "position_ids"))


def check_apart(student: Student, teacher: Student) -> None:
    """Raise ValueError where a student is to teach itself, or reads in another manner."""
    # An adapter is put into the layers of the model that it wraps: they may share their weights.
    if {*map(id, student.model.parameters())} & {*map(id, teacher.model.parameters())}:
        raise ValueError(
            f"{student.name} is its own teacher: every step would change both, and teach nothing. "
            "Load it once more for a teacher that stays as it is"
            "（学生不能是自己的教师：再加载一份当教师）"
        )
    devices = [one.model.device for one in (student, teacher)]
    if devices[0] != devices[1]:
        raise ValueError(
            f"教师和学生不在一块设备上。 {student.name} is on {devices[0]}, its teacher "
            f"{teacher.name} on {devices[1]}: load both with the same device=…"
        )
    if teacher.encoder_decoder != student.encoder_decoder:
        raise ValueError(
            f"one of {teacher.name} and {student.name} is an encoder–decoder, the other is not: "
            "they do not read one row alike. Use method='labels'"
        )


# ---- what teachers kept


class Kept:
    """A folder of a teacher's k best tokens for each label of token rows, in their order.

    `kept.json` says of which vocabulary, rows, temperature and teachers. Of each label stand k ids
    and k + 1 log-probabilities in float16, the last for all other tokens together.
    """

    def __init__(self, folder: Path | str) -> None:
        import numpy as np

        self.folder = Path(folder)
        self.note = read_note(self.folder)
        if not self.note.get("whole"):
            raise DataError(
                f"{self.folder.name}: its teacher did not come to an end; give it again"
                "（教师还没有说完：再给一次教师，接着来）"
            )
        # Any part may have been cut, or deleted.
        try:
            self.starts = np.load(self.folder / STARTS)
        except (OSError, ValueError, EOFError):
            raise damaged(self.folder, STARTS, "no whole file", "one of numpy") from None
        k, labels = self.note["k"], int(self.starts[-1])
        for name, size in ((IDS, 4 * k * labels), (VALUES, 2 * (k + 1) * labels)):
            file = self.folder / name
            found = file.stat().st_size if file.is_file() else 0
            if found != size:
                raise damaged(self.folder, name, f"{found:,} bytes", f"{size:,}")
        # Read from the disk as it is asked for.
        self.ids = np.memmap(self.folder / IDS, "<i4", "r", shape=(labels, k))
        self.values = np.memmap(self.folder / VALUES, "<f2", "r", shape=(labels, k + 1))

    def of(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return ids [labels, k] and log-probabilities [labels, k + 1] of rows, in their order."""
        import numpy as np
        import torch

        # Rows that only fill up have no number and no label; a batch may hold nothing else.
        there = [number for number in numbers if number != NOBODY]
        places = [slice(0), *(slice(self.starts[n], self.starts[n + 1]) for n in there)]
        ids = np.concatenate([self.ids[place] for place in places])
        values = np.concatenate([self.values[place] for place in places])
        return torch.from_numpy(ids.astype(np.int64)), torch.from_numpy(values.astype(np.float32))

    def check(self, student: Student, rows: Dataset, temperature: float) -> None:
        """Raise DataError where the folder belongs to another vocabulary, rows or temperature."""
        wanted = {
            "vocabulary": vocabulary_fingerprint(student),
            "rows": digest_of(rows),
            "temperature": temperature,
        }
        refuse_other(self.folder, self.note, wanted)


def damaged(folder: Path, name: str, found: str, expected: str) -> DataError:
    """Return the error of a folder that lacks a part of what a teacher kept."""
    return DataError(
        f"{folder.name}/{name}: found {found}, expected {expected}: it was cut or deleted, or two "
        "programs wrote it at once. Delete the folder, and ask again"
        "（文件断了或者没了：删掉这个文件夹，再问一次教师）"
    )


def refuse_other(folder: Path, note: Mapping, wanted: Mapping) -> None:
    """Raise DataError for the first thing in which a folder's note is not as wanted."""
    means = {
        "vocabulary": "another tokenizer（分词器不同）",
        "rows": "other rows, the same in another order, or rows encoded otherwise: packed on a "
        "GPU, of another max_length, or less a share for evaluation（数据、顺序或编码不同）",
        "temperature": "another temperature（温度不同）",
        "k": "another number of tokens（k 不同）",
        "teachers": "other teachers（教师不同）",
    }
    for field, value in wanted.items():
        if note.get(field) != value:
            raise DataError(
                f"{folder.name}/{NOTE}, field {field}: found {short(note.get(field))}, expected "
                f"{short(value)}: it was kept for {means[field]}. Name another folder, or delete it"
            )


def short(value: Any) -> str:
    """Return the beginning of a fingerprint, or another value as it is written.

    >>> short("17bb95d2349e"), short(2.0), short(["17bb95d2349e"])
    ('17bb95d2', '2.0', '17bb95d2')
    """
    whole = ", ".join(value) if isinstance(value, list) else str(value)
    return whole[:8]


def read_note(folder: Path) -> dict[str, Any]:
    """Return what a folder says of itself; DataError where nothing of ours stands there."""
    if not (folder / NOTE).is_file():
        raise DataError(
            f"{folder.name} 不是教师存下来的分布；学生要先用 load_student 加载，再当教师。 "
            f"{folder.name}: found no {NOTE}, expected what a teacher kept (kept=… of distill). A "
            "student that is to teach is loaded first: teacher=load_student(…)"
        )
    return json_file(folder / NOTE, dict)


def keep(
    folder: Path | str,
    teachers: Teachers,
    student: Student,
    rows: Dataset,
    k: int,
    temperature: float = 1.0,
    batch_size: int = 8,
) -> Kept:
    """Ask the teachers about every row once, and keep their k best tokens for each label.

    `batch_size` rows are asked about together, and written together. A folder that holds a part
    goes on from there: no row is asked about twice. One that is whole is read. Raises DataError
    where it holds something else, and `Taken` where another process is writing it.
    """
    folder = Path(folder)
    guard([Touched("kept", folder, "grows")])
    wanted = {
        "vocabulary": vocabulary_fingerprint(student),
        "rows": digest_of(rows),
        "temperature": temperature,
        "k": min(k, teachers.size),
        "teachers": teachers.fingerprints,
    }
    # What is whole, any number of processes may read.
    if not (folder / NOTE).is_file() or not is_whole(folder, wanted):
        with Alone(folder):
            # Another one may have finished in between.
            if not is_whole(folder, wanted):
                ask(folder, teachers, student, rows, wanted, batch_size)
    return Kept(folder)


def is_whole(folder: Path, wanted: Mapping) -> bool:
    """Return whether all that is wanted stands in a folder; DataError for something else there."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return False
    note = read_note(folder)
    refuse_other(folder, note, wanted)
    return bool(note.get("whole"))


def ask(
    folder: Path,
    teachers: Teachers,
    student: Student,
    rows: Dataset,
    wanted: Mapping,
    batch_size: int,
) -> None:
    """Ask the teachers about the rows that a folder does not hold yet."""
    import numpy as np

    # The student's own rows of padding are nobody's tokens, and no part of the rest.
    note = {**wanted, "size": teachers.size}
    folder.mkdir(parents=True, exist_ok=True)
    write_note(folder, note, whole=False)

    # How many labels each row has says how far the files should reach.
    counts = [label_count(row["labels"], student.encoder_decoder) for row in rows]
    starts = np.cumsum([0, *counts])
    np.save(folder / STARTS, starts)
    first = whole_rows(folder, starts, wanted["k"])
    for numbers in batches(range(first, len(rows)), batch_size):
        write_rows(folder, teachers, student, [rows[n] for n in numbers], wanted)
    write_note(folder, note, whole=True)


def write_note(folder: Path, wanted: Mapping, whole: bool) -> None:
    """Write what a folder holds, and whether all of it is there."""
    with written_whole(folder / NOTE) as partial:
        partial.write_text(json.dumps({**wanted, "whole": whole}), encoding="utf-8")


def write_rows(
    folder: Path, teachers: Teachers, student: Student, rows: Sequence[Mapping], wanted: Mapping
) -> None:
    """Ask about some rows, and add what is kept of them to the files."""
    batch = collate(rows, student.tokenizer.pad_token_id, student.encoder_decoder)
    inputs = {name: tensor.to(student.model.device) for name, tensor in batch.items()}
    ids, values = best(teachers.log_probs(inputs, wanted["temperature"]), wanted["k"])
    for name, numbers in ((IDS, ids.int()), (VALUES, values.half())):
        with open(folder / name, "ab") as file:
            file.write(numbers.cpu().numpy().tobytes())


def whole_rows(folder: Path, starts: Any, k: int) -> int:
    """Return how many rows both files hold; what a kill left of the next one is cut away."""
    import numpy as np

    sizes = {IDS: 4 * k, VALUES: 2 * (k + 1)}  # bytes a label
    for name in sizes:
        (folder / name).touch()
    labels = min((folder / name).stat().st_size // size for name, size in sizes.items())
    whole = int(np.searchsorted(starts, labels, "right")) - 1
    for name, size in sizes.items():
        with open(folder / name, "r+b") as file:
            file.truncate(int(starts[whole]) * size)
    return whole


def label_count(labels: Sequence[int], encoder_decoder: bool) -> int:
    """Return how many labels of a row are learned; nothing predicts a decoder's first token.

    >>> label_count([-100, 5, 0], False), label_count([5, 0], True)
    (2, 2)
    """
    return sum(label != IGNORED for label in (labels if encoder_decoder else labels[1:]))
