"""Keep rows in a temporary file, so that memory holds eight bytes of each, however many there are.

In: rows. Out: the same rows, one after the other or by their number. Used by `clean` and `mix`.
"""

from __future__ import annotations

import pickle
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Mapping
from copy import copy


class Shelf:
    """Rows in a file without a name, which the system deletes when nobody holds it any more.

    It stands in the system's folder for temporary files: TMPDIR names another one.

    >>> shelf = Shelf([{"a": 1}, {"a": 2}, {"a": 3}])
    >>> len(shelf), shelf[1], list(shelf.pick([2, 0]))
    (3, {'a': 2}, [{'a': 3}, {'a': 1}])
    """

    def __init__(self, rows: Iterable[Mapping] = ()) -> None:
        # It is closed, and gone, when the last shelf that shares it is.
        self.file, self.end = tempfile.TemporaryFile(), 0  # noqa: SIM115
        self.starts = array("q")
        for row in rows:
            self.append(row)

    def append(self, row: Mapping) -> int:
        """Put a row behind all others; return its number."""
        data = pickle.dumps(dict(row), pickle.HIGHEST_PROTOCOL)
        self.file.seek(self.end)
        self.file.write(data)
        self.starts.append(self.end)
        self.end += len(data)
        return len(self.starts) - 1

    def pick(self, numbers: Iterable[int]) -> Shelf:
        """Return the rows of these numbers, in that order, as a shelf that shares the file."""
        picked = copy(self)
        picked.starts = array("q", map(self.starts.__getitem__, numbers))
        return picked

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, number: int) -> dict:
        # A place of its own each time: who goes through the rows may look at another one between.
        self.file.seek(self.starts[number])
        return pickle.load(self.file)

    def __iter__(self) -> Iterator[dict]:
        return map(self.__getitem__, range(len(self)))
