"""Open WebUI of the sandbox: the real one where this sandbox has it, else one that plays it.

The played one has accounts in its data directory and the models of the engine that it was given, and answers as tests/open_webui.py
says, which the real one is held to as well. Like that one it keeps the key of its first start in its database and reads that one
from then on, unless ENABLE_PERSISTENT_CONFIG says otherwise.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import sys
import time
import urllib.error
import urllib.request
import urllib.response
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ..json_types import Json

ENGINE = Path("/etc/sandbox/engine.json")
VERSION = "0.12.4"
_FORBIDDEN = "You do not have permission to access this resource. Please contact your administrator for assistance."
_NOT_AN_ADDRESS = (
    "The email format you entered is invalid. Please double-check and make sure you're using a valid email address "
    "(e.g., yourname@example.com)."
)
_WRONG = "The email or password provided is incorrect. Please check for typos and try logging in again."
_LASTS_SECONDS = 28 * 86400


class Refused(Exception):
    """Ends a request with a status and a detail."""

    def __init__(self, status: int, detail: str) -> None:
        self.status, self.detail = status, detail


class Database:
    """One JSON file, `{"accounts": {email: {id, name, role, salt, password}}, "key": text}`."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.data: Json = json.loads(path.read_text()) if path.exists() else {"accounts": {}}

    @property
    def accounts(self) -> dict[str, dict[str, str]]:
        accounts = self.data["accounts"]
        assert isinstance(accounts, dict)
        return accounts

    def save(self) -> None:
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(self.data))
        new.replace(self.path)


def hidden(password: str, salt: str) -> str:
    return hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), n=1024, r=8, p=1).hex()


class Page(BaseHTTPRequestHandler):
    server: WebUI
    protocol_version = "HTTP/1.1"

    def send(self, status: int, body: object) -> None:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8" if isinstance(body, bytes) else "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self) -> None:
        self.answer({"/api/models": self.models, "/api/config": self.config, "/api/v1/auths/": self.who})

    def do_POST(self) -> None:
        self.answer(
            {
                "/api/v1/auths/signup": self.sign_up,
                "/api/v1/auths/signin": self.sign_in,
                "/api/chat/completions": self.chat,
            }
        )

    def answer(self, known: dict[str, object]) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        found = known.get(path)
        try:
            if callable(found):
                found()
            elif path in ("/health", "/ready", "/health/db"):
                self.send(200, {"status": True})
            elif path == "/api/version":
                self.send(200, {"version": VERSION, "deployment_id": ""})
            elif self.command == "GET":
                # Its pages find their way themselves, whatever the address.
                self.send(200, b"<!doctype html>\n<title>Open WebUI (the sandbox's)</title>\n")
            else:
                raise Refused(405, "Method Not Allowed")
        except Refused as refused:
            self.send(refused.status, {"detail": refused.detail})

    def account(self, *roles: str) -> dict[str, str]:
        """Whose session came with the request. Refused for nobody's, and for that of another role."""
        given = self.headers.get("Authorization")
        if given is None:
            raise Refused(401, "Not authenticated")
        token = given.removeprefix("Bearer ")
        found = self.server.database.accounts.get(token.rpartition(".")[0])
        if found is None or not hmac.compare_digest(token, self.server.session_of(found["email"])):
            raise Refused(401, "401 Unauthorized")
        if roles and found["role"] not in roles:
            raise Refused(401, _FORBIDDEN)
        return found

    def config(self) -> None:
        features = {
            **dict.fromkeys(
                ("slim", "auth_trusted_header", "enable_signup_password_confirmation", "enable_ldap"), False
            ),
            **dict.fromkeys(("auth", "enable_login_form", "enable_websocket"), True),
            "enable_signup": self.server.open,
        }
        told: Json = {
            "status": True,
            "name": "Open WebUI",
            "version": VERSION,
            "default_locale": "",
            "i18n": {},
            "oauth": {"providers": {}, "auto_redirect": False},
            "features": features,
        }
        self.send(200, told if self.server.database.accounts else {"onboarding": True, **told})

    def form(self, *names: str) -> list[str]:
        try:
            body = json.loads(self.body)
        except ValueError:
            body = None
        values = [body.get(name) if isinstance(body, dict) else None for name in names]
        texts = [value for value in values if isinstance(value, str)]
        if len(texts) < len(names):
            raise Refused(422, "Invalid authentication request.")
        return texts

    def sign_up(self) -> None:
        name, email, password = self.form("name", "email", "password")
        email, accounts = email.lower(), self.server.database.accounts
        if not self.server.open:
            raise Refused(403, _FORBIDDEN)
        if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", email):
            raise Refused(400, _NOT_AN_ADDRESS)
        if email in accounts:
            raise Refused(400, "Uh-oh! This email is already registered. Sign in with your existing account.")
        salt = os.urandom(16).hex()
        accounts[email] = {
            **{"id": str(uuid.uuid4()), "email": email, "name": name, "role": "pending" if accounts else "admin"},
            **{"salt": salt, "password": hidden(password, salt)},
        }
        self.server.database.save()
        if len(accounts) == 1:
            # Who came first lets in the others. A setting, so the next start forgets it where settings are not kept.
            self.server.open = False
        self.send(200, self.session(accounts[email]))

    def sign_in(self) -> None:
        email, password = self.form("email", "password")
        found = self.server.database.accounts.get(email.lower())
        if found is None or not hmac.compare_digest(hidden(password, found["salt"]), found["password"]):
            raise Refused(400, _WRONG)
        self.send(200, self.session(found))

    def who(self) -> None:
        self.send(200, self.session(self.account()))

    def session(self, account: dict[str, str]) -> Json:
        return {
            **{key: account[key] for key in ("id", "name", "role", "email")},
            "profile_image_url": f"/api/v1/users/{account['id']}/profile/image",
            "token": self.server.session_of(account["email"]),
            "token_type": "Bearer",
            "expires_at": int(time.time()) + _LASTS_SECONDS,
            "permissions": {},
        }

    def models(self) -> None:
        self.account("admin", "user")
        cards = [
            {**card, "owned_by": "openai", "connection_type": "external", "name": card["id"], "openai": card}
            for card in self.known()
        ]
        self.send(200, {"data": cards})

    def known(self) -> list[Json]:
        """What it shows: what the engine serves, or served when it was last heard of."""
        self.server.seen = self.served() or self.server.seen
        return self.server.seen

    def served(self) -> list[Json]:
        """Of the engine; none while it does not answer or does not take the key."""
        try:
            with self.ask_engine("/models") as answer:
                cards: list[Json] = json.load(answer)["data"]
                return cards
        except (OSError, ValueError) as error:
            print(f"Connection error: {error}", flush=True)
            return []

    def ask_engine(self, path: str, body: bytes | None = None) -> urllib.response.addinfourl:
        headers = {"Authorization": f"Bearer {self.server.key}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{os.environ['OPENAI_API_BASE_URL']}{path}", body, headers)
        found: urllib.response.addinfourl = urllib.request.urlopen(request, timeout=300)
        return found

    def chat(self) -> None:
        self.account("admin", "user")
        try:
            asked = json.loads(self.body)
        except ValueError:
            raise Refused(422, "JSON decode error") from None
        if asked.get("model") not in [card["id"] for card in self.known()]:
            raise Refused(400, "Model not found")
        if not self.served():
            raise Refused(404, "Model '' was not found")
        try:
            with self.ask_engine("/chat/completions", self.body) as answer:
                self.send_response(answer.status or 200)
                self.send_header("Content-Type", answer.headers["Content-Type"])
                self.send_header("Connection", "close")
                self.end_headers()
                self.close_connection = True
                while part := answer.read1(65536):
                    self.wfile.write(part)
        except urllib.error.HTTPError as error:
            with error:
                self.send(error.code, json.load(error))

    def log_message(self, format: str, *arguments: object) -> None:
        print(format % arguments, flush=True)


class WebUI(ThreadingHTTPServer):
    """Reads its settings, and what it kept, when it starts."""

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, Page)
        self.database = Database(Path(os.environ.get("DATA_DIR", "/app/backend/data")) / "webui.db")
        self.secret = os.environ["WEBUI_SECRET_KEY"].encode()
        self.key = os.environ.get("OPENAI_API_KEY", "")
        self.open = True
        self.seen: list[Json] = []
        if os.environ.get("ENABLE_PERSISTENT_CONFIG", "True").lower() != "false":
            self.key = str(self.database.data.setdefault("key", self.key))
            self.open = not self.database.accounts
        self.database.save()

    def session_of(self, email: str) -> str:
        return f"{email}.{hmac.new(self.secret, email.encode(), hashlib.sha256).hexdigest()}"


def run_the_real_one(python: str, more: dict[str, str], host: str, port: str) -> None:
    """As the image starts it; this process becomes it."""
    variables = {
        **os.environ,
        **more,
        # Of the package, where its pages lie elsewhere than in the image.
        "FROM_INIT_PY": "true",
        # It copies pictures there when it starts, and what it is installed in cannot be written.
        "STATIC_DIR": "/tmp/open-webui-static",
    }
    program = [python, "-m", "uvicorn", "open_webui.main:app", "--host", host, "--port", port]
    os.execve(python, [*program, "--forwarded-allow-ips", "*"], variables)


def main(_arguments: list[str]) -> int:
    host, port = os.environ.get("HOST", "0.0.0.0"), os.environ.get("PORT", "8080")
    if not os.environ.get("WEBUI_SECRET_KEY"):
        print("WEBUI_SECRET_KEY is not set. It is needed where there are accounts.", file=sys.stderr)
        return 1
    real = json.loads(ENGINE.read_text()).get("open_webui")
    if real is not None:
        run_the_real_one(real["python"], real["env"], host, port)
    server = WebUI((host, int(port)))
    print(f"Uvicorn running on http://{host}:{port}", flush=True)
    server.serve_forever()
    return 0
