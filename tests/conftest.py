"""Where tests find real data: MINILUOTUO_MIRROR, else a mirror folder beside the checkout."""

import os
from pathlib import Path

import pytest

# Several test processes share the cores: one thread each is faster than threads that wait.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "agg")
BESIDE = Path(__file__).resolve().parents[2] / "shared" / "mirror"
if "MINILUOTUO_MIRROR" not in os.environ and BESIDE.is_dir():
    os.environ["MINILUOTUO_MIRROR"] = str(BESIDE)


@pytest.fixture
def mirror() -> Path:
    """The mirror folder; a test that needs it is skipped, with this reason, where it is absent."""
    folder = os.environ.get("MINILUOTUO_MIRROR", "")
    if not Path(folder).is_dir() or not folder:
        pytest.skip("no mirror of the real data: set MINILUOTUO_MIRROR to its folder")
    return Path(folder)


@pytest.fixture
def runs(tmp_path, monkeypatch) -> Path:
    """A fresh `runs/` folder."""
    monkeypatch.setenv("MINILUOTUO_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture(scope="session")
def tiny():
    """The embedded student, not to be trained."""
    from miniluotuo_utils.students import load_student

    return load_student("tiny")
