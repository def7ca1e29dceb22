"""The picture of the base's pre-training."""

import draw_curves
import pytest

from miniluotuo_utils.files import write_jsonl

EVALUATED = {"repeated": 0.5, "silver_f1": 0.4, "bits": 5.0}


def test_the_log_of_a_training_is_drawn(tmp_path):
    """The picture was drawn by hand once, and showed another training than the log beside it."""
    lines = [{"tokens": tokens, "loss": 1 / tokens} for tokens in (1, 2, 3)]
    write_jsonl(tmp_path / "training.jsonl", [*lines, {"tokens": 3} | EVALUATED])
    assert draw_curves.draw(tmp_path) == tmp_path / "curves.png"
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_log_without_evaluations_is_refused(tmp_path):
    """An empty panel looks like a student that learned nothing."""
    write_jsonl(tmp_path / "training.jsonl", [{"tokens": 1, "loss": 2.0}])
    with pytest.raises(ValueError, match="found no line with bits, repeated, silver_f1"):
        draw_curves.draw(tmp_path)
