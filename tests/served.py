"""Commands that serve: started as people start them, read until they say their address, ended."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Running(NamedTuple):
    """A command that serves, and where."""

    process: subprocess.Popen
    address: str


@contextmanager
def running(*command: str, env: dict | None = None) -> Iterator[Running]:
    """`python -m miniluotuo_utils COMMAND`, ended by SIGTERM."""
    process = subprocess.Popen(
        [sys.executable, "-m", "miniluotuo_utils", *command],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
    )
    try:
        found = None
        for line in process.stdout:
            if found := re.search(r"http://[\w.\[\]:]+(/v1)?", line):
                break
        assert found, f"no address; exit status {process.wait(60)}"
        yield Running(process, found[0])
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        finally:
            process.kill()
            process.stdout.close()
