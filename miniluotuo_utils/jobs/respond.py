"""Ask a teacher over files of any size: answer their rows, or grow a set out of their seeds.

In: JSON Lines. Out: JSON Lines, in the same order; a file appears when it is complete. Used by
`respond` and `instruct` of the command line, shown in notebook 02.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from miniluotuo_utils.data.plain import QUESTIONS, asked_rows, units_of
from miniluotuo_utils.data.readers.dialogues import named_field
from miniluotuo_utils.files import (
    DataError,
    expect,
    iter_jsonl,
    write_jsonl,
    written_whole,
)
from miniluotuo_utils.teacher.client import Teacher, chat_of, text_of
from miniluotuo_utils.teacher.guided import (
    RESPOND_SYSTEM,
    Grown,
    grow,
    has_output,
    of_language,
    verdict,
)
from miniluotuo_utils.teacher.limits import commonest
from miniluotuo_utils.teacher.store import KNOWN
from miniluotuo_utils.teacher.topics import read_categories, topics_of
from miniluotuo_utils.writing import Touched, claimed, guard

# How a file that has other lines than the new one is replaced all the same.
REPLACE = "give --replace (in Python the argument replace); what was paid for is stored"


def check_question(row: Mapping) -> dict:
    """Return a row that asks something by its `instruction` (and `input`), or raise `DataError`.

    `history`, where there is one, is a list of [user, assistant] texts.
    """
    expect(isinstance(row, dict), "row", row, "a JSON object")
    asked = row.get("instruction")
    good = isinstance(asked, str) and (asked + text_of(row.get("input"))).strip()
    expect(good, "instruction", asked, "a text that is not empty")
    history = row.get("history") or []
    turns = isinstance(history, list) and all(map(is_turn, history))
    expect(turns, "history", history, "earlier turns as [[user, assistant], ...]")
    return row


def questions(path: Path) -> Iterator[dict]:
    """Yield the checked rows of a file of any kind; DataError names the place of a fault."""
    return asked_rows(path, check_question, (*QUESTIONS, "prompt"))


def is_turn(value: object) -> bool:
    """Whether a value is two texts, of the user and of the assistant."""
    return isinstance(value, list) and [type(text) for text in value] == [str, str]


@dataclass
class Answering:
    """What every row of a file is answered by, and what is counted on the way."""

    teacher: Teacher
    source: Path
    system: str
    sampling: dict
    overwrite: bool = False
    accept: Collection[str] = ()
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def rows(self) -> Iterator[tuple[dict, bool]]:
        """Yield the rows, each with whether the teacher is to answer it."""
        for row in questions(self.source):
            yield row, self.overwrite or not has_output(row)

    def judged(self) -> Iterator[tuple[dict, bool]]:
        """Yield each row with its answer and True, or the reason why it has none and False."""
        # Twice, for two files: what the first time counted does not count again.
        self.counts.clear()
        self.reasons.clear()
        for row, asked in self.rows():
            # An answer that was there, a person's perhaps, stays as it is.
            if not asked:
                self.counts.update(answered=1, kept=1)
                yield row, True
                continue
            # A reply that failed is in no store: only this run's teacher knows why.
            messages = chat_of(row, self.system)
            reply = self.teacher.stored(messages, **self.sampling)
            why = self.teacher.why(messages, **self.sampling) if reply is None else None
            added = verdict(row, reply, self.teacher.model, self.accept, why)
            good = "reason" not in added
            self.counts["answered" if good else "unanswered"] += 1
            if not good:
                self.counts["without reply" if reply is None else reply.mark()] += 1
                self.reasons[added["reason"]] += 1
            elif reply.finish_reason.lower() not in KNOWN:
                self.counts["unknown ending"] += 1
            yield {**row, **added}, good

    def advice(self, so: str = "") -> str:
        """Return how many rows have no usable answer, why, and what to do about it."""
        counts, bad = self.counts, self.counts["unanswered"]
        lines = [f"{bad:,} of {bad + counts['answered']:,} rows have no usable answer{so}"]
        lines += [f"  {reason}" for reason in commonest(self.reasons.elements())]
        if counts["without reply"]:
            lines.append(
                f"{counts['without reply']:,} have no reply yet: run again to ask for them"
            )
        if worse := bad - counts["without reply"]:
            lines.append(
                f"{worse:,} replies are cut, empty or refusals, and paid for: retry=cut,empty,"
                "refused asks again for just those, accept=refused takes refusals as they are"
            )
        if counts["cut"] or counts["empty"]:
            limit = self.sampling.get("max_tokens") or self.sampling.get("max_completion_tokens")
            lines.append(
                f"max_tokens is {limit:,}: with a larger one every row is another request"
                if limit
                else "no max_tokens was given: the server's own limit cut them; give one"
            )
        return "\n".join(lines)


def respond_file(
    teacher: Teacher,
    source: Path,
    target: Path,
    rejected: Path | None = None,
    language: str = "zh",
    progress: bool = True,
    overwrite: bool = False,
    accept: Collection[str] = (),
    say: Callable[[str], None] = lambda line: None,
    replace: bool = False,
    **sampling: Any,
) -> dict[str, int]:
    """Fill the `output` of every row of `source` and write the rows to `target`, in order.

    A row that has an output keeps it, unless `overwrite`. Rows without a usable answer go to
    `rejected` with their `reason` and, where there is one, the unusable `answer`; without that path
    nothing is written while one is missing. What was answered is in the store either way, so a
    second run asks only for what has no reply. `accept` names marks of replies that are good
    enough. `say` is called with lines on what went wrong. Memory stays constant. Returns how many
    rows are `answered` and `unanswered`, and how many of the answered were `kept`.

    `Taken` (a ValueError), before anything is asked, where two of the paths and the store are one
    file, and where another process writes one. Files of an earlier run of the same command are
    written again: `target` if it loses no line, `rejected` if all its rows are those of `source`.
    Else `Taken`, unless `replace`; what is no such file is never replaced.
    """
    system = of_language(RESPOND_SYSTEM, language)
    work = Answering(teacher, source, system, sampling, overwrite, accept)
    with claimed(touched_by(teacher, source, target, rejected), replace):
        responded(work, target, rejected, progress, replace)
    if work.counts["unanswered"]:
        say(work.advice())
    if odd := work.counts["unknown ending"]:
        say(f"{odd:,} answers end with a finish_reason that is not known here, and were taken")
    return work.counts


def touched_by(
    teacher: Teacher, source: Path, target: Path, rejected: Path | None
) -> list[Touched]:
    """Return the paths that `respond_file` reads and writes."""
    touched = [
        Touched("rows", source, "reads"),
        Touched(
            "out",
            target,
            "again" if made_of(source, target, is_answer) else "file",
            lambda row: {"instruction", "output"} <= row.keys(),
        ),
    ]
    if rejected:
        touched.append(rejects(source, rejected))
    if teacher.store.path:
        touched.append(Touched("store", teacher.store.path, "store"))
    return touched


def rejects(source: Path, rejected: Path) -> Touched:
    """Return the path of the rows that are rejected, as it is now."""
    role = "again" if made_of(source, rejected, is_reject) else "file"
    return Touched("rejected", rejected, role, lambda row: "reason" in row)


def made_of(source: Path, made: Path, by: Callable[[Mapping, Mapping], bool]) -> bool:
    """Return whether a file that is there holds nothing but what was made of rows of `source`.

    Then the same command makes it again.
    """
    if not made.is_file():
        return False
    try:
        rows = questions(source)
        for old in iter_jsonl(made):
            # Both are in order, so each search goes on behind the row that was found last.
            if not any(by(old, row) for row in rows):
                return False
    except (DataError, AttributeError, OSError):
        return False
    return True


def is_answer(old: Mapping, row: Mapping) -> bool:
    """Return whether `old` is `row` with an answer.

    >>> is_answer({"instruction": "问好", "output": "你好。"}, {"instruction": "问好"})
    True
    """
    asked = [name for name in row if name not in ("output", "source")]
    return bool(old.get("output")) and all(old.get(name) == row[name] for name in asked)


def is_reject(old: Mapping, row: Mapping) -> bool:
    """Return whether a rejected row is `row` as it was, with what `respond_file` adds.

    >>> is_reject({"instruction": "问好", "reason": "no answer"}, {"instruction": "问好"})
    True
    """
    added = old.keys() - row.keys()
    same = all(old.get(name) == value for name, value in row.items())
    return same and "reason" in old and added <= {"reason", "answer"}


def responded(
    work: Answering, target: Path, rejected: Path | None, progress: bool, replace: bool
) -> None:
    """Ask for what the store lacks, then write the files from it; see `respond_file`."""
    # A bad line at the end must not be found after an hour of paying.
    total = sum(asked for _, asked in work.rows())

    # First everything goes into the store; then the files are written from there, row by row.
    prompts = (chat_of(row, work.system) for row, asked in work.rows() if asked)
    work.teacher.fill(prompts, progress, total, **work.sampling)
    if rejected is not None:
        # Somebody may have put a file there, or written into it, while the teacher answered.
        guard([rejects(work.source, rejected)], replace)
        write_jsonl(rejected, (row for row, good in work.judged() if not good), overwrite=True)
    with written_whole(target, keeps="" if replace else REPLACE) as partial:
        write_jsonl(partial, (row for row, good in work.judged() if good))
        if work.counts["unanswered"] and rejected is None:
            so = f", so {target.name} was not written; what was answered is stored"
            raise DataError(
                f"{work.advice(so)}\nrejected=FILE writes these rows there, the others to "
                f"{target.name}"
            )


def topics_of_file(path: Path, language: str = "zh") -> list[str]:
    """Read topics: one per line, or JSON or a table with a field `topic` or `word`.

    Of a dump of Wikipedia's category table (`.sql`, `.sql.gz`) the titles that make topics in a
    language (`topics_of`). DataError names the line that is no UTF-8, or has no such field, and a
    file or a dump without a topic.
    """
    if path.name.endswith((".sql", ".sql.gz")):
        topics = topics_of(read_categories(path), language)
        if not topics:
            raise DataError(
                f"{path.name}: 没有一个分类能当主题 found no category that makes a topic in "
                f"{language!r}: is it the dump of that language's Wikipedia?"
            )
        return topics
    rows = units_of(path, ("topic", "word"))
    topics = [topic_of(path.name, place, row) for place, row in rows]
    if not any(topics):
        raise DataError(
            f"{path.name}: 里面没有主题 found no topic, expected one a line, or rows with a field "
            "topic: write some, or leave the topics out"
        )
    return topics


def topic_of(name: str, place: str, row: object) -> str:
    """Return the topic of a row; DataError with its place where it has none."""
    if isinstance(row, DataError):
        raise DataError(f"{name}, {place}: {row}")
    texts = {key: text for key, text in row.items() if text} if isinstance(row, Mapping) else {}
    field = named_field(texts, ("topic", "word"))
    if field is None or not isinstance(texts[field], str):
        raise DataError(f"{name}, {place}: found no text in a field topic or word")
    return texts[field].strip()


def grow_file(
    teacher: Teacher,
    seeds: Path,
    target: Path,
    count: int,
    topics: Path | None = None,
    replace: bool = False,
    **options: Any,
) -> Grown:
    """Grow a set from a file of seeds and write its rows, also those of a run cut short.

    Raises `Taken` as `respond_file` does: a set of an earlier run may grow, and loses no line.
    """
    touched = [
        Touched("seeds", seeds, "reads"),
        Touched("out", target, "again", lambda row: {"instruction", "source"} <= row.keys()),
    ]
    if topics:
        touched.append(Touched("topics", topics, "reads"))
    if teacher.store.path:
        touched.append(Touched("store", teacher.store.path, "store"))
    with claimed(touched, replace):
        known = list(questions(seeds))
        language = str(options.get("language", "zh"))
        chosen = topics_of_file(topics, language) if topics else None
        grown = grow(teacher, known, count, chosen, **options)
        with written_whole(target, keeps="" if replace else REPLACE) as partial:
            write_jsonl(partial, grown.rows)
    return grown
