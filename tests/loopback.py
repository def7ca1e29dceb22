"""A teacher's server on 127.0.0.1 that answers as a test tells it to, byte for byte."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def completion(text: object = "好。", finish_reason: object = "stop", **more: object) -> dict:
    """A chat completion as a paid server sends it; `more` replaces its fields."""
    message = {"role": "assistant", "content": text}
    return {
        "object": "chat.completion",
        "model": "m-1",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
        **more,
    }


@dataclass
class Sent:
    """What the server sends: a body (a dict is sent as JSON), after `delay` seconds."""

    body: object = field(default_factory=completion)
    status: int = 200
    kind: str = "application/json"
    delay: float = 0.0
    headers: dict = field(default_factory=dict)


class Server:
    """`with Server(script) as server:`; `script(request, times_asked)` gives `Sent` or a dict.

    `asked` has the requests in the order of their arrival, `paid` those that were answered with
    status 200, also where the client had gone.
    """

    def __init__(self, script: Callable[[dict, int], Sent | dict]) -> None:
        self.script, self.lock = script, threading.Lock()
        self.asked: list[dict] = []
        self.paid: list[str] = []

    def __enter__(self) -> Server:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer.handle(self)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()
        self.root = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.base_url = f"{self.root}/v1"
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one POST."""
        request = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        request["path"] = handler.path
        with self.lock:
            self.asked.append(request)
            times = sum(one["messages"] == request["messages"] for one in self.asked)
        sent = self.script(request, times)
        sent = sent if isinstance(sent, Sent) else Sent(sent)
        time.sleep(sent.delay)
        if sent.status == 200:
            with self.lock:
                self.paid.append(question(request))
        body = sent.body if isinstance(sent.body, bytes) else json.dumps(sent.body).encode()
        try:
            handler.send_response(sent.status)
            for name, value in {"Content-Type": sent.kind, **sent.headers}.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)
        except OSError:
            handler.close_connection = True  # the client has gone: it waited long enough


def question(request: dict) -> str:
    """The last message of a request."""
    return request["messages"][-1]["content"]
