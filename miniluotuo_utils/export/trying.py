"""Try an export where people use it: a page in Chromium without a network, a GGUF in llama.cpp.

In: what `export` wrote. Out: an address to open, a server to ask. Used by benchmarks, pictures and
tests; a person needs `python -m http.server` or llama.cpp itself.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
# What Chromium is started with where it shall find no host but this machine.
ALONE = ("--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")


def chromium() -> str | None:
    """Return this machine's Chromium, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@contextmanager
def hosted(folder: Path) -> Iterator[tuple[str, subprocess.Popen]]:
    """Serve a folder on this machine by Python's own server; yield its address and the server."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "encoding": "utf-8"}
    with subprocess.Popen(command, cwd=folder, **pipes) as server:
        try:
            # It listens before it says on which free port.
            told = server.stdout.readline()
            yield f"http://127.0.0.1:{told.split(' port ')[1].split()[0]}/", server
        finally:
            server.kill()


class Llama:
    """A GGUF in llama.cpp's own server: `Llama(file)("/completion", prompt=ids, n_predict=8)`.

    `slots` prompts are answered at a time, each with `context` tokens. Raises ImportError without
    xllamacpp.
    """

    def __init__(self, file: Path, slots: int = 1, threads: int = 1, context: int = 1024) -> None:
        import xllamacpp

        settings = xllamacpp.CommonParams()
        settings.model.path, settings.verbosity = str(file), -1
        settings.n_parallel, settings.n_ctx, settings.port = slots, context * slots, 0
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
        self.server = xllamacpp.Server(settings)  # it listens for as long as this object lives
        self.open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def __call__(self, path: str, **body) -> dict:
        """Return the server's answer to a JSON body."""
        kind = {"Content-Type": "application/json"}
        address = self.server.listening_address + path
        request = urllib.request.Request(address, json.dumps(body).encode(), kind)
        with self.open(request) as answer:
            return json.load(answer)
