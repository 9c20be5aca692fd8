# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks and every variable that each takes, one row each: what a survey asks, and what may be no template.

A test holds the rows against what the playbooks read, and the fields that commands hand over against the rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..core.rungs import CAPS
from ..offer.budget import ACTIONS
from ..perf.profiles import PROFILES

# Text, one of CHOICES, whole or decimal numbers, yes or no, and several texts with commas between them. Data has no form on a page.
KINDS = ("text", "choice", "integer", "float", "switch", "list", "data")


@dataclass(frozen=True)
class Variable:
    """``question`` and ``help`` are for whoever fills in a form. ``unasked`` says why no form has it."""

    name: str
    kind: str
    question: str
    help: str = ""
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    required: bool = False
    unasked: str | None = None


@dataclass(frozen=True)
class Playbook:
    """``no_template`` says why no controller has a job template of it. ``several``: jobs of it may run at the same time.

    ``set`` are variables that the job template has from the beginning.
    """

    name: str
    title: str
    variables: tuple[Variable, ...] = ()
    no_template: str | None = None
    several: bool = True
    set: tuple[tuple[str, Any], ...] = ()


def _needed(variable: Variable) -> Variable:
    return replace(variable, required=True)


_SESSION = Variable("session", "text", "Session", "Its name: letters, digits and dashes.", maximum=64)
_OWNER = Variable("owner", "text", "Owner", "Who the session belongs to: the user of the controller when empty.")
_MODEL = Variable(
    "model",
    "text",
    "Model",
    "Of the catalogue, or a repository of the Hugging Face Hub. The plan's default when empty.",
)
_VARIANT = Variable(
    "variant", "text", "Variant", "Of the model: its repository or its precision. The best that fits when empty."
)
_CONTEXT = Variable(
    "context", "text", "Context", "Tokens that have to fit, for example 64K. As many as fit when empty."
)
_TENSOR = Variable(
    "tensor_parallel", "integer", "GPUs for the model", "As many as possible when empty.", minimum=1, maximum=64
)
_ALIAS = Variable("alias", "list", "Other names of the model", "For clients, with commas between them.")
_PLAN = Variable(
    "plan", "list", "Plans", "In the order in which they are tried, with commas. The cheapest that suits when empty."
)
_REGION = Variable("region", "list", "Regions", "In the order in which they are tried, with commas. All when empty.")
_NEAR = Variable("near", "text", "Near", "A region, a place or a continent: what is nearer is tried first.")
_LEASE = Variable("lease", "text", "Lease", "How long the session may live, for example 8h.")
_CAP = Variable("cap", "text", "Hard cap", "The end that no extension moves, for example 24h.")
_IDLE = Variable(
    "idle", "text", "Idle limit", "The session goes after so long without a token, for example 45m, or off."
)
_MAX_COST = Variable("max_cost", "float", "Highest cost of the lease", "In dollars.", minimum=0, maximum=100000)
_BUDGET = Variable(
    "budget", "float", "Budget of the month", "In dollars, for the whole account.", minimum=0, maximum=100000
)
_RECORDS = Variable(
    "budget_records",
    "data",
    "Sessions that are gone",
    unasked="what a control node remembers, and a job remembers nothing",
)
_SSH_FROM = Variable("ssh_from", "list", "SSH from", "anywhere, here, or networks with commas between them.")
_WATCHER = Variable("watcher", "text", "Watcher", unasked="the job template says who watches")
_SPENDS = (_BUDGET, _RECORDS)
_SERVED = (_MODEL, _VARIANT, _CONTEXT, _TENSOR)
_LIMITS = (_LEASE, _CAP, _IDLE, _MAX_COST)

_NOW = Variable("heal_now", "switch", "Wait for nothing that only time settles")
_PATIENCE = Variable("heal_patience", "float", "Patience", unasked="multiplies waits, for tests")
_DRY_RUN = Variable("heal_dry_run", "switch", "Only show the next rung")
_GIVE_UP = Variable(
    "heal_give_up", "switch", "Write down when nothing is left", unasked="what the command line asks for"
)
_UP = (
    *(_OWNER, *_SERVED, _ALIAS, _PLAN, _REGION, _NEAR, *_LIMITS, *_SPENDS, _SSH_FROM),
    Variable(
        "wait_for_capacity",
        "text",
        "Wait for capacity",
        "How long to keep trying when no place has any, for example 2h.",
    ),
    Variable("webui", "switch", "Open WebUI"),
    Variable(
        "traces",
        "text",
        "Traces",
        "Collector of OpenTelemetry that the engine sends traces to, for example http://10.0.0.2:4317, or off.",
    ),
    Variable(
        "keep_warm",
        "switch",
        "Keep a warm volume",
        "Later sessions of the model start from it. It bills by the month until it is deleted.",
    ),
    Variable("group", "text", "Group", "Whose member the session is; all members serve one model.", maximum=64),
    Variable(
        "dead_man", "switch", "Dead man's timer", "The VM deletes itself at the end of its lease; a token lies on it."
    ),
    Variable("authorized_keys", "data", "Public keys", unasked="whoever sets the controller up names them"),
    Variable(
        "engine_only",
        "switch",
        "Only the engine",
        unasked="what the command line knows of the last run, and a job does not",
    ),
)
_REPLACED = "a replacement has what the session has"
_WATCHES: tuple[tuple[str, Any], ...] = (("watcher", "controller"),)

PLAYBOOKS = (
    Playbook(
        "adjust",
        "Change lease, idle limit and access of a session",
        (_needed(_SESSION), _OWNER, *_LIMITS, *_SPENDS, _SSH_FROM),
    ),
    Playbook(
        "awx",
        "Set an AWX controller up",
        tuple(
            Variable(name, "data", name, unasked="no job sets its own controller up")
            for name in (
                *("awx_state", "awx_name", "awx_organization", "awx_project_url", "awx_project_branch"),
                *("awx_project_credential", "awx_image", "awx_image_credential", "awx_interval", "awx_cleanup_at"),
                *("awx_budget", "awx_authorized_keys", "awx_webhook", "awx_update_secrets", "awx_linode_token"),
                *("awx_hub_token", "awx_notify_url", "awx_history_url", "awx_ssh_private_key"),
            )
        ),
        no_template="it makes the job templates, with rights on the controller that no job has",
    ),
    Playbook(
        "check",
        "Check the health of sessions",
        (
            replace(_SESSION, help="All sessions of the account when empty."),
            Variable("previous", "data", "Earlier facts", unasked="facts of an earlier look, which nobody types"),
        ),
    ),
    Playbook(
        "cleanup",
        "List what is dead in the account, or remove it",
        (Variable("remove", "list", "Remove", "Labels with commas between them, or all. Only lists when empty."),),
    ),
    Playbook(
        "collect",
        "Collect the logs of a session",
        (
            _needed(_SESSION),
            Variable("output", "text", "Archive", unasked="is a path on the machine that runs the playbook"),
        ),
        no_template="its archive lies on the machine that runs it, and goes with the container of a job",
    ),
    Playbook(
        "down",
        "Delete a session",
        (
            _needed(_SESSION),
            Variable(
                "account", "text", "Account", unasked="what a control node remembers, and a job remembers nothing"
            ),
        ),
    ),
    Playbook(
        "extend",
        "Extend the lease of a session",
        (
            _needed(_SESSION),
            Variable("extend", "text", "Extend by", "For example 2h."),
            Variable("until", "text", "Or until", "For example 18:30."),
            *_SPENDS,
        ),
    ),
    Playbook(
        "heal",
        "Heal a session",
        (
            _needed(_SESSION),
            Variable("heal_policy", "choice", "Highest rung", choices=CAPS),
            _DRY_RUN,
            Variable("heal_ack", "switch", "Clear earlier attempts", "After a person looked."),
            _NOW,
            _BUDGET,
            # A replacement is what the session was, whatever somebody answers.
            *(replace(one, unasked=_REPLACED) for one in _UP if not one.unasked and one != _BUDGET),
            *(one for one in _UP if one.unasked),
            *(_WATCHER, _PATIENCE, _GIVE_UP),
            Variable(
                "heal_observations", "data", "Earlier looks", unasked="facts of an earlier look, which nobody types"
            ),
        ),
        set=_WATCHES,
    ),
    Playbook(
        "keys",
        "Show and change the SSH keys that a session knows",
        (
            _needed(_SESSION),
            Variable("keys_present", "list", "Add", "Public keys without options, with commas between them."),
            Variable("keys_absent", "list", "Remove", "Fingerprints or comments, with commas between them."),
            Variable("keys_lock_out", "switch", "Lock out", "Whether the key of the controller itself may go."),
        ),
    ),
    Playbook(
        "let_in",
        "Let a machine in to SSH",
        (_needed(_SESSION),),
        no_template="it lets in the machine that runs it, and a job's has another address next time",
    ),
    Playbook("list", "List the sessions of the account"),
    Playbook(
        "pause",
        "Pause healing and idle deletion of a session",
        (_needed(_SESSION), Variable("pause", "text", "Pause", "For example 2h, or clear to end it.")),
    ),
    Playbook(
        "replace",
        "Replace the VM of a session",
        tuple(replace(one, unasked=one.unasked or _REPLACED) for one in (_SESSION, _WATCHER, *_UP)),
        no_template="it is the second half of heal.yml, which runs it",
    ),
    Playbook("status", "Show a session", (_needed(_SESSION),)),
    Playbook(
        "switch_model",
        "Serve another model",
        (_needed(_SESSION), _needed(_MODEL), _VARIANT, _CONTEXT, _TENSOR, _ALIAS, *_SPENDS),
    ),
    Playbook(
        "team_gateway",
        "Make a host the gateway of a team",
        tuple(
            Variable(name, "data", name, unasked="the inventory of the gateway has it")
            for name in ("team_gateway_people", "team_gateway_name", "team_gateway_port")
        ),
        no_template="the keys that it makes lie on the machine that runs it, and go with the container of a job",
    ),
    Playbook(
        "team_usage",
        "Add up who asked a team's gateway how much",
        (Variable("days", "integer", "Days", "30 when empty.", minimum=1, maximum=366),),
        no_template="it needs the inventory of the gateway, which is no session",
    ),
    Playbook("up", "Bring a session up", (_needed(_SESSION), *_UP)),
    Playbook(
        "validate",
        "Check a new session or an endpoint",
        (
            replace(_SESSION, help="Checks its endpoint; without one, what can be checked before money is spent."),
            *(*_SERVED, _PLAN, _REGION, *_LIMITS, *_SPENDS),
        ),
    ),
    Playbook(
        "validate_perf",
        "Measure the speed of a session",
        (
            _needed(_SESSION),
            Variable("profile", "choice", "Kind of load", choices=tuple(PROFILES)),
            Variable("concurrency", "list", "Clients at the same time", "Numbers with commas, for the kind quick."),
            Variable("tokens", "integer", "Tokens of an answer", "For the kind quick.", minimum=1, maximum=100000),
            Variable("fail_when_slow", "switch", "Fail when it is slow"),
            Variable("baseline", "data", "Earlier run", unasked="a document, which nobody types"),
            Variable(
                "progress",
                "text",
                "File of the run so far",
                unasked="is a path on the VM, for the command line to read",
            ),
        ),
    ),
    Playbook(
        "warm_drop",
        "Delete a warm volume",
        (Variable("volume", "text", "Volume", "Its label, as `warm list` shows it.", required=True, maximum=32),),
    ),
    Playbook(
        "watchdog",
        "Watch all sessions once",
        (
            replace(_SESSION, help="All sessions of the account when empty."),
            Variable(
                "interval",
                "integer",
                "Interval in seconds",
                "The schedule's. Empty for a look by hand.",
                minimum=60,
                maximum=3600,
            ),
            # Another VM is heal.yml's.
            Variable("heal", "choice", "Highest rung", choices=tuple(cap for cap in CAPS if cap != "vm")),
            *_SPENDS,
            Variable("budget_action", "choice", "When the budget is spent", choices=ACTIONS),
            Variable("max_deletions", "integer", "Most deletions of a pass", minimum=0, maximum=1000),
            Variable(
                "account", "text", "Account", unasked="what a control node remembers, and a job remembers nothing"
            ),
            Variable("one_off", "switch", "Promise no other pass", unasked="a look by hand gives no interval"),
            *(replace(one, unasked="of heal.yml") for one in (_NOW, _DRY_RUN)),
            *(_WATCHER, _PATIENCE, _GIVE_UP),
        ),
        several=False,
        set=_WATCHES,
    ),
)

# What playbooks hand on to each other, or read of a role.
INTERNAL = frozenset(
    (
        *("heal_acted", "heal_proof_retries", "heal_replacement", "heal_seen", "reach_name", "replacement"),
        *("let_in_access", "let_in_command", "let_in_reopen", "let_in_timeout", "let_in_wait", "nvidia_smi_timeout"),
        *("vllm_engine", "vllm_engine_image", "vllm_found", "vllm_open_webui_port", "vllm_open_webui_wanted"),
        *("vllm_local_model", "vllm_spec", "vllm_wanted_images", "vllm_weights"),
        *("team_gateway_fingerprint", "team_gateway_let_in", "team_gateway_made", "team_gateway_member_names"),
        *("warm_volume_attached", "warm_volume_mount", "warm_volume_read", "warm_volume_sentence"),
    )
)
# Every name that a playbook reads and that somebody could give it. A controller gives the last two.
NAMES = INTERNAL.union(
    (variable.name for playbook in PLAYBOOKS for variable in playbook.variables), ("awx_user_name", "tower_user_name")
)


def asked(playbook: Playbook) -> tuple[Variable, ...]:
    return tuple(variable for variable in playbook.variables if variable.unasked is None)
