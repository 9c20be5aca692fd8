# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which findings follow from another one, so that a person reads what is wrong once.

Only for showing: healing has its own levels, and sees every finding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.finding import Finding
from ..engine.causes import CAUSES
from .catalogue import CHECKS

_OF_CARDS = frozenset(row.id for row in CAUSES if row.check in ("ctr.cuda", "ctr.gpu"))
# How an engine ends or waits where nothing says why.
_UNEXPLAINED = (None, "failed", "exited", "restart_loop", "unhealthy", "not_running", "no_token", "stuck")

_GPU = tuple(name for name in CHECKS if name.startswith("gpu."))
_DRIVER = tuple(name for name in CHECKS if name.startswith("drv."))
_ENGINE = tuple(name for name in CHECKS if name.startswith("vllm."))
_LOG = ("ctr.oom", "ctr.cuda")

When = Callable[[Finding, Finding], bool]


def _unread(_root: Finding, found: Finding) -> bool:
    return found.severity == "unknown"


def _unread_on_vm(_root: Finding, found: Finding) -> bool:
    """What nobody could read of any card, because nvidia-smi did not get that far."""
    return found.severity == "unknown" and found.subject == "vm"


def _same_card(root: Finding, found: Finding) -> bool:
    return found.subject == root.subject and (found.severity == "unknown" or found.id == "gpu.recovery")


def _same_cause(root: Finding, found: Finding) -> bool:
    return root.cause is not None and found.cause == root.cause


def _of_card(_root: Finding, found: Finding) -> bool:
    """An engine that fails over its card, or without saying over what."""
    return found.severity == "unknown" or found.cause in _OF_CARDS or found.cause in _UNEXPLAINED


def _no_engine(root: Finding, found: Finding) -> bool:
    return found.severity == "unknown" or found.cause == "not_running" or _same_cause(root, found)


@dataclass(frozen=True)
class Rule:
    """A finding of ``root`` explains those of ``follows`` for which ``when`` is true.

    :param severities: those that the root may have.
    """

    root: str
    follows: tuple[str, ...]
    when: When
    severities: tuple[str, ...] = ("fail",)


_ANY = ("warn", "unknown", "fail")

_CARD = tuple(name for name in _GPU if name not in ("gpu.hang", "gpu.lost", "gpu.xid"))

# From the machine up to the engine: the first rule that applies counts, and no check explains one of an earlier root.
RULES: tuple[Rule, ...] = (
    Rule("vm.status", ("vm.ssh",), _unread, _ANY),
    Rule("gpu.hang", (*_DRIVER, "gpu.lost", *_CARD), _unread_on_vm, _ANY),
    Rule("drv.module", ("drv.mismatch", "gpu.lost", *_CARD), _unread_on_vm, ("unknown", "fail")),
    Rule("drv.module", ("gpu.count",), _same_cause),
    Rule("drv.mismatch", ("gpu.lost", *_CARD), _unread_on_vm),
    Rule("gpu.lost", _CARD, _same_card),
    Rule("gpu.lost", _CARD, _unread_on_vm),
    Rule("gpu.lost", ("ctr.state", "ctr.gpu", "ctr.cuda", *_ENGINE), _of_card),
    Rule("ctr.engine", ("ctr.state", "ctr.gpu", *_LOG, *_ENGINE), _no_engine, ("unknown", "fail")),
    Rule("ctr.state", ("ctr.gpu", *_LOG, *_ENGINE), _no_engine, _ANY),
    Rule("vllm.health", ("ctr.gpu", *_LOG), _same_cause),
    Rule("vllm.health", tuple(name for name in _ENGINE if name != "vllm.health"), _unread, _ANY),
)


def _explains(rule: Rule, root: Finding, found: Finding) -> bool:
    return (
        root.id == rule.root
        and root.severity in rule.severities
        and found.id in rule.follows
        and found is not root
        # What is only suspected explains no failure.
        and (found.severity != "fail" or root.severity == "fail")
        and rule.when(root, found)
    )


def roots(findings: Sequence[Finding]) -> list[int | None]:
    """For each finding the index of the one that it follows from in the end; None for what stands by itself."""
    direct: list[int | None] = []
    for found in findings:
        causes = (place for rule in RULES for place, root in enumerate(findings) if _explains(rule, root, found))
        direct.append(None if found.severity == "pass" else next(causes, None))
    ends = []
    for start in direct:
        end = start
        while end is not None and (further := direct[end]) is not None:
            end = further
        ends.append(end)
    return ends


def with_roots(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """As data, each with ``follows_from``: ``id`` and ``subject`` of the finding that explains it, or None."""
    told = []
    for found, root in zip(findings, roots(findings), strict=True):
        explained = None if root is None else {"id": findings[root].id, "subject": findings[root].subject}
        told.append({**found.as_dict(), "follows_from": explained})
    return told
