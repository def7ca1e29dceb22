"""Commands that are killed in the middle, at the same place on every machine."""

import signal
import subprocess
import sys

# A run kills itself: from outside, a busy machine would be too late or too early.
KILLED = """
import os, signal, sys
from miniluotuo_utils.__main__ import main
from miniluotuo_utils.files import Journal

append, calls = Journal.append, []

def counted(journal, *lines):
    append(journal, *lines)
    calls.append(lines)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)

Journal.append = counted
main(sys.argv[1:])
"""


def run_until_killed(command, env):
    """Run a command of the package, with kill -9 after the third time that it adds to a journal."""
    done = subprocess.run([sys.executable, "-c", KILLED, *command], env=env, check=False)
    assert done.returncode == -signal.SIGKILL
