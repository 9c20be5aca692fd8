"""`nvidia-smi -q -x` of driver 580 (schema v13) for one host's cards."""

from __future__ import annotations

import time

from ..json_types import Json

# What holds the clocks down, in the order of the document, with NVML's bits.
REASONS = {
    "gpu_idle": 0x1,
    "applications_clocks_setting": 0x2,
    "sw_power_cap": 0x4,
    "hw_slowdown": 0x8,
    "hw_thermal_slowdown": 0x40,
    "hw_power_brake_slowdown": 0x80,
    "sync_boost": 0x10,
    "sw_thermal_slowdown": 0x20,
    "display_clocks_setting": 0x100,
}
MAX_CLOCK = 3105
_COUNTERS = ("sw_power_cap", "sync_boost", "sw_therm_slowdown", "hw_therm_slowdown", "hw_power_brake")
# A card that fell off the bus answers with this text wherever a reading was.
_READINGS = (
    *("ecc_mode", "ecc_errors", "retired_pages", "remapped_rows", "temperature", "gpu_power_readings", "clocks"),
    *("utilization", "fb_memory_usage", "clocks_event_reasons", "performance_state", "gpu_recovery_action"),
)


# What a sick card does not answer, in this order.
_FAILING = (
    *(("utilization", "gpu_util"), ("temperature", "gpu_temp"), ("performance_state", ""), ("fan_speed", "")),
    ("clocks", "sm_clock"),
)


def _na(*names: str) -> Json:
    return dict.fromkeys(names, "N/A")


def render(tree: Json, indent: str) -> str:
    lines = []
    for name, value in tree.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict) and item:
                lines.append(f"{indent}<{name}>\n{render(item, indent + chr(9))}{indent}</{name}>\n")
            elif isinstance(item, dict):
                lines.append(f"{indent}<{name}>\n{indent}</{name}>\n")
            else:
                lines.append(f"{indent}<{name}>{item}</{name}>\n")
    return "".join(lines)


def _ecc(card: Json, aggregate: bool) -> Json:
    on = bool(card["ecc_on"])
    value = "0" if on else "N/A"
    counts = {
        "sram_correctable": value,
        "sram_uncorrectable_parity": value,
        "sram_uncorrectable_secded": value,
        "dram_correctable": str(card["ecc_corrected"]) if on else "N/A",
        "dram_uncorrectable": str(card["ecc"]) if on or card["ecc"] else "N/A",
    }
    if aggregate:
        counts["sram_threshold_exceeded"] = "Yes" if card["ecc_sram"] else "No" if on else "N/A"
    return counts


def _temperature(card: Json) -> Json:
    now = int(card["temperature"])
    if not card["tlimit"]:
        return {
            "gpu_temp": f"{now} C",
            "gpu_temp_tlimit": "N/A",
            "gpu_temp_max_threshold": "94 C",
            "gpu_temp_slow_threshold": "91 C",
            "gpu_temp_max_gpu_threshold": "89 C",
            "gpu_target_temperature": "N/A",
            **_na("memory_temp", "gpu_temp_max_mem_threshold"),
        }
    return {
        "gpu_temp": f"{now} C",
        "gpu_temp_tlimit": f"{88 - now} C",
        "gpu_temp_max_tlimit_threshold": "-5 C",
        "gpu_temp_slow_tlimit_threshold": "-2 C",
        "gpu_temp_max_gpu_tlimit_threshold": "0 C",
        **_na("gpu_target_temperature", "memory_temp", "gpu_temp_max_mem_tlimit_threshold"),
    }


def _mig(card: Json) -> Json:
    parts = card["mig_parts"]
    if parts is None:
        return {"mig_mode": _na("current_mig", "pending_mig"), "mig_devices": "None"}
    part = {
        "gpu_instance_id": "1",
        "compute_instance_id": "0",
        "fb_memory_usage": {"total": "9856 MiB", "used": "0 MiB"},
    }
    return {
        "mig_mode": {"current_mig": "Enabled", "pending_mig": "Enabled"},
        "mig_devices": {"mig_device": [{"index": str(index), **part} for index in range(parts)]} if parts else "None",
    }


def _remapped(card: Json) -> Json | str:
    if not card["remap"] or (not card["has_remap"] and card["remap"] == "none"):
        return "N/A"
    return {
        "remapped_row_corr": "0",
        "remapped_row_unc": "0" if card["remap"] == "none" else "1",
        "remapped_row_pending": "Yes" if card["remap"] == "pending" else "No",
        "remapped_row_failure": "Yes" if card["remap"] == "failure" else "No",
        "row_remapper_histogram": {
            "row_remapper_histogram_max": "512 bank(s)",
            **{f"row_remapper_histogram_{name}": "0 bank(s)" for name in ("high", "partial", "low", "none")},
        },
    }


def _retired(card: Json) -> Json:
    pages = {"retired_count": "N/A", "retired_pagelist": "N/A"}
    if card["has_remap"] and not card["retired"]:
        return {
            "multiple_single_bit_retirement": pages,
            "double_bit_retirement": pages,
            **_na("pending_blacklist", "pending_retirement"),
        }
    return {
        "multiple_single_bit_retirement": {"retired_count": "0", "retired_pagelist": {}},
        "double_bit_retirement": {"retired_count": str(card["retired"]), "retired_pagelist": {}},
        "pending_blacklist": "No",
        "pending_retirement": "No",
    }


def _card(card: Json, driver: str) -> Json:
    domain, bus, device = card["bus_id"].rpartition(".")[0].split(":")
    limit = f"{card['power_limit_w']}.00 W"
    ecc = "Enabled" if card["ecc_on"] else "Disabled"
    free = card["memory_mib"] - card["reserved_mib"] - card["used_mib"]
    tree = {
        "product_name": card["name"],
        "product_brand": card["brand"],
        "product_architecture": card["architecture"],
        "display_mode": "Requested functionality has been deprecated",
        "display_attached": "No",
        "display_active": "Disabled",
        "persistence_mode": "Enabled" if card["persistence"] else "Disabled",
        "addressing_mode": "None",
        **_mig(card),
        "accounting_mode": "Disabled",
        "accounting_mode_buffer_size": "4000",
        "driver_model": _na("current_dm", "pending_dm"),
        "serial": card["serial"],
        "uuid": card["uuid"],
        "pdi": "0x" + card["uuid"].replace("-", "")[3:19],
        "minor_number": str(card["index"]),
        "vbios_version": card["vbios"],
        "multigpu_board": "No",
        "board_id": hex(int(bus, 16) << 8 | int(device, 16)),
        **_na("board_part_number", "gpu_part_number", "gpu_fru_part_number"),
        "platformInfo": _na(
            *("chassis_serial_number", "slot_number", "tray_index", "host_id", "peer_type", "module_id"),
            "gpu_fabric_guid",
        ),
        "inforom_version": {
            "img_version": "G193.0200.00.02",
            "oem_object": "2.1",
            "ecc_object": "6.16",
            "pwr_object": "N/A",
        },
        "inforom_bbx_flush": _na("latest_timestamp", "latest_duration"),
        "gpu_operation_mode": _na("current_gom", "pending_gom"),
        "c2c_mode": "N/A",
        "gpu_virtualization_mode": {
            "virtualization_mode": "Pass-Through",
            **_na("host_vgpu_mode", "vgpu_heterogeneous_mode"),
        },
        "gpu_recovery_action": card["recovery"],
        "gsp_firmware_version": driver,
        "ibmnpu": _na("relaxed_ordering_mode"),
        "pci": {
            "pci_bus": bus,
            "pci_device": device,
            "pci_domain": domain[-4:],
            "pci_base_class": "3",
            "pci_sub_class": "2",
            "pci_device_id": card["device_id"],
            "pci_bus_id": card["bus_id"],
            "pci_sub_system_id": card["device_id"],
            "pci_gpu_link_info": {
                "pcie_gen": {
                    "max_link_gen": card["gen_max"],
                    "current_link_gen": card["gen"],
                    "device_current_link_gen": card["gen"],
                    "max_device_link_gen": card["gen_max"],
                    "max_host_link_gen": "N/A",
                },
                "link_widths": {"max_link_width": "16x", "current_link_width": f"{card['pcie_width']}x"},
            },
            "pci_bridge_chip": _na("bridge_chip_type", "bridge_chip_fw"),
            "replay_counter": "0",
            "replay_rollover_counter": "0",
            "tx_util": "0 KB/s",
            "rx_util": "0 KB/s",
            **_na("atomic_caps_outbound", "atomic_caps_inbound"),
        },
        "fan_speed": "30 %",
        "performance_state": card["pstate"],
        "clocks_event_reasons": {
            f"clocks_event_reason_{name}": "Active" if name in card["active"] else "Not Active" for name in REASONS
        },
        "clocks_event_reasons_counters": {f"clocks_event_reasons_counters_{name}": "0 us" for name in _COUNTERS},
        "sparse_operation_mode": "N/A",
        "fb_memory_usage": {
            "total": f"{card['memory_mib']} MiB",
            "reserved": f"{card['reserved_mib']} MiB",
            "used": f"{card['used_mib']} MiB",
            "free": f"{free} MiB",
        },
        "bar1_memory_usage": {"total": "32768 MiB", "used": "1 MiB", "free": "32767 MiB"},
        "cc_protected_memory_usage": {"total": "0 MiB", "used": "0 MiB", "free": "0 MiB"},
        "compute_mode": "Default",
        "utilization": {
            "gpu_util": f"{card['utilization']} %",
            "memory_util": f"{card['memory_utilization']} %",
            **dict.fromkeys(("encoder_util", "decoder_util", "jpeg_util", "ofa_util"), "0 %"),
        },
        "encoder_stats": dict.fromkeys(("session_count", "average_fps", "average_latency"), "0"),
        "fbc_stats": dict.fromkeys(("session_count", "average_fps", "average_latency"), "0"),
        "dram_encryption_mode": _na("current_dram_encryption", "pending_dram_encryption"),
        "ecc_mode": {"current_ecc": ecc, "pending_ecc": ecc},
        "ecc_errors": {
            "volatile": _ecc(card, False),
            "aggregate": _ecc(card, True),
            "aggregate_uncorrectable_sram_sources": dict.fromkeys(
                ("sram_l2", "sram_sm", "sram_microcontroller", "sram_pcie", "sram_other"),
                "0" if card["ecc_on"] else "N/A",
            ),
            **_na("channel_repair_pending", "tpc_repair_pending"),
        },
        "retired_pages": _retired(card),
        "remapped_rows": _remapped(card),
        "temperature": _temperature(card),
        "supported_gpu_target_temp": _na("gpu_target_temp_min", "gpu_target_temp_max"),
        "gpu_power_readings": {
            "power_state": card["pstate"],
            "average_power_draw": f"{card['power']}.00 W",
            "instant_power_draw": f"{card['power']}.00 W",
            "current_power_limit": limit,
            "requested_power_limit": limit,
            "default_power_limit": limit,
            "min_power_limit": "100.00 W",
            "max_power_limit": limit,
        },
        "gpu_memory_power_readings": _na("average_power_draw", "instant_power_draw"),
        "module_power_readings": {
            "power_state": card["pstate"],
            **_na(
                *("average_power_draw", "instant_power_draw", "current_power_limit", "requested_power_limit"),
                *("default_power_limit", "min_power_limit", "max_power_limit"),
            ),
        },
        "power_smoothing": "N/A",
        "power_profiles": _na("power_profile_requested_profiles", "power_profile_enforced_profiles"),
        "clocks": {
            "graphics_clock": f"{card['sm_clock']} MHz",
            "sm_clock": f"{card['sm_clock']} MHz",
            "mem_clock": "9001 MHz" if card["pstate"] == "P0" else "405 MHz",
            "video_clock": "1185 MHz",
        },
        "applications_clocks": dict.fromkeys(
            ("graphics_clock", "mem_clock"), "Requested functionality has been deprecated"
        ),
        "default_applications_clocks": dict.fromkeys(
            ("graphics_clock", "mem_clock"), "Requested functionality has been deprecated"
        ),
        "deferred_clocks": _na("mem_clock"),
        "max_clocks": {
            "graphics_clock": f"{MAX_CLOCK} MHz",
            "sm_clock": f"{MAX_CLOCK} MHz",
            "mem_clock": "9001 MHz",
            "video_clock": "2415 MHz",
        },
        "max_customer_boost_clocks": _na("graphics_clock"),
        "clock_policy": _na("auto_boost", "auto_boost_default"),
        "fabric": {
            **_na("state", "status", "cliqueId", "clusterUuid"),
            "health": _na(
                *("summary", "bandwidth", "route_recovery_in_progress", "route_unhealthy", "access_timeout_recovery"),
                "incorrect_configuration",
            ),
        },
        "supported_clocks": "N/A",
        "processes": {
            "process_info": [
                {
                    **_na("gpu_instance_id", "compute_instance_id"),
                    "pid": str(process["pid"]),
                    "type": "C",
                    "process_name": process["name"],
                    "used_memory": f"{process['used_mib']} MiB",
                }
                for process in card["processes"]
            ]
        },
        "accounted_processes": {},
        "capabilities": {"egm": "disabled"},
    }
    for block, name in _FAILING[: card["unread"]]:
        (tree[block] if name else tree)[name or block] = "Unknown Error"
    if card["broken"]:
        tree.update(dict.fromkeys(_READINGS, card["broken"]))
    return tree


def document(hardware: Json) -> str:
    cards = hardware["gpus"]
    head = {
        "timestamp": time.strftime("%a %b %d %H:%M:%S %Y"),
        "driver_version": hardware["driver"],
        "cuda_version": hardware["cuda"],
        "attached_gpus": str(len(cards)),
    }
    body = "".join(
        f'\t<gpu id="{card["bus_id"]}">\n{render(_card(card, hardware["driver"]), chr(9) * 2)}\t</gpu>\n'
        for card in cards
    )
    return (
        '<?xml version="1.0" ?>\n<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v13.dtd">\n'
        f"<nvidia_smi_log>\n{render(head, chr(9))}{body}</nvidia_smi_log>\n"
    )
