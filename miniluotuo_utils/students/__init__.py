"""04 and 06: the zoo of students, fine-tuning, distilling, saving and merging."""

import logging

from miniluotuo_utils.students.cards import zoo_table
from miniluotuo_utils.students.distill import distill
from miniluotuo_utils.students.finetune import finetune, merge, save
from miniluotuo_utils.students.loading import Student, load_student, trained_student
from miniluotuo_utils.students.model_card import card
from miniluotuo_utils.students.training import Training
from miniluotuo_utils.students.zoo import ZOO

# It warns on import about a kernel that nothing here needs.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

__all__ = [
    "ZOO",
    "Student",
    "Training",
    "card",
    "distill",
    "finetune",
    "load_student",
    "merge",
    "save",
    "trained_student",
    "zoo_table",
]
