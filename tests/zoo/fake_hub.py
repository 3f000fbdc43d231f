"""A hub on this machine, for tests: repositories in memory, downloads with faults, uploads."""

import base64
import hashlib
import json
import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "c" * 40
TOKEN = "hf_test"
_LARGE = (".safetensors", ".bin")  # kept as LFS files, whose sha256 the hub declares


@dataclass
class Repository:
    """Files by name, and who may see them."""

    files: dict[str, bytes]
    licence: str = "cc-by-4.0"
    gated: bool = False
    private: bool = False
    commits: list[dict] = field(default_factory=list)


@dataclass
class FakeHub:
    """The state of the server, which tests change while it runs.

    Faults, by name of the file: ``cut`` breaks the line off after that many bytes, ``times`` times; ``wrong`` sends
    other bytes than declared; ``slow`` waits that many seconds before each answer.
    """

    repositories: dict[str, Repository] = field(default_factory=dict)
    endpoint: str = ""
    cut: dict[str, int] = field(default_factory=dict)
    times: int = 1
    wrong: set[str] = field(default_factory=set)
    slow: float = 0.0
    status: int = 0  # answer everything with this
    requests: list[str] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)  # uploaded, by sha256


@contextmanager
def running():
    """A hub at ``hub.endpoint``."""
    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/([^?]+)(\?.*)?", self.path):
            self._info(match[1], match[2])
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path):
            self._file(match[1], match[2], match[3])
        else:
            self._refuse(404, "EntryNotFound")

    do_HEAD = do_GET  # noqa: N815 - the server's name

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/api/repos/create":
            if self._may_write():
                said = json.loads(body)
                name = f"{said['organization']}/{said['name']}" if said.get("organization") else said["name"]
                self.hub.repositories.setdefault(name, Repository({}, private=said.get("visibility") == "private"))
                self._json({"url": f"{self.hub.endpoint}/{name}", "name": name})
        elif self.path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            files = [{"path": f["path"], "uploadMode": _mode(f["path"])} for f in json.loads(body)["files"]]
            self._json({"files": [{**file, "shouldIgnore": False} for file in files]})
        elif self.path.endswith("/info/lfs/objects/batch"):
            url = f"{self.hub.endpoint}/lfs/"
            objects = [
                {**wanted, "actions": {"upload": {"href": url + wanted["oid"]}}}
                for wanted in json.loads(body)["objects"]
            ]
            self._json({"transfer": "basic", "objects": objects}, kind="application/vnd.git-lfs+json")
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", self.path):
            if self._may_write():
                self._commit(self.hub.repositories[match[1]], match[1], body)
        else:
            self._refuse(404, "EntryNotFound")

    def do_PUT(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.hub.objects[hashlib.sha256(content).hexdigest()] = content
        self._json({})

    def log_message(self, *args):
        self.hub.requests.append(f"{self.command} {self.path}")

    def _commit(self, repository, name, body):
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repository.files[value["path"]] = self.hub.objects[value["oid"]]
            else:
                repository.commits.append(value)
        self._json({"commitOid": COMMIT, "commitUrl": f"{self.hub.endpoint}/{name}/commit/{COMMIT}"})

    def _info(self, name, revision):
        if (repository := self._readable(name, revision)) is None:
            return
        siblings = []
        for file, content in repository.files.items():
            sibling = {"rfilename": file, "size": len(content), "blobId": _git_sha1(content)}
            if file.endswith(_LARGE):
                sibling["lfs"] = {"sha256": _sha256(content), "size": len(content), "pointerSize": 135}
            siblings.append(sibling)
        card = {"license": repository.licence}
        self._json({"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings, "cardData": card, "tags": []})

    def _file(self, name, revision, file):
        if (repository := self._readable(name, revision)) is None:
            return
        if repository.gated and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._refuse(401, "GatedRepo")
            return
        if file not in repository.files:
            self._refuse(404, "EntryNotFound")
            return
        content = repository.files[file]
        etag = _sha256(content) if file.endswith(_LARGE) else _git_sha1(content)
        if file in self.hub.wrong:
            content = bytes([content[0] ^ 255]) + content[1:]
        start = int(m[1]) if (m := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))) else 0
        self.send_response(206 if start else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{etag}"')
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.hub.requests.append(f"range {start}")
        self.end_headers()
        if self.command == "HEAD":
            return
        if file in self.hub.cut and self.hub.times > 0:
            self.hub.times -= 1
            content = content[: start + self.hub.cut[file]]
            self.close_connection = True
        self.wfile.write(content[start:])

    def _readable(self, name, revision):
        """The repository, unless the answer is already sent."""
        time.sleep(self.hub.slow)
        repository = self.hub.repositories.get(name)
        if self.hub.status:
            self._refuse(self.hub.status, "")
        elif repository is None or (repository.private and self.headers.get("Authorization") != f"Bearer {TOKEN}"):
            self._refuse(401, "RepoNotFound")
        elif revision not in ("main", COMMIT):
            self._refuse(404, "RevisionNotFound")
        else:
            return repository
        return None

    def _may_write(self):
        if self.headers.get("Authorization") == f"Bearer {TOKEN}":
            return True
        self._refuse(401, "")
        return False

    def _refuse(self, status, code):
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _json(self, value, kind="application/json"):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _mode(path):
    return "lfs" if path.endswith(_LARGE) else "regular"


def _sha256(content):
    return hashlib.sha256(content).hexdigest()


def _git_sha1(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
