# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rungs of the remedy ladder, one row each, in climbing order. What is particular to a rung stands in its row: healing,
the policies that modules take, the page on healing and the tests read it there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from .docker_compose import compose_command

# How far healing may go; a rung names the first of these that allows it.
CAPS = ("off", "alert", "container", "host", "vm")
# The end of a ladder: a person decides.
ALERT = "alert"
# The engine's service in the Compose project.
ENGINE = "vllm"
# An engine that fails serves nobody who would be worth its long grace.
_GRACE_S = "20"
_COMPOSE_S = 180


@dataclass(frozen=True)
class Command:
    """``timeout`` in seconds; ``best_effort``: go on when it fails."""

    argv: tuple[str, ...]
    timeout: float = 60
    best_effort: bool = False


# The commands of a rung, from the folder of the Compose project and the fingerprint of what fails. After a rung that stops the
# engine its start comes last, whatever happened before.
Run = Callable[[str, str], tuple[Command, ...]]


@dataclass(frozen=True)
class Budget:
    """How often in 24 hours; the rungs that share one wear out the same thing and are counted together."""

    allowed: int
    name: str


@dataclass(frozen=True)
class Cooldown:
    """``seconds`` that have to pass since the world last saw the like, whoever did it: since the container was ``started`` on
    purpose, since the VM was ``booted`` or ``created``, or since the same rung was ``taken``."""

    seconds: int
    since: str


@dataclass(frozen=True)
class Rung:
    """One step of healing.

    :param id: its name in ladders, records and policies.
    :param order: what to do, as advice says it to a person.
    :param does: what is done when it is taken.
    :param takes: what it takes from who uses the VM, for a person to decide by.
    :param cap: the first of CAPS that allows it.
    :param budget: how often it may be taken.
    :param cooldown: how long it waits.
    :param pending_s: seconds for which an attempt belongs to the watcher that made it; then anybody may judge it.
    :param run: its commands on the VM; None when only the provider can take it, which heal/provider.py does.
    :param asks: a person is asked before it is taken for them.
    :param repeats: it starts the engine again as it is, so that a start that fails for a lasting reason fails again.
    :param quiet: nobody notices it, so a warning may ask for it.
    :param when_idle: what a ladder calls it where it waits until nobody uses the engine.
    """

    id: str
    order: str
    does: str
    takes: str
    cap: str
    budget: Budget
    cooldown: Cooldown
    pending_s: int
    run: Run | None = None
    asks: bool = False
    repeats: bool = False
    quiet: bool = False
    when_idle: str | None = None

    @property
    def scope(self) -> str:
        return "api" if self.run is None else "guest"


def _compose(directory: str, *words: str) -> Command:
    return Command(tuple(compose_command(directory, *words)), _COMPOSE_S)


def _unit(action: str, name: str) -> Command:
    return Command(("systemctl", action, name), 60, best_effort=True)


def _anew(directory: str) -> Command:
    # Compose does not see that a mounted file changed, so the container is always made anew.
    return _compose(directory, "up", "--detach", "--no-deps", "--force-recreate", "--timeout", _GRACE_S, ENGINE)


def _restart(directory: str, _trouble: str) -> tuple[Command, ...]:
    return (_compose(directory, "restart", "--no-deps", "--timeout", _GRACE_S, ENGINE),)


def _recreate(directory: str, _trouble: str) -> tuple[Command, ...]:
    return (_anew(directory),)


def _services(directory: str, trouble: str) -> tuple[Command, ...]:
    persistenced = _unit("restart", "nvidia-persistenced")
    if trouble.startswith("gpu.persist"):
        return (replace(persistenced, best_effort=False),)
    docker = Command(("systemctl", "restart", "docker"), 120)
    return (persistenced, docker, _compose(directory, "up", "--detach"))


def _cdi(directory: str, _trouble: str) -> tuple[Command, ...]:
    return (Command(("systemctl", "restart", "nvidia-cdi-refresh"), 120), _anew(directory))


def _without_clients(directory: str, *between: Command) -> tuple[Command, ...]:
    """While nothing uses the GPU."""
    return (
        replace(_compose(directory, "stop", "--timeout", _GRACE_S, ENGINE), best_effort=True),
        _unit("stop", "nvidia-persistenced"),
        *between,
        _unit("start", "nvidia-persistenced"),
        _compose(directory, "up", "--detach"),
    )


def _driver(directory: str, _trouble: str) -> tuple[Command, ...]:
    modules = ("nvidia_uvm", "nvidia_drm", "nvidia_modeset", "nvidia")
    unload = Command(("modprobe", "--remove", *modules), 60, best_effort=True)
    load = (Command(("modprobe", name), 60, best_effort=True) for name in ("nvidia", "nvidia_uvm"))
    return _without_clients(directory, unload, *load)


def _reset(directory: str, _trouble: str) -> tuple[Command, ...]:
    # Hypervisors often refuse it, and its own manual promises little: what counts is what the next look sees.
    return _without_clients(directory, Command(("nvidia-smi", "--gpu-reset"), 60, best_effort=True))


_RELOAD = "requests in flight are lost; the model is loaded again"
_MINUTES = "everything on the VM stops for some minutes; the model is loaded again"
_GPU = "everything on the GPU stops; the model is loaded again"
_STARTED = Cooldown(120, "started")
_SERVICES = Budget(2, "services")
_BOOTS = Budget(2, "boots")

RUNGS = (
    Rung(
        "restart_container",
        "restart the container",
        "starts the engine's process again",
        _RELOAD,
        "container",
        Budget(3, "restarts"),
        _STARTED,
        180,
        _restart,
        repeats=True,
    ),
    Rung(
        "recreate_container",
        "recreate the container",
        "recreates the engine's container",
        _RELOAD,
        "container",
        Budget(2, "containers"),
        _STARTED,
        180,
        _recreate,
        repeats=True,
    ),
    Rung(
        "change_parameters",
        "give the engine other parameters",
        "changes one flag of the engine, by the engine's own figures",
        "requests in flight are lost; the model is loaded again with the changed setting",
        "container",
        Budget(3, "changes"),
        _STARTED,
        180,
        _recreate,
    ),
    Rung(
        "restart_services",
        "restart its service",
        "restarts Docker, or only what keeps the driver loaded",
        "requests in flight are lost; Docker is away for some seconds",
        "host",
        _SERVICES,
        Cooldown(300, "taken"),
        180,
        _services,
        quiet=True,
    ),
    Rung(
        "regenerate_cdi",
        "regenerate the CDI specification",
        "describes the GPUs to Docker again",
        _RELOAD,
        "host",
        _SERVICES,
        Cooldown(300, "taken"),
        180,
        _cdi,
    ),
    Rung(
        "reload_driver",
        "reload the driver's module",
        "unloads the driver's modules and loads them again",
        _GPU,
        "host",
        Budget(2, "drivers"),
        Cooldown(1800, "taken"),
        180,
        _driver,
    ),
    Rung(
        "reset_gpu",
        "reset the GPU",
        "resets the GPUs",
        _GPU,
        "host",
        Budget(1, "resets"),
        Cooldown(1800, "taken"),
        180,
        _reset,
    ),
    Rung(
        "reboot",
        "reboot the VM",
        "reboots the VM, or boots one that is off",
        _MINUTES,
        "host",
        _BOOTS,
        Cooldown(1200, "booted"),
        600,
        asks=True,
        when_idle="reboot_when_idle",
    ),
    Rung(
        "power_cycle",
        "power-cycle the VM",
        "shuts the VM down and boots it",
        _MINUTES,
        "host",
        _BOOTS,
        Cooldown(1200, "booted"),
        600,
        asks=True,
    ),
    Rung(
        "recreate_vm",
        "replace the VM",
        "makes another VM for the session, and deletes this one once that serves",
        "a second VM bills until the new one serves, then the old one goes with everything on it; the model is downloaded again",
        "vm",
        Budget(1, "VMs"),
        Cooldown(1800, "created"),
        1800,
        asks=True,
        when_idle="recreate_when_idle",
    ),
)

BY_ID = {rung.id: rung for rung in RUNGS}
ORDER = tuple(BY_ID)
GUEST_RUNGS = tuple(rung.id for rung in RUNGS if rung.scope == "guest")
API_RUNGS = tuple(rung.id for rung in RUNGS if rung.scope == "api")
# What a ladder calls rungs that wait until nobody uses the engine, and what they are then.
WHEN_IDLE = {rung.when_idle: rung.id for rung in RUNGS if rung.when_idle}
# A warning is no fault: it may only be answered by what nobody notices.
FOR_WARNINGS = (*WHEN_IDLE, *(rung.id for rung in RUNGS if rung.quiet))
# All that may stand in a ladder.
NAMES = (*ORDER, ALERT, *WHEN_IDLE)
_ORDERS = {
    **{rung.id: rung.order for rung in RUNGS},
    **{idle: f"{BY_ID[name].order} when it is idle" for idle, name in WHEN_IDLE.items()},
    ALERT: "tell the provider if it happens again",
}


def sharing(budget: Budget) -> tuple[str, ...]:
    """The rungs that are counted together."""
    return tuple(rung.id for rung in RUNGS if rung.budget == budget)


def advice(ladder: tuple[str, ...]) -> str:
    """Rungs in words, for a person."""
    if not ladder:
        return "Nothing to do about it by itself."
    text = "; if that does not help, ".join(_ORDERS[rung] for rung in ladder)
    return text[0].upper() + text[1:] + "."
