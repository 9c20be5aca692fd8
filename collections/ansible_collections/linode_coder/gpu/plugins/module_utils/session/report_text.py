# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a playbook reports, as lines for a person. The values come from the API and from VMs: each is made visible."""

from __future__ import annotations

from typing import Any

from ..core.visible import one_line

_LONGEST = 300
# More than these that could not be looked at are told in one line: one cause, most of the time.
_UNREAD = 2
# For programs: long, or of no use to whoever reads the output of a playbook.
_NOT_SHOWN = ("facts", "activity", "observations", "host_keys", "schema", "follows_from", "flags", "account")
_MARKS = {"fail": "x", "warn": "!", "unknown": "?"}
_COLUMNS = (
    ("NAME", "name"),
    ("STATUS", "status"),
    ("MODEL", "model"),
    ("PLAN", "plan"),
    ("REGION", "region"),
    ("$/H", "hourly"),
    ("COST", "cost_so_far"),
    ("LEASE ENDS", "lease_end"),
    ("OWNER", "owner"),
)
_DOLLARS = ("hourly", "cost", "budget", "dollars")


def report_lines(data: dict[str, Any]) -> list[str]:
    """The lines of a report.

    :param data: as a playbook gives it to ``linode_coder.gpu.report``; ``sessions``, ``session``, ``findings`` and ``failure`` have
        a form of their own, and so has the ``run`` of a performance; everything else is shown as it is.
    """
    lines: list[str] = []
    for key, value in data.items():
        lines += _part(key, value)
    return lines or ["Nothing to report."]


def _part(key: str, value: Any) -> list[str]:
    if key in _NOT_SHOWN:
        return []
    if key == "sessions" and isinstance(value, list):
        return _sessions(value)
    if key == "session" and isinstance(value, dict):
        return _session(value)
    if key == "findings" and isinstance(value, list):
        return _findings(value)
    if key == "run" and isinstance(value, dict):
        return _run(value)
    if key == "failure" and isinstance(value, dict):
        return _failure(value)
    return _plain(key, value)


def _text(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)) and key.startswith(_DOLLARS):
        return f"${value:.2f}"
    if isinstance(value, float):
        return f"{value:g}"
    text = one_line(str(value))
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, (str, list, dict)) and not value)


def _plain(key: str, value: Any) -> list[str]:
    """A value under its name; what is inside of it is indented. What is not known is left out."""
    name = one_line(key).replace("_", " ")
    if isinstance(value, list) and not value:
        return [f"{name}: none"]
    if _empty(value):
        return []
    if isinstance(value, dict):
        inner = [line for inside, each in value.items() for line in _part(str(inside), each)]
        return [f"{name}:", *(f"  {line}" for line in inner)] if inner else []
    if isinstance(value, list):
        return [f"{name}:", *(f"  {line}" for each in value for line in _item(key, each))]
    return [f"{name}: {_text(key, value)}"]


def _item(key: str, value: Any) -> list[str]:
    if isinstance(value, dict):
        inner = [line for inside, each in value.items() for line in _part(str(inside), each)]
        return [f"{'- ' if not place else '  '}{line}" for place, line in enumerate(inner)]
    return [f"- {_text(key, value)}"]


def _table(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _sessions(sessions: list[Any]) -> list[str]:
    views = [view for view in sessions if isinstance(view, dict)]
    if not views:
        return ["There are no sessions."]
    if any("findings" in view for view in views):
        return [line for view in views for line in _checked(view)]
    rows = [[title for title, _key in _COLUMNS]]
    rows += [["?" if _empty(view.get(key)) else _text(key, view[key]) for _title, key in _COLUMNS] for view in views]
    return _table(rows)


def _session(view: dict[str, Any]) -> list[str]:
    keys = ["name", "label", "linode_id", "address", *(key for _title, key in _COLUMNS if key != "name")]
    return ["session:", *(f"  {line}" for key in keys for line in _plain(key, view.get(key)))]


def _checked(view: dict[str, Any]) -> list[str]:
    head = f"{_text('name', view.get('name'))} ({_text('label', view.get('label'))}): {_text('', view.get('severity'))}"
    return [head, *(f"  {line}" for line in _findings(view["findings"]))]


def _findings(findings: list[Any]) -> list[str]:
    """Those that stand by themselves, the worst first, each with what to do about it."""
    rows = [one for one in findings if isinstance(one, dict) and one.get("severity") in _MARKS]
    alone = [one for one in rows if not one.get("follows_from")]
    unread = [one for one in alone if one["severity"] == "unknown"]
    if len(unread) > _UNREAD:
        alone = [one for one in alone if one["severity"] != "unknown"]
    alone.sort(key=lambda one: list(_MARKS).index(one["severity"]))
    lines = []
    for one in alone:
        subject = one.get("subject")
        about = "" if subject in ("vm", "container", "engine", None) else f" [{_text('', subject)}]"
        told = (
            f"{_MARKS[one['severity']]} {one['severity']} {_text('', one.get('id'))}: {_text('', one.get('summary'))}"
        )
        lines.append(told + about)
        if one["severity"] != "unknown" and not _empty(one.get("remedy")):
            lines.append(f"  remedy: {_text('', one['remedy'])}")
        itself = {"id": one.get("id"), "subject": subject}
        followers = [_text("", other.get("id")) for other in rows if other.get("follows_from") == itself]
        if followers:
            lines.append(f"  {len(followers)} more follow from it: {', '.join(dict.fromkeys(followers))}")
    if len(unread) > _UNREAD:
        names = dict.fromkeys(_text("", one.get("id")) for one in unread)
        lines.append(f"? {len(unread)} could not be looked at: {', '.join(names)}")
    return lines or ["Every check passed."]


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _run(run: dict[str, Any]) -> list[str]:
    """The verdict with its reasons, and a line for each level: the samples are for programs."""
    given = run.get("verdict")
    verdict = given if isinstance(given, dict) else {"severity": "unknown", "summary": "Nothing was measured."}
    lines = [f"{_text('', verdict.get('severity')).upper()}  {_text('', verdict.get('summary'))}"]
    given = verdict.get("reasons")
    reasons = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
    unsaid = [one for one in reasons if str(one.get("summary")) not in str(verdict.get("summary"))]
    lines += [
        f"{_text('', one.get('severity'))} {_text('', one.get('id'))}: {_text('', one.get('summary'))}"
        for one in unsaid
    ]
    levels = run.get("levels")
    for level in levels if isinstance(levels, list) else ():
        if not isinstance(level, dict):
            continue
        said = [f"streams {_text('', level.get('concurrency'))}"]
        for kind, name in (("ttft", "TTFT"), ("itl", "ITL")):
            spread = level.get(kind)
            middle = _number(spread.get("p50")) if isinstance(spread, dict) else None
            said.append(f"{name} p50 {'unknown' if middle is None else f'{middle * 1000:.1f} ms'}")
        speed = _number(level.get("output_tps"))
        said.append(f"{'unknown' if speed is None else f'{speed:.1f}'} tokens/s all")
        lines.append(
            f"{', '.join(said)}, {_text('', level.get('failed'))} of {_text('', level.get('requests'))} failed"
        )
    return lines


def _failure(failure: dict[str, Any]) -> list[str]:
    told = [("error", "message"), ("kind", "kind"), ("cause", "cause"), ("next", "remedy")]
    return [f"{name}: {_text('', failure[key])}" for name, key in told if not _empty(failure.get(key))]
