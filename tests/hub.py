"""A hub on loopback, for the real clients: data sets that are read, models that are made and uploaded.

Knows what huggingface_hub 2.4 and datasets 5.2 ask of the hub's HTTP API for that; everything else is 404. Files are
whole in memory, and large ones go by the LFS way, whose answer is one PUT.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Files = dict[str, bytes]


@dataclass
class Repo:
    commits: dict[str, Files] = field(default_factory=dict)
    # in their order: main is the last
    gated: bool = False
    private: bool = False
    readers: tuple[str, ...] = ()

    @property
    def head(self) -> str:
        return list(self.commits)[-1]

    def add(self, files: Files) -> str:
        commit = hashlib.sha1(repr((len(self.commits), sorted(files.items()))).encode()).hexdigest()
        self.commits[commit] = files
        return commit


@dataclass
class Hub:
    url: str = ""
    data: dict[str, Repo] = field(default_factory=dict)
    models: dict[str, Repo] = field(default_factory=dict)
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    # by token: what whoami says
    objects: Files = field(default_factory=dict)
    # by sha256
    asked: list[str] = field(default_factory=list)

    def repo(self, kind: str, name: str) -> Repo | None:
        return (self.data if kind == "datasets" else self.models).get(name)


@contextmanager
def serving() -> Iterator[Hub]:
    hub = Hub()
    handler = type("Handler", (Answers,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Refused(Exception):
    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        super().__init__(message or code)
        self.status, self.code = status, code


class Answers(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def log_message(self, *_: Any) -> None:
        """Nothing is written."""

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        self.hub.asked.append(f"{self.command} {path}")
        try:
            for pattern, answer in ROUTES:
                if found := re.fullmatch(pattern, f"{self.command} {path}"):
                    return answer(self, *found.groups())
            raise Refused(404, "EntryNotFound")
        except Refused as refused:
            headers = {"X-Error-Code": refused.code, "X-Error-Message": str(refused)} if refused.code else {}
            self._send(refused.status, json.dumps({"error": str(refused)}).encode(), headers)

    @property
    def user(self) -> dict[str, Any] | None:
        return self.hub.users.get(self.headers.get("Authorization", "").removeprefix("Bearer "))

    def json(self, value: Any, status: int = 200) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def seen(self, kind: str, name: str) -> Repo:
        repo = self.hub.repo(kind, name)
        if repo is None or (repo.private and self.user is None):
            raise Refused(401 if self.user is None else 404, "RepoNotFound")
        return repo

    def at(self, repo: Repo, revision: str) -> tuple[str, Files]:
        commit = repo.head if revision == "main" and repo.commits else revision
        if commit not in repo.commits:
            raise Refused(404, "RevisionNotFound")
        return commit, repo.commits[commit]

    def info(self, kind: str, name: str, revision: str = "main") -> None:
        repo = self.seen(kind, name)
        commit, files = self.at(repo, revision) if repo.commits else ("0" * 40, {})
        siblings = [{"rfilename": path} for path in files]
        gated = "auto" if repo.gated else False
        self.json({"id": name, "sha": commit, "private": repo.private, "gated": gated, "siblings": siblings})

    def file(self, kind: str, name: str, revision: str, path: str) -> None:
        repo = self.seen(kind, name)
        commit, files = self.at(repo, revision)
        if repo.gated and (self.user or {}).get("name") not in repo.readers:
            raise Refused(401 if self.user is None else 403, "GatedRepo")
        if path not in files:
            raise Refused(404, "EntryNotFound")
        etag = f'"{hashlib.sha1(files[path]).hexdigest()}"'
        headers = {"ETag": etag, "X-Repo-Commit": commit, "Content-Type": "application/octet-stream"}
        self._send(200, files[path], headers)

    def paths(self, kind: str, name: str, revision: str) -> None:
        _, files = self.at(self.seen(kind, name), revision)
        said = self.body.decode()
        asked = json.loads(said)["paths"] if said.startswith("{") else parse_qs(said)["paths"]
        folders = {path.rsplit("/", 1)[0] for path in files if "/" in path}
        self.json(
            [_listed(path, files[path]) for path in asked if path in files]
            + [{"type": "directory", "path": path, "oid": "0" * 40} for path in asked if path in folders]
        )

    def tree(self, kind: str, name: str, revision: str, _slash: str, folder: str) -> None:
        _, files = self.at(self.seen(kind, name), revision)
        prefix = f"{folder}/" if folder else ""
        is_deep = "true" in parse_qs(urlsplit(self.path).query).get("recursive", [""])[0].lower()
        inside = {path: content for path, content in files.items() if path.startswith(prefix)}
        if folder and not inside:
            raise Refused(404, "EntryNotFound")
        below = [path.removeprefix(prefix) for path in inside]
        folders = {prefix + path.split("/")[0] for path in below if "/" in path}
        listed = [_listed(path, value) for path, value in inside.items() if is_deep or "/" not in path[len(prefix) :]]
        self.json(listed + [{"type": "directory", "path": path, "oid": "0" * 40} for path in sorted(folders)])

    def whoami(self) -> None:
        if self.user is None:
            raise Refused(401, message="Invalid user token.")
        self.json(self.user)

    def writes(self, name: str) -> None:
        """A namespace is the user's own, or one where the user has that role."""
        user = self.user
        if user is None:
            raise Refused(401)
        roles = {user["name"]: "admin"} | {org["name"]: org["roleInOrg"] for org in user["orgs"]}
        if roles.get(name.split("/")[0]) not in ("admin", "write") or user["auth"]["accessToken"]["role"] == "read":
            raise Refused(403, message="You don't have the rights")

    def card(self) -> None:
        """What stands above a model card is taken as it is."""
        assert json.loads(self.body)["content"].startswith("---\n")
        self.json({"errors": [], "warnings": []})

    def may_write(self, name: str) -> None:
        self.seen("models", name)
        self.writes(name)
        self.json({})

    def create(self) -> None:
        told = json.loads(self.body)
        user = self.user
        if user is None:
            raise Refused(401)
        name = f"{told.get('organization') or user['name']}/{told['name']}"
        self.writes(name)
        if name in self.hub.models:
            raise Refused(409, message="You already created this model repo")
        is_private = told.get("visibility") == "private" or bool(told.get("private"))
        self.hub.models[name] = Repo(private=is_private)
        self.json({"url": f"{self.hub.url}/{name}", "name": name})

    def preupload(self, name: str) -> None:
        self.writes(name)
        files = json.loads(self.body)["files"]
        mode = {True: "lfs", False: "regular"}
        self.json(
            {
                "files": [
                    {
                        "path": one["path"],
                        "uploadMode": mode[one["path"].endswith(".safetensors")],
                        "shouldIgnore": False,
                    }
                    for one in files
                ]
            }
        )

    def batch(self, name: str) -> None:
        self.writes(name)
        objects = json.loads(self.body)["objects"]
        href = f"{self.hub.url}/objects/"
        told = [{**one, "actions": {"upload": {"href": href + one["oid"]}}} for one in objects]
        self.json({"transfer": "basic", "objects": told})

    def put(self, oid: str) -> None:
        assert hashlib.sha256(self.body).hexdigest() == oid
        self.hub.objects[oid] = self.body
        self._send(200, b"", {})

    def commit(self, name: str) -> None:
        self.writes(name)
        repo = self.hub.models[name]
        files = dict(repo.commits[repo.head]) if repo.commits else {}
        for line in map(json.loads, self.body.decode().splitlines()):
            match line["key"]:
                case "file":
                    files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                case "lfsFile":
                    files[line["value"]["path"]] = self.hub.objects[line["value"]["oid"]]
        commit = repo.add(files)
        url = f"{self.hub.url}/{name}/commit/{commit}"
        self.json({"success": True, "commitOid": commit, "commitUrl": url, "hookOutput": ""})


def _listed(path: str, content: bytes) -> dict[str, Any]:
    oid = hashlib.sha1(content).hexdigest()
    return {"type": "file", "path": path, "oid": oid, "size": len(content)}


NAME = r"([\w.-]+/[\w.-]+)"
ROUTES: list[tuple[str, Callable[..., None]]] = [
    (r"GET /api/whoami-v2", Answers.whoami),
    (rf"GET /api/models/{NAME}/auth-check(?:/write)?", Answers.may_write),
    (rf"GET /api/(datasets|models)/{NAME}", Answers.info),
    (rf"GET /api/(datasets|models)/{NAME}/revision/(.+)", Answers.info),
    (rf"POST /api/(datasets|models)/{NAME}/paths-info/([^/]+)", Answers.paths),
    (rf"GET /api/(datasets|models)/{NAME}/tree/([^/]+)(/?)(.*)", Answers.tree),
    (rf"(?:GET|HEAD) /(datasets)/{NAME}/resolve/([^/]+)/(.+)", Answers.file),
    (r"POST /api/validate-yaml", Answers.card),
    (r"POST /api/repos/create", Answers.create),
    (rf"POST /api/models/{NAME}/preupload/main", Answers.preupload),
    (rf"POST /{NAME}\.git/info/lfs/objects/batch", Answers.batch),
    (r"PUT /objects/([0-9a-f]{64})", Answers.put),
    (rf"POST /api/models/{NAME}/commit/main", Answers.commit),
]
