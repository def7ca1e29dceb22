"""Where may be written, what is ours, whole or not at all, one writer at a time."""

from miniluotuo_utils.writing.alone import Alone, claimed
from miniluotuo_utils.writing.guard import FULL, Taken, Touched, cannot_write, check_folder, guard
from miniluotuo_utils.writing.ours import foreign, is_run_note
from miniluotuo_utils.writing.temporary import remove
from miniluotuo_utils.writing.whole import disk_full, is_full, put_in_place, written_whole

__all__ = [
    "FULL",
    "Alone",
    "Taken",
    "Touched",
    "cannot_write",
    "check_folder",
    "claimed",
    "disk_full",
    "foreign",
    "guard",
    "is_full",
    "is_run_note",
    "put_in_place",
    "remove",
    "written_whole",
]
