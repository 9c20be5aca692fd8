# SPDX-License-Identifier: GPL-3.0-or-later
"""A small server that plays the API of AWX 24.6.1, as far as the modules of awx.awx use it for what we set up.

AWX publishes no description of its API as a file. Fields, defaults, types and refusals below are those of its models and serializers
(awx/main/models, awx/api/serializers.py, awx/api/views), and a field that it does not have is refused, where AWX would say nothing.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.played_server import PlayedServer

TOKEN = "played-controller-token"
ENCRYPTED = "$encrypted$"
_BOOL, _TEXT, _INT, _DATA = (False, bool), ("", str), (0, int), ({}, dict)


def _ref(endpoint: str) -> tuple[None, str]:
    return (None, endpoint)


def _choice(default: str, *choices: str) -> tuple[str, tuple[str, ...]]:
    return (default, (default, *choices))


_PROMPTS = {
    f"ask_{name}_on_launch": _BOOL
    for name in ("variables", "limit", "inventory", "tags", "skip_tags", "labels", "scm_branch")
}
# By endpoint: what can be written, with its default and its type (an endpoint for a reference, a tuple for choices).
FIELDS: dict[str, dict[str, tuple[Any, Any]]] = {
    "organizations": {"name": _TEXT, "description": _TEXT},
    "credential_types": {
        **{"name": _TEXT, "description": _TEXT, "inputs": _DATA, "injectors": _DATA, "managed": _BOOL},
        "kind": _choice("cloud", "net", "ssh"),
    },
    "credentials": {
        **{"name": _TEXT, "description": _TEXT, "inputs": _DATA},
        **{"organization": _ref("organizations"), "credential_type": _ref("credential_types")},
    },
    "notification_templates": {
        **{
            "name": _TEXT,
            "description": _TEXT,
            "notification_configuration": _DATA,
            "organization": _ref("organizations"),
        },
        "notification_type": _choice("webhook", "email", "slack"),
    },
    "execution_environments": {
        **{"name": _TEXT, "description": _TEXT, "image": _TEXT, "pull": _choice("", "always", "missing", "never")},
        **{"organization": _ref("organizations"), "credential": _ref("credentials")},
    },
    "projects": {
        **{
            "name": _TEXT,
            "description": _TEXT,
            "scm_url": _TEXT,
            "scm_branch": _TEXT,
            "scm_type": _choice("", "git", "svn"),
        },
        **{"organization": _ref("organizations"), "credential": _ref("credentials"), "scm_update_on_launch": _BOOL},
    },
    "inventories": {
        **{"name": _TEXT, "description": _TEXT, "organization": _ref("organizations"), "variables": _TEXT},
        **{"kind": _choice("", "smart", "constructed"), "host_filter": (None, str)},
    },
    "inventory_sources": {
        **{
            "name": _TEXT,
            "description": _TEXT,
            "source": _choice("", "scm"),
            "source_path": _TEXT,
            "source_vars": _TEXT,
        },
        **{"inventory": _ref("inventories"), "source_project": _ref("projects"), "credential": _ref("credentials")},
        **{"execution_environment": _ref("execution_environments"), "overwrite": _BOOL, "overwrite_vars": _BOOL},
        "update_on_launch": _BOOL,
    },
    "job_templates": {
        **{
            "name": _TEXT,
            "description": _TEXT,
            "playbook": _TEXT,
            "extra_vars": _TEXT,
            "job_type": _choice("run", "check"),
        },
        **{"organization": _ref("organizations"), "inventory": _ref("inventories"), "project": _ref("projects")},
        **{
            "execution_environment": _ref("execution_environments"),
            "survey_enabled": _BOOL,
            "allow_simultaneous": _BOOL,
        },
        **_PROMPTS,
    },
    "workflow_job_templates": {
        **{
            "name": _TEXT,
            "description": _TEXT,
            "extra_vars": _TEXT,
            "survey_enabled": _BOOL,
            "allow_simultaneous": _BOOL,
        },
        **{"organization": _ref("organizations"), "inventory": _ref("inventories"), **_PROMPTS},
    },
    "workflow_job_template_nodes": {
        **{"identifier": _TEXT, "workflow_job_template": _ref("workflow_job_templates")},
        "unified_job_template": _ref("unified_job_templates"),
    },
    "schedules": {
        **{"name": _TEXT, "description": _TEXT, "rrule": _TEXT, "extra_data": _DATA, "enabled": (True, bool)},
        "unified_job_template": _ref("unified_job_templates"),
    },
}
TYPES = {
    "inventories": "inventory",
    **{endpoint: endpoint.removesuffix("s") for endpoint in FIELDS if endpoint != "inventories"},
}
# What an object is looked up by, besides its name, and may be there once.
_WITHIN = {
    **dict.fromkeys(("inventory_sources",), "inventory"),
    **dict.fromkeys(("schedules",), "unified_job_template"),
    **dict.fromkeys(("workflow_job_template_nodes",), "workflow_job_template"),
}
# What goes with an object.
_GOES_WITH = {
    "job_templates": {"schedules": "unified_job_template", "workflow_job_template_nodes": "unified_job_template"},
    "workflow_job_templates": {"workflow_job_template_nodes": "workflow_job_template"},
    "inventories": {"inventory_sources": "inventory"},
}
_ASSOCIATED = {
    "credentials": "credentials",
    "success_nodes": "workflow_job_template_nodes",
    "failure_nodes": "workflow_job_template_nodes",
    "always_nodes": "workflow_job_template_nodes",
    **{
        f"notification_templates_{when}": "notification_templates"
        for when in ("started", "success", "error", "approvals")
    },
}
_SURVEY_TYPES = {"text": str, "textarea": str, "password": str, "multiplechoice": str, "integer": int, "float": float}
_WEBHOOK = {
    "url": str,
    "http_method": str,
    "headers": dict,
    "disable_ssl_verification": bool,
    "username": str,
    "password": str,
}


class Refused(Exception):
    def __init__(self, status: int, body: Any) -> None:
        super().__init__(body)
        self.status, self.body = status, body


def survey_refused(spec: dict[str, Any]) -> str | None:
    """JobTemplateSurveySpec._validate_spec_data."""
    for field, expected in (("name", str), ("description", str), ("spec", list)):
        if not isinstance(spec.get(field), expected):
            return f"Expected {expected.__name__} for field '{field}'."
    if not spec["spec"]:
        return "'spec' doesn't contain any items."
    seen = set()
    for question in spec["spec"]:
        for field, kind in (("type", str), ("question_name", str), ("variable", str), ("required", bool)):
            if not isinstance(question.get(field), kind):
                return f"'{field}' in a survey question expected to be {kind.__name__}."
        if question["variable"] in seen or not re.fullmatch(r"[A-Za-z_]\w*", question["variable"]):
            return f"'variable' {question['variable']} duplicated, or no name."
        seen.add(question["variable"])
        if question["type"] not in _SURVEY_TYPES:
            return f"{question['type']} is no type of a question."
        if question.get("default") not in ("", None) and not isinstance(
            question["default"], _SURVEY_TYPES[question["type"]]
        ):
            return "Default value expected to be of the type."
        for limit in ("min", "max"):
            if question.get(limit) is not None and not isinstance(question[limit], int):
                return f"The {limit} limit expected to be integer."
        if question["type"] == "multiplechoice" and not question.get("choices"):
            return "A multiple choice must specify choices."
    return None


class PlayedController(PlayedServer):
    """``objects`` by endpoint and id; ``sent`` are the requests that write, in their order. ``playbooks`` are those of the project."""

    def __init__(self, playbooks: Path) -> None:
        self.playbooks = {f"playbooks/{path.name}" for path in playbooks.glob("*.yml")}
        self.ids = itertools.count(1)
        self.objects: dict[str, dict[int, dict[str, Any]]] = {endpoint: {} for endpoint in FIELDS}
        self.surveys: dict[int, dict[str, Any]] = {}
        self.links: dict[tuple[str, int, str], list[int]] = {}
        self.secrets: dict[int, dict[str, Any]] = {}
        self.sent: list[tuple[str, str, Any]] = []
        self._make("organizations", {"name": "Default"})
        inputs = {
            "fields": [
                {"id": name, "type": "string", "label": name, "secret": True} for name in ("ssh_key_data", "password")
            ]
        }
        self._make("credential_types", {"name": "Machine", "kind": "ssh", "managed": True, "inputs": inputs})
        played = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_arguments: object) -> None:
                """Quiet."""

            def _do(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                text = self.rfile.read(length)
                try:
                    if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                        raise Refused(401, {"detail": "Authentication credentials were not provided."})
                    status, body = played.answer(self.command, self.path, json.loads(text) if text else None)
                except Refused as refused:
                    status, body = refused.status, refused.body
                data = b"" if body is None else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("X-API-Product-Name", "AWX")
                self.send_header("X-API-Product-Version", "24.6.1")
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = do_DELETE = _do

        self.begin(Handler)

    # -- requests ------------------------------------------------------------------------------------------------------

    def answer(self, method: str, target: str, body: Any) -> tuple[int, Any]:
        parts = urlsplit(target)
        if not parts.path.startswith("/api/v2/") or not parts.path.endswith("/"):
            raise Refused(404, {"detail": "Not found."})
        if method != "GET":
            self.sent.append((method, parts.path, body))
        endpoint, *rest = parts.path.removeprefix("/api/v2/").strip("/").split("/")
        if endpoint == "project_updates":
            return 200, {"status": "successful", "finished": "2026-01-01T00:00:00Z", "failed": False}
        if endpoint == "unified_job_templates" and method == "GET":
            known = [one for name in ("job_templates", "workflow_job_templates") for one in self._all(name)]
            return 200, self._page(known, dict(parse_qsl(parts.query)))
        if endpoint not in FIELDS:
            raise Refused(404, {"detail": "Not found."})
        if not rest:
            if method == "GET":
                return 200, self._page(self._all(endpoint), dict(parse_qsl(parts.query)))
            if method == "POST":
                return 201, self._shown(endpoint, self._make(endpoint, body))
            raise Refused(405, {"detail": f'Method "{method}" not allowed.'})
        number = int(rest[0])
        if number not in self.objects[endpoint]:
            raise Refused(404, {"detail": "Not found."})
        if rest[1:] == ["survey_spec"]:
            return self._survey(method, number, body)
        if len(rest) == 2 and rest[1] in _ASSOCIATED:
            return self._associate(method, (endpoint, number, rest[1]), body)
        if method == "PATCH":
            self._check(endpoint, body, number)
            self._write(endpoint, number, body)
        if method == "DELETE":
            return self._delete(endpoint, number)
        return 200, self._shown(endpoint, number)

    def _survey(self, method: str, number: int, body: Any) -> tuple[int, Any]:
        if method == "GET":
            return 200, self.surveys.get(number, {})
        if method == "DELETE":
            self.surveys.pop(number, None)
            return 200, None
        wrong = survey_refused(body)
        if wrong:
            raise Refused(400, {"error": wrong})
        self.surveys[number] = body
        return 200, None

    def _associate(self, method: str, link: tuple[str, int, str], body: Any) -> tuple[int, Any]:
        linked, endpoint = self.links.setdefault(link, []), _ASSOCIATED[link[2]]
        if method == "GET":
            return 200, self._page([self._shown(endpoint, number) for number in linked], {})
        if body["id"] not in self.objects[endpoint]:
            raise Refused(400, {"msg": f"{endpoint} {body['id']} does not exist"})
        if body.get("disassociate"):
            linked.remove(body["id"])
            return 204, None
        if endpoint == "credentials":
            kinds = [self.objects[endpoint][number]["credential_type"] for number in linked]
            if self.objects[endpoint][body["id"]]["credential_type"] in kinds:
                raise Refused(400, {"error": "Cannot assign multiple credentials of one type."})
        linked.append(body["id"])
        return 204, None

    def _delete(self, endpoint: str, number: int) -> tuple[int, Any]:
        if endpoint == "credential_types" and any(one["credential_type"] == number for one in self._all("credentials")):
            raise Refused(403, {"detail": "Credential types that are in use cannot be deleted"})
        del self.objects[endpoint][number]
        self.surveys.pop(number, None)
        self.links = {
            link: [one for one in linked if one != number or _ASSOCIATED[link[2]] != endpoint]
            for link, linked in self.links.items()
            if link[:2] != (endpoint, number)
        }
        for other, field in _GOES_WITH.get(endpoint, {}).items():
            for going in [key for key, one in self.objects[other].items() if one[field] == number]:
                self._delete(other, going)
        return (202 if endpoint == "inventories" else 204), None

    # -- objects -------------------------------------------------------------------------------------------------------

    def _all(self, endpoint: str) -> list[dict[str, Any]]:
        return [self._shown(endpoint, number) for number in self.objects[endpoint]]

    def _page(self, found: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
        matching = [one for one in found if all(str(one.get(name)) == value for name, value in query.items())]
        return {"count": len(matching), "next": None, "previous": None, "results": matching}

    def _shown(self, endpoint: str, number: int) -> dict[str, Any]:
        url = f"/api/v2/{endpoint}/{number}/"
        shown = {
            "id": number,
            "type": TYPES[endpoint],
            "url": url,
            "summary_fields": {},
            **self.objects[endpoint][number],
        }
        related = {}
        if endpoint.endswith("job_templates"):
            related["survey_spec"] = f"{url}survey_spec/"
        if endpoint == "projects":
            shown["scm_revision"] = ""
            shown["summary_fields"] = {"current_update": {"id": 1}}
        return {**shown, "related": related}

    def _known(self, endpoint: str, number: Any) -> bool:
        if endpoint == "unified_job_templates":
            return number in self.objects["job_templates"] or number in self.objects["workflow_job_templates"]
        return number in self.objects[endpoint]

    def _check(self, endpoint: str, body: dict[str, Any], number: int | None = None) -> None:
        for name, value in body.items():
            if name not in FIELDS[endpoint]:
                raise Refused(400, {name: ["There is no such field."]})
            kind = FIELDS[endpoint][name][1]
            if isinstance(kind, str):
                if value is not None and not self._known(kind, value):
                    raise Refused(400, {name: [f'Invalid pk "{value}" - object does not exist.']})
            elif isinstance(kind, tuple):
                if value is not None and value not in kind:
                    raise Refused(400, {name: [f'"{value}" is not a valid choice.']})
            elif value is not None and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
                raise Refused(400, {name: [f"Not a valid {kind.__name__}."]})
        merged = {**(self.objects[endpoint].get(number or 0) or {}), **body}
        label = "identifier" if "identifier" in FIELDS[endpoint] else "name"
        if not merged.get(label) or len(merged[label]) > 512:
            raise Refused(400, {label: ["This field may not be blank."]})
        within = _WITHIN.get(endpoint, "organization")
        for key, one in self.objects[endpoint].items():
            if key != number and one[label] == merged[label] and one.get(within) == merged.get(within):
                raise Refused(400, {"__all__": [f"{TYPES[endpoint]} with this {label} already exists."]})
        getattr(self, f"_check_{endpoint}", lambda _merged: None)(merged)

    def _check_credential_types(self, merged: dict[str, Any]) -> None:
        fields = {field["id"] for field in merged["inputs"].get("fields", [])}
        for field in merged["inputs"].get("fields", []):
            if set(field) - {"id", "type", "label", "secret", "help_text", "format", "multiline", "default", "choices"}:
                raise Refused(400, {"inputs": ["Additional properties are not allowed"]})
        if not set(merged["inputs"].get("required", [])) <= fields:
            raise Refused(400, {"inputs": ["required is no field"]})
        for name, template in merged.get("injectors", {}).get("env", {}).items():
            if name.startswith("ANSIBLE_") or not re.fullmatch(r"[a-zA-Z_]+[a-zA-Z0-9_]*", name):
                raise Refused(
                    400, {"injectors": [f"Environment variable {name} is not allowed to be used in credentials."]}
                )
            if not set(re.findall(r"{{ *(\w+) *}}", template)) <= fields:
                raise Refused(400, {"injectors": [f"{name} uses an undefined field"]})

    def _check_credentials(self, merged: dict[str, Any]) -> None:
        fields = self.objects["credential_types"][merged["credential_type"]]["inputs"]["fields"]
        if not set(merged.get("inputs", {})) <= {field["id"] for field in fields}:
            raise Refused(400, {"inputs": ["Additional properties are not allowed"]})

    def _check_job_templates(self, merged: dict[str, Any]) -> None:
        if merged["playbook"] not in self.playbooks:
            raise Refused(400, {"playbook": ["Playbook not found for project."]})
        json.loads(merged.get("extra_vars") or "{}")

    def _check_notification_templates(self, merged: dict[str, Any]) -> None:
        given = merged["notification_configuration"]
        wrong = [name for name, value in given.items() if not isinstance(value, _WEBHOOK.get(name, ()))]
        if wrong or not {"url", "headers"} <= set(given):
            raise Refused(400, [f"Missing or wrong fields for Notification Configuration: {wrong}."])

    def _check_schedules(self, merged: dict[str, Any]) -> None:
        if not re.fullmatch(
            r"DTSTART:\d{8}T\d{6}Z RRULE:FREQ=(MINUTELY|HOURLY|DAILY);INTERVAL=[1-9]\d*", merged["rrule"]
        ):
            raise Refused(400, {"rrule": ["Valid DTSTART and INTERVAL required in rrule."]})
        template = merged["unified_job_template"]
        asked = {question["variable"] for question in self.surveys.get(template, {}).get("spec", [])}
        if set(merged.get("extra_data", {})) - asked:
            raise Refused(400, {"extra_data": ["Variables are not allowed on launch."]})

    def _make(self, endpoint: str, body: dict[str, Any]) -> int:
        self._check(endpoint, body)
        number = next(self.ids)
        self.objects[endpoint][number] = {name: default for name, (default, _kind) in FIELDS[endpoint].items()}
        self._write(endpoint, number, body)
        return number

    def _write(self, endpoint: str, number: int, body: dict[str, Any]) -> None:
        kept = dict(body)
        if endpoint == "credentials" and "inputs" in kept:
            fields = self.objects["credential_types"][
                self.objects[endpoint][number]["credential_type"] or kept["credential_type"]
            ]
            secret = {field["id"] for field in fields["inputs"]["fields"] if field["secret"]}
            self.secrets[number] = kept["inputs"]
            kept["inputs"] = {name: ENCRYPTED if name in secret else value for name, value in kept["inputs"].items()}
        if endpoint == "notification_templates" and kept.get("notification_type", "webhook") == "webhook":
            defaults = {"http_method": "POST", "disable_ssl_verification": False, "username": "", "password": ""}
            kept["notification_configuration"] = {**defaults, **kept["notification_configuration"]}
        self.objects[endpoint][number].update(kept)

    # -- for comparing -------------------------------------------------------------------------------------------------

    def _named(self, endpoint: str, number: Any) -> Any:
        if endpoint == "unified_job_templates":
            endpoint = "job_templates" if number in self.objects["job_templates"] else "workflow_job_templates"
        one = self.objects[endpoint].get(number, {})
        return one.get("name") or one.get("identifier")

    def described(self) -> dict[str, Any]:
        """All objects but those that were there from the start, with names for ids and without what has its default."""
        return {endpoint: listed for endpoint in FIELDS if (listed := list(self._described(endpoint)))}

    def _described(self, endpoint: str) -> Iterator[dict[str, Any]]:
        for number, one in self.objects[endpoint].items():
            if one["name" if "name" in one else "identifier"] in ("Default", "Machine"):
                continue
            told: dict[str, Any] = {}
            for name, (default, kind) in FIELDS[endpoint].items():
                if one[name] != default or name in ("name", "identifier"):
                    told[name] = self._named(kind, one[name]) if isinstance(kind, str) else one[name]
            if told.get("extra_vars"):
                told["extra_vars"] = json.loads(told["extra_vars"])
            for link, linked in self.links.items():
                if link[:2] == (endpoint, number) and linked:
                    told[link[2]] = sorted(str(self._named(_ASSOCIATED[link[2]], item)) for item in linked)
            if number in self.surveys:
                told["survey"] = [
                    {name: value for name, value in question.items() if value not in ("", 0, 1024)}
                    for question in self.surveys[number]["spec"]
                ]
            yield told
