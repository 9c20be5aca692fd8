"""nvidia-smi of the sandbox: the plan's cards, and the texts and exit codes of broken ones."""

from __future__ import annotations

import os
import sys
import time

from ..faults import every, mend, refuses
from ..json_types import Json
from .cards import load
from .device_access import refusal
from .nvidia_smi_xml import MAX_CLOCK, REASONS, document

# name -> the card's key and its unit
FIELDS = {
    "index": ("index", ""),
    "uuid": ("uuid", ""),
    "gpu_uuid": ("uuid", ""),
    "name": ("name", ""),
    "gpu_name": ("name", ""),
    "serial": ("serial", ""),
    "pci.bus_id": ("bus_id", ""),
    "driver_version": ("driver", ""),
    "compute_cap": ("cc", ""),
    "memory.total": ("memory_mib", " MiB"),
    "memory.used": ("used_mib", " MiB"),
    "memory.free": ("free_mib", " MiB"),
    "memory.reserved": ("reserved_mib", " MiB"),
    "utilization.gpu": ("utilization", " %"),
    "utilization.memory": ("memory_utilization", " %"),
    "temperature.gpu": ("temperature", ""),
    "persistence_mode": ("persistence_text", ""),
    "pstate": ("pstate", ""),
    "power.limit": ("power_limit", " W"),
    "power.draw": ("power_draw", " W"),
    "power.draw.instant": ("power_draw", " W"),
    "clocks.sm": ("sm_clock", " MHz"),
    "clocks.current.sm": ("sm_clock", " MHz"),
    "clocks.max.sm": ("sm_clock_max", " MHz"),
    "pcie.link.gen.current": ("gen", ""),
    "pcie.link.gen.max": ("gen_max", ""),
    "pcie.link.width.current": ("pcie_width", ""),
    "pcie.link.width.max": ("width_max", ""),
    "clocks_event_reasons.active": ("reasons", ""),
    **{f"clocks_event_reasons.{reason}": (reason, "") for reason in REASONS},
    "gpu_recovery_action": ("recovery", ""),
    "vbios_version": ("vbios", ""),
    "ecc.mode.current": ("ecc_text", ""),
}
APPLICATIONS = {"pid": "pid", "process_name": "name", "used_gpu_memory": "used_mib", "used_memory": "used_mib"}
_VALUED = ("-i", "--id", "-f", "--filename")


def trouble(hardware: Json) -> tuple[str, int] | None:
    """What the tool prints instead of anything when the driver is in this state, and its exit code."""
    if every("driver_not_loaded"):
        return (
            "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest "
            "NVIDIA driver is installed and running.\n",
            9,
        )
    if every("version_mismatch"):
        newer = str(hardware["driver"]).rpartition(".")[0]
        return f"Failed to initialize NVML: Driver/library version mismatch\nNVML library version: {newer}", 18
    if every("no_devices") or not hardware["gpus"]:
        return "No devices were found", 6
    return None


def table(hardware: Json) -> str:
    rule = "+" + "-" * 78 + "+"
    driver, cuda = hardware["driver"], hardware["cuda"]
    lines = [
        time.strftime("%a %b %d %H:%M:%S %Y"),
        rule,
        f"| NVIDIA-SMI {driver}    Driver Version: {driver}    CUDA Version: {cuda}".ljust(79) + "|",
        rule,
    ]
    for card in hardware["gpus"]:
        if card["broken"]:
            lines.append(f"| {card['index']:>3}  {card['name'][:40]:<40} ERR!".ljust(79) + "|")
            continue
        used = f"{card['used_mib']}MiB / {card['memory_mib']}MiB"
        lines.append(
            f"| {card['index']:>3}  {card['name'][:32]:<32} {card['temperature']}C  {card['pstate']}  {used:>20}  {card['utilization']}%".ljust(
                79
            )
            + "|"
        )
    lines += [rule, "", rule, "| Processes:".ljust(79) + "|"]
    running = [(card["index"], process) for card in hardware["gpus"] for process in card["processes"]]
    for index, process in running:
        row = f"| {index:>3}  {process['pid']:>8}  C  {process['name'][:42]:<42} {process['used_mib']:>6}MiB"
        lines.append(row.ljust(79) + "|")
    if not running:
        lines.append("|  No running processes found".ljust(79) + "|")
    return "\n".join([*lines, rule])


def query(names: list[str], style: list[str], hardware: Json) -> tuple[str, int]:
    unknown = [name for name in names if name not in FIELDS]
    if unknown:
        return f'Field "{unknown[0]}" is not a valid field to query.', 2
    lines = [] if "noheader" in style else [", ".join(names)]
    for card in hardware["gpus"]:
        shown = {
            **card,
            "driver": hardware["driver"],
            "free_mib": card["memory_mib"] - card["reserved_mib"] - card["used_mib"],
            "persistence_text": "Enabled" if card["persistence"] else "Disabled",
            "power_limit": f"{card['power_limit_w']}.00",
            "power_draw": f"{card['power']}.00",
            "sm_clock_max": MAX_CLOCK,
            "width_max": 16,
            "reasons": f"0x{sum(REASONS[name] for name in card['active']):016x}",
            **{reason: "Active" if reason in card["active"] else "Not Active" for reason in REASONS},
            "ecc_text": "Enabled" if card["ecc_on"] else "Disabled",
        }
        values = []
        for name in names:
            key, unit = FIELDS[name]
            identity = name in (
                "index",
                "uuid",
                "gpu_uuid",
                "name",
                "gpu_name",
                "serial",
                "pci.bus_id",
                "driver_version",
            )
            values.append(
                f"[{card['broken']}]"
                if card["broken"] and not identity
                else f"{shown[key]}{'' if 'nounits' in style else unit}"
            )
        lines.append(", ".join(values))
    return "\n".join(lines), 0


def applications(names: list[str], style: list[str], hardware: Json) -> tuple[str, int]:
    unknown = [name for name in names if name not in APPLICATIONS]
    if unknown:
        return f'Field "{unknown[0]}" is not a valid field to query.', 2
    lines = [] if "noheader" in style else [", ".join(names)]
    for card in hardware["gpus"]:
        for process in card["processes"]:
            values = [str(process[APPLICATIONS[name]]) for name in names]
            unit = "" if "nounits" in style else " MiB"
            lines.append(
                ", ".join(
                    value + (unit if APPLICATIONS[name] == "used_mib" else "")
                    for name, value in zip(names, values, strict=True)
                )
            )
    return "\n".join(lines), 0


def answer(arguments: list[str], hardware: Json) -> tuple[str, int]:
    if not arguments:
        return table(hardware), 0
    if arguments == ["-L"] or arguments == ["--list-gpus"]:
        return "\n".join(f"GPU {card['index']}: {card['name']} (UUID: {card['uuid']})" for card in hardware["gpus"]), 0
    if set(arguments) in ({"-q", "-x"}, {"--query", "--xml-format"}):
        return document(hardware), 0
    if arguments == ["--version"]:
        return f"NVIDIA-SMI version  : {hardware['driver']}\nDRIVER version      : {hardware['driver']}", 0
    if "--gpu-reset" in arguments or "-r" in arguments:
        mend("reset_gpu")
        return "\n".join(
            f"GPU {card['bus_id']} was successfully reset." for card in hardware["gpus"]
        ) + "\nAll done.", 0
    options = dict(argument.split("=", 1) for argument in arguments if argument.startswith("--") and "=" in argument)
    style = options.get("--format", "").split(",")
    if set(options) == {"--query-gpu", "--format"} and len(options) == len(arguments):
        return query(options["--query-gpu"].split(","), style, hardware)
    if set(options) == {"--query-compute-apps", "--format"} and len(options) == len(arguments):
        return applications(options["--query-compute-apps"].split(","), style, hardware)
    return (
        "the sandbox's nvidia-smi knows no arguments, -L, -q -x, --query-gpu and --query-compute-apps with --format, "
        f"--gpu-reset and --version, not: {' '.join(arguments)}",
        2,
    )


def main(arguments: list[str]) -> int:
    hang = every("hang")
    if hang:
        time.sleep(float(str(hang[0].get("seconds") or hang[0].get("delay") or 3600)))
    broken = refuses("nvidia-smi")
    cannot = (broken, 1) if broken is not None else refusal()
    if cannot is None and os.environ.get("SANDBOX_CONTAINER") and every("container_gpu_lost"):
        cannot = "Failed to initialize NVML: Unknown Error", 255
    if cannot is not None:
        print(cannot[0])
        return cannot[1]
    hardware = load()
    wrong = trouble(hardware)
    if wrong is None and arguments == [] and every("gpu_lost"):
        lost = next(card for card in hardware["gpus"] if card["broken"])
        wrong = (
            f"Unable to determine the device handle for GPU{lost['index']}: {lost['bus_id']}: GPU is lost.  "
            "Reboot the system to recover this GPU",
            15,
        )
    words = []
    skip = False
    for argument in arguments:
        # Which card is asked for makes no difference to what is known here.
        if skip or argument in _VALUED:
            skip = argument in _VALUED
            continue
        words.append(argument)
    text, code = wrong or answer(words, hardware)
    print(text, file=sys.stderr if text.startswith("the sandbox's") else sys.stdout)
    return code
