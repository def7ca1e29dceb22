"""Serve a student: over the OpenAI protocol by `transformers serve` or vLLM, or as a page.

In: a student's name or folder. Out: a server on this machine until it is stopped. Used by `serve`
of the command line; `served` starts that command from a notebook, shown in notebook 07.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import TYPE_CHECKING, NamedTuple
from urllib.request import ProxyHandler, build_opener

from miniluotuo_utils.students import load_student, merge, save

if TYPE_CHECKING:
    from miniluotuo_utils.students import Student

OWN = ("127.0.0.1", "localhost", "::1")  # addresses that only this machine reaches
ANY = "0.0.0.0", "::"  # all addresses of this machine
GRACE = 5  # seconds that running answers have when the server is stopped
ENDING = 30  # seconds that another process has to end when it is told to
ADDRESS = re.compile(r"http://\S+?/v1\b")
LOOK = 0.2  # seconds between two looks at another process


def served_name(student: str | Path) -> str:
    """Return the name under which a student is served: its zoo name, hub id or folder's name.

    >>> served_name("tiny"), served_name("google/mt5-small")
    ('tiny', 'google/mt5-small')
    """
    folder = Path(student)
    return folder.resolve().name if folder.is_dir() else str(student)


def held(student: Student) -> Student:
    """Copy a student's weights out of its file into memory, and return it.

    What is loaded in the type of the file is read from there page by page: written over in place
    (`cp new old`), it would change the answers of a running server without a word, or end it.
    """
    for weights in (*student.model.parameters(), *student.model.buffers()):
        if weights.device.type == "cpu":
            weights.data = weights.data.clone()
    return student


def serve_api(
    student: Student, name: str, host: str, port: int, say: Callable[[str], None] = print
) -> None:
    """Serve a student over the OpenAI protocol until the process is told to stop.

    Answers are made one after the other, others wait. Raises ValueError for a port in use and for
    an encoder–decoder, which the protocol's server cannot run.
    """
    if student.encoder_decoder:
        raise ValueError(
            f"{name} 是编码器–解码器，transformers serve 只服务解码器；用 --page 或 predict。 "
            f"{name} is an encoder–decoder, which transformers serve cannot run: take --page"
        )
    import uvicorn

    from miniluotuo_utils.jobs.protocol import app_of
    from miniluotuo_utils.students.devices import quiet

    # The port first: else a typing error shows itself after minutes of loading.
    with listening(host, port) as found, quiet():
        config = uvicorn.Config(
            app_of(held(student), name, hosts_of(host)),
            log_level="warning",
            timeout_graceful_shutdown=GRACE,
        )
        say(greeting(name, host, found.getsockname()[1]))
        uvicorn.Server(config).run(sockets=[found])


def hosts_of(host: str) -> list[str]:
    """Return the names under which a server answers: where only this machine reaches it, its own.

    Else a web page whose name is made to point here would ask from the reader's own browser.

    >>> hosts_of("127.0.0.1"), hosts_of("0.0.0.0")
    (['127.0.0.1', 'localhost', '[::1]'], ['*'])
    """
    return ["127.0.0.1", "localhost", "[::1]"] if host in OWN else ["*"]


def address_of(host: str, port: int) -> str:
    """Return the address of the protocol.

    >>> address_of("::1", 8000)
    'http://[::1]:8000/v1'
    """
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"


def greeting(name: str, host: str, port: int) -> str:
    """Return what is said when a server is open: its address, and who can reach it."""
    address = address_of(host, port)
    lines = [
        f"{name}：{address}（Ctrl+C 结束 Ctrl+C to end）",
        f'  OpenAI(base_url="{address}", api_key="-").chat.completions.create(model="{name}", …)',
    ]
    return "\n".join([*lines, warning(host)]) if warning(host) else "\n".join(lines)


def warning(host: str) -> str:
    """Return what is said where other machines reach the server too, "" where none does."""
    if host in OWN:
        return ""
    return (
        f"注意：同一网络里的人都能用 {host}，没有密码。 WARNING: everybody on the network of "
        f"{host} can use it, without a password."
    )


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Open a port, so that nobody else takes it; port 0 is any free one.

    Raises ValueError, in both languages, for a port in use or an address of another machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as found:
        if os.name != "nt":  # there it would share a port that somebody else uses
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((host, port))
            found.listen(1024)
        except (OSError, OverflowError) as error:
            raise ValueError(no_port(host, port, error)) from None
        yield found


def no_port(host: str, port: int, error: Exception) -> str:
    """Return why a port cannot be opened, and the way out."""
    code = getattr(error, "errno", None)
    if code == errno.EADDRINUSE:
        return (
            f"端口 {port} 有人在用，用 --port 换一个。 Port {port} of {host} is in use: choose "
            f"another one, --port {port + 1}"
        )
    return (
        f"打不开 {host} 的端口 {port}。 Port {port} of {host} cannot be opened ({error}): expected "
        "an address of this machine and a port from 1024 to 65535"
    )


# ---- vLLM


def serve_vllm(
    student: str | Path, name: str, host: str, port: int, dtype: str, say: Callable[[str], None]
) -> int:
    """Serve a student by vLLM, a program of its own, and return its exit status.

    An adapter is merged into its base first, in a folder that lasts as long as the server.
    """
    program = shutil.which("vllm")
    if program is None:
        raise ValueError(
            "没有装 vLLM：pip install vllm，要装在另一个环境里，它要别的 torch。 vLLM is not "
            "installed: install it in an environment of its own, since it needs another torch"
        )
    # Tried, so that a port in use is said in our words; 0 becomes the free one that was found.
    with listening(host, port) as found:
        port = found.getsockname()[1]
    options = ["--served-model-name", name, "--host", host, "--port", str(port), "--dtype", dtype]
    with TemporaryDirectory() as place:
        folder = Path(student)
        if not (folder / "config.json").is_file():
            loaded = load_student(student, dtype="float32" if dtype == "auto" else dtype)
            folder = Path(place) / name.rpartition("/")[2]
            save(merge(loaded) if loaded.is_adapter else loaded, folder)
        # Somebody waits for this line: it comes when questions are answered, minutes later.
        address = address_of("127.0.0.1" if host in ANY else host, port)
        command = [program, "serve", str(folder), *options]
        return child(command, address, lambda: say(greeting(name, host, port)))


def child(command: Sequence[str], address: str, opened: Callable[[], None]) -> int:
    """Run a server until it ends, and return its exit status; what stops us stops it too.

    `opened` is called once, when the server answers at `address`. Killed by force (`kill -9`) we
    can tell it nothing: then it goes on, and is to be ended by hand.
    """
    # Before it starts: a signal that comes meanwhile is only remembered.
    told: list[int] = []
    numbers = signal.SIGTERM, signal.SIGINT
    before = {one: signal.signal(one, lambda number, _: told.append(number)) for one in numbers}
    running = None
    try:
        running = subprocess.Popen(command)
        waiting = True
        while running.poll() is None and not told:
            if waiting and answers(address):
                opened()
                waiting = False
            time.sleep(LOOK)
        # Ctrl+C reaches both of us, and a second one makes many programs quit hard.
        return ended(running, tell=signal.SIGTERM in told)
    finally:
        if running is not None:
            running.kill()
        for one, handler in before.items():
            signal.signal(one, handler)


def answers(address: str) -> bool:
    """Return whether a server lists its models at an address."""
    # No proxy stands between us and this machine.
    plain = build_opener(ProxyHandler({}))
    try:
        with plain.open(f"{address}/models", timeout=1):
            return True
    except (OSError, HTTPException):
        return False


def ended(running: subprocess.Popen, tell: bool = True) -> int:
    """Wait for the end of a process, by force where it takes too long; return its exit status."""
    if tell and running.poll() is None:
        running.terminate()
    try:
        return running.wait(ENDING)
    except subprocess.TimeoutExpired:
        running.kill()
        return running.wait()


# ---- from a notebook


class Server(NamedTuple):
    """A served student: the address of the protocol, the name to ask for, and its process."""

    address: str
    name: str
    process: subprocess.Popen


@contextmanager
def served(student: str | Path, *options: str, limit: float = 180) -> Iterator[Server]:
    """Serve a student in a process of its own, by the command `serve`, to the end of the block.

    `options` are further ones of the command, such as `"--dtype", "float32"`. After the block
    `process.returncode` is the exit status. A client must not ask through a proxy:
    `OpenAI(base_url=…, http_client=DefaultHttpxClient(trust_env=False))`, both from `openai`.
    Raises RuntimeError, with the last lines that the server said, where it ends at once or has no
    address within `limit` seconds.
    """
    folder = Path(student)
    name = str(folder.resolve() if folder.is_dir() else student)
    command = [sys.executable, "-m", "miniluotuo_utils", "serve", name, "--port", "0", *options]
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONUTF8": "1"}
    with TemporaryDirectory(ignore_cleanup_errors=True) as place:
        # A file and not a pipe: a pipe that nobody reads fills, and then the server stands still.
        log = Path(place) / "log"
        with log.open("wb") as out:
            running = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=env)
        try:
            yield Server(address_in(log, running, limit), served_name(student), running)
        finally:
            ended(running)


def address_in(log: Path, running: subprocess.Popen, limit: float) -> str:
    """Return the address that a server says in its log; RuntimeError where it says none."""
    until = time.monotonic() + limit
    while True:
        over = running.poll() is not None or time.monotonic() > until
        said = log.read_text(encoding="utf-8", errors="replace")
        if found := ADDRESS.search(said):
            return found[0]
        if over:
            last = "\n".join(said.splitlines()[-20:])
            raise RuntimeError(f"服务器没有起来。 The server did not start:\n{last}")
        time.sleep(LOOK)


# ---- the page


def serve_page(
    students: dict[str, Student], host: str, port: int, say: Callable[[str], None] = print
) -> None:
    """Open the page of one or two students until the process is told to stop."""
    from miniluotuo_utils.show.demo import opened, page

    with listening(host, port) as found:
        port = found.getsockname()[1]
    made = page({name: held(student) for name, student in students.items()})
    say(f"{opened(made, host, port, hosts_of(host))}（Ctrl+C 结束 Ctrl+C to end）")
    if warning(host):
        say(warning(host))

    # A SIGTERM leaves in the middle of a wait, so the port must be free for the next start.
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        stop.wait()
    finally:
        made.close(verbose=False)
