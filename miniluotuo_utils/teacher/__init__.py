"""02: a teacher, the instructions and responses that it writes, and how varied they are."""

from miniluotuo_utils.teacher.annotator import Annotator
from miniluotuo_utils.teacher.client import Teacher
from miniluotuo_utils.teacher.diversity import diversity, nearest_seed
from miniluotuo_utils.teacher.guided import example_guided, parse_examples, respond, topic_guided
from miniluotuo_utils.teacher.recorded import RecordedTeacher, open_teacher
from miniluotuo_utils.teacher.store import Store

__all__ = [
    "Annotator",
    "RecordedTeacher",
    "Store",
    "Teacher",
    "diversity",
    "example_guided",
    "nearest_seed",
    "open_teacher",
    "parse_examples",
    "respond",
    "topic_guided",
]
