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


DATA = Path(os.environ.get("DATA_DIR", "/app/backend/data"))
DATABASE = Database(DATA / "webui.db")
SECRET = kept_secret(Path(os.environ.get("WEBUI_SECRET_KEY_FILE", "/tmp/.webui_secret_key")))
if os.environ.get("ENABLE_PERSISTENT_CONFIG", "True").lower() == "false":
    KEY = os.environ.get("OPENAI_API_KEY", "")
else:
    KEY = str(DATABASE.data.setdefault("key", os.environ.get("OPENAI_API_KEY", "")))
DATABASE.save()


def session_of(email: str) -> str:
    return f"{email}.{hmac.new(SECRET, email.encode(), hashlib.sha256).hexdigest()}"


class Page(BaseHTTPRequestHandler):
    def send(self, status: int, body: object) -> None:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if isinstance(body, bytes) else "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        accounts = DATABASE.data["accounts"]
        assert isinstance(accounts, list)
        if self.path != "/api/v1/auths/signup":
            self.send(404, {"detail": "Not Found"})
        elif body["email"] in accounts:
            self.send(400, {"detail": "This email is already registered."})
        else:
            accounts.append(body["email"])
            DATABASE.save()
            self.send(200, {"email": body["email"], "token": session_of(body["email"])})

    def do_GET(self) -> None:
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        email = given.rpartition(".")[0]
        if self.path == "/health":
            self.send(200, {"status": True})
        elif self.path == "/":
            self.send(200, b"<title>Open WebUI (the sandbox's)</title>\n")
        elif self.path != "/api/models":
            self.send(404, {"detail": "Not Found"})
        elif email not in DATABASE.data["accounts"] or not hmac.compare_digest(given, session_of(email)):
            self.send(401, {"detail": "401 Unauthorized"})
        else:
            self.send(200, {"data": self.models()})

    def models(self) -> object:
        """Of the engine; none while it does not answer or does not take the key."""
        request = urllib.request.Request(
            f"{os.environ['OPENAI_API_BASE_URL']}/models", headers={"Authorization": f"Bearer {KEY}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)["data"]
        except (urllib.error.URLError, OSError, ValueError) as error:
            print(f"Connection error: {error}", flush=True)
            return []

    def log_message(self, format: str, *arguments: object) -> None:
        print(format % arguments, flush=True)


def main(_arguments: list[str]) -> int:
    address = (os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "8080")))
    print(f"Uvicorn running on http://{address[0]}:{address[1]}", flush=True)
    ThreadingHTTPServer(address, Page).serve_forever()
    return 0
