# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a playbook's run belongs into the history, from what the playbook reported. The command line records its own runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..core.failure import EXIT_CODES, Failure
from .rows import VIEW, Doer, Ended, Record, Run

# Playbooks that change something, and what the history calls them: as the command line does.
COMMANDS = {
    "adjust": "adjust",
    "cleanup": "cleanup",
    "down": "down",
    "extend": "extend",
    "heal": "heal",
    "keys": "keys",
    "let_in": "let-in",
    "pause": "pause",
    "switch_model": "switch-model",
    "team_gateway": "team-gateway",
    "up": "up",
    "warm_drop": "warm drop",
    "watchdog": "watchdog",
}
# Those that only show what there is when none of these is named.
_ASKED = {"cleanup": ("remove",), "keys": ("keys_present", "keys_absent")}


@dataclass(frozen=True)
class Job:
    """``variables``: its extra variables. ``data``: what it reported last. ``failure``: why it failed, if it did."""

    playbook: str
    variables: Mapping[str, Any]
    data: Mapping[str, Any]
    failure: Failure | None
    changed: bool


def doer(variables: Mapping[str, Any], user: str, node: str) -> Doer:
    """A controller says who started a job, or which schedule did; otherwise it is the user of this machine."""

    def given(name: str) -> str | None:
        found = (variables.get(f"{prefix}_{name}") for prefix in ("awx", "tower"))
        return next((str(value) for value in found if value not in (None, "")), None)

    job, schedule = given("job_id"), given("schedule_name") or given("parent_job_schedule_name")
    who = given("user_name") or (f"schedule {schedule}" if schedule else user)
    return Doer(who, node if job is None else f"job {job}")


def healed(session: str, report: Mapping[str, Any] | None) -> Run | None:
    """A rung that was taken, as the playbook reports it; a bare acknowledgement is none."""
    if not report or not (report["attempt"] and report["step"]):
        return None
    code = 0 if report["outcome"] == "healed" else EXIT_CODES["unhealthy"]
    return Run(session, "heal", code, True, report["step"]["rung"])


def watched(data: Mapping[str, Any]) -> Record:
    """A pass of the watchdog: only what it did, or could not do."""
    views = data.get("sessions") or []
    found = Record(seen=views, account=data.get("account"))
    idle = {view["linode_id"]: view["idle_s"] for view in views}
    for gone in data.get("deleted") or []:
        found.ended.append(Ended(gone["linode_id"], gone["hours"], gone["cost"], idle_s=idle.get(gone["linode_id"])))
        found.runs.append(Run(gone["name"] or gone["label"], "watchdog", 0, True, gone["sentence"]))
    names = {view["label"]: view["name"] or view["label"] for view in views}
    for what in ("marked", "unmarked", "blocked", "restored"):
        for label, sentence in (data.get(what) or {}).items():
            found.runs.append(Run(names[label], "watchdog", 0, what != "blocked", sentence))
    for label, report in (data.get("healing") or {}).items():
        run = healed(names.get(label, label), report)
        if run is not None:
            found.runs.append(run)
    return found


def keys_sentence(data: Mapping[str, Any]) -> str | None:
    """Which SSH keys came and went, by their fingerprints; None when none did."""
    parts = [f"{what} {', '.join(map(str, data[what]))}" for what in ("added", "removed") if data.get(what)]
    return ", ".join(parts) or None


def _session(job: Job) -> str:
    view = job.data.get("session")
    named = [job.variables.get("session"), view.get("name") if isinstance(view, Mapping) else view]
    return next((name for name in named if isinstance(name, str) and name), "all")


def _message(job: Job) -> str | None:
    """What was done, where the command does not say it."""
    if job.failure is not None:
        return job.failure.message
    if job.playbook == "cleanup":
        return ", ".join(map(str, job.data.get("removed") or []))
    if job.playbook == "keys":
        return keys_sentence(job.data)
    if job.playbook == "warm_drop":
        return str(job.variables.get("volume") or "") or None
    return None


def of_job(job: Job) -> Record:
    """Nothing of a playbook that changes nothing."""
    if job.playbook == "watchdog":
        return watched(job.data)
    asked = _ASKED.get(job.playbook)
    if job.playbook not in COMMANDS or (asked and not any(job.variables.get(name) for name in asked)):
        return Record()
    session, view = _session(job), job.data.get("session")
    code = 0 if job.failure is None else job.failure.exit_code
    run = Run(session, COMMANDS[job.playbook], code, job.changed if job.failure is None else None, _message(job))
    if job.playbook == "heal" and job.failure is None:
        run = healed(session, job.data.get("report")) or run
    record = Record([run], account=job.data.get("account"))
    if isinstance(view, Mapping) and all(key in view for key in VIEW):
        if job.playbook == "down":
            record.ended.append(Ended(view["linode_id"], job.data.get("hours"), job.data.get("cost")))
        else:
            record.seen.append(view)
    return record
