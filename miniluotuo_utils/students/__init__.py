"""04: the zoo of students, fine-tuning, saving and merging."""

from miniluotuo_utils.students.finetune import Training, finetune, merge, save
from miniluotuo_utils.students.table import zoo_table
from miniluotuo_utils.students.zoo import ZOO, Student, load_student, trained_student

__all__ = ["ZOO", "Student", "Training", "finetune", "load_student", "merge", "save", "trained_student", "zoo_table"]
