# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a controller (AWX, or the one of Ansible Automation Platform) has to have: its objects, as the modules of awx.awx take them.

There is no secret in them: what a credential holds goes to the controller beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..core.failure import Failure
from .playbooks import PLAYBOOKS, Playbook, Variable, asked

_TYPES = {
    "text": "text",
    "list": "text",
    "choice": "multiplechoice",
    "switch": "multiplechoice",
    "integer": "integer",
    "float": "float",
}
# What a controller takes of a text where nothing says less.
_LONGEST = 1024
# The controller's own type of credentials that hold an SSH key.
MACHINE = "Machine"
# Whose failed jobs people are told of. What a person starts, a person watches.
_UNATTENDED = ("watchdog", "cleanup", "heal")


@dataclass(frozen=True)
class Wanted:
    """``interval`` between two looks in minutes; ``cleanup_at`` is the hour of a day in UTC. ``key``, ``hub`` and ``webhook`` say
    whether there is a credential with an SSH key, one for the hub, and a place to send notifications to."""

    name: str
    organization: str
    project_url: str
    project_branch: str
    project_credential: str | None
    image: str
    image_credential: str | None
    interval: int
    cleanup_at: int
    budget: float | None
    authorized_keys: tuple[str, ...]
    key: bool
    hub: bool
    webhook: bool


def _question(variable: Variable) -> dict[str, Any]:
    number = variable.kind in ("integer", "float")
    return {
        "question_name": variable.question,
        "question_description": variable.help,
        "required": variable.required,
        "type": _TYPES[variable.kind],
        "variable": variable.name,
        "min": variable.minimum if number else 0,
        "max": variable.maximum if number else variable.maximum or _LONGEST,
        "default": "",
        "choices": "\n".join(("true", "false") if variable.kind == "switch" else variable.choices),
    }


def _given(playbook: Playbook, wanted: Wanted) -> dict[str, Any]:
    """What the template says itself, and nobody who starts a job can say otherwise."""
    given = dict(playbook.set)
    names = {variable.name for variable in playbook.variables}
    if wanted.budget is not None and "budget" in names:
        given["budget"] = wanted.budget
    if wanted.authorized_keys and "authorized_keys" in names:
        given["authorized_keys"] = list(wanted.authorized_keys)
    return given


def _survey(playbook: Playbook, wanted: Wanted) -> dict[str, Any]:
    """Empty where nothing is asked."""
    given = _given(playbook, wanted)
    questions = [_question(variable) for variable in asked(playbook) if variable.name not in given]
    return {"name": "", "description": "", "spec": questions} if questions else {}


def _types(wanted: Wanted) -> list[dict[str, Any]]:
    def of(title: str, what: str, fields: list[tuple[str, str, str, bool]]) -> dict[str, Any]:
        return {
            "name": f"{wanted.name} {title}",
            "description": what,
            "kind": "cloud",
            "inputs": {
                "fields": [
                    {"id": name, "type": "string", "label": label, "secret": True}
                    for name, label, _variable, _needed in fields
                ],
                "required": [name for name, _label, _variable, needed in fields if needed],
            },
            # Rendered by the controller, not here.
            "injectors": {"env": {variable: f"{{{{ {name} }}}}" for name, _label, variable, _needed in fields}},
        }

    linode = [
        ("token", "API token", "LINODE_TOKEN", True),
        ("notify_url", "Webhook of the watchdog", "LINODE_CODER_NOTIFY_URL", False),
        ("history_url", "Database of the team's history", "LINODE_CODER_HISTORY_URL", False),
    ]
    types = [of("Linode", "The account that sessions are made in.", linode)]
    if wanted.hub:
        types.append(of("Hugging Face", "For models that need a token.", [("token", "Token", "HF_TOKEN", True)]))
    return types


def _template(playbook: Playbook, wanted: Wanted, credentials: list[str], notifications: list[str]) -> dict[str, Any]:
    survey = _survey(playbook, wanted)
    return {
        "name": f"{wanted.name} {playbook.name}",
        "description": playbook.title,
        "playbook": f"playbooks/{playbook.name}.yml",
        "allow_simultaneous": playbook.several,
        "extra_vars": _given(playbook, wanted),
        "survey_enabled": bool(survey),
        "survey_spec": survey,
        "credentials": credentials,
        "notification_templates_error": notifications if playbook.name in _UNATTENDED else [],
    }


def _workflow(wanted: Wanted, notifications: list[str]) -> dict[str, Any]:
    """up, then validate; how it ended is told."""

    def node(name: str, *then: str) -> dict[str, Any]:
        return {
            "identifier": name,
            "unified_job_template": {
                "name": f"{wanted.name} {name}",
                "type": "job_template",
                "organization": {"name": wanted.organization},
            },
            "related": {"success_nodes": [{"identifier": after} for after in then]},
        }

    up = next(playbook for playbook in PLAYBOOKS if playbook.name == "up")
    return {
        "name": f"{wanted.name} up and validate",
        "description": "Bring a session up, check what it serves, and tell people how that ended",
        "survey_spec": _survey(up, wanted),
        "workflow_nodes": [node("up", "validate"), node("validate")],
        "notifications": notifications,
    }


def objects(wanted: Wanted) -> dict[str, Any]:
    """By kind, in the order in which they can be made."""
    for name, value, lowest, highest in (
        ("interval", wanted.interval, 1, 60),
        ("cleanup_at", wanted.cleanup_at, 0, 23),
    ):
        if not lowest <= value <= highest:
            raise Failure(
                "usage",
                f"{name} is {value}.",
                remedy=f"Take a whole number from {lowest} to {highest}.",
                field=name,
                value=value,
            )
    types = _types(wanted)
    linode, hub, key = f"{wanted.name} Linode", f"{wanted.name} Hugging Face", f"{wanted.name} SSH key"
    credentials = [linode, *([hub] if wanted.hub else []), *([key] if wanted.key else [])]
    notifications = [f"{wanted.name} webhook"] if wanted.webhook else []
    begin = "DTSTART:20260101T{:02}0000Z RRULE:FREQ={}"
    return {
        "organization": wanted.organization,
        "credential_types": types,
        "notification": notifications[0] if notifications else None,
        "execution_environment": {
            "name": wanted.name,
            "description": "Ansible with linode_coder",
            "image": wanted.image,
            "credential": wanted.image_credential,
        },
        "credentials": {"linode": linode, "hub": hub, "key": key, "machine": MACHINE},
        "project": {
            "name": wanted.name,
            "description": "Private coding LLMs on Linode GPU VMs",
            "scm_url": wanted.project_url,
            "scm_branch": wanted.project_branch,
            "credential": wanted.project_credential,
        },
        "inventory": {"name": wanted.name, "description": "The sessions of the account, from their tags"},
        "inventory_source": {"name": f"{wanted.name} sessions", "source_path": "gpu.linode.yml", "credential": linode},
        "job_templates": [
            _template(playbook, wanted, credentials, notifications)
            for playbook in PLAYBOOKS
            if not playbook.no_template
        ],
        "schedules": [
            {
                "name": f"{wanted.name} watchdog",
                "description": f"Watch all sessions every {wanted.interval} minutes",
                "unified_job_template": f"{wanted.name} watchdog",
                "rrule": begin.format(0, f"MINUTELY;INTERVAL={wanted.interval}"),
                # Who says how often it looks counts as a watcher.
                "extra_data": {"interval": wanted.interval * 60},
            },
            {
                "name": f"{wanted.name} cleanup",
                "description": "List what is dead in the account every day",
                "unified_job_template": f"{wanted.name} cleanup",
                "rrule": begin.format(wanted.cleanup_at, "DAILY;INTERVAL=1"),
                "extra_data": {},
            },
        ],
        "workflow": _workflow(wanted, notifications),
    }
