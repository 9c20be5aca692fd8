"""Open WebUI of the sandbox: accounts in its data directory, models of the engine that it was given.

Like the real one it keeps the key of its first start in its database and reads that one from then on, unless
ENABLE_PERSISTENT_CONFIG says otherwise; and what signs its sessions is made anew when nobody kept it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ..json_types import Json


class Database:
    """One JSON file, `{"accounts": [emails], "key": text}`."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.data: Json = json.loads(path.read_text()) if path.exists() else {"accounts": []}

    def save(self) -> None:
        self.path.write_text(json.dumps(self.data))


def kept_secret(path: Path) -> bytes:
    if not path.exists():
        path.write_text(secrets.token_hex(16))
    return path.read_bytes()


class Page(BaseHTTPRequestHandler):
    server: WebUI

    def send(self, status: int, body: object) -> None:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if isinstance(body, bytes) else "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        accounts = self.server.database.data["accounts"]
        assert isinstance(accounts, list)
        if self.path != "/api/v1/auths/signup":
            self.send(404, {"detail": "Not Found"})
        elif body["email"] in accounts:
            self.send(400, {"detail": "This email is already registered."})
        else:
            accounts.append(body["email"])
            self.server.database.save()
            self.send(200, {"email": body["email"], "token": self.server.session_of(body["email"])})

    def do_GET(self) -> None:
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        email = given.rpartition(".")[0]
        if self.path == "/health":
            self.send(200, {"status": True})
        elif self.path == "/":
            self.send(200, b"<title>Open WebUI (the sandbox's)</title>\n")
        elif self.path != "/api/models":
            self.send(404, {"detail": "Not Found"})
        elif email not in self.server.database.data["accounts"] or not hmac.compare_digest(
            given, self.server.session_of(email)
        ):
            self.send(401, {"detail": "401 Unauthorized"})
        else:
            self.send(200, {"data": self.models()})

    def models(self) -> object:
        """Of the engine; none while it does not answer or does not take the key."""
        request = urllib.request.Request(
            f"{os.environ['OPENAI_API_BASE_URL']}/models", headers={"Authorization": f"Bearer {self.server.key}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)["data"]
        except (urllib.error.URLError, OSError, ValueError) as error:
            print(f"Connection error: {error}", flush=True)
            return []

    def log_message(self, format: str, *arguments: object) -> None:
        print(format % arguments, flush=True)


class WebUI(ThreadingHTTPServer):
    """Reads its settings, and what it kept, when it starts."""

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, Page)
        self.database = Database(Path(os.environ.get("DATA_DIR", "/app/backend/data")) / "webui.db")
        self.secret = kept_secret(Path(os.environ.get("WEBUI_SECRET_KEY_FILE", "/tmp/.webui_secret_key")))
        self.key = os.environ.get("OPENAI_API_KEY", "")
        if os.environ.get("ENABLE_PERSISTENT_CONFIG", "True").lower() != "false":
            self.key = str(self.database.data.setdefault("key", self.key))
        self.database.save()

    def session_of(self, email: str) -> str:
        return f"{email}.{hmac.new(self.secret, email.encode(), hashlib.sha256).hexdigest()}"


def main(_arguments: list[str]) -> int:
    address = (os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "8080")))
    server = WebUI(address)
    print(f"Uvicorn running on http://{address[0]}:{address[1]}", flush=True)
    server.serve_forever()
    return 0
