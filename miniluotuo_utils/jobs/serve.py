"""Serve a student: over the OpenAI protocol by `transformers serve` or vLLM, or as a page.

In: a student's name or folder. Out: a server on this machine until it is stopped. Used by `serve`
of the command line; shown in notebook 07.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.students import load_student, merge, save

if TYPE_CHECKING:
    from miniluotuo_utils.students import Student

OWN = ("127.0.0.1", "localhost", "::1")  # addresses that only this machine reaches
GRACE = 5  # seconds that running answers have when the server is stopped


def served_name(student: str | Path) -> str:
    """Return the name under which a student is served: its zoo name, hub id or folder's name.

    >>> served_name("tiny"), served_name("google/mt5-small")
    ('tiny', 'google/mt5-small')
    """
    folder = Path(student)
    return folder.resolve().name if folder.is_dir() else str(student)


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
            app_of(student, name),
            log_level="warning",
            timeout_graceful_shutdown=GRACE,
        )
        say(greeting(name, host, found.getsockname()[1]))
        uvicorn.Server(config).run(sockets=[found])


def greeting(name: str, host: str, port: int) -> str:
    """Return what is said when a server is open: its address, and who can reach it."""
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}/v1"
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
    with listening(host, port):
        pass  # tried, so that a port in use is said in our words
    options = ["--served-model-name", name, "--host", host, "--port", str(port), "--dtype", dtype]
    with TemporaryDirectory() as place:
        folder = Path(student)
        if not (folder / "config.json").is_file():
            loaded = load_student(student, dtype="float32" if dtype == "auto" else dtype)
            folder = Path(place) / name.rpartition("/")[2]
            save(merge(loaded) if loaded.is_adapter else loaded, folder)
        say(greeting(name, host, port))
        return child([program, "serve", str(folder), *options])


def child(command: Sequence[str]) -> int:
    """Run a program until it ends, and return its exit status; what stops us stops it too."""
    running = subprocess.Popen(command)

    def forward(number: int, _: Any) -> None:
        running.send_signal(number)

    # Ctrl+C reaches both of them, a SIGTERM only us.
    before = {one: signal.signal(one, forward) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        return running.wait()
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        if running.poll() is None:
            running.kill()


# ---- the page


def serve_page(
    students: dict[str, Student], host: str, port: int, say: Callable[[str], None] = print
) -> None:
    """Open the page of one or two students until the process is told to stop."""
    from miniluotuo_utils.show.demo import opened, page

    with listening(host, port) as found:
        port = found.getsockname()[1]
    made = page(students)
    say(f"{opened(made, host, port)}（Ctrl+C 结束 Ctrl+C to end）")
    if warning(host):
        say(warning(host))

    # A SIGTERM leaves in the middle of a wait, so the port must be free for the next start.
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        stop.wait()
    finally:
        made.close(verbose=False)
