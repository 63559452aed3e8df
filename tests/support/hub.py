"""A server that speaks as much of the Hugging Face Hub's API as a download and a commit take."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_" + "a" * 34
BRANCH = "main"


@dataclass
class Hub:
    """What the server holds, and where it listens."""

    url: str = ""
    commits: dict[str, list[dict[str, bytes]]] = field(default_factory=dict)
    """Of each repository its commits, each with all its files."""
    private: dict[str, bool] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def commit(self, repository: str, files: dict[str, bytes]) -> str:
        """Add files to a repository, and return the new commit's hash."""
        history = self.commits.setdefault(repository, [])
        history.append((history[-1] if history else {}) | files)
        return self.revisions(repository)[-1]

    def revisions(self, repository: str) -> list[str]:
        """Return the hashes of a repository's commits."""
        numbers = range(len(self.commits[repository]))
        return [hashlib.sha1(f"{repository} {n}".encode()).hexdigest() for n in numbers]

    def files(self, repository: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Return the hash and the files of a revision; None if there is no such one."""
        revisions = self.revisions(repository)
        if revision == BRANCH:
            revision = revisions[-1]
        if revision not in revisions:
            return None
        return revision, self.commits[repository][revisions.index(revision)]


@contextmanager
def serving() -> Iterator[Hub]:
    """Run the server in a thread."""
    hub = Hub()

    class Handler(_Handler):
        held = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    held: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        self.held.requests.append(f"{self.command} {unquote(self.path)}")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/(.+)", path):
            self._describe(found[1], found[2])
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)/?", path):
            self._list(found[1], found[2])
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._send_file(*found.groups())
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "EntryNotFound")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = unquote(urlsplit(self.path).path)
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._refuse(HTTPStatus.UNAUTHORIZED, "")
        elif path == "/api/repos/create":
            self._make(json.loads(body))
        elif path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/(.+)", path):
            files = json.loads(body)["files"]
            modes = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files
            ]
            self._answer({"files": modes})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/(.+)", path):
            self._commit(found[1], body)
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "EntryNotFound")

    def _found(self, repository: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        if repository not in self.held.commits:
            self._refuse(HTTPStatus.NOT_FOUND, "RepoNotFound")
            return None
        found = self.held.files(repository, revision)
        if found is None:
            self._refuse(HTTPStatus.NOT_FOUND, "RevisionNotFound")
        return found

    def _describe(self, repository: str, revision: str) -> None:
        if found := self._found(repository, revision):
            sha, files = found
            siblings = [{"rfilename": name} for name in files]
            self._answer({"id": repository, "sha": sha, "siblings": siblings})

    def _list(self, repository: str, revision: str) -> None:
        if found := self._found(repository, revision):
            self._answer(
                [
                    {
                        "type": "file",
                        "path": name,
                        "size": len(content),
                        "oid": hashlib.sha1(content).hexdigest(),
                    }
                    for name, content in found[1].items()
                ]
            )

    def _send_file(self, repository: str, revision: str, name: str) -> None:
        if found := self._found(repository, revision):
            sha, files = found
            etag = hashlib.sha1(files[name]).hexdigest()
            self._send(files[name], {"X-Repo-Commit": sha, "ETag": f'"{etag}"'})

    def _make(self, wanted: dict[str, Any]) -> None:
        repository = "/".join(filter(None, [wanted.get("organization"), wanted["name"]]))
        if repository in self.held.commits:
            self._answer({"url": f"{self.held.url}/{repository}"}, HTTPStatus.CONFLICT)
            return
        self.held.commit(repository, {})
        self.held.private[repository] = wanted["visibility"] == "private"
        self._answer({"url": f"{self.held.url}/{repository}", "name": repository})

    def _commit(self, repository: str, body: bytes) -> None:
        lines = map(json.loads, body.splitlines())
        files = {
            line["value"]["path"]: base64.b64decode(line["value"]["content"])
            for line in lines
            if line["key"] == "file"
        }
        sha = self.held.commit(repository, files)
        url = f"{self.held.url}/{repository}/commit/{sha}"
        self._answer({"success": True, "commitOid": sha, "commitUrl": url, "hookOutput": ""})

    def _refuse(self, status: HTTPStatus, code: str) -> None:
        self._send(b"{}", {"X-Error-Code": code, "X-Error-Message": status.phrase}, status)

    def _answer(self, value: object, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(json.dumps(value).encode(), {"Content-Type": "application/json"}, status)

    def _send(
        self, body: bytes, headers: dict[str, str], status: HTTPStatus = HTTPStatus.OK
    ) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
