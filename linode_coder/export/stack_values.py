"""Values for vllm-stack, the Helm chart of vLLM's production stack, that start the engine as `up` does.

Read against chart 0.1.12 (vllm-project/production-stack, tag vllm-stack-0.1.12), whose templates Helm 4.1.4 rendered with them.
Never installed on LKE by this project.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.scrub import scrub
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode.gpu_plans import Plan
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.bring_up_time import estimate

from .served import Served

CHART = "vllm-stack"
CHART_VERSION = "0.1.12"
CHART_REPOSITORY = "https://vllm-project.github.io/production-stack"
# Kubernetes secrets that the values name, with the key in each; they are made by the commands that are shown.
KEY_SECRET = ("vllm-api-key", "key")
HUB_SECRET = ("hf-token", "token")
# The chart makes of it the names of a service and of a host, of at most 63 characters with its own parts.
_NAME_LENGTH = 40
# Of an engine on a VM of its own.
_OF_THE_VM = ("model", "host", "port", "uds")
# Files of the VM, when an absolute path is given.
_PATHS = (
    "chat-template",
    "config",
    "download-dir",
    "generation-config",
    "hf-config-path",
    "log-config-file",
    "reasoning-parser-plugin",
    "tokenizer",
    "tool-parser-plugin",
)
_SECRET = re.compile(r"(?i)(?:^|[-_])(?:key|token|secret|password)$|^ssl-")
# Kubernetes kills after 30 s, which the chart has no value for; it has to be over by then.
_SHUTDOWN_S = 25
# The chart's flags for what has a value of its own, as its schema types it.
_TYPED: dict[str, tuple[str, type | tuple[type, ...]]] = {
    "tensor-parallel-size": ("tensorParallelSize", int),
    "max-num-seqs": ("maxNumSeqs", int),
    "max-model-len": ("maxModelLen", int),
    "gpu-memory-utilization": ("gpuMemoryUtilization", (int, float)),
    "dtype": ("dtype", str),
    "enable-prefix-caching": ("enablePrefixCaching", bool),
    "enable-chunked-prefill": ("enableChunkedPrefill", bool),
}


@dataclass(frozen=True)
class StackValues:
    """``values`` are the chart's, ``left_out`` says in a sentence each what of the engine is not in them."""

    values: dict[str, Any]
    left_out: tuple[str, ...]


def _words(name: str, value: Any) -> list[str]:
    """A flag as the engine's command line has it; a value stays one, whatever it begins with."""
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    if isinstance(value, list):
        return [f"--{name}", *map(_word, value)]
    return [f"--{name}={_word(value)}"]


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _looks_like_flags(value: Any) -> bool:
    return isinstance(value, list) and any(_word(each).startswith("-") for each in value)


def _is_secret(name: str, value: Any) -> bool:
    """By its name, or by its shape."""
    text = _word(value)
    return bool(_SECRET.search(name)) or scrub(text) != text


def _is(value: Any, wanted: type | tuple[type, ...]) -> bool:
    return isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))


def _flags(flags: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The chart's ``vllmConfig``, and what is left out."""
    # The chart switches it off where its value is not set; the engine's default is on.
    config: dict[str, Any] = {"enablePrefixCaching": True}
    words: list[str] = []
    left_out = []
    for name, value in flags.items():
        if name in _OF_THE_VM or name == "revision":
            continue
        if _is_secret(name, value):
            left_out.append(f"flag {name}: secrets stand in no file; give it by a Kubernetes secret.")
        elif name in _PATHS and isinstance(value, str) and value.startswith("/"):
            left_out.append(f"flag {name}: {value} is a file of the VM.")
        elif _looks_like_flags(value):
            left_out.append(f"flag {name}: one of its values begins with a dash, as another flag would.")
        elif name in _TYPED and _is(value, _TYPED[name][1]):
            config[_TYPED[name][0]] = value
        elif name == "shutdown-timeout" and _is(value, (int, float)) and value > _SHUTDOWN_S:
            words += _words(name, _SHUTDOWN_S)
            left_out.append(f"flag {name} is {_SHUTDOWN_S}, not {value:g}: Kubernetes kills a pod after 30 s.")
        else:
            words += _words(name, value)
    return {**config, "extraArgs": words} if words else config, left_out


def _image(reference: str) -> tuple[str, str]:
    """What the chart joins with a colon: the repository, and the tag with its digest."""
    plain, at, digest = reference.partition("@")
    repository, colon, tag = plain.rpartition(":")
    if not colon or "/" in tag:
        raise Failure(
            "refused",
            f"The engine's image {reference} has no tag, and the chart needs one.",
            remedy="Serve an image with a tag, and export again.",
        )
    return repository, tag + at + digest


def slug(model: str) -> str:
    """The model's name as Kubernetes takes one."""
    name = re.sub(r"[^a-z0-9]+", "-", model.rpartition("/")[2].lower()).strip("-")
    return name[:_NAME_LENGTH].strip("-") or "model"


def _secret(secret: tuple[str, str]) -> dict[str, str]:
    return {"secretName": secret[0], "secretKey": secret[1]}


def _probe_failures(disk_gb: float | None) -> int:
    """How often the startup probe, every ten seconds, may fail: three times what weights and engine are expected to need."""
    phases = estimate({}, None if disk_gb is None else disk_gb * 1e9)["phases"]
    seconds: int = phases["weights"] + phases["engine"]
    return max(60, math.ceil(3 * seconds / 10))


def stack_values(served: Served, plan: Plan, replicas: int) -> StackValues:
    """``replicas`` engines, each on a node of ``plan``."""
    config, left_out = _flags(served.flags)
    environment = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "VLLM_CACHE_ROOT": "/var/cache/vllm"}
    for name, value in served.environment.items():
        if _is_secret(name, value):
            left_out.append(f"variable {name}: secrets stand in no file; give it by a Kubernetes secret.")
        else:
            environment[name] = value
    repository, tag = _image(served.image)
    revision = served.flags.get("revision")
    spread = config.get("tensorParallelSize", 1)
    memory_gib = (plan.memory_mb or 16384) // 1024
    model = {
        "name": slug(served.model),
        "repository": repository,
        "tag": tag,
        "modelURL": served.model,
        **({"modelRevision": str(revision)} if revision else {}),
        "replicaCount": replicas,
        # Half of the node: a second engine has no room beside it, and what else a node runs has.
        "requestCPU": max(1, (plan.vcpus or 4) // 2),
        "requestMemory": f"{max(1, memory_gib // 2)}Gi",
        "requestGPU": spread,
        "shmSize": f"{max(1, min(20, memory_gib // 4))}Gi",
        "vllmConfig": config,
        # The node's disk, for as long as the pod is there: a claim of Block Storage is for one node, and replicas share one claim.
        "extraVolumes": [{"name": "model-cache", "emptyDir": {}}],
        "extraVolumeMounts": [
            {"name": "model-cache", "mountPath": "/tmp/hub", "subPath": "hub"},  # noqa: S108 - of the container
            {"name": "model-cache", "mountPath": "/var/cache/vllm", "subPath": "vllm"},
        ],
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        **({"hf_token": _secret(HUB_SECRET)} if served.gated else {}),
    }
    values = {
        "servingEngineSpec": {
            "vllmApiKey": _secret(KEY_SECRET),
            "runtimeClassName": "nvidia",
            "imagePullPolicy": "IfNotPresent",
            # There is no GPU for a second pod beside each.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            "startupProbe": {"failureThreshold": _probe_failures(served.disk_gb)},
            "containerSecurityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            "modelSpec": [model],
        },
        # Inside the cluster only; what opens it to others needs TLS in front.
        "routerSpec": {"enableRouter": True, "serviceType": "ClusterIP"},
    }
    return StackValues(values, tuple(left_out))
