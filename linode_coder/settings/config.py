"""The configuration: options over the environment over `.env` over config.toml over defaults, each value with its origin."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypedDict, Unpack

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.did_you_mean import did_you_mean, nearest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.duration import parse_duration
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.hub_token import hub_token_source
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.served_names import parse_aliases
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.traces import parse_traces
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.budget import ACTIONS, DEFAULT_ACTION
from ansible_collections.linode_coder.gpu.plugins.module_utils.record.address import FORM, read_address
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.client_keys import parse_key
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.lease import (
    DEFAULT_CAP,
    DEFAULT_IDLE,
    DEFAULT_LEASE,
    new_lease,
    parse_idle,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.name import validate_session_name
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.ssh_access import parse_ssh_from

from ..terminal.escapes import full_line
from . import files
from .files import Problem, Raw
from .hours import parse_hours

PREFIX = "LINODE_CODER_"
# Variables of ours that are no settings.
_OTHER_VARIABLES = (
    "LINODE_CODER_API_KEY",
    "LINODE_CODER_CACHE",
    "LINODE_CODER_HOME",
    "LINODE_CODER_RETRY_SCALE",
    "LINODE_CODER_SESSION",
    "LINODE_CODER_SSH_PORT",
)
HEAL_POLICIES = ("off", "alert", "container", "host", "vm")


class WrongValue(ValueError):
    """What a value ought to be."""


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise WrongValue("a text in quotes")
    return value.strip()


def _names(value: Any) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise WrongValue("a list of names, or names separated by commas")
    return tuple(item.strip() for item in items if item.strip())


def _aliases(value: Any) -> tuple[str, ...]:
    names = _names(value)
    try:
        parse_aliases(names)
    except Failure as failure:
        raise WrongValue("a list of names such as gpt-4o, or names separated by commas") from failure
    return names


def _traces(value: Any) -> str:
    try:
        address = parse_traces(value) if isinstance(value, str) else None
    except Failure as failure:
        raise WrongValue("an address such as grpc://otel.example.com:4317, without credentials") from failure
    if not address:
        raise WrongValue("an address such as grpc://otel.example.com:4317")
    return address


def public_keys(value: Any) -> tuple[str, ...]:
    """Public keys; an item that is none is the path of a file with one. WrongValue for anything else."""
    keys = []
    for item in _names(value):
        line = item
        if " " not in item:
            try:
                line = Path(item).expanduser().read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                raise WrongValue(f"a list of public keys or of files with one: {item} cannot be read") from error
        try:
            keys.append(parse_key(line).line)
        except Failure as failure:
            why = failure.message.partition(": ")[2].rstrip(".")
            raise WrongValue(f"a list of public keys or of files with one: {item[:40]!r}: {why}") from failure
    return tuple(keys)


def _ssh_from(value: Any) -> str:
    try:
        return ",".join(parse_ssh_from(_names(value)))
    except Failure as failure:
        raise WrongValue("here, anywhere, or networks such as 203.0.113.0/24") from failure


def _number(value: Any) -> float:
    try:
        number = float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else -1.0
    except ValueError:
        number = -1.0
    if not 0 < number < 1e9:
        raise WrongValue("a number of dollars above 0")
    return number


def _switch(value: Any) -> bool:
    text = str(value).strip().lower() if isinstance(value, (str, bool)) else ""
    if text not in ("true", "false", "on", "off", "yes", "no"):
        raise WrongValue("true or false")
    return text in ("true", "on", "yes")


def _tokens(value: Any) -> int:
    text = str(value).strip().lower() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    digits, factor = (text[:-1], 1024) if text.endswith("k") else (text, 1)
    if not (digits.isascii() and digits.isdigit()) or not 0 < int(digits) * factor <= 10_000_000:
        raise WrongValue("a number of tokens, for example 32768 or 32k")
    return int(digits) * factor


def _duration(name: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if not isinstance(value, str):
            raise WrongValue("a duration in quotes, for example '8h' or '90m'")
        try:
            seconds = parse_duration(value, name)
        except Failure as failure:
            raise WrongValue("a duration, for example '8h' or '90m'") from failure
        if seconds == 0:
            raise WrongValue("a duration above 0")
        return value.strip()

    return parse


def _idle(value: Any) -> str:
    if value is False:
        return "off"
    if not isinstance(value, str):
        raise WrongValue("a duration in quotes, for example '45m', or 'off'")
    try:
        parse_idle(value)
    except Failure as failure:
        raise WrongValue("a duration of at least 10 minutes, or 'off'") from failure
    return value.strip()


def _url(value: Any) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if not text.startswith(("http://", "https://")) or not text.partition("://")[2].strip("/"):
        raise WrongValue("an http or https address")
    return text


def _history_url(value: Any) -> str:
    try:
        return read_address(_text(value)).url
    except ValueError as error:
        raise WrongValue(FORM) from error


def _interval(value: Any) -> str:
    from ..watchdog.watchers import MAX_INTERVAL_S, MIN_INTERVAL_S

    text = _duration("watchdog_interval")(value)
    if not MIN_INTERVAL_S <= parse_duration(text, "watchdog_interval") <= MAX_INTERVAL_S:
        raise WrongValue("a duration between 1 minute and 1 hour, for example '5m'")
    return text


def _policy(value: Any) -> str:
    if value is False:
        return "off"
    if value not in HEAL_POLICIES:
        raise WrongValue(f"one of {', '.join(HEAL_POLICIES)}")
    return str(value)


def _budget_action(value: Any) -> str:
    if value not in ACTIONS:
        raise WrongValue(f"one of {', '.join(ACTIONS)}")
    return str(value)


def _hours(value: Any) -> str:
    text = value.strip() if isinstance(value, str) else ""
    try:
        parse_hours(text)
    except ValueError as error:
        raise WrongValue("hours of a day such as '08:00-20:00'") from error
    return text


def _count(value: Any) -> int:
    text = str(value).strip() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    if not (text.isascii() and text.isdigit()) or int(text[:5]) > 1000 or len(text) > 4:
        raise WrongValue("a whole number from 0 to 1000")
    return int(text)


def _port(value: Any) -> int:
    text = str(value).strip() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    if not (text.isascii() and text.isdigit()) or len(text) > 5 or not 0 < int(text) < 65536:
        raise WrongValue("a port from 1 to 65535")
    return int(text)


def _sessions(value: Any) -> tuple[str, ...]:
    names = _names(value)
    try:
        for name in names:
            validate_session_name(name)
    except Failure as failure:
        raise WrongValue("a list of names of sessions, or such names separated by commas") from failure
    return names


def _path(value: Any) -> str:
    return str(Path(_text(value)).expanduser())


@dataclass(frozen=True)
class Setting:
    """One key: how it is read, what the environment calls it, and what it means."""

    key: str
    parse: Callable[[Any], Any]
    meaning: str
    default: Any = None
    variable: str = ""
    secret: bool = False

    @property
    def env(self) -> str:
        return self.variable or PREFIX + self.key.upper()


SETTINGS = (
    Setting("model", _text, "Model id, organisation/name."),
    Setting("plan", _names, "Plans to try, in this order; the cheapest that suits when empty.", ()),
    Setting("region", _names, "Regions to try, in this order; all with GPUs when empty.", ()),
    Setting(
        "near", _text, "A region, place or continent: of regions at the same price the nearer ones are tried first."
    ),
    Setting("context", _tokens, "Context length in tokens; what fits when it is not set."),
    Setting("traces", _traces, "Collector to which the engine sends traces, such as grpc://otel.example.com:4317."),
    Setting("alias", _aliases, "Names by which clients may ask for the model too, for example gpt-4o.", ()),
    Setting("lease", _duration("lease"), "How long a new session may live.", DEFAULT_LEASE),
    Setting("cap", _duration("cap"), "Hard cap of the lease, which no extension moves.", DEFAULT_CAP),
    Setting("idle", _idle, "Idle time after which a session goes, or off.", DEFAULT_IDLE),
    Setting(
        "keep_warm",
        _switch,
        "Keep weights, images and compiled kernels of new sessions on a volume, which bills until `warm drop`.",
    ),
    Setting("max_cost", _number, "Refuse a session whose lease could cost more dollars."),
    Setting(
        "budget",
        _number,
        "Dollars that all sessions of the account may cost in a calendar month. No command goes beyond it.",
    ),
    Setting(
        "budget_action",
        _budget_action,
        "What the watchdog does when running sessions reach the budget: warn, or end them.",
        DEFAULT_ACTION,
    ),
    Setting(
        "authorized_keys",
        public_keys,
        "Public keys, or files with one, that may log in to new VMs beside this machine's own: a watcher's, a colleague's.",
        (),
    ),
    Setting(
        "ssh_from",
        _ssh_from,
        "Who may reach SSH on a new VM: here (your machines' public addresses), anywhere, or networks.",
        "here",
    ),
    Setting("heal", _policy, "How far healing may go: off, alert, container, host or vm.", "vm"),
    Setting("watchdog_interval", _interval, "How often the watchdog looks, 1 minute to 1 hour.", "5m"),
    Setting("gateway_port", _port, "Port of this machine's loopback at which the gateway is asked.", 17000),
    Setting("gateway_hours", _hours, "Hours of the day in which the gateway may start a session, local time."),
    Setting("gateway_wakes", _count, "How often in a day the gateway may start a session.", 6),
    Setting("gateway_lease", _duration("gateway_lease"), "Lease of a session that the gateway starts, up to its cap."),
    Setting("gateway_sessions", _sessions, "Sessions that the gateway may make, also when none was ever there.", ()),
    Setting("notify_url", _url, "Webhook that the watchdog posts to; its address is a secret.", secret=True),
    Setting(
        "history_url",
        _history_url,
        "PostgreSQL database that keeps the session history, for a team; a file of this machine when it is not set.",
        secret=True,
    ),
    Setting(
        "dead_man_token",
        _text,
        "Token that `up --dead-man` takes to the VM, with the scope linodes:read_write and no other.",
        secret=True,
    ),
    Setting("api_url", _url, "Address of the Linode API, when it is not the real one.", variable="LINODE_API_URL"),
    Setting("linode_token", _text, "Linode API token.", variable="LINODE_TOKEN", secret=True),
    Setting("linode_token_file", _path, "File that holds the Linode API token."),
    Setting("hf_token", _text, "Hugging Face token, for gated models.", variable="HF_TOKEN", secret=True),
    Setting("hf_token_file", _path, "File that holds the Hugging Face token."),
)
BY_KEY = {setting.key: setting for setting in SETTINGS}
BY_VARIABLE = {setting.env: setting for setting in SETTINGS}


@dataclass(frozen=True)
class Config:
    """Every setting, typed."""

    model: str | None
    plan: tuple[str, ...]
    region: tuple[str, ...]
    near: str | None
    context: int | str | None
    alias: tuple[str, ...]
    traces: str | None
    lease: str
    cap: str
    idle: str
    keep_warm: bool | None
    max_cost: float | None
    budget: float | None
    budget_action: str
    authorized_keys: tuple[str, ...]
    ssh_from: str
    heal: str
    watchdog_interval: str
    gateway_port: int
    gateway_hours: str | None
    gateway_wakes: int
    gateway_lease: str | None
    gateway_sessions: tuple[str, ...]
    notify_url: str | None
    history_url: str | None
    dead_man_token: str | None
    api_url: str | None
    linode_token: str | None
    linode_token_file: str | None
    hf_token: str | None
    hf_token_file: str | None


@dataclass
class Reading:
    """What was found: values with their origins, and all problems."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.severity == "error"]

    def config(self) -> Config:
        """The typed model; Failure(config) for the first error."""
        for problem in self.errors:
            more = len(self.errors) - 1
            raise Failure(
                "config",
                f"{problem.where}: {problem.message}",
                remedy=problem.remedy + (f" {more} more: linode-coder config validate" if more else ""),
                field=problem.key,
            )
        return Config(**self.values)

    def take(self, setting: Setting, raw: Raw) -> None:
        """A value of a higher layer. A wrong one is a problem, also where a still higher layer replaces it."""
        try:
            self.values[setting.key] = setting.parse(raw.value)
            self.origins[setting.key] = raw.where
        except WrongValue as wrong:
            shown = "The value" if setting.secret else repr(raw.value)
            self.problems.append(
                Problem(raw.where, f"{setting.key}: {shown} is not {wrong}.", "Correct it.", key=setting.key)
            )


def _near(name: str, known: list[str]) -> str:
    return did_you_mean(nearest(name, known), f"Known are: {', '.join(known)}.")


def _warn_if_loose(reading: Reading, path: Path, secrets: list[str]) -> None:
    mode = files.loose_mode(path) if secrets else None
    if mode:
        reading.problems.append(
            Problem(
                str(path),
                f"Others may read the file (mode {mode}), and it holds {' and '.join(secrets)}.",
                f"Run: chmod 600 {path}",
                "warning",
                key=secrets[0],
            )
        )


# Settings that stand in a table of their own: `port` under [gateway] is gateway_port.
_TABLES = ("gateway",)


def _flat(reading: Reading, values: dict[str, Raw]) -> dict[str, Raw]:
    """The keys of tables under their whole names."""
    found = {}
    for key, raw in values.items():
        if key not in _TABLES:
            found[key] = raw
        elif isinstance(raw.value, dict):
            found.update({f"{key}_{name}": one for name, one in raw.value.items()})
        else:
            reading.problems.append(
                Problem(raw.where, f"{key} is a table of settings.", f"Write [{key}] on a line of its own.", key=key)
            )
    return found


def _read_toml(reading: Reading) -> None:
    path = files.toml_path()
    values, problems = files.read_toml(path, _TABLES)
    reading.problems += problems
    for key, raw in _flat(reading, values).items():
        if key in BY_KEY:
            reading.take(BY_KEY[key], raw)
        else:
            reading.problems.append(
                Problem(raw.where, f"There is no setting {key!r}.", _near(key, list(BY_KEY)), key=key)
            )
    _warn_if_loose(reading, path, [setting.key for setting in SETTINGS if setting.secret and setting.key in values])


def _read_dotenv(reading: Reading) -> None:
    values, problems = files.read_dotenv(files.dotenv_path())
    reading.problems += problems
    known = list(BY_VARIABLE)
    for name, raw in values.items():
        if name in BY_VARIABLE:
            if raw.value:
                reading.take(BY_VARIABLE[name], raw)
        elif name.startswith(PREFIX):
            if name in _OTHER_VARIABLES:
                remedy = "Export it in the shell instead."
                reading.problems.append(Problem(raw.where, f"{name} is not read from .env.", remedy, key=name))
            else:
                remedy = _near(name, known)
                reading.problems.append(Problem(raw.where, f"There is no setting {name!r}.", remedy, key=name))
        elif close := nearest(name, known, at_most=1, cutoff=0.9):
            # The file may be shared with other programs, whose variables are none of our business.
            reading.problems.append(
                Problem(raw.where, f"{name} is not known.", did_you_mean(close), "warning", key=name)
            )
    secrets = [name for name in values if name in BY_VARIABLE and BY_VARIABLE[name].secret]
    _warn_if_loose(reading, files.dotenv_path(), secrets)


def _read_environment(reading: Reading) -> None:
    for name, setting in BY_VARIABLE.items():
        value = os.environ.get(name, "").strip()
        if value:
            reading.take(setting, Raw(value, f"environment {name}"))
    known = list(BY_VARIABLE)
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in BY_VARIABLE and name not in _OTHER_VARIABLES:
            reading.problems.append(
                Problem(f"environment {name}", "There is no such setting.", _near(name, known), "warning", key=name)
            )


def _layer(origin: str) -> int:
    """Which layer a value is from: a higher one wins."""
    if origin.startswith("environment"):
        return 3
    if origin.startswith(f"{files.dotenv_path()}:"):
        return 2
    return 1 if origin else 0


def _token_from_file(reading: Reading, key: str) -> None:
    """The secret ``key`` out of the file that ``key``_file names, unless a higher layer gives it itself."""
    named = reading.values.get(f"{key}_file")
    origin = reading.origins.get(f"{key}_file", "")
    given = _layer(reading.origins.get(key, ""))
    if not named or given > _layer(origin):
        return
    if given == _layer(origin):
        reading.problems.append(
            Problem(origin, f"{key} and {key}_file are both set.", "Keep one of them.", key=f"{key}_file")
        )
        return
    raw = files.token_file(Path(named))
    if raw is None:
        reading.problems.append(
            Problem(origin, f"{key}_file: {named} holds no token.", "Put the token into it.", key=f"{key}_file")
        )
    else:
        reading.take(BY_KEY[key], raw)


def _find_secrets(reading: Reading) -> None:
    _token_from_file(reading, "linode_token")
    if not reading.values.get("linode_token") and not reading.values.get("api_url"):
        # linode-cli's token is for the real API; whatever else an address points at must not get to see it.
        raw, problems = files.linode_cli_token()
        reading.problems += problems
        if raw:
            reading.take(BY_KEY["linode_token"], raw)
    _token_from_file(reading, "hf_token")
    if not reading.values.get("hf_token"):
        found = hub_token_source()
        if found:
            reading.take(BY_KEY["hf_token"], Raw(*found))


def _contradictions(reading: Reading) -> None:
    values, origins = reading.values, reading.origins
    dotenv = f"{files.dotenv_path()}:"
    token_origin = origins.get("linode_token", "")
    if origins.get("api_url", "").startswith(dotenv) and token_origin and not token_origin.startswith(dotenv):
        reading.problems.append(
            Problem(
                origins["api_url"],
                f"The file would send the token of {token_origin} to another address ({values['api_url']}).",
                "Put LINODE_TOKEN into the same .env, or export LINODE_API_URL in the shell.",
                key="api_url",
            )
        )
    if not any(origins.get(key, "").startswith("option") for key in ("lease", "cap")):
        # Options are judged by the command that has them.
        try:
            new_lease(0, values["lease"], values["cap"])
        except Failure as failure:
            where = origins.get("lease") or origins.get("cap") or "default"
            cap = f" (cap from {origins.get('cap', 'default')})" if "cap" in failure.message else ""
            message = f"{failure.message.rstrip('.')}{cap}."
            reading.problems.append(Problem(where, message, str(failure.remedy), key="lease"))
    if values["budget"] is not None and values["max_cost"] is not None and values["max_cost"] > values["budget"]:
        reading.problems.append(
            Problem(
                origins["max_cost"],
                f"max_cost ${values['max_cost']:.2f} is more than the monthly budget ${values['budget']:.2f}"
                f" (budget from {origins['budget']}).",
                "Lower max_cost, or raise the budget.",
                key="max_cost",
            )
        )


class Options(TypedDict, total=False):
    """Options of a command that stand for settings. None and empty ones were not given."""

    model: str | None
    plan: list[str] | None
    region: list[str] | None
    context: str | None
    alias: list[str] | None
    traces: str | None
    lease: str | None
    cap: str | None
    idle: str | None
    max_cost: float | None
    keep_warm: bool | None


def read(**options: Unpack[Options]) -> Reading:
    """Every layer, the lowest first."""
    reading = Reading({setting.key: setting.default for setting in SETTINGS})
    _read_toml(reading)
    _read_dotenv(reading)
    _read_environment(reading)
    for key, value in options.items():
        if value not in (None, "", []):
            # Wrong values of options are refused where they are used, with the command's own words.
            reading.values[key] = _names(",".join(value)) if isinstance(value, list) else value
            reading.origins[key] = f"option --{key.replace('_', '-')}"
    _find_secrets(reading)
    _contradictions(reading)
    return reading


_said: set[Problem] = set()


def _warn(problems: list[Problem]) -> None:
    """Each problem once per run."""
    for problem in problems:
        if problem not in _said and not problem.where.startswith("environment"):
            _said.add(problem)
            print(full_line(f"warning: {problem.where}: {problem.message} {problem.remedy}"), file=sys.stderr)


def load(**options: Unpack[Options]) -> Config:
    """The configuration that holds for a command that spends money. Failure(config) for anything wrong in it."""
    reading = read(**options)
    config = reading.config()
    _warn(reading.problems)
    return config


# What every client and every playbook looks for in the environment.
EXPORTED = ("linode_token", "api_url", "hf_token", "notify_url")


@cache
def export_credentials() -> None:
    """Put what files say of tokens and addresses into the environment, where every client looks for it.

    What is wrong elsewhere in the files is a warning here: it must not keep anybody from taking a session down.
    """
    reading = read()
    critical = [
        problem for problem in reading.errors if problem.key in ("api_url", "linode_token", "linode_token_file")
    ]
    if critical or (reading.errors and not reading.values["linode_token"]):
        reading.problems = critical or reading.errors
        reading.config()
    _warn(reading.problems)
    for key in EXPORTED:
        if reading.values[key]:
            os.environ[BY_KEY[key].env] = reading.values[key]


def has_token() -> bool:
    """Whether there is a token of the API at all, wherever it stands."""
    export_credentials()
    return bool(os.environ.get("LINODE_TOKEN", "").strip())


def only(*keys: str) -> Config:
    """For who asks for these settings and no other. Failure(config) for what is wrong with one of them, whatever the rest is."""
    reading = read()
    reading.problems = [problem for problem in reading.errors if problem.key in keys]
    return reading.config()
