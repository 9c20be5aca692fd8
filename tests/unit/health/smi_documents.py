# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents of nvidia-smi as its schemas have had them, written from the names of their elements."""

from __future__ import annotations

from typing import Any

Tree = dict[str, Any]


def render(tree: Tree, indent: str = "\t") -> str:
    """Elements of a tree; a list repeats its element, a text is a leaf."""
    lines = []
    for name, value in tree.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                lines.append(f"{indent}<{name}>\n{render(item, indent + chr(9))}{indent}</{name}>\n")
            else:
                lines.append(f"{indent}<{name}>{item}</{name}>\n")
    return "".join(lines)


def document(schema: str | None, driver: str, gpus: list[tuple[str, Tree]], **more: str) -> str:
    doctype = f'<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_{schema}.dtd">\n' if schema else ""
    head = {"timestamp": "Tue Nov 24 10:00:00 2026", "driver_version": driver, **more, "attached_gpus": str(len(gpus))}
    cards = "".join(f'\t<gpu id="{bus}">\n{render(card, chr(9) * 2)}\t</gpu>\n' for bus, card in gpus)
    return f'<?xml version="1.0" ?>\n{doctype}<nvidia_smi_log>\n{render(head)}{cards}</nvidia_smi_log>\n'


def _common(bus: str, name: str, uuid: str) -> Tree:
    return {
        "product_name": name,
        "product_brand": "NVIDIA RTX",
        "persistence_mode": "Enabled",
        "serial": "1320000000001",
        "uuid": uuid,
        "minor_number": "0",
        "vbios_version": "95.04.5A.00.02",
        "pci": {
            "pci_bus_id": bus,
            "pci_gpu_link_info": {
                "pcie_gen": {"max_link_gen": "4", "current_link_gen": "4"},
                "link_widths": {"max_link_width": "16x", "current_link_width": "8x"},
            },
            "replay_counter": "0",
        },
        "performance_state": "P0",
        "fb_memory_usage": {"total": "20475 MiB", "used": "11 MiB", "free": "20464 MiB"},
        "compute_mode": "Default",
        "utilization": {"gpu_util": "7 %", "memory_util": "1 %"},
    }


_BUS = "00000000:00:02.0"
_UUID = "GPU-6ba7b810-9dad-11d1-80b4-00c04fd430c8"


def _reasons(prefix: str, active: tuple[str, ...] = ()) -> Tree:
    names = ("gpu_idle", "sw_power_cap", "hw_slowdown", "hw_thermal_slowdown", "hw_power_brake_slowdown", "sync_boost")
    return {f"{prefix}_{name}": "Active" if name in active else "Not Active" for name in names}


def v9() -> str:
    bits = {"device_memory": "0", "register_file": "N/A", "total": "3"}
    card = {
        **_common(_BUS, "Tesla P40", _UUID),
        "clocks_throttle_reasons": _reasons("clocks_throttle_reason"),
        "ecc_mode": {"current_ecc": "Enabled", "pending_ecc": "Enabled"},
        "ecc_errors": {
            "volatile": {"single_bit": {**bits, "total": "5"}, "double_bit": bits},
            "aggregate": {"single_bit": bits, "double_bit": {**bits, "total": "4"}},
        },
        "retired_pages": {
            "multiple_single_bit_retirement": {"retired_count": "1"},
            "double_bit_retirement": {"retired_count": "16"},
            "pending_retirement": "No",
        },
        "temperature": {"gpu_temp": "88 C", "gpu_temp_max_threshold": "95 C", "gpu_temp_slow_threshold": "92 C"},
        "power_readings": {"power_state": "P0", "power_draw": "119.47 W", "enforced_power_limit": "250.00 W"},
        "processes": {
            "process_info": [
                {"pid": "1357", "type": "C", "process_name": "VLLM::EngineCore", "used_memory": "99 MiB"},
                {"pid": "2384", "type": "G", "process_name": "/usr/lib/xorg/Xorg", "used_memory": "N/A"},
            ]
        },
    }
    return document("v9", "384.111", [(_BUS, card)])


def v11_turing() -> str:
    errors = {"sram_correctable": "0", "sram_uncorrectable": "0", "dram_correctable": "1", "dram_uncorrectable": "2"}
    card = {
        **_common(_BUS, "Quadro RTX 6000", _UUID),
        "product_architecture": "Turing",
        "mig_mode": {"current_mig": "N/A", "pending_mig": "N/A"},
        "clocks_throttle_reasons": _reasons("clocks_throttle_reason", ("hw_power_brake_slowdown",)),
        "ecc_mode": {"current_ecc": "Enabled", "pending_ecc": "Disabled"},
        "ecc_errors": {"volatile": errors, "aggregate": errors},
        "retired_pages": {
            "multiple_single_bit_retirement": {"retired_count": "0"},
            "double_bit_retirement": {"retired_count": "2"},
            "pending_blacklist": "Yes",
        },
        "remapped_rows": "N/A",
        "temperature": {"gpu_temp": "60 C", "gpu_temp_max_threshold": "94 C", "gpu_temp_slow_threshold": "91 C"},
        "power_readings": {"power_draw": "N/A", "power_limit": "260.00 W"},
    }
    return document("v11", "515.105.01", [(_BUS, card)], cuda_version="11.7")


def v12_ampere() -> str:
    errors = {"sram_correctable": "0", "sram_uncorrectable": "0", "dram_correctable": "0", "dram_uncorrectable": "0"}
    card = {
        **_common(_BUS, "NVIDIA A100-SXM4-80GB", _UUID),
        "mig_mode": {"current_mig": "Enabled", "pending_mig": "Enabled"},
        "mig_devices": {
            "mig_device": [
                {
                    "index": str(index),
                    "gpu_instance_id": str(index + 3),
                    "compute_instance_id": "0",
                    "fb_memory_usage": {"total": "19968 MiB", "used": "12 MiB"},
                }
                for index in range(2)
            ]
        },
        "gpu_reset_status": {"reset_required": "Yes", "drain_and_reset_recommended": "N/A"},
        "clocks_event_reasons": _reasons("clocks_event_reason"),
        "utilization": {"gpu_util": "N/A", "memory_util": "N/A"},
        "ecc_mode": {"current_ecc": "Enabled", "pending_ecc": "Enabled"},
        "ecc_errors": {"volatile": errors, "aggregate": errors},
        "remapped_rows": {
            "remapped_row_corr": "0",
            "remapped_row_unc": "1",
            "remapped_row_pending": "Yes",
            "remapped_row_failure": "No",
        },
        "temperature": {"gpu_temp": "27 C", "gpu_temp_tlimit": "N/A", "gpu_temp_slow_threshold": "89 C"},
        "gpu_power_readings": {"power_draw": "67.03 W", "current_power_limit": "500.00 W"},
    }
    return document("v12", "535.54.03", [(_BUS, card)], cuda_version="12.2")


def v13_blackwell(gpus: int = 1) -> str:
    """Two cards and more are listed from the last one to the first."""
    zero = {
        "sram_correctable": "0",
        "sram_uncorrectable_parity": "0",
        "sram_uncorrectable_secded": "0",
        "dram_correctable": "0",
        "dram_uncorrectable": "0",
    }
    cards = []
    for index in reversed(range(gpus)):
        bus = f"00000000:00:{2 + index:02X}.0"
        cards.append(
            (
                bus,
                {
                    **_common(bus, "NVIDIA RTX PRO 6000 Blackwell Server Edition", f"{_UUID[:-1]}{index}"),
                    "minor_number": str(index),
                    "display_mode": "Requested functionality has been deprecated",
                    "gpu_virtualization_mode": {"virtualization_mode": "Pass-Through"},
                    "gpu_recovery_action": "None",
                    "clocks_event_reasons": _reasons("clocks_event_reason", ("gpu_idle",)),
                    "clocks_event_reasons_counters": {"clocks_event_reasons_counters_hw_therm_slowdown": "0 us"},
                    "ecc_mode": {"current_ecc": "Enabled", "pending_ecc": "Enabled"},
                    "ecc_errors": {
                        "volatile": zero,
                        "aggregate": {**zero, "sram_threshold_exceeded": "No"},
                        "channel_repair_pending": "No",
                        "tpc_repair_pending": "No",
                    },
                    "retired_pages": {"double_bit_retirement": {"retired_count": "N/A"}, "pending_retirement": "N/A"},
                    "remapped_rows": {
                        "remapped_row_corr": "0",
                        "remapped_row_unc": "0",
                        "remapped_row_pending": "No",
                        "remapped_row_failure": "No",
                    },
                    "temperature": {
                        "gpu_temp": "36 C",
                        "gpu_temp_tlimit": "52 C",
                        "gpu_temp_slow_tlimit_threshold": "-2 C",
                        "memory_temp": "N/A",
                    },
                    "gpu_power_readings": {
                        "average_power_draw": "61.10 W",
                        "instant_power_draw": "61.27 W",
                        "current_power_limit": "600.00 W",
                    },
                    "power_smoothing": "Insufficient Permissions",
                    "fabric": {"state": "N/A"},
                },
            )
        )
    return document("v13", "580.95.05", cards, cuda_version="13.0")


def v13_with_new_names() -> str:
    """A driver after 595, which calls its version something else."""
    return v13_blackwell().replace("driver_version>", "kmd_version>").replace("580.95.05", "610.57.04")


def v10() -> str:
    """A card without ECC; the counters that it would have are there all the same."""
    none = {"device_memory": "N/A", "total": "N/A"}
    card = {
        **_common(_BUS, "GeForce RTX 2080 Ti", _UUID),
        "clocks_throttle_reasons": _reasons("clocks_throttle_reason"),
        "ecc_mode": {"current_ecc": "N/A", "pending_ecc": "N/A"},
        "ecc_errors": {era: {"single_bit": none, "double_bit": none} for era in ("volatile", "aggregate")},
        "retired_pages": {
            "multiple_single_bit_retirement": {"retired_count": "N/A"},
            "double_bit_retirement": {"retired_count": "N/A"},
            "pending_retirement": "N/A",
        },
        "temperature": {"gpu_temp": "24 C", "gpu_temp_max_threshold": "94 C", "gpu_temp_slow_threshold": "91 C"},
        "power_readings": {"power_state": "P8", "power_draw": "2.12 W", "power_limit": "250.00 W"},
    }
    return document("v10", "418.43", [(_BUS, {**card, "performance_state": "P8"})], cuda_version="10.1")


def without_type() -> str:
    """Some drivers name no schema."""
    return v10().replace('<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v10.dtd">\n', "")


def v12_before_renames() -> str:
    """Driver 525: the schema of the renamed elements with their old names."""
    text = v12_ampere().replace("535.54.03", "525.147.05").replace("clocks_event_reason", "clocks_throttle_reason")
    text = text.replace("gpu_power_readings", "power_readings").replace("current_power_limit", "enforced_power_limit")
    start, end = text.index("<gpu_reset_status>"), text.index("</gpu_reset_status>") + len("</gpu_reset_status>")
    return text[:start].rstrip() + text[end:]


def v12_with_recovery() -> str:
    """Driver 570: the recovery action is there, and what said it before is deprecated but not gone."""
    old = "<sram_uncorrectable>0</sram_uncorrectable>"
    split = "<sram_uncorrectable_parity>0</sram_uncorrectable_parity><sram_uncorrectable_secded>1</sram_uncorrectable_secded>"
    text = (
        v12_ampere().replace("535.54.03", "570.148.08").replace(old, split, 1).replace(old, split.replace(">1<", ">0<"))
    )
    text = text.replace("reset_required>Yes<", "reset_required>Requested functionality has been deprecated<")
    text = text.replace("</aggregate>", "<sram_threshold_exceeded>Yes</sram_threshold_exceeded></aggregate>")
    draws = "<average_power_draw>N/A</average_power_draw><instant_power_draw>49.68 W</instant_power_draw>"
    text = text.replace("<power_draw>67.03 W</power_draw>", draws)
    return text.replace("<gpu_reset_status>", "<gpu_recovery_action>Reset</gpu_recovery_action><gpu_reset_status>")


def v13_with_inactive_rows() -> str:
    """Driver 595 on a card whose thresholds are temperatures."""
    text = v13_blackwell().replace("580.95.05", "595.91.07").replace("gpu_temp_tlimit>52 C", "gpu_temp_tlimit>N/A")
    text = text.replace("gpu_temp_slow_tlimit_threshold", "gpu_temp_slow_threshold").replace(">-2 C<", ">93 C<")
    more = "<remapped_row_corr_inactive>3</remapped_row_corr_inactive><remapped_row_corr>"
    return text.replace("<remapped_row_corr>", more)


ALL = {
    "v9": v9(),
    "v10": v10(),
    "untyped": without_type(),
    "v11": v11_turing(),
    "v12-525": v12_before_renames(),
    "v12": v12_ampere(),
    "v12-570": v12_with_recovery(),
    "v13": v13_blackwell(2),
    "v13-595": v13_with_inactive_rows(),
    "v13-610": v13_with_new_names(),
}
