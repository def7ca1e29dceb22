"""Distil a student: from a teacher's answers, its distribution, its states, or its judgement.

In: a student, rows, a teacher. Out: the student, trained, and its log, as from `finetune`. Shown in
notebook 06.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from hashlib import sha256
from inspect import signature
from pathlib import Path
from typing import Any

from miniluotuo_utils.choices import BETWEEN, MORE, WHOLE, Sense, check_amounts, check_choice
from miniluotuo_utils.files import DataError, Journal, batches
from miniluotuo_utils.students.checkpoints import check_progress
from miniluotuo_utils.students.devices import world_size
from miniluotuo_utils.students.finetune import finetune, refuse
from miniluotuo_utils.students.given import given_rows, one_by_one
from miniluotuo_utils.students.loading import Student
from miniluotuo_utils.students.loop import has_virtual_tokens
from miniluotuo_utils.students.methods import VIRTUAL
from miniluotuo_utils.students.objectives import Features, Labels, Logits, Objective, OnPolicy
from miniluotuo_utils.students.teachers import Kept, Teachers
from miniluotuo_utils.students.training import Options, Training

DISTILLATIONS = ("labels", "logits", "features", "on_policy")
FEATURES = ("hidden", "relations")
# What an amount must be.
SENSE = {
    "temperature": MORE,
    "top_k": WHOLE,
    "answer": WHOLE,
    "beta": BETWEEN,
    "own": BETWEEN,
    "share": Sense(lambda value: 0 < value <= 1, "more than 0, and 1 at most"),
}
ASKED = 32  # rows that a callable teacher gets at a time
LABELLED = "labelled.jsonl"  # a teacher's rows, in a training's folder

Teacher = Student | Sequence[Student] | Path | str | Callable[[list], Sequence[Mapping]] | None


def distill(
    student: Student,
    rows: Sequence[Mapping],
    *,
    teacher: Teacher = None,
    method: str = "labels",
    share: float = 0.5,
    temperature: float | None = None,
    beta: float | None = None,
    top_k: int | None = None,
    kept: Path | str | None = None,
    features: str = "hidden",
    own: float = 1.0,
    answer: int = 128,
    update: str = "full",
    folder: Path | None = None,
    **options: Any,
) -> Training:
    """Train `student` in place on `rows` and on what a teacher makes of them.

    method:
      "labels": the teacher's answers are the rows. `rows` hold them already, or `teacher` is a
        function of rows that returns rows with answers, as many and in order. It is given 32 at a
        time; with `folder` they are kept, and after a kill at most those 32 are asked again. A
        callable object is told from others of its class by an attribute `fingerprint`.
      "logits": at every label, `T² · divergence(teacher, student)` of distributions softened by
        `temperature` (2). `teacher` is a student of the same vocabulary, or several (the mean of
        their probabilities). With `top_k` and `kept` it looks at the rows once, and its k best
        tokens stay in that folder, which may be a later call's `teacher`.
      "features": its hidden states through projections (`features="hidden"`), or its attention
        relations ("relations"); widths and depths may differ.
      "on_policy": the student answers and the teacher judges, by TRL's `DistillationTrainer`. `own`
        is the share of prompts that the student answers itself, in up to `answer` tokens sampled at
        `temperature` (1); the others keep the answers of the rows. Rows that fill no whole batch
        at the end of an epoch are not asked about.
    share: the teacher's part of the loss for logits and features; the labels' is the rest.
    beta: which divergence, from 0, forward KL (logits, where None), to 1, reverse KL (on_policy).
    update: what is trained, one of `finetune`'s methods.

    `folder` and all other options are `finetune`'s. A student with a teacher beside it, on the same
    device, is trained without dropout, but for an adapter's own. Every line of the log also holds
    "distillation", the teacher's part of the loss before it is weighed. For on_policy a teacher's
    rows of padding are cut for good. Where several processes train, a function cannot teach,
    nothing can be kept, and on_policy is refused.

    Raises ValueError for a student that is its own teacher, for unlike vocabularies and for options
    that do not go together; DataError for a teacher's folder that belongs to other rows or another
    vocabulary, and for a callable that returns other than asked.
    """
    # Refused now, rather than after a teacher was asked.
    refuse_unless(
        method != "on_policy" or not student.encoder_decoder,
        f"{student.name} is an encoder–decoder, which TRL's on-policy trainer does not take: use "
        "logits",
    )
    check_early(student, rows, update, folder, options)
    check_distillation(method, update, features, top_k, kept, options)
    given = {"share": share, "temperature": temperature, "beta": beta, "top_k": top_k}
    check_given(method, {**given, "own": own, "answer": answer, "features": features})
    check_processes(method, kept is not None or callable(teacher))

    # Each method is an objective of `finetune`'s own loop, so all are resumed and logged alike.
    if method == "labels":
        rows = labelled(rows, teacher, folder)
        objective: Objective = Labels()
    elif isinstance(teacher, str | Path):
        refuse_unless(method == "logits" and top_k is None, FOLDER)
        there = Kept(teacher)
        heat = there.note["temperature"] if temperature is None else temperature
        objective = Logits(there, share, heat, beta or 0.0, None, None)
    else:
        teachers = Teachers(student, listed(teacher, method))
        heat = temperature or {"logits": 2.0}.get(method, 1.0)
        if method == "logits":
            objective = Logits(teachers, share, heat, beta or 0.0, top_k, kept)
        elif method == "features":
            objective = Features(teachers, share, features)
        else:
            judged = 1.0 if beta is None else beta
            objective = OnPolicy(student, teachers, heat, judged, own, answer)
    how = {"folder": folder, "objective": objective, **options}
    return with_teachers(finetune(student, rows, update, **how), teacher)


FOLDER = "a folder teaches by logits only, and what it holds: leave top_k and kept out"


def with_teachers(training: Training, teacher: Teacher) -> Training:
    """Return a training whose student's record names its teachers, too."""
    training.student.lessons[-1]["teachers"] = taught_by(teacher)
    return training


def taught_by(teacher: Teacher) -> list[dict]:
    """Return who taught, for the record: a student with what it has learned, another by its name.

    >>> taught_by(None), taught_by(len), taught_by(Path("runs/kept"))
    ([], [{'name': 'len', 'lessons': []}], [{'name': 'kept', 'lessons': []}])
    """
    if isinstance(teacher, Student):
        return [{"name": teacher.name, "lessons": teacher.lessons}]
    if isinstance(teacher, list | tuple):
        return [one for each in teacher for one in taught_by(each)]
    if isinstance(teacher, str | Path):
        return [{"name": Path(teacher).name, "lessons": []}]
    return [{"name": name_of(teacher), "lessons": []}] if teacher is not None else []


def check_early(
    student: Student, rows: Any, update: str, folder: Path | None, options: Mapping[str, Any]
) -> None:
    """Raise what `finetune` would, of options and folder, before a teacher is asked."""
    given = signature(finetune).bind(student, rows, update, folder=folder, **options)
    given.apply_defaults()
    asked = Options(**{name: given.arguments[name] for name in Options._fields})
    refuse(student, asked, given.arguments["report_to"], folder)
    if folder:
        check_progress(folder)


def check_processes(method: str, asks: bool) -> None:
    """Raise ValueError for what several processes cannot do together."""
    refuse_unless(
        world_size() == 1 or not asks,
        f"{world_size()} processes train: each would ask the teacher, and write into one folder. "
        "Let one process keep what the teacher says (max_steps=1), and give that folder or those "
        "rows to all",
    )
    refuse_unless(
        world_size() == 1 or method != "on_policy",
        f"{world_size()} processes train, and on_policy is for one: use logits or features",
    )


def check_distillation(
    method: str,
    update: str,
    features: str,
    top_k: int | None,
    kept: Path | str | None,
    options: Mapping[str, Any],
) -> None:
    """Raise ValueError for what cannot be distilled, before a teacher is asked."""
    check_choice("method", method, DISTILLATIONS)
    check_choice("features", features, FEATURES)
    refuse_unless(
        (top_k is None) == (kept is None),
        "top_k and kept belong together: how many tokens, and the folder that keeps them",
    )
    refuse_unless(kept is None or method == "logits", f"kept is for logits, not for {method}")

    # A loss on rows that a teacher wrote says how well it is copied, not how well anything is done.
    held_out = options.get("evaluation", 0.0)
    refuse_unless(
        not held_out or method != "on_policy",
        f"evaluation is {held_out}: TRL's trainer would measure on new answers of the student, not "
        "on your rows. Keep out gold rows of your own, and score the student on those",
    )
    refuse_unless(
        not held_out or method != "labels",
        f"evaluation is {held_out}, and the rows are a teacher's (silver): keep out gold rows of "
        "your own, and score the student on those（银标不能当考题：另留一份标准答案来评）",
    )
    refuse_unless(
        update not in VIRTUAL or method == "labels",
        f"update {update!r} learns virtual tokens, which no teacher has: use full or lora",
    )
    refuse_unless(
        update == "full" or method != "features",
        f"update is {update!r}: features train projections beside the weights, use full",
    )


# Which options a method takes, and what they are where nobody gave them.
TAKES = {
    "labels": (),
    "logits": ("share", "temperature", "beta", "top_k"),
    "features": ("share", "features"),
    "on_policy": ("temperature", "beta", "own", "answer"),
}
UNSAID = {"share": 0.5, "features": "hidden", "own": 1.0, "answer": 128}


def check_given(method: str, given: Mapping[str, Any]) -> None:
    """Raise ValueError for an amount that makes no sense, and for an option of another method."""
    check_amounts(SENSE, **{name: value for name, value in given.items() if name in SENSE})
    for name, value in given.items():
        refuse_unless(
            name in TAKES[method] or value == UNSAID.get(name),
            f"{name} is {value!r}, and {method} does not take it; expected "
            f"{', '.join(TAKES[method]) or 'none of these options'}",
        )


def refuse_unless(holds: object, message: str) -> None:
    """Raise ValueError with a message unless something holds."""
    if not holds:
        raise ValueError(message)


def listed(teacher: Teacher, method: str) -> list[Student]:
    """Return one or several students as a list. ValueError for what cannot teach by a method."""
    several = [teacher] if isinstance(teacher, Student) else teacher
    if not isinstance(several, list | tuple) or not several:
        found = "nothing" if teacher is None else type(teacher).__name__
        raise ValueError(
            f"teacher: found {found}, expected a student, or several for logits. One of whom only "
            "answers can be had (a server, an annotator) teaches by method='labels'"
        )
    for one in several:
        refuse_unless(isinstance(one, Student), f"teacher: found {type(one).__name__} in the list")
        refuse_unless(
            method == "logits" or not has_virtual_tokens(one.model),
            f"{one.name} learned virtual tokens, which stand before its states: it teaches by "
            f"logits, not by {method}",
        )
    many = len(several)
    refuse_unless(many == 1 or method == "logits", f"{method} takes one teacher, found {many}")
    return list(several)


# ---- answers of a teacher that is a function


def labelled(rows: Sequence[Mapping], teacher: Teacher, folder: Path | None) -> Sequence[Mapping]:
    """Return rows with a teacher's answers; `rows` themselves where there is no teacher.

    With a folder its answers are on the disk after every `ASKED` rows.
    """
    if teacher is None:
        return rows
    refuse_unless(
        callable(teacher),
        f"teacher: found {type(teacher).__name__}, expected a function of rows for labels, e.g. "
        "one that asks a server, or fills in generate(…)",
    )

    # The folder may hold what an earlier process, since killed, was answered.
    asked = [dict(row) for row in one_by_one(rows)]
    made_by = {"rows": digest(asked), "teacher": name_of(teacher)}
    journal = Journal(Path(folder) / LABELLED, made_by) if folder else None
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
    # One process at a time: two would pay twice, and mix their rows.
    with journal.alone() if journal else nullcontext():
        found = earlier(journal, asked) if journal else []
        for part in batches(asked[len(found) :], ASKED):
            # It gets copies: what it writes into its rows does not change what it was asked.
            answers = answered(part, teacher([dict(row) for row in part]), len(found))
            if journal:
                journal.append(*answers)
            found += answers
    return found


def earlier(journal: Journal, asked: Sequence[Mapping]) -> list[dict]:
    """Return what an earlier process, since killed, was answered, and say so."""
    found = journal.lines()
    if found:
        print(
            f"{LABELLED} 里已有 {len(found)} 行回答，不再问。 {len(found)} of {len(asked)} rows "
            f"were answered by {journal.made_by['teacher']} before: they are not asked again."
        )
        answered(asked[: len(found)], found, 0)
    return found


def answered(asked: Sequence[Mapping], answers: Any, first: int) -> Sequence[Mapping]:
    """Return a function's answers to some rows, of which `first` stand before them.

    Raises DataError for other than a row for each, with its own question.
    """
    # A generator is read; of a text or a dict that would give something, but no rows.
    if answers is None or isinstance(answers, str | Mapping):
        answers = [answers]
    answers = list(answers)
    several = len(answers) == len(asked) and all(isinstance(row, Mapping) for row in answers)
    if not several:
        kind = type(answers[0]).__name__ if answers else "nothing"
        raise DataError(
            f"教师要给每一行还一行。 teacher: found {len(answers)} of {kind} for {len(asked)}, "
            "expected a row for each, in their order: return [{**row, 'output': …} for row in rows]"
        )
    answers = given_rows(answers)
    for number, (row, answer) in enumerate(zip(asked, answers, strict=True), first):
        for name in ("instruction", "input"):
            if answer.get(name, "") != row.get(name, ""):
                raise DataError(
                    f"教师还回来的第 {number} 行，问题不是问它的那一个。 teacher, row {number}, "
                    f"field {name}: found {answer.get(name, '')!r:.40}, expected "
                    f"{row.get(name, '')!r:.40} as it was asked, with an answer in output"
                )
    return answers


def name_of(teacher: Any) -> str:
    """Return what a function is called; of another callable its class, and its `fingerprint`.

    >>> from functools import partial
    >>> name_of(len), name_of(partial(len)), name_of(Path)
    ('len', 'len', 'Path')
    """
    if isinstance(teacher, partial):
        return name_of(teacher.func)
    name = getattr(teacher, "__qualname__", type(teacher).__name__)
    return f"{name} {getattr(teacher, 'fingerprint', '')}".strip()


def digest(rows: Sequence[Mapping]) -> str:
    """Return what tells rows from others, as a short hash."""
    text = json.dumps(rows, ensure_ascii=False, sort_keys=True, default=str)
    return sha256(text.encode()).hexdigest()[:16]
