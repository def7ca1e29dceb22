"""Where may be written, what is ours, whole or not at all, one writer at a time."""

from miniluotuo_utils.writing.alone import Alone
from miniluotuo_utils.writing.guard import FULL, Taken, Touched, check_folder, guard
from miniluotuo_utils.writing.temporary import remove
from miniluotuo_utils.writing.whole import disk_full, put_in_place, written_whole

__all__ = [
    "FULL",
    "Alone",
    "Taken",
    "Touched",
    "check_folder",
    "disk_full",
    "guard",
    "put_in_place",
    "remove",
    "written_whole",
]
