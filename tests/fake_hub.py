"""A hub on 127.0.0.1, as far as `push` talks to one: it creates, takes large files, commits."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

LARGE = (".safetensors", ".parquet")  # what the hub keeps apart


@dataclass
class FakeHub:
    """`repos` holds what is visible: name -> {path: bytes}; `stored` large files by their hash.

    `refuse[step] = (status, times)` refuses a step, the first so many times that it is asked:
    create, preupload, batch, put, commit. `asked` counts the steps, `tokens` what came with them.
    """

    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    refuse: dict[str, tuple[int, int]] = field(default_factory=dict)
    asked: Counter = field(default_factory=Counter)
    tokens: set = field(default_factory=set)
    address: str = ""

    def on(self, server: HTTPServer) -> FakeHub:
        """Answer at a test's server."""
        self.address = server.url_for("").rstrip("/")
        server.expect_request(re.compile(".*")).respond_with_handler(self.answer)
        return self

    def answer(self, request: Request) -> Response:
        """Answer one request, or refuse it."""
        step = self.step(request)
        self.asked[step] += 1
        if step != "put":  # a signed address needs no token
            self.tokens.add(request.headers.get("Authorization"))
        status, times = self.refuse.get(step, (0, 0))
        if self.asked[step] <= times:
            body = json.dumps({"error": f"refused as a test asks, {status}"})
            return Response(body, status, content_type="application/json")
        told = getattr(self, step)(request)
        if isinstance(told, Response):
            return told
        return Response(json.dumps(told), content_type="application/json")

    @staticmethod
    def step(request: Request) -> str:
        """Return what a request asks for."""
        steps = {
            r"/api/repos/create": "create",
            r"/api/validate-yaml": "card",
            r"/api/\w+/[^/]+/[^/]+/tree/main": "tree",
            r"/api/\w+/[^/]+/[^/]+/preupload/main": "preupload",
            r".*\.git/info/lfs/objects/batch": "batch",
            r"/put/\w+": "put",
            r"/api/\w+/[^/]+/[^/]+/commit/main": "commit",
        }
        return next(name for path, name in steps.items() if re.fullmatch(path, request.path))

    def repo(self, request: Request) -> str:
        """Return the repository that an address of the API names."""
        return "/".join(request.path.split("/")[3:5])

    def create(self, request: Request) -> dict | Response:
        """Make a repository, which then holds what the hub puts into each."""
        asked = request.json
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.repos:
            told = {"error": "You already created this repo", "url": f"{self.address}/{name}"}
            return Response(json.dumps(told), 409)
        self.repos[name] = {".gitattributes": b""}
        self.private[name] = asked.get("private", asked.get("visibility") == "private")
        return {"url": f"{self.address}/{name}"}

    def card(self, request: Request) -> dict:
        """Take any card."""
        return {"errors": [], "warnings": []}

    def tree(self, request: Request) -> list[dict]:
        """List the files of a repository."""
        files = self.repos[self.repo(request)]
        return [
            {"type": "file", "path": path, "size": len(body), "oid": sha256(body).hexdigest()}
            for path, body in files.items()
        ]

    def preupload(self, request: Request) -> dict:
        """Say which files are large."""
        files = []
        for one in request.json["files"]:
            mode = "lfs" if one["path"].endswith(LARGE) else "regular"
            files.append({"path": one["path"], "uploadMode": mode, "shouldIgnore": False})
        return {"files": files}

    def batch(self, request: Request) -> dict:
        """Say where the large files go that are not there yet."""
        objects = []
        for one in json.loads(request.data)["objects"]:
            where = {"upload": {"href": f"{self.address}/put/{one['oid']}"}}
            objects.append(one if one["oid"] in self.stored else {**one, "actions": where})
        return {"transfer": "basic", "objects": objects}

    def put(self, request: Request) -> Response:
        """Keep one large file, of the bytes that its hash promises."""
        oid = request.path.rpartition("/")[2]
        assert sha256(request.data).hexdigest() == oid
        self.stored[oid] = request.data
        return Response("")

    def commit(self, request: Request) -> dict:
        """Show all files of a commit at once."""
        name = self.repo(request)
        files = self.repos[name]
        for line in request.data.splitlines():
            one = json.loads(line)
            value = one["value"]
            if one["key"] == "file":
                files[value["path"]] = b64decode(value["content"])
            elif one["key"] == "lfsFile":
                files[value["path"]] = self.stored[value["oid"]]
            elif one["key"] == "deletedFile":
                del files[value["path"]]
        oid = "1" * 40
        return {"commitUrl": f"{self.address}/{name}/commit/{oid}", "commitOid": oid}
