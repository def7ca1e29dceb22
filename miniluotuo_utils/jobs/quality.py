"""Judge rows and labels with a student, for `clean --quality` and `validate --quality`.

In: rows or records, and the name of a student. Out: of each what is in doubt, None where nothing
is. What a student read is kept in `runs/quality/`, so that nothing is read twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from miniluotuo_utils.data.cleaning import Verdict
from miniluotuo_utils.data.quality import CHINESE, LEAST, Judged, judged
from miniluotuo_utils.data.steps import TEXTS
from miniluotuo_utils.evaluation.perplexity import bits_of_rows
from miniluotuo_utils.files import Journal, batches, json_line
from miniluotuo_utils.ie.suspects import Suspect, suspects
from miniluotuo_utils.runtime import runs_root
from miniluotuo_utils.students import Student, load_student
from miniluotuo_utils.students.devices import own_device
from miniluotuo_utils.students.loading import fingerprint

STEP = "doubtful"
READ = 256  # rows that are read and then written down together
EPOCHS = 4  # of a tagger over the records of the other folds


class Quality:
    """What a student makes doubtful, as `clean(…, quality=…)` asks: a verdict for each row.

    name: of the student, loaded when first needed. say: is told how far the verdicts may be
    believed. least: the doubt from which a row or a label counts, 0 to 1.
    """

    def __init__(
        self,
        name: str,
        say: Callable[[str], object] | None = None,
        least: float = LEAST,
        **training: object,
    ) -> None:
        self.name, self.say, self.least = name, say or (lambda line: None), least
        self.training = {"epochs": EPOCHS, "batch_size": 16, **training}

    @cached_property
    def student(self) -> Student:
        """The student, loaded."""
        return load_student(self.name, own_device())

    def __call__(self, rows: Sequence[Mapping]) -> list[Verdict]:
        """Return what is in doubt of each row or record, None where nothing is."""
        if not rows:
            return []
        return self.of_records(rows) if "sentence" in rows[0] else self.of_rows(rows)

    def of_rows(self, rows: Sequence[Mapping]) -> list[Verdict]:
        """Return a verdict for each instruction row, and tell what the model finds."""
        found = judged(rows, self.bits)
        for line in told(found):
            self.say(line)
        return [
            (STEP, {"doubt": doubt, "like": fault}) if doubt >= self.least else None
            for doubt, fault in zip(found.doubts, found.faults, strict=True)
        ]

    def of_records(self, records: Sequence[Mapping]) -> list[Verdict]:
        """Return a verdict for each NER record: its label that is most in doubt."""
        verdicts: list[Verdict] = [None] * len(records)
        for one in reversed(self.suspects(records)):
            if one.doubt >= self.least:
                verdicts[one.record] = STEP, {"doubt": one.doubt, "suspect": one}
        return verdicts

    def suspects(self, records: Sequence[Mapping]) -> list[Suspect]:
        """Return the labels in doubt, the worst first; a killed call goes on with the next fold."""
        said = json_line([[r["sentence"], r.get("entities")] for r in records])
        folder = self.folder / sha256(said.encode()).hexdigest()[:16]
        return suspects(self.student, records, folder=folder, **self.training)

    @cached_property
    def folder(self) -> Path:
        """Where what this student read is kept, apart from what others of its name did."""
        weights = fingerprint(self.student)
        return runs_root() / "quality" / f"{self.student.name}-{weights[:8]}"

    def bits(self, rows: Sequence[Mapping]) -> list[float | None]:
        """Return bits per character of each answer; those that were read before, from the file."""
        folder = self.folder
        folder.mkdir(parents=True, exist_ok=True)
        journal = Journal(folder / "bits.jsonl", {"student": self.student.name})
        known = {line["row"]: line["bits"] for line in journal.lines()}
        keys = [key_of(row) for row in rows]
        new = {key: row for key, row in zip(keys, rows, strict=True) if key not in known}
        for part in batches(new.items(), READ):
            found = bits_of_rows(self.student, [row for _, row in part])
            lines = [{"row": k, "bits": b} for (k, _), b in zip(part, found, strict=True)]
            journal.append(*lines)
            known |= {line["row"]: line["bits"] for line in lines}
        return [known[key] for key in keys]


def key_of(row: Mapping) -> str:
    """Return what tells a row from others, whatever else it carries."""
    said = [*(row[field] for field in TEXTS), row.get("history") or []]
    return sha256(json_line(said).encode("utf-8", "surrogatepass")).hexdigest()[:32]


# ---- in words


def told(found: Judged) -> list[str]:
    """Return lines that say what the model finds of planted faults, and how much it flags.

    >>> told(Judged([], [], {"truncated": (40, 0.75)}, 0.02))[1]
    '  没写完 truncated：75% / 40'
    """
    head = (
        f"埋下的毛病查出多少 found of planted faults, by a model that did not see them; "
        f"原来的行 of the rows as they are {found.flagged:.1%}："
    )
    return [
        head,
        *(
            f"  {CHINESE[fault]} {fault}：{share:.0%} / {count:,}"
            for fault, (count, share) in found.tried.items()
        ),
    ]
