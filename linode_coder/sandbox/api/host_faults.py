"""Faults inside a host, for `fault list` and for people who misspell one. The guest's programs act on them.

A fault holds until it is cleared or the host reboots (`persistent`: longer); with `count` it strikes so often and no more;
with `until` it holds until that is done on the host or to it, whatever else is done before.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.rungs import ORDER

from ..guest.engine.failures import FAILURES, STAGES

HOST_KINDS: dict[str, str] = {
    "clear": "mends everything on the host",
    "wrong_host_key": "SSH shows another host key",
    "ssh_down": "SSH does not answer",
    "ssh_stalls": "SSH lets one in, takes commands and never answers them",
    "network_slow": "the way to the host takes --delay seconds there and back",
    # -- GPUs and their driver; --set gpu=N names the card, the first one without it. Those that show under load bring one, unless
    # --set load=engine waits for the engine's.
    "driver_not_loaded": "nvidia-smi cannot reach the driver (--set text=LINE, what the kernel's log says of it)",
    "ecc_corrected": "the GPU has corrected memory errors (--set code=N)",
    "ecc_uncorrectable": "the GPU counts uncorrectable memory errors (--set code=N)",
    "fewer_gpus": "a GPU is gone from the bus",
    "gpu_added": "there is a GPU more than the plan has",
    "gpu_busy": "the GPU is under full load",
    "gpu_foreign": "another program uses the GPU (--set text=NAME)",
    "gpu_lost": "the GPU fell off the bus, with its Xid 79",
    "gpu_requires_reset": "the driver asks for a reset (--set text=ACTION)",
    "gpu_unused": "the engine gives the GPU no work and none of its memory is taken",
    "hang": "nvidia-smi hangs for --delay seconds",
    "mig_on": "the GPU is divided (--set code=N, into so many parts)",
    "no_devices": "nvidia-smi: no devices were found",
    "pages_retired": "the GPU has retired pages (--set code=N)",
    "pcie_degraded": "the GPU's PCIe link has fewer lanes (--set code=N, load=engine)",
    "pcie_slow": "the GPU's PCIe link is of a lower generation (--set code=N, load=engine)",
    "persistence_off": "persistence mode is off",
    "readings_fail": "nvidia-smi gets no answer to some readings of the GPU (--set code=N, to so many)",
    "row_remap_failure": "a row of the GPU's memory could not be remapped",
    "row_remap_pending": "a row of the GPU's memory waits to be remapped at the next reboot",
    "sram_threshold": "the GPU's SRAM errors exceed their threshold",
    "thermal": "the GPU is too hot, and the engine on it slow (--set load=engine)",
    "throttle": "the hardware, or the driver for heat, slows the GPU and its engine down (--set text=REASON, load=engine)",
    "version_mismatch": "nvidia-smi: driver/library version mismatch",
    "wrong_card": "the GPU is another card (--set text=NAME)",
    "xid": "the kernel's log has an Xid (--set code=N, --set text=TEXT)",
    # -- the machine
    "clock_skew": "the clock is off (--set seconds=N)",
    "disk_slow": "the disk reads few MiB a second (--set code=N), and the weights load --delay seconds longer",
    "container_gpu_lost": "the container has lost its GPUs",
    "oom_kill": "the kernel killed a process for want of memory (--set text=NAME)",
    "program_fails": "programs of the host fail (--set text=NAME,..., of df, dmesg, docker, journalctl, lspci, nvidia-smi, timedatectl)",
    # -- packages, Docker, images, weights
    "apt_fails": "apt-get fails",
    "container_oom": "the kernel kills the container for want of memory",
    "disk_full": "the disk is full (--set code=PERCENT)",
    "docker_down": "the Docker daemon does not answer",
    "docker_slow": "the Docker daemon takes --delay seconds for an answer",
    "hub_cut": "a download from the model hub is cut",
    "hub_down": "the model hub does not answer",
    "hub_gated": "the model's licence was not accepted",
    "hub_not_found": "the model hub does not know the model",
    "hub_rate_limited": "the model hub answers 429",
    "hub_unauthorized": "the model hub refuses the token",
    "image_disk_full": "pulling an image fills the disk",
    "image_pull_fails": "pulling an image fails",
    "restart_late": "the Docker daemon waits --delay seconds before it starts a container that ended",
    # -- the engine
    "cuda_oom": "the engine's core runs out of GPU memory at the next request",
    "engine_complains": "the engine's core logs a failure (--set text=TEXT) and goes on",
    "engine_crash": "the engine's core dies (--set text=TEXT) as soon as it serves, each time it does",
    "engine_gibberish": "the engine answers nonsense",
    "engine_hang": "the engine's core stops as soon as it serves, while /health answers 200",
    "engine_preempts": "the KV cache has no room for requests at once: the engine takes half of them back again and again",
    "engine_other_model": "the engine serves another model (--set text=NAME)",
    "engine_slow": "a token takes --delay seconds",
    "engine_slow_start": "a phase of the engine's start (--set phase=NAME) takes --delay seconds longer",
    "engine_start_fails": "the engine's start fails with the text of --set cause=SLUG, or --set text=TEXT (--set stage=PHASE)",
    "port_taken": "another program holds the engine's port",
    "weights_truncated": "the engine finds its weights cut short",
}
# What --set may give to a fault of a host.
_TEXTS = ("cause", "text", "stage", "phase", "service", "until", "load")
# What ends a fault that says so, as the rungs of healing are called; what other parameters end is said by the engine's failures.
UNTIL = tuple(rung for rung in ORDER if rung != "change_parameters")

# What ends a fault that does not say so; a reboot ends the others. Bad hardware stays until there is another host.
_ENDS = {
    **dict.fromkeys(
        (
            *(
                "disk_full",
                "disk_slow",
                "ecc_corrected",
                "pages_retired",
                "pcie_degraded",
                "row_remap_failure",
                "sram_threshold",
                "thermal",
            ),
            *("throttle", "wrong_card"),
        ),
        "recreate_vm",
    ),
    "container_gpu_lost": "recreate_container",
    "docker_down": "restart_services",
    "driver_not_loaded": "reload_driver",
    "fewer_gpus": "power_cycle",
    "gpu_requires_reset": "reset_gpu",
    "persistence_off": "restart_services",
}


def completed(fault: dict[str, Any]) -> dict[str, Any]:
    """The fault with what ends it."""
    end = _ENDS.get(fault["kind"])
    return fault if end is None or fault.get("persistent") else {"until": end, **fault}


def complaint(fault: dict[str, Any]) -> str | None:
    """Why this is no fault of a host, in one sentence."""
    kind = fault.get("kind")
    if kind not in HOST_KINDS:
        return f"{kind!r} is not a kind of fault; on a host the kinds are {', '.join(HOST_KINDS)}"
    bad = [name for name in _TEXTS if name in fault and not isinstance(fault[name], str)]
    if bad:
        return f"{bad[0]} must be a text"
    if fault.get("until", UNTIL[0]) not in UNTIL:
        return f"{fault['until']!r} ends no fault; what does is {', '.join(UNTIL)}"
    if kind == "engine_start_fails":
        return _start_complaint(fault)
    return None


def _start_complaint(fault: dict[str, Any]) -> str | None:
    if "text" in fault:
        stage = fault.get("stage", "load")
        return None if stage in STAGES else f"{stage!r} is not a stage; the stages are {', '.join(STAGES)}"
    cause = fault.get("cause")
    return None if cause in FAILURES else f"{cause!r} is not a cause; the causes are {', '.join(FAILURES)}"
