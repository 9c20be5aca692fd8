"""The engine that is exported: as `up` would start it, or as a running one was started."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue import catalogue, find

from ..playbook.paths import playbook


@dataclass(frozen=True, kw_only=True)
class Served:
    """``flags`` are those of vllm.yaml: names without dashes, plain values. ``gated`` and ``disk_gb`` are None when unknown."""

    model: str
    image: str
    flags: dict[str, Any]
    environment: dict[str, str] = field(default_factory=dict)
    gated: bool | None = None
    disk_gb: float | None = None


def _of_the_role(file: str, name: str) -> Any:
    """A variable of the role that serves, where it is written."""
    path, _environment = playbook("up")
    return yaml.safe_load((path.parents[1] / "roles" / "vllm" / file / "main.yml").read_text())[name]


def as_up_starts(engine: dict[str, Any]) -> Served:
    """``engine`` is what a quote says would serve."""
    flags = {**_of_the_role("vars", "vllm_common_flags"), **engine["flags"]}
    image = _of_the_role("defaults", "vllm_image")
    return _described(engine["variant"], image, flags, engine["environment"])


def as_it_runs(spec: dict[str, Any]) -> Served:
    """``spec`` is what a session's VM says of its engine. Failure(refused) for weights that nobody but that VM has."""
    if spec["model"].startswith("/"):
        raise Failure(
            "refused",
            f"The session serves files of its own VM ({spec['model']}), which a cluster cannot fetch.",
            remedy="Put them into a repository of the hub, and serve that.",
        )
    return _described(spec["model"], spec["image"], spec["flags"], spec["environment"])


def _described(model: str, image: str, flags: dict[str, Any], environment: dict[str, str]) -> Served:
    found = find(catalogue(), model)
    variant = found.variant if found else None
    return Served(
        model=model,
        image=image,
        flags=flags,
        environment=environment,
        gated=found.model.gated_for(variant) if found and variant else None,
        disk_gb=variant.disk_gb if variant else None,
    )
