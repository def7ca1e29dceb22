"""Make the virtual environment that the Makefile runs in, with plain words when it cannot be made.

    python3 scripts/install.py .venv     (make calls it; on Windows: py scripts\\install.py .venv)
    python3 scripts/install.py --hosted  (the setup cell, on Colab and Kaggle: into this Python)

TORCH_INDEX=address chooses where torch comes from; UNCONSTRAINED=1 takes the newest versions that
requirements.txt allows. Standard library only, and readable by an old Python, which it refuses. The
stamp file that tells make that all is well is written last.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile

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
    """Whether to take the exact set of constraints.txt, which CI proved on Python 3.11."""
    return sys.version_info[:2] <= (3, 13) and not os.environ.get("UNCONSTRAINED")


def python_of(venv):
    """The environment's own Python: Windows keeps it in another folder."""
    if os.name == "nt":
        return os.path.join(venv, "Scripts", "python.exe")
    return os.path.join(venv, "bin", "python")


def pip(python, *arguments):
    """Run pip of an environment; explain the two failures that everybody meets."""
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(command + list(arguments), stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.stderr.write(done.stderr)
        if "No space left" in done.stderr:
            stop(
                "the disk is full. Free about %d GiB, or work in a folder on another disk, "
                "then run it again." % SPACE
            )
        if any(sign in done.stderr for sign in NETWORK):
            stop(
                "pip could not fetch a package: is the network up? Behind a mirror, set "
                "PIP_INDEX_URL. Then run it again."
            )
        stop("pip failed; its own words stand above. After mending it, run it again.")


def make_environment(venv):
    """An empty environment with pip, unless there is one already."""
    python = python_of(venv)
    if os.path.exists(python):
        asked = [python, "-m", "pip", "--version"]
        if not subprocess.run(
            asked, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ).returncode:
            return
    if subprocess.run([sys.executable, "-m", "venv", "--clear", venv]).returncode:
        stop(
            "python3 -m venv failed. On Debian and Ubuntu: apt install python3-venv. "
            "Then run it again."
        )


def pins(names=("torch", "numpy", "ipykernel")):
    """The lines that hold what a platform came with as it is: its torch fits its GPU."""
    from importlib.metadata import PackageNotFoundError, version

    lines = []
    for name in names:
        try:
            lines.append("%s==%s\n" % (name, version(name)))
        except PackageNotFoundError:
            pass
    return lines


def hosted():
    """Install into the Python that runs this, on a platform that brings torch and numpy.

    pip fails rather than replace them, because they stand in a file of constraints.
    """
    handle, path = tempfile.mkstemp(suffix=".txt")
    with os.fdopen(handle, "w") as file:
        file.writelines(pins())
    try:
        pip(sys.executable, "-r", "requirements.txt", "-c", path)
    finally:
        os.remove(path)


def main(venv):
    if sys.version_info < LEAST:
        stop(
            "this is Python %d.%d; Mini-Luotuo needs %d.%d or newer. "
            "Try: make PYTHON=python3.11 run" % (sys.version_info[:2] + LEAST)
        )
    stamp = os.path.join(venv, ".installed")
    wanted = fingerprint()
    if os.path.exists(stamp) and open(stamp).read() == wanted:
        return
    free = shutil.disk_usage(".").free / 2**30
    if free < SPACE and not os.path.exists(stamp):
        stop(
            "%.1f GiB are free here, about %d are needed. Free some space, or clone to another "
            "disk." % (free, SPACE)
        )
    print("installing into %s (minutes the first time) ..." % venv, flush=True)
    make_environment(venv)

    # An index of torch builds need not hold what torch needs: those come with the rest.
    constraints = ["-c", "constraints.txt"] if constrained() else []
    index = os.environ.get("TORCH_INDEX")
    where = ["--no-deps", "--index-url", index] if index else []
    pip(python_of(venv), "torch", *(constraints + where))
    pip(python_of(venv), "-r", "requirements.txt", *constraints)
    with open(stamp, "w") as file:
        file.write(wanted)


if __name__ == "__main__":
    if sys.argv[1] == "--hosted":
        hosted()
    else:
        main(sys.argv[1])
