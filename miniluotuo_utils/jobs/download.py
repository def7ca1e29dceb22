"""Download data sets and students by name, into the cache or into a mirror folder for a class.

In: names of the catalog and of the zoo. Out: verified files, and a line each that says where.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path


def downloaded(names: Sequence[str], mirror: Path | None = None) -> Iterator[str]:
    """Yield one line for each name once its files are there.

    Students go to a mirror folder only; without one they raise ValueError. A data set that cannot
    be had does not stop the rest: at the end FileNotFoundError lists all of them.
    """
    from miniluotuo_utils.data.download import copy_into_mirror
    from miniluotuo_utils.data.loading import files, loadable
    from miniluotuo_utils.students.loading import copy_into_mirror as copy_student
    from miniluotuo_utils.students.zoo import ZOO

    # A misspelt name is said before anything is downloaded.
    students = [name for name in names if name in ZOO]
    cards = [loadable(name) for name in names if name not in ZOO]
    if students and mirror is None:
        raise ValueError(
            f"{', '.join(students)}: the hub keeps its own cache of students, which load_student "
            "fills; give --mirror DIR for a folder"
        )
    for name in students:
        yield f"{name}: in {copy_student(name, mirror)}"

    # One source that cannot be had must not cost a class the others.
    missing = []
    for card in cards:
        try:
            files(card.name)
            if mirror:
                copy_into_mirror(card.pins, mirror)
        except FileNotFoundError as error:
            missing.append(str(error))
        else:
            place = f", in {mirror}" if mirror else ""
            yield f"{card.name}: {len(card.pins)} files, {card.state}{place}"
    if missing:
        raise FileNotFoundError(
            "\n  ".join([f"{len(missing)} of {len(cards)} data sets are not whole:", *missing])
        )
    if mirror:
        yield f'to use it: MINILUOTUO_MIRROR="{mirror.resolve()}"'
