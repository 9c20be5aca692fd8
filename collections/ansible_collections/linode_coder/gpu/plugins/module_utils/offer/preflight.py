# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is checked before money is spent: the account, what it may do, and whether the session that is wanted can exist.

``gather`` reads, ``preflight`` decides from what was read. A question that could not be asked is unknown, not bad.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from ..core.cost import cost as lease_cost
from ..core.failure import Failure
from ..core.finding import Finding
from ..model.request import Lookup, unlisted
from ..session.lease import new_lease, parse_idle
from ..session.tags import MARKER
from .budget import against_budget, check_budget
from .budget_look import look, wanted_events
from .offers import all_offers, chosen_plans
from .places import with_places
from .quote import make_quote
from .wanted import Wanted

if TYPE_CHECKING:
    from ..linode.reader import LinodeReader

T = TypeVar("T")

# Without the first nothing works; without the second something is done less well.
NEEDED_SCOPES = ("linodes:read_write", "firewall:read_write")
WANTED_SCOPES = ("events:read_only", "account:read_only", "images:read_only")
PATHS = ("profile", "account", "account/availability", "linode/types", "regions", "regions/availability")
_LISTS = PATHS[2:]
# Fields of a Failure by the check that they belong to.
_CHECK_OF = {
    "plan": "preflight.plan",
    "region": "preflight.region",
    "max_cost": "preflight.budget",
    "hf_token": "preflight.access",
    "revision": "preflight.access",
    "lease": "preflight.clocks",
    "cap": "preflight.clocks",
    "idle": "preflight.clocks",
}


@dataclass(frozen=True)
class Answers:
    """What the API said, by path: an object or all rows of a list, or the Failure. ``scopes`` are the token's."""

    by_path: dict[str, Any]
    scopes: str | None

    def get(self, path: str, x_filter: dict[str, Any] | None = None) -> Any:
        """As a reader does, so that quotes can be made from answers that were read once."""
        answer = self.by_path[path]
        if isinstance(answer, Failure):
            raise answer
        return answer

    def list(self, path: str, x_filter: dict[str, Any] | None = None) -> Any:
        # Volumes are about money alone, and read where there is a budget.
        return [] if path == "linode/instances" or (path == "volumes" and path not in self.by_path) else self.get(path)


def gather(reader: LinodeReader, now: int, budget: bool = False) -> Answers:
    """Ask everything, whatever of it fails; with a ``budget`` also what is spent."""
    found: dict[str, Any] = {}
    scopes = None
    ours = {"tags": MARKER}
    money = {"linode/instances": ours, "volumes": ours, "account/events": wanted_events(now)}
    filters = money if budget else {}
    for path in (*PATHS, *filters):
        try:
            listed = path in _LISTS or path in filters
            found[path] = reader.list(path, filters.get(path)) if listed else reader.get(path)
        except Failure as failure:
            found[path] = failure
            if failure.kind == "auth" and path == "profile":
                break
        scopes = scopes or reader.scopes
    return Answers(found, scopes)


def _of(failure: Failure, check: str, subject: str, severity: str = "fail") -> Finding:
    return Finding(check, severity, subject, failure.message, failure.cause or "", remedy=failure.remedy or "")


def _ask(work: Callable[[], T]) -> T | Failure:
    try:
        return work()
    except Failure as failure:
        return failure


def _unasked(failure: Failure, check: str, subject: str) -> Finding:
    """Something that could not be learned."""
    return _of(failure, check, subject, "unknown")


def _token(answers: Answers) -> list[Finding]:
    profile = answers.by_path["profile"]
    if isinstance(profile, Failure):
        known_bad = profile.kind in ("auth", "scope")
        return [_of(profile, "preflight.token", "token", "fail" if known_bad else "unknown")]
    who = f"The token is {profile.get('username')}'s."
    return [Finding("preflight.token", "pass", "token", who), _scopes(answers)]


def _scopes(answers: Answers) -> Finding:
    if answers.scopes in (None, "", "unknown"):
        return Finding("preflight.scopes", "unknown", "token", "The API does not say what the token may do.")
    granted = set(str(answers.scopes).replace(",", " ").split())

    def has(scope: str) -> bool:
        resource, _colon, level = scope.partition(":")
        return (
            "*" in granted
            or f"{resource}:read_write" in granted
            or (level == "read_only" and f"{resource}:read_only" in granted)
        )

    missing = [scope for scope in NEEDED_SCOPES if not has(scope)]
    less = [scope for scope in WANTED_SCOPES if not has(scope)]
    evidence = f"granted: {' '.join(sorted(granted))}"
    remedy = (
        "Scopes cannot be added to a token: create a new one with " + ", ".join(NEEDED_SCOPES + WANTED_SCOPES) + "."
    )
    if missing:
        lacks = ", ".join(missing + less)
        return Finding("preflight.scopes", "fail", "token", f"The token lacks {lacks}.", evidence, remedy=remedy)
    if less:
        summary = f"The token lacks {', '.join(less)}: what needs it is skipped, with a warning."
        return Finding("preflight.scopes", "warn", "token", summary, evidence, remedy=remedy)
    return Finding("preflight.scopes", "pass", "token", "The token may do all that is needed.", evidence)


def _account(answers: Answers) -> Finding:
    account = answers.by_path["account"]
    if isinstance(account, Failure):
        return _unasked(account, "preflight.account", "account")
    owed = float(account.get("balance") or 0)
    evidence = f"balance ${owed:.2f}, not invoiced yet ${float(account.get('balance_uninvoiced') or 0):.2f}"
    if owed > 0:
        summary = f"The account owes ${owed:.2f}: an unpaid balance can keep it from creating anything."
        return Finding("preflight.account", "warn", "account", summary, evidence, remedy="Pay it in Cloud Manager.")
    return Finding("preflight.account", "pass", "account", "The account is in order.", evidence)


def _services(answers: Answers, regions: list[str]) -> Finding:
    rows = answers.by_path["account/availability"]
    if isinstance(rows, Failure):
        return _unasked(rows, "preflight.gpu_access", "account")
    relevant = {row["region"]: row.get("unavailable") or [] for row in rows if row["region"] in regions}
    closed = [region for region in regions if {"Linodes", "GPU Linodes"} & set(relevant.get(region, ()))]
    if not relevant:
        return Finding(
            "preflight.gpu_access", "unknown", "account", "The account's services of these regions are not listed."
        )
    if len(closed) == len(regions):
        return Finding(
            "preflight.gpu_access",
            "fail",
            "account",
            f"The account may not create GPU Linodes in {', '.join(closed)}.",
            remedy="Choose another region, or ask support in a ticket for access to GPU Linodes.",
        )
    if closed:
        summary = f"The account may not create GPU Linodes in {', '.join(closed)}; other regions are left."
        return Finding("preflight.gpu_access", "warn", "account", summary)
    return Finding("preflight.gpu_access", "pass", "account", "The account may create GPU Linodes there.")


def _clocks(wanted: Wanted, now: int) -> Finding:
    def check() -> str:
        new_lease(now, wanted.lease, wanted.cap)
        parse_idle(wanted.idle)
        return "Lease, hard cap and idle limit agree."

    found = _ask(check)
    if isinstance(found, Failure):
        return _of(found, "preflight.clocks", "session")
    return Finding("preflight.clocks", "pass", "session", found)


def _plan(answers: Answers, wanted: Wanted) -> Finding:
    if not wanted.plans:
        return Finding("preflight.plan", "pass", "session", "The cheapest plan that suits is chosen.")
    found = _ask(lambda: chosen_plans(answers.get("linode/types"), list(wanted.plans)))
    if isinstance(found, Failure):
        return _of(found, "preflight.plan", "session", "fail" if found.kind == "usage" else "unknown")
    shown = ", ".join(f"{plan['id']} ({plan['gpus']} GPU)" for plan in found)
    return Finding("preflight.plan", "pass", "session", f"Known to the account: {shown}.")


def _region(answers: Answers, wanted: Wanted) -> Finding:
    found = _ask(lambda: all_offers(answers.get("linode/types"), answers.get("regions"), [], [], list(wanted.regions)))
    if isinstance(found, Failure):
        return _of(found, "preflight.region", "session", "fail" if found.kind in ("usage", "capacity") else "unknown")
    regions = sorted({offer.region for offer in found})
    where = ", ".join(regions) if wanted.regions else f"{len(regions)} regions"
    return Finding("preflight.region", "pass", "session", f"GPU plans have a price in {where}.", ", ".join(regions))


def _stock(offers: list[dict[str, Any]]) -> Finding:
    advertised = [offer for offer in offers if offer["advertised"]]
    where = ", ".join(f"{offer['plan']} in {offer['region']}" for offer in (advertised or offers)[:3])
    note = "The feed is advisory: only the create call knows."
    if advertised:
        return Finding("preflight.stock", "pass", "session", f"Stock is advertised for {where}.", note)
    if all(offer["advertised"] is None for offer in offers):
        return Finding("preflight.stock", "unknown", "session", f"The feed says nothing of {where}.", note)
    return Finding(
        "preflight.stock",
        "warn",
        "session",
        f"No stock is advertised for {where}.",
        note,
        remedy="It may work anyway; naming more plans or regions helps.",
    )


def _budget(quote: dict[str, Any], answers: Answers, wanted: Wanted, now: int) -> Finding:
    cost = quote["cost_to_lease_end"]
    summary = f"${quote['hourly']:.2f} per started hour, at most ${cost:.2f} to the end of the lease."
    limits = [f"max_cost ${wanted.max_cost:.2f}"] if wanted.max_cost is not None else []
    if wanted.budget is not None:
        try:
            limit = check_budget(wanted.budget) or 0.0
            # As `up` does: the dearer places are left out when only cheaper ones go into the budget.
            hourly = min(offer["hourly"] for offer in quote["offers"])
            seen = look(answers, now, answers.get("linode/instances"), wanted.records, quote["hourly_max"])
            adds = lease_cost(now, quote["lease_end_epoch"], hourly) or 0.0
            said = against_budget(seen, limit, adds, hourly, "such a session")
        except Failure as failure:
            severity = "fail" if failure.kind in ("refused", "usage") else "unknown"
            return _of(failure, "preflight.budget", "session", severity)
        limits.append(f"${said['spent']:.2f} of ${limit:.2f} spent this month, ${said['left']:.2f} left after it")
        limits += said["unseen"]
    if not limits:
        hint = "Set max_cost or budget to have a limit."
        return Finding("preflight.budget", "pass", "session", summary + " There is no limit.", remedy=hint)
    return Finding("preflight.budget", "pass", "session", summary, "; ".join(limits))


def _fit(quote: dict[str, Any]) -> Finding:
    engine = quote["engine"] or {}
    fit = engine.get("fit") or {}
    name = f"{quote['model']} on {engine.get('plan')}"
    if fit.get("fits") is True:
        context = fit.get("max_context")
        room = f" with room for a context of {context} tokens" if context else ""
        return Finding("preflight.model", "pass", "session", f"{name} fits{room}.")
    why = fit.get("why") or "; ".join(engine.get("notes") or []) or "nothing is known of its size"
    return Finding("preflight.model", "unknown", "session", f"Whether {name} fits is unknown.", why)


def _session(answers: Answers, wanted: Wanted, now: int, lookup: Lookup, has_hub_token: bool) -> list[Finding]:
    """Model, access, stock and budget: what only a whole quote knows."""
    order = ("preflight.model", "preflight.access", "preflight.stock", "preflight.budget")

    asked = replace(wanted, idle=None, max_cost=None, budget=None)

    def quote(limited: Wanted, access: bool = False) -> dict[str, Any]:
        return make_quote(
            answers, "validate", limited, now=now, lookup=lookup, has_hub_token=has_hub_token, access=access
        )

    found = _ask(lambda: quote(asked))
    if isinstance(found, Failure):
        failed = _CHECK_OF.get(found.field or "", "preflight.model")
        known = found.kind in ("usage", "refused", "config", "capacity", "not_found")
        return [
            _of(found, check, "session", "fail" if known else "unknown")
            if check == failed
            else Finding(check, "unknown", "session", "Not known before the rest is settled.", found.message)
            for check in order
        ]
    checks = [_fit(found)]
    access = _ask(lambda: quote(asked, access=True))
    if isinstance(access, Failure):
        checks.append(_of(access, "preflight.access", "session"))
    else:
        token = "with the Hugging Face token" if has_hub_token else "without a Hugging Face token"
        checks.append(Finding("preflight.access", "pass", "session", f"The weights can be had {token}."))
    checks.append(_stock(found["offers"]))
    limited = _ask(lambda: quote(replace(asked, max_cost=wanted.max_cost)))
    if isinstance(limited, Failure):
        checks.append(_of(limited, "preflight.budget", "session"))
    else:
        checks.append(_budget(limited, answers, wanted, now))
    return checks


def preflight(
    answers: Answers, wanted: Wanted, now: int, lookup: Lookup = unlisted, has_hub_token: bool = False
) -> list[Finding]:
    """Every check in a fixed order. After a token that opens nothing the rest is not asked."""
    findings = _token(answers)
    if findings[0].severity == "fail":
        return [*findings, _clocks(wanted, now)]
    findings.append(_account(answers))
    region = _region(answers, wanted)
    rows = answers.by_path["regions"]
    listed = rows if isinstance(rows, list) else []
    regions = with_places(wanted.regions, listed)
    if not regions:
        regions = [row["id"] for row in listed if "GPU Linodes" in (row.get("capabilities") or [])]
    findings += [_services(answers, regions), _clocks(wanted, now), _plan(answers, wanted), region]
    findings += _session(answers, wanted, now, lookup, has_hub_token)
    return findings


def refusal(findings: list[Finding]) -> Failure | None:
    """The Failure that stops before anything is spent: the first check that failed."""
    failed = [finding for finding in findings if finding.severity == "fail"]
    if not failed:
        return None
    more = f" {len(failed) - 1} more failed." if len(failed) > 1 else ""
    return Failure(
        "refused",
        failed[0].summary + more,
        cause=failed[0].evidence or None,
        remedy=failed[0].remedy or "See the other checks.",
        field=failed[0].id,
    )
