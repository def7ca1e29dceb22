"""Where tests find real data, and how they draw examples.

Real data: MINILUOTUO_MIRROR, else a mirror folder beside the checkout. Examples: the same in every
run, so that one commit never passes once and fails once; `make hunt` draws others.
"""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

# Several test processes share the cores: one thread each is faster than threads that wait.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "agg")
BESIDE = Path(__file__).resolve().parents[2] / "shared" / "mirror"
if "MINILUOTUO_MIRROR" not in os.environ and BESIDE.is_dir():
    os.environ["MINILUOTUO_MIRROR"] = str(BESIDE)

# No clock judges either: a machine that others load is no reason to fail.
UNTIMED = settings(
    deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow], database=None
)
settings.register_profile("same", UNTIMED, derandomize=True)
settings.register_profile("hunt", UNTIMED, derandomize=False)
settings.load_profile("same")


def pytest_configure(config: pytest.Config) -> None:
    """Keep the constants of our modules out of the examples, but for a hunt.

    Hypothesis draws them from what is imported by then, so that an example would depend on which
    tests run beside it, and in which process.
    """
    if config.getoption("--hypothesis-profile") != "hunt":
        providers._get_local_constants = lambda: providers._local_constants


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
