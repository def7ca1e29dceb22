"""Make the virtual environment that the Makefile runs in, with plain words when it cannot be made.

    python3 scripts/install.py .venv     (make calls it; on Windows: py scripts\\install.py .venv)
    python3 scripts/install.py --hosted  (the setup cell, on Colab and Kaggle: into this Python)
    python3 scripts/install.py --wheels DIR  (`download --course` calls it: into DIR/wheels)

Where MINILUOTUO_MIRROR is a folder with such wheels, all comes from there, without a network.
TORCH_INDEX=address chooses where torch comes from; UNCONSTRAINED=1 takes the newest versions that
requirements.txt allows. Standard library only, and readable by an old Python, which it refuses. The
stamp file that tells make that all is well is written last.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
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


def wheels_at_hand():
    """The folder of wheels that a class without a network was given, None where there is none."""
    mirror = os.environ.get("MINILUOTUO_MIRROR", "").strip()
    folder = os.path.join(os.path.expanduser(mirror), "wheels")
    return folder if mirror and "://" not in mirror and os.path.isdir(folder) else None


def pip(python, *arguments, **how):
    """Run pip of an environment; explain the failures that everybody meets."""
    verb, folder = how.get("verb", "install"), wheels_at_hand()
    command = [python, "-m", "pip", verb, "--quiet", "--disable-pip-version-check"]
    if folder and verb == "install":
        command += ["--no-index", "--find-links", folder]
    # pip writes UTF-8 or the system's own letters; an error must not fail on one of them.
    done = subprocess.run(
        command + list(arguments), stderr=subprocess.PIPE, text=True, errors="replace"
    )
    if done.returncode:
        sys.stderr.write(done.stderr)
        if "No space left" in done.stderr:
            stop(
                "the disk is full. Free about %d GiB, or work in a folder on another disk, "
                "then run it again." % SPACE
            )
        if folder and any(sign in done.stderr for sign in NETWORK):
            stop(
                "the wheels in MINILUOTUO_MIRROR do not fit this system or Python (%s; they are "
                "for %s). Take one of those, or unset MINILUOTUO_MIRROR where there is a network."
                % (kind(), ", ".join(kinds(folder)) or "none")
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
    if os.path.exists(stamp) and read(stamp) == wanted:
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
    pip(python_of(venv), "torch", *(constraints + torch_index(wheels_at_hand())))
    pip(python_of(venv), "-r", "requirements.txt", *constraints)
    with open(stamp, "w") as file:
        file.write(wanted)


def torch_index(offline=None):
    """Where torch comes from, as pip is told; nothing for pip's own index, or `offline`."""
    index = os.environ.get("TORCH_INDEX")
    return ["--no-deps", "--index-url", index] if index and not offline else []


def read(path):
    """A small file's text."""
    with open(path) as file:
        return file.read()


# ---- wheels for a class without a network


def kind():
    """The system and Python that wheels made here fit: linux-x86_64-py311, win-amd64-py312."""
    return "%s-py%d%d" % ((sysconfig.get_platform(),) + sys.version_info[:2])


def kinds(folder):
    """The systems and Pythons that a folder holds all wheels for."""
    return sorted(name[: -len(".json")] for name in os.listdir(folder) if name.endswith(".json"))


def make_wheels(folder):
    """Put all wheels of requirements.txt that this system and Python need into folder/wheels.

    Made again only when requirements changed. Runs on other systems add theirs to the same folder;
    a wheel that is there is left as it is. The list of them is written last.
    """
    wheels = os.path.join(folder, "wheels")
    note = os.path.join(wheels, kind() + ".json")
    wanted = fingerprint() + os.environ.get("TORCH_INDEX", "")
    if os.path.exists(note):
        told = json.loads(read(note))
        there = all(os.path.exists(os.path.join(wheels, name)) for name in told["wheels"])
        if told["made_from"] == wanted and there:
            return print("%d wheels for %s: there already" % (len(told["wheels"]), kind()))

    # pip writes into a folder of its own: what a killed run leaves there is no wheel yet.
    partial = os.path.join(folder, ".wheels-" + kind())
    os.makedirs(partial, exist_ok=True)
    constraints = ["-c", "constraints.txt"] if constrained() else []
    into = ["--wheel-dir", partial, "--find-links", partial]
    pip(sys.executable, "torch", *(into + constraints + torch_index()), verb="wheel")
    # setuptools: the package itself is built from its clone, without a network too.
    rest = ["-r", "requirements.txt", "setuptools>=77", "wheel"]
    pip(sys.executable, *(rest + into + constraints), verb="wheel")

    # The package comes from the clone that a pupil unpacks.
    names = sorted(n for n in os.listdir(partial) if n.endswith(".whl") and "miniluotuo" not in n)
    os.makedirs(wheels, exist_ok=True)
    for name in names:
        if not os.path.exists(os.path.join(wheels, name)):
            os.replace(os.path.join(partial, name), os.path.join(wheels, name))
    shutil.rmtree(partial)
    with open(note, "w") as file:
        json.dump({"made_from": wanted, "wheels": names}, file, indent=1)
    print("%d wheels for %s" % (len(names), kind()))


if __name__ == "__main__":
    # What is piped has the system's own letters on Windows, which lack some of pip's.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    if sys.argv[1] == "--hosted":
        hosted()
    elif sys.argv[1] == "--wheels":
        make_wheels(sys.argv[2])
    else:
        main(sys.argv[1])
