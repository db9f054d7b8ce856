"""A small server with the routes of the Hugging Face hub that its client uses to make, fill and read a repository."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_THETOKENofTheTests0123456789abcd"


class Hub:
    """What the server holds: `repos` {"models/me/frogs": {path: bytes}}; `fail` {method and route: [statuses to answer]}."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.commits: list[str] = []
        self.large: dict[str, bytes] = {}
        self.fail: list[int] = []
        self.seen: list[str] = []
        self.lfs = False  # whether files go by Git LFS, as .safetensors do on the hub
        self.gate = threading.Event()  # an upload waits for it
        self.gate.set()
        self.url = ""


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_) -> None:
        """No lines on the screen."""

    def do_POST(self) -> None:
        body = self._body()
        path = unquote(urlsplit(self.path).path)
        self.hub.seen.append(f"POST {path}")
        if self.headers.get("Authorization") != f"Bearer {TOKEN}" and not path.startswith("/lfs/"):
            return self._json({"error": "Invalid credentials"}, 401)
        if self.hub.fail:
            return self._json({"error": "try later"}, self.hub.fail.pop(0))
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if match := re.fullmatch(r"/api/(\w+/[^/]+/[^/]+)/preupload/(\w+)", path):
            mode = "lfs" if self.hub.lfs else "regular"
            files = [{"path": one["path"], "uploadMode": mode, "shouldIgnore": False} for one in json.loads(body)["files"]]
            return self._json({"files": files})
        if match := re.fullmatch(r"/(.+)\.git/info/lfs/objects/batch", path):
            objects = [
                {**one, "actions": {"upload": {"href": f"{self.hub.url}/lfs/{one['oid']}", "header": {}}}}
                for one in json.loads(body)["objects"]
            ]
            return self._json({"transfer": "basic", "objects": objects}, kind="application/vnd.git-lfs+json")
        if match := re.fullmatch(r"/api/(\w+/[^/]+/[^/]+)/commit/(\w+)", path):
            return self._commit(match[1], body)
        return self._json({"error": f"no route {path}"}, 404)

    def do_PUT(self) -> None:
        data = self._body()
        oid = self.path.rpartition("/")[2]
        assert hashlib.sha256(data).hexdigest() == oid
        self.hub.large[oid] = data
        self._json({})

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.seen.append(f"{self.command} {path}")
        if match := re.fullmatch(r"/api/(\w+/[^/]+/[^/]+)(/revision/(.+))?", path):
            files = self.hub.repos.get(match[1])
            if files is None:
                return self._missing()
            siblings = [{"rfilename": name} for name in files]
            name = match[1].partition("/")[2]
            return self._json({"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings, "private": True, "tags": []})
        if match := re.fullmatch(r"/(?:(datasets|spaces)/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            data = self.hub.repos.get(f"{match[1] or 'models'}/{match[2]}", {}).get(match[4])
            if data is None:
                return self._missing()
            etag = f'"{hashlib.sha256(data).hexdigest()}"'
            return self._send(data, 200, {"ETag": etag, "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"})
        return self._missing()

    do_HEAD = do_GET

    def _create(self, asked: dict) -> None:
        name = f"{asked.get('type', 'model')}s/{asked.get('organization') or 'me'}/{asked['name']}"
        if name in self.hub.repos:
            return self._json({"error": "You already created this repo", "url": f"{self.hub.url}/x"}, 409)
        self.hub.repos[name] = {}
        self.hub.private[name] = bool(asked.get("private"))
        return self._json({"url": f"{self.hub.url}/{name.removeprefix('models/')}"})

    def _commit(self, repo: str, body: bytes) -> None:
        self.hub.gate.wait(60)
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                self.hub.commits.append(value["summary"])
            elif entry["key"] == "file":
                self.hub.repos[repo][value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                self.hub.repos[repo][value["path"]] = self.hub.large[value["oid"]]
        self._json(
            {"success": True, "commitOid": COMMIT, "commitUrl": f"{self.hub.url}/{repo}/commit/{COMMIT}", "hookOutput": ""}
        )

    def _missing(self) -> None:
        self._send(b'{"error": "not found"}', 404, {"X-Error-Code": "EntryNotFound"})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline().strip(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _json(self, content: object, status: int = 200, kind: str = "application/json") -> None:
        self._send(json.dumps(content).encode(), status, {"Content-Type": kind})

    def _send(self, data: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@contextmanager
def running():
    """A hub at hub.url, on loopback."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.gate.set()
        server.shutdown()
        server.server_close()
