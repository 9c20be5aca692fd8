# SPDX-License-Identifier: GPL-3.0-or-later
"""A Linode API of one account in memory, over real HTTP, whose answers a test scripts.

The sandbox is the honest Linode; this one is for answers that have to come in an exact order.
"""

from __future__ import annotations

import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

DATA = Path(__file__).resolve().parents[3] / "linode_coder" / "sandbox" / "api" / "data"
NO_STOCK = "The Linode plan you chose is not currently available in the selected region"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me"
ACCOUNT = "E1AF5EEC-526F-487D-B317EBEB34C87D71"


@dataclass
class Call:
    method: str
    path: str
    x_filter: dict[str, Any]
    query: dict[str, list[str]]
    body: dict[str, Any]


@dataclass
class Fault:
    """The next ``count`` calls that match answer ``status``, before or after they took effect. Status 0: no answer."""

    method: str
    path: str
    status: int
    reason: str = "Internal Server Error"
    where: str | None = None
    after: bool = False
    count: int = 1
    headers: dict[str, str] = field(default_factory=dict)


class Refusal(Exception):
    def __init__(self, status: int, reason: str, where: str | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.where = status, reason, where


class ScriptedLinode:
    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.instances: dict[int, dict[str, Any]] = {}
        self.firewalls: dict[int, dict[str, Any]] = {}
        self.volumes: dict[int, dict[str, Any]] = {}
        self.settings = {"backups_enabled": False, "interfaces_for_new_linodes": "legacy_config_only"}
        self.scopes = "*"
        self.events: list[dict[str, Any]] = []
        self.catalogue = {
            name: json.loads((DATA / f"{name}.json").read_text()) for name in ("types", "regions", "images")
        }
        self.availability: list[dict[str, Any]] = []
        self.boot_fails = False
        self.spelling = str.lower  # in which case this account returns tags
        self._ids = iter(range(1001, 9000))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> ScriptedLinode:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def count(self, method: str, path: str = "") -> int:
        return sum(call.method == method and re.search(path, call.path) is not None for call in self.calls)

    def add(self, label: str, tags: list[str], **changes: Any) -> dict[str, Any]:
        """An instance that exists already and runs."""
        number = next(self._ids)
        row = {
            "id": number,
            "label": label,
            "status": "running",
            "type": "g2-gpu-rtx4000a1-s",
            "region": "us-ord",
            "image": "linode/ubuntu24.04",
            "ipv4": [f"192.0.2.{number % 250}"],
            "tags": tags,
            "created": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time())),
            "locks": [],
        } | changes
        self.instances[number] = row
        return row

    # -- what the endpoints do -------------------------------------------------------------------------------------

    def _create(self, body: dict[str, Any]) -> dict[str, Any]:
        if any(row["label"] == body["label"] for row in self.instances.values()):
            raise Refusal(400, "Label must be unique among your linodes", "label")
        return dict(
            self.add(
                body["label"],
                [self.spelling(tag) for tag in body["tags"]],
                status="provisioning",
                type=body["type"],
                region=body["region"],
                image=body["image"],
            )
        )

    def _advance(self, row: dict[str, Any]) -> None:
        if row["status"] == "deleting":
            del self.instances[row["id"]]
        elif row["status"] == "booting" and self.boot_fails:
            row["status"] = "offline"
            entity = {"id": row["id"], "type": "linode"}
            self.events.append(
                {"id": 7, "action": "linode_boot", "status": "failed", "entity": entity, "message": "host"}
            )
        else:
            steps = {"provisioning": "booting", "booting": "running", "rebooting": "running"}
            row["status"] = steps.get(row["status"], row["status"])

    def _instance(self, method: str, number: int, action: str, body: dict[str, Any]) -> Any:
        row = self.instances.get(number)
        if row is None:
            raise Refusal(404, "Not found")
        if method == "GET":
            self._advance(row)
            return dict(row)
        if method == "PUT":
            row.update(body)
            return dict(row)
        if method == "DELETE":
            if row["locks"]:
                raise Refusal(400, "This Linode has a cannot_delete lock and cannot be deleted.")
            row["status"] = "deleting"
        elif action == "boot":
            row["status"] = "booting"
        elif action == "reboot":
            row["status"] = "rebooting"
        return {}

    def _firewall(self, method: str, path: str, body: dict[str, Any]) -> Any:
        if method == "POST":
            number = next(self._ids)
            tags = [self.spelling(tag) for tag in body["tags"]]
            self.firewalls[number] = {"id": number, "status": "enabled", "entities": [], **body, "tags": tags}
            return self.firewalls[number]
        number = int(path.split("/")[2])
        if number not in self.firewalls:
            raise Refusal(404, "Not found")
        if method == "DELETE":
            del self.firewalls[number]
            return {}
        if method == "PUT" and path.endswith("/rules"):
            self.firewalls[number]["rules"] = body
        elif method == "PUT":
            self.firewalls[number].update(body)
        return self.firewalls[number]

    def add_volume(self, label: str, tags: list[str], **changes: Any) -> dict[str, Any]:
        """A volume that exists already, attached to nothing."""
        number = next(self._ids)
        created = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time()))
        row = {"id": number, "label": label, "status": "active", "region": "us-ord", "size": 76, "linode_id": None}
        row |= {"linode_label": None, "tags": tags, "created": created, "encryption": "enabled"}
        self.volumes[number] = row | changes
        return self.volumes[number]

    def _volume(self, method: str, path: str, body: dict[str, Any]) -> Any:
        if method == "POST" and path == "volumes":
            if any(row["label"] == body["label"] for row in self.volumes.values()):
                raise Refusal(400, "Label must be unique among your volumes", "label")
            owner = self.instances[body["linode_id"]]
            tags = [self.spelling(tag) for tag in body["tags"]]
            more = {"linode_id": owner["id"], "linode_label": owner["label"], "region": owner["region"]}
            made = self.add_volume(body["label"], tags, size=body["size"], encryption=body["encryption"], **more)
            return dict(made, status="creating")
        number, action = int(path.split("/")[1]), path.split("/")[2:]
        row = self.volumes.get(number)
        if row is None:
            raise Refusal(404, "Not found")
        if action == ["attach"]:
            if row["linode_id"] is not None:
                raise Refusal(400, "Volume is already attached to a Linode")
            row.update(linode_id=body["linode_id"], linode_label=self.instances[body["linode_id"]]["label"])
        elif method == "PUT":
            row.update(body)
        elif method == "DELETE":
            del self.volumes[number]
            return {}
        return row

    def answer(self, call: Call) -> Any:
        singles = {"account": {"euuid": ACCOUNT, "balance_uninvoiced": 0.0}, "account/settings": self.settings}
        lists = {
            "linode/instances": list(self.instances.values()),
            "linode/types": self.catalogue["types"],
            "regions": self.catalogue["regions"],
            "regions/availability": self.availability,
            "images": self.catalogue["images"],
            "account/events": list(reversed(self.events)),
            "networking/firewalls": list(self.firewalls.values()),
            "volumes": list(self.volumes.values()),
            "volumes/types": [
                {
                    "id": "volume",
                    "price": {"hourly": 0.00015, "monthly": 0.1},
                    "region_prices": [{"id": "br-gru", "hourly": 0.00021, "monthly": 0.14}],
                }
            ],
        }
        singles |= {f"regions/{row['id']}": row for row in self.catalogue["regions"]}
        if call.method == "GET" and call.path in singles:
            return singles[call.path]
        if call.method == "GET" and call.path in lists:
            return self._page(lists[call.path], call)
        if call.method == "POST" and call.path == "linode/instances":
            return self._create(call.body)
        match = re.fullmatch(r"linode/instances/(\d+)/?(\w*)", call.path)
        if match:
            return self._instance(call.method, int(match[1]), match[2], call.body)
        if call.path.startswith("networking/firewalls"):
            return self._firewall(call.method, call.path, call.body)
        if call.path.startswith("volumes"):
            return self._volume(call.method, call.path, call.body)
        raise Refusal(404, "Not found")

    @staticmethod
    def _either(row: dict[str, Any], x_filter: dict[str, Any]) -> bool:
        """Whether one of +or holds: a tag, what a label contains, or an event's action."""
        tags = [tag.lower() for tag in row.get("tags") or []]

        def holds(one: dict[str, Any]) -> bool:
            if "tags" in one:
                return one["tags"].lower() in tags
            if "action" in one:
                return bool(one["action"] == row["action"])
            return one["label"]["+contains"] in row["label"]

        return any(holds(one) for one in x_filter["+or"])

    @staticmethod
    def _page(rows: list[dict[str, Any]], call: Call) -> dict[str, Any]:
        if "label" in call.x_filter:
            rows = [row for row in rows if row.get("label") == call.x_filter["label"]]
        if "tags" in call.x_filter:  # equal whatever their case
            wanted = call.x_filter["tags"].lower()
            rows = [row for row in rows if wanted in [tag.lower() for tag in row.get("tags") or []]]
        if "+or" in call.x_filter:
            rows = [row for row in rows if ScriptedLinode._either(row, call.x_filter)]
        if "entity.id" in call.x_filter:
            rows = [row for row in rows if row["entity"]["id"] == call.x_filter["entity.id"]]
        size, page = int(call.query.get("page_size", ["100"])[0]), int(call.query.get("page", ["1"])[0])
        part = rows[(page - 1) * size : page * size]
        return {"data": part, "page": page, "pages": max(1, -(-len(rows) // size)), "results": len(rows)}

    def _fault(self, call: Call, after: bool) -> Fault | None:
        for fault in self.faults:
            matches = fault.method == call.method and re.fullmatch(fault.path, call.path)
            if fault.count and fault.after is after and matches:
                fault.count -= 1
                return fault
        return None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_args: Any) -> None:
                return

            def _reply(self, status: int, body: Any, headers: dict[str, str]) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                for name, value in {
                    "Content-Type": "application/json",
                    "X-OAuth-Scopes": api.scopes,
                    **headers,
                }.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def _refuse(self, status: int, reason: str, where: str | None, headers: dict[str, str]) -> None:
                error = {"reason": reason} | ({"field": where} if where else {})
                self._reply(status, {"errors": [error]}, headers)

            def handle_any(self) -> None:
                url = urlsplit(self.path)
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                call = Call(
                    self.command,
                    url.path.removeprefix("/v4/").removeprefix("/v4beta/"),
                    json.loads(self.headers.get("X-Filter") or "{}"),
                    parse_qs(url.query),
                    json.loads(raw) if raw else {},
                )
                with lock:
                    api.calls.append(call)
                    fault = api._fault(call, after=False)
                    answer: Any = None
                    if fault is None:
                        try:
                            answer = api.answer(call)
                        except Refusal as refusal:
                            self._refuse(refusal.status, refusal.reason, refusal.where, {})
                            return
                        fault = api._fault(call, after=True)
                if fault is None:
                    self._reply(200, answer, {})
                elif fault.status == 0:
                    self.close_connection = True
                    self.connection.close()
                else:
                    self._refuse(fault.status, fault.reason, fault.where, fault.headers)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any

        return Handler
