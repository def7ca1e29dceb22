"""Make the virtual environment that the Makefile runs in, with plain words when it cannot be made.

    python3 scripts/install.py VENV     (called by make; TORCH_INDEX=address chooses where torch comes from)

Standard library only, and readable by an old Python, which it refuses. The stamp file that tells make that all is well is
written last.
"""

import hashlib
import os
import shutil
import subprocess
import sys

LEAST = (3, 11)
SPACE = 6  # GiB: torch's CPU build and all the rest; a CUDA build needs about three times as much
NETWORK = (
    "Temporary failure in name resolution",
    "Connection refused",
    "Failed to establish",
    "timed out",
    "NewConnectionError",
    "Network is unreachable",
    "No matching distribution found",
)


def stop(message):
    """Say why and leave."""
    sys.exit("\nerror: " + message)


def fingerprint():
    """What the environment was made from: requirements, constraints, pyproject."""
    digest = hashlib.sha256()
    for name in ("requirements.txt", "constraints.txt", "pyproject.toml"):
        with open(name, "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def constrained():
    """Whether to take the exact set of constraints.txt, which CI proved on Python 3.11; newer than 3.13 take the ranges."""
    return sys.version_info[:2] <= (3, 13)


def pip(venv, *arguments):
    """Run pip of the new environment; explain the two failures that everybody meets."""
    command = [
        os.path.join(venv, "bin", "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        *arguments,
    ]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.stderr.write(done.stderr)
        if "No space left" in done.stderr:
            stop(
                "the disk is full. Free about %d GiB, or work in a folder on another disk, then run make again."
                % SPACE
            )
        if any(sign in done.stderr for sign in NETWORK):
            stop(
                "pip could not fetch a package: is the network up? Behind a mirror, set PIP_INDEX_URL. Then run make again."
            )
        stop("pip failed; its own words stand above. After mending it, run make again.")


def main(venv):
    if sys.version_info < LEAST:
        stop(
            "this is Python %d.%d; Mini-Luotuo needs %d.%d or newer. Try: make PYTHON=python3.11 run"
            % (sys.version_info[:2] + LEAST)
        )
    stamp = os.path.join(venv, ".installed")
    wanted = fingerprint()
    if os.path.exists(stamp) and open(stamp).read() == wanted:
        return
    free = shutil.disk_usage(".").free / 2**30
    if free < SPACE and not os.path.exists(stamp):
        stop(
            "%.1f GiB are free here, about %d are needed. Free some space, or clone to another disk."
            % (free, SPACE)
        )
    print("installing into %s (minutes the first time) ..." % venv, flush=True)
    has_pip = [os.path.join(venv, "bin", "python"), "-m", "pip", "--version"]
    if (
        not os.path.exists(has_pip[0])
        or subprocess.run(has_pip, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
    ):
        if subprocess.run([sys.executable, "-m", "venv", "--clear", venv]).returncode:
            stop(
                "python3 -m venv failed. On Debian and Ubuntu: apt install python3-venv. Then run make again."
            )
    constraints = ["-c", "constraints.txt"] if constrained() else []
    index = os.environ.get("TORCH_INDEX")
    # an index of torch builds need not hold what torch needs: those come with the rest
    pip(venv, "torch", *constraints, *(["--no-deps", "--index-url", index] if index else []))
    pip(venv, "-r", "requirements.txt", *constraints)
    with open(stamp, "w") as file:
        file.write(wanted)


if __name__ == "__main__":
    main(sys.argv[1])
