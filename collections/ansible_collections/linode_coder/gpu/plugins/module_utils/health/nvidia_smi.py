# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``nvidia-smi -q -x`` says, for every schema from driver 384 to 610, and what it says instead when it fails.

A value that cannot be read is None and never 0; why it cannot be read is kept beside it. An element that usually holds
others can hold a text instead (a lost GPU does that), and the same reading has had several names over the years.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

# Texts that stand where a value should be. The first group says that the card or the driver has no such reading;
# everything that sounds like a failure is an error, also when no driver has said it so far.
_ABSENT = re.compile(
    r"\[?(?:N/A|Not Supported|Not Available|Not Found|None|Unsupported|"
    r"Requested functionality has been deprecated|Function Not Found|REDACTED)\]?",
    re.IGNORECASE,
)
_ERROR = re.compile(
    r"\berr(?:ors?\b|!)|\bunknown\b|\bnot\b|\binsufficient|\bpermission|\bdeprecated|\bunavailable|\binvalid|\bfail|"
    r"\btime[d ]?\s?out|\bdenied\b|\bis lost\b|\brequires? reset|\bmismatch|\bcorrupt|\bin use\b|\bno data\b|\bmissing\b|"
    r"\babort|\buninitiali[sz]ed|\bargument|\bundefined|\bblocked",
    re.IGNORECASE,
)
_FLAG = re.compile(r"Enabled|Disabled|Yes|No|Active|Not Active|True|False", re.IGNORECASE)
LOST = re.compile(r"GPU is lost|fallen off the bus", re.IGNORECASE)
RESET_REQUIRED = re.compile(r"GPU requires reset", re.IGNORECASE)

_BUS_ID = re.compile(r"(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([0-9a-f]{2})(?:\.[0-9a-f])?", re.IGNORECASE)
_OLD_BUS_ID = re.compile(r"([0-9a-f]{4}):([0-9a-f]{2})(?:\.[0-9a-f])?", re.IGNORECASE)
_UUID = re.compile(r"(?:GPU|MIG)-[0-9A-Za-z][0-9A-Za-z/-]*")

# What the tool prints instead of a document. The first that matches names the failure.
_FAILURES = (
    ("mismatch", re.compile(r"Driver/library version mismatch|API mismatch", re.IGNORECASE)),
    ("lost", LOST),
    ("requires_reset", RESET_REQUIRED),
    (
        "lost",
        re.compile(r"Unable to determine the device handle for (?:GPU|gpu)[^\n]{0,200}Unknown Error", re.IGNORECASE),
    ),
    ("no_driver", re.compile(r"couldn'?t communicate with the NVIDIA driver|Driver Not Loaded", re.IGNORECASE)),
    ("no_devices", re.compile(r"No devices were found", re.IGNORECASE)),
    (
        "no_library",
        re.compile(r"couldn'?t find libnvidia-ml|NVML (?:shared )?library[^\n]{0,200}not found", re.IGNORECASE),
    ),
    (
        "no_permission",
        re.compile(
            r"Insufficient Permissions|Initialize NVML: Operating system|blocked by the operating system", re.IGNORECASE
        ),
    ),
    ("power_cables", re.compile(r"power cables?|insufficient external power", re.IGNORECASE)),
    (
        "bad_question",
        re.compile(r"is not a valid field to query|Invalid combination of input arguments", re.IGNORECASE),
    ),
    ("nvml_error", re.compile(r"Failed to initialize NVML|Unable to determine the device handle", re.IGNORECASE)),
    ("not_installed", re.compile(r"nvidia-smi: (?:command )?not found|No such file or directory", re.IGNORECASE)),
)
# What it says beside a document that is as good as any.
_INFOROM = re.compile(r"infoROM is corrupted at gpu (\S{4,20})", re.IGNORECASE)
# Sixteen cards with a thousand processes take less, and no machine has more cards.
_LONGEST, _CARDS = 4_000_000, 64
# What it prints when it was not asked for XML: nothing failed, and nothing of it is read, since no two drivers agree on it.
_NOT_XML = re.compile(r"^=+NVSMI LOG=+|^\| NVIDIA-SMI [0-9.]+|^GPU [0-9]{1,4}: .{0,200}\(UUID: ", re.MULTILINE)
# What an exit code says where no text does. Text comes first: several codes are shared or undocumented.
_CODES = {
    2: "bad_question",
    4: "no_permission",
    6: "no_devices",
    8: "power_cables",
    9: "no_driver",
    12: "no_library",
    15: "lost",
    16: "requires_reset",
    17: "no_permission",
    18: "mismatch",
    124: "timeout",
    126: "not_installed",
    127: "not_installed",
    137: "timeout",
}


def normalise_bus_id(text: str | None) -> str | None:
    """``00000000:01:00.0``, ``PCI:0000:01:00`` and ``0001:00`` as ``0000:01:00``: how to tell that two are the same."""
    bare = (text or "").strip().upper().removeprefix("PCI:").lower()
    match = _BUS_ID.fullmatch(bare)
    if match:
        return f"{(match[1] or '0000')[-4:]}:{match[2]}:{match[3]}"
    match = _OLD_BUS_ID.fullmatch(bare)
    return f"0000:{match[1][-2:]}:{match[2]}" if match else None


def is_error_text(text: str) -> bool:
    """Whether a text says that a reading failed, unlike one that the card does not have."""
    text = text.strip()
    return bool(_ERROR.search(text)) and not _ABSENT.fullmatch(text) and not _FLAG.fullmatch(text)


def absent(text: str) -> bool:
    """Whether a text says that the card or the driver has no such reading."""
    return bool(_ABSENT.fullmatch(text.strip()))


@dataclass(frozen=True)
class GpuProcess:
    pid: int | None
    name: str | None
    kind: str | None
    used_mib: int | None


@dataclass(frozen=True)
class MigDevice:
    index: int | None
    gpu_instance: int | None
    compute_instance: int | None
    memory_total_mib: int | None
    memory_used_mib: int | None


@dataclass(frozen=True)
class Gpu:
    """One card. ``reasons`` says for each field that is None why; ``errors`` holds every error text by its place."""

    position: int
    uuid: str | None
    bus_id: str | None
    minor_number: int | None
    name: str | None
    brand: str | None
    architecture: str | None
    serial: str | None
    vbios: str | None
    persistence: bool | None
    compute_mode: str | None
    virtualization: str | None
    mig: bool | None
    mig_pending: bool | None
    mig_devices: tuple[MigDevice, ...]
    recovery_action: str | None
    reset_required: bool | None
    lost: bool
    requires_reset: bool
    ecc: bool | None
    ecc_pending: bool | None
    ecc_corrected_volatile: int | None
    ecc_uncorrected_volatile: int | None
    ecc_corrected_aggregate: int | None
    ecc_uncorrected_aggregate: int | None
    sram_threshold_exceeded: bool | None
    repair_pending: bool | None
    unrepairable_memory: bool | None
    remapped_correctable: int | None
    remapped_uncorrectable: int | None
    remap_pending: bool | None
    remap_failure: bool | None
    retired_single_bit: int | None
    retired_double_bit: int | None
    retirement_pending: bool | None
    temperature: float | None
    temperature_limit: float | None
    temperature_slowdown: float | None
    temperature_margin: float | None
    margin_slowdown: float | None
    memory_temperature: float | None
    power_draw: float | None
    power_limit: float | None
    throttle: dict[str, bool | None]
    throttle_us: dict[str, int | None]
    pcie_gen: int | None
    pcie_gen_max: int | None
    pcie_width: int | None
    pcie_width_max: int | None
    pcie_replays: int | None
    utilization: float | None
    memory_utilization: float | None
    memory_total_mib: int | None
    memory_used_mib: int | None
    memory_free_mib: int | None
    memory_reserved_mib: int | None
    performance_state: str | None
    sm_clock: float | None
    sm_clock_max: float | None
    memory_clock: float | None
    fabric_state: str | None
    processes: tuple[GpuProcess, ...]
    reasons: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        return "gpu:" + (self.uuid or self.bus_id or f"#{self.position}")

    @property
    def failed_readings(self) -> tuple[str, ...]:
        """What every card can tell of itself and this one answers with an error: what is ERR! in the tool's table."""
        return tuple(
            name
            for name, places in _VITAL.items()
            if any(_SICK.fullmatch(self.errors.get(place, "")) for place in (*places, places[0].partition("/")[0]))
        )


@dataclass(frozen=True)
class SmiReading:
    """What one run said. ``state`` is ``ok`` or the name of its failure; a failure may come with a document too."""

    state: str
    text: str = ""
    schema: str | None = None
    driver: str | None = None
    cuda: str | None = None
    attached: int | None = None
    gpus: tuple[Gpu, ...] = ()
    bus_id: str | None = None
    corrupt_inforoms: frozenset[str | None] = frozenset()

    @property
    def readable(self) -> bool:
        return bool(self.gpus) or self.state in ("ok", "no_devices")


# The driver's answer where the card does not answer it. A card without such a reading says N/A.
_SICK = re.compile(r"\[?(?:ERR!|Unknown Error)\]?", re.IGNORECASE)
_VITAL = {
    "state": ("performance_state",),
    "load": ("utilization/gpu_util",),
    "temperature": ("temperature/gpu_temp",),
    "fan": ("fan_speed",),
    "power": (
        "gpu_power_readings/instant_power_draw",
        "gpu_power_readings/average_power_draw",
        "gpu_power_readings/power_draw",
        "power_readings/power_draw",
        "power_readings",
    ),
    "clock": ("clocks/sm_clock", "clocks/graphics_clock"),
    "memory": ("fb_memory_usage/used", "fb_memory_usage/total"),
}


# Real documents have five levels.
_DEEPEST = 20


class _Leaves:
    """The texts of one element by path; remembers why a field could not be read."""

    def __init__(self, root: ElementTree.Element) -> None:
        self.texts: dict[str, str] = {}
        self.errors: dict[str, str] = {}
        self.reasons: dict[str, str] = {}
        self._walk(root, "", 1)

    def _walk(self, element: ElementTree.Element, path: str, depth: int) -> None:
        for child in element:
            place = f"{path}/{child.tag}" if path else child.tag
            text = (child.text or "").strip()
            if text:
                # The first of several equal paths is enough, and a list of clocks has hundreds.
                self.texts.setdefault(place, text)
                if is_error_text(text):
                    self.errors.setdefault(place, text)
            if len(child) and depth < _DEEPEST:
                self._walk(child, place, depth + 1)

    def _find(self, path: str) -> str | None:
        """The text at a path, or of the element above it that holds a text instead of children."""
        while path:
            text = self.texts.get(path)
            if text is not None:
                return text
            path = path.rpartition("/")[0]
        return None

    def _read(self, name: str, paths: tuple[str, ...], pattern: re.Pattern[str]) -> re.Match[str] | None:
        reason = "not in this driver's output"
        for path in paths:
            text = self._find(path)
            if text is None:
                continue
            match = pattern.fullmatch(text)
            if match:
                return match
            if reason == "not in this driver's output" or is_error_text(text):
                reason = text
        self.reasons[name] = reason
        return None

    def number(self, name: str, unit: str, *paths: str) -> float | None:
        match = self._read(name, paths, _NUMBERS[unit])
        return float(match[1]) if match else None

    def whole(self, name: str, unit: str, *paths: str) -> int | None:
        number = self.number(name, unit, *paths)
        return None if number is None else int(number)

    def flag(self, name: str, *paths: str) -> bool | None:
        match = self._read(name, paths, _FLAG)
        return None if match is None else match[0].lower() in ("enabled", "yes", "active", "true")

    def word(self, name: str, *paths: str) -> str | None:
        match = self._read(name, paths, _WORD)
        if match is None:
            return None
        if is_error_text(match[0]):
            self.reasons[name] = match[0]
            return None
        return match[0]

    def name(self, path: str) -> str | None:
        """A text that people chose, which may well sound like an error."""
        match = self._read(path, (path,), _WORD)
        return match[0] if match else None

    def total(self, name: str, *alternatives: tuple[str, ...]) -> int | None:
        """The sum of the parts of the first alternative that has a readable part.

        A part that failed to read hides how many there are, unless the others already show some.
        """
        reason = "not in this driver's output"
        for paths in alternatives:
            texts = [text for text in map(self._find, paths) if text is not None]
            counts = [int(text) for text in texts if _COUNT.fullmatch(text)]
            failed = [text for text in texts if not _COUNT.fullmatch(text) and not _ABSENT.fullmatch(text)]
            if counts and (sum(counts) or not failed):
                return sum(counts)
            if failed:
                # An older name for fewer of the parts would only hide that one of them was not read.
                reason = failed[0]
                break
            if texts and reason == "not in this driver's output":
                reason = texts[0]
        self.reasons[name] = reason
        return None


_NUMBERS = {
    unit: re.compile(
        rf"(-?[0-9]{{1,15}}(?:\.[0-9]{{1,6}})?){re.escape(unit) if unit in ('x', '') else ' ' + re.escape(unit)}"
    )
    for unit in ("", "C", "W", "MiB", "MHz", "%", "us", "x")
}
_COUNT = re.compile(r"[0-9]{1,15}")
_WORD = re.compile(
    r"(?!\[?(?:N/A|Not Supported|Not Available|Not Found|Function Not Found|Unsupported|REDACTED"
    r"|Requested functionality has been deprecated)\]?$).+",
    re.IGNORECASE | re.DOTALL,
)

# By the driver's own names without their prefix, which changed from "throttle" to "event" with driver 535.
_THROTTLE = (
    "gpu_idle",
    "applications_clocks_setting",
    "sw_power_cap",
    "hw_slowdown",
    "hw_thermal_slowdown",
    "hw_power_brake_slowdown",
    "sync_boost",
    "sw_thermal_slowdown",
    "display_clocks_setting",
)
_THROTTLE_COUNTERS = {
    "sw_power_cap": "sw_power_cap",
    "sync_boost": "sync_boost",
    "sw_thermal_slowdown": "sw_therm_slowdown",
    "hw_thermal_slowdown": "hw_therm_slowdown",
    "hw_power_brake_slowdown": "hw_power_brake",
}


def _ecc_parts(era: str, kind: str) -> tuple[tuple[str, ...], ...]:
    """Paths of one ECC counter, newest schema first: split, then SRAM and DRAM, then single and double bit."""
    base = f"ecc_errors/{era}"
    bits = "single_bit" if kind == "correctable" else "double_bit"
    newest = (f"{base}/dram_{kind}", f"{base}/sram_{kind}_parity", f"{base}/sram_{kind}_secded")
    older = (f"{base}/dram_{kind}", f"{base}/sram_{kind}")
    oldest = (f"{base}/{bits}/total",)
    return (newest + older[1:], older, oldest)


def _processes(element: ElementTree.Element) -> tuple[GpuProcess, ...]:
    found = []
    for entry in element.findall("processes/process_info"):
        leaves = _Leaves(entry)
        found.append(
            GpuProcess(
                leaves.whole("pid", "", "pid"),
                leaves.name("process_name"),
                leaves.word("kind", "type"),
                leaves.whole("used", "MiB", "used_memory"),
            )
        )
    return tuple(found)


def _mig_devices(element: ElementTree.Element) -> tuple[MigDevice, ...]:
    found = []
    for entry in element.findall("mig_devices/mig_device"):
        leaves = _Leaves(entry)
        found.append(
            MigDevice(
                leaves.whole("index", "", "index"),
                leaves.whole("gpu_instance", "", "gpu_instance_id"),
                leaves.whole("compute_instance", "", "compute_instance_id"),
                leaves.whole("total", "MiB", "fb_memory_usage/total"),
                leaves.whole("used", "MiB", "fb_memory_usage/used"),
            )
        )
    return tuple(found)


def _read_gpu(element: ElementTree.Element, position: int) -> Gpu:
    leaves = _Leaves(element)
    whole, number, flag, word, total = leaves.whole, leaves.number, leaves.flag, leaves.word, leaves.total
    identity = word("uuid", "uuid", "gpu_uuid")
    uuid = identity if identity and _UUID.fullmatch(identity) else None
    if identity is not None and uuid is None:
        leaves.reasons["uuid"] = identity
    bus_id = normalise_bus_id(word("bus_id", "pci/pci_bus_id")) or normalise_bus_id(element.get("id"))
    link = "pci/pci_gpu_link_info"
    power = ("gpu_power_readings", "power_readings")
    every_text = [*leaves.texts.values(), (element.text or "").strip()]
    gpu = Gpu(
        position=position,
        uuid=uuid,
        bus_id=bus_id,
        minor_number=whole("minor_number", "", "minor_number"),
        name=word("name", "product_name"),
        brand=word("brand", "product_brand"),
        architecture=word("architecture", "product_architecture"),
        serial=word("serial", "serial"),
        vbios=word("vbios", "vbios_version"),
        persistence=flag("persistence", "persistence_mode"),
        compute_mode=word("compute_mode", "compute_mode"),
        virtualization=word("virtualization", "gpu_virtualization_mode/virtualization_mode"),
        mig=flag("mig", "mig_mode/current_mig"),
        mig_pending=flag("mig_pending", "mig_mode/pending_mig"),
        mig_devices=_mig_devices(element),
        recovery_action=word("recovery_action", "gpu_recovery_action"),
        reset_required=flag("reset_required", "gpu_reset_status/reset_required"),
        lost=any(LOST.search(text) for text in every_text),
        requires_reset=any(RESET_REQUIRED.search(text) for text in every_text),
        ecc=flag("ecc", "ecc_mode/current_ecc"),
        ecc_pending=flag("ecc_pending", "ecc_mode/pending_ecc"),
        ecc_corrected_volatile=total("ecc_corrected_volatile", *_ecc_parts("volatile", "correctable")),
        ecc_uncorrected_volatile=total("ecc_uncorrected_volatile", *_ecc_parts("volatile", "uncorrectable")),
        ecc_corrected_aggregate=total("ecc_corrected_aggregate", *_ecc_parts("aggregate", "correctable")),
        ecc_uncorrected_aggregate=total("ecc_uncorrected_aggregate", *_ecc_parts("aggregate", "uncorrectable")),
        sram_threshold_exceeded=flag("sram_threshold_exceeded", "ecc_errors/aggregate/sram_threshold_exceeded"),
        repair_pending=flag("repair_pending", "ecc_errors/channel_repair_pending")
        or flag("repair_pending", "ecc_errors/tpc_repair_pending"),
        unrepairable_memory=flag("unrepairable_memory", "ecc_errors/unrepairable_memory"),
        remapped_correctable=whole("remapped_correctable", "", "remapped_rows/remapped_row_corr"),
        remapped_uncorrectable=whole("remapped_uncorrectable", "", "remapped_rows/remapped_row_unc"),
        remap_pending=flag("remap_pending", "remapped_rows/remapped_row_pending"),
        remap_failure=flag("remap_failure", "remapped_rows/remapped_row_failure"),
        retired_single_bit=whole(
            "retired_single_bit", "", "retired_pages/multiple_single_bit_retirement/retired_count"
        ),
        retired_double_bit=whole("retired_double_bit", "", "retired_pages/double_bit_retirement/retired_count"),
        retirement_pending=flag(
            "retirement_pending", "retired_pages/pending_retirement", "retired_pages/pending_blacklist"
        ),
        temperature=number("temperature", "C", "temperature/gpu_temp"),
        temperature_limit=number("temperature_limit", "C", "temperature/gpu_temp_max_threshold"),
        temperature_slowdown=number("temperature_slowdown", "C", "temperature/gpu_temp_slow_threshold"),
        temperature_margin=number("temperature_margin", "C", "temperature/gpu_temp_tlimit"),
        margin_slowdown=number("margin_slowdown", "C", "temperature/gpu_temp_slow_tlimit_threshold"),
        memory_temperature=number("memory_temperature", "C", "temperature/memory_temp"),
        power_draw=number(
            "power_draw",
            "W",
            "gpu_power_readings/instant_power_draw",
            "gpu_power_readings/average_power_draw",
            *(f"{block}/power_draw" for block in power),
        ),
        power_limit=number(
            "power_limit",
            "W",
            "gpu_power_readings/current_power_limit",
            "power_readings/enforced_power_limit",
            "power_readings/power_limit",
        ),
        throttle={
            name: flag(
                f"throttle.{name}",
                f"clocks_event_reasons/clocks_event_reason_{name}",
                f"clocks_throttle_reasons/clocks_throttle_reason_{name}",
            )
            for name in _THROTTLE
        },
        throttle_us={
            name: whole(
                f"throttle_us.{name}", "us", f"clocks_event_reasons_counters/clocks_event_reasons_counters_{suffix}"
            )
            for name, suffix in _THROTTLE_COUNTERS.items()
        },
        pcie_gen=whole("pcie_gen", "", f"{link}/pcie_gen/current_link_gen"),
        pcie_gen_max=whole("pcie_gen_max", "", f"{link}/pcie_gen/max_link_gen"),
        pcie_width=whole("pcie_width", "x", f"{link}/link_widths/current_link_width"),
        pcie_width_max=whole("pcie_width_max", "x", f"{link}/link_widths/max_link_width"),
        pcie_replays=whole("pcie_replays", "", "pci/replay_counter"),
        utilization=number("utilization", "%", "utilization/gpu_util"),
        memory_utilization=number("memory_utilization", "%", "utilization/memory_util"),
        memory_total_mib=whole("memory_total_mib", "MiB", "fb_memory_usage/total"),
        memory_used_mib=whole("memory_used_mib", "MiB", "fb_memory_usage/used"),
        memory_free_mib=whole("memory_free_mib", "MiB", "fb_memory_usage/free"),
        memory_reserved_mib=whole("memory_reserved_mib", "MiB", "fb_memory_usage/reserved"),
        performance_state=word("performance_state", "performance_state", *(f"{block}/power_state" for block in power)),
        sm_clock=number("sm_clock", "MHz", "clocks/sm_clock"),
        sm_clock_max=number("sm_clock_max", "MHz", "max_clocks/sm_clock"),
        memory_clock=number("memory_clock", "MHz", "clocks/mem_clock"),
        fabric_state=word("fabric_state", "fabric/state"),
        processes=_processes(element),
        reasons=leaves.reasons,
        errors=leaves.errors,
    )
    if gpu.repair_pending is not None:
        leaves.reasons.pop("repair_pending", None)
    return gpu


def _failure(text: str, code: int | None) -> tuple[str | None, str]:
    """Name of the failure a text or an exit code shows, and the line that shows it."""
    for name, pattern in _FAILURES:
        match = pattern.search(text)
        if match:
            line = text[: match.start()].rpartition("\n")[2] + text[match.start() :].partition("\n")[0]
            return name, line.strip()[:500]
    if code in _CODES:
        return _CODES[code], text.strip()[:500] or f"exit code {code}"
    return None, text.strip()[:500]


def read_nvidia_smi(text: str, code: int | None = None) -> SmiReading:
    """The reading of one run of ``nvidia-smi -q -x``.

    :param text: what it printed, stdout and stderr together.
    :param code: its exit code; None when it is not known. A code other than 0 never discards a document.
    """
    if len(text) > _LONGEST:
        return SmiReading("unreadable", f"longer than {_LONGEST} characters, which no output of nvidia-smi -q -x is")
    opened = text.find("<nvidia_smi_log")
    closed = text.find("</nvidia_smi_log>", opened)
    if -1 in (opened, closed):
        state, line = _failure(text, code)
        named = re.search(r"\b([0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}(?:\.[0-9a-fA-F])?)", line)
        if state is None and opened >= 0:
            line = "a document that ends early"
        elif state is None and _NOT_XML.search(text):
            state, line = "not_xml", "a table or a text of nvidia-smi, not the XML of nvidia-smi -q -x"
        line = line or "not the output of nvidia-smi -q -x"
        return SmiReading(state or "unreadable", line, bus_id=normalise_bus_id(named[1]) if named else None)
    document = text[opened : closed + len("</nvidia_smi_log>")]
    try:
        # Without the prologue there is no document type, so nothing can declare or fetch an entity.
        root = ElementTree.fromstring(document.encode("utf-8", "replace"))  # noqa: S314
    except ElementTree.ParseError as error:
        return SmiReading("unreadable", f"not well-formed: {error}")
    around = text[:opened] + text[closed + len("</nvidia_smi_log>") :]
    schema = re.search(r"nvsmi_device_v(\d+)\.dtd", around)
    state, line = _failure(around, code)
    leaves = _Leaves(root)
    gpus = tuple(_read_gpu(element, position) for position, element in enumerate(root.findall("gpu")[:_CARDS]))
    if state is None and not gpus:
        state, line = _failure(" ".join(root.itertext()), None)
        if state is None and leaves.whole("attached_gpus", "", "attached_gpus") == 0:
            state = "no_devices"
    return SmiReading(
        state=state or ("ok" if gpus else "unreadable"),
        text=line if state else "",
        schema=f"v{schema[1]}" if schema else None,
        driver=leaves.word("driver", "driver_version", "kmd_version"),
        cuda=leaves.word("cuda", "cuda_version", "cuda_umd_version"),
        attached=leaves.whole("attached", "", "attached_gpus"),
        gpus=gpus,
        corrupt_inforoms=frozenset(
            normalise_bus_id(match[1].rstrip(".")) for match in _INFOROM.finditer(around[:10_000])
        ),
    )


def gpu_facts(gpu: Gpu) -> dict[str, Any]:
    """A card as plain data for a report."""
    return {
        **vars(gpu),
        "processes": [vars(process) for process in gpu.processes],
        "mig_devices": [vars(device) for device in gpu.mig_devices],
    }
