# SPDX-License-Identifier: GPL-3.0-or-later
"""The Compose file as it is written on a VM: what its containers may not do, and that the sandbox takes it as Docker does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment, StrictUndefined

from linode_coder.sandbox.guest.docker.compose import ComposeError, confinement

ROLE = Path(__file__).parents[3] / "roles" / "vllm"


def rendered(**variables: Any) -> str:
    values = {
        **{"ansible_managed": "ours", "vllm_directory": "/opt/linode-coder/vllm", "vllm_port": 8000},
        **{"vllm_models_directory": "/var/lib/models", "vllm_cache_directory": "/var/lib/cache"},
        **{"vllm_engine_image": {"reference": "vllm/vllm-openai:v1@sha256:0"}, "vllm_gpu_device": "nvidia.com/gpu=all"},
        **{"vllm_proxy_image": "nginx:1", "vllm_open_webui_image": "webui:1", "vllm_open_webui_wanted": True},
        **{"vllm_open_webui_directory": "/var/lib/webui", "vllm_open_webui_port": 8080},
        "vllm_images": {name: {"reference": name} for name in ("nginx:1", "webui:1")},
    }
    text = (ROLE / "templates" / "compose.yaml.j2").read_text()
    environment = Environment(trim_blocks=True, undefined=StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(text).render({**values, **variables})


def services(**variables: Any) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(rendered(**variables))["services"]
    return found


def test_no_container_keeps_a_capability_or_gains_a_privilege() -> None:
    found = services()
    assert set(found) == {"vllm", "proxy", "open-webui"}
    for name, service in found.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "devices", "pid", "userns_mode"} & set(service), name
        # What nginx needs to make its worker another user, and nothing that reaches files, networks or the host.
        assert set(service.get("cap_add", [])) <= ({"CHOWN", "SETGID", "SETUID"} if name == "proxy" else set()), name


def test_the_proxy_writes_nowhere_and_takes_only_so_much() -> None:
    proxy = services()["proxy"]
    assert proxy["read_only"] is True
    assert [mount.partition(":")[0] for mount in proxy["tmpfs"]] == ["/tmp"]
    assert all("size=" in mount for mount in proxy["tmpfs"])
    assert all(volume.endswith(":ro") for volume in proxy["volumes"])
    assert proxy["mem_limit"] == "512m" and proxy["pids_limit"] == 64 and proxy["cpus"] == 1


def test_only_the_engine_shares_memory_with_the_vm() -> None:
    found = services()
    assert found["vllm"]["ipc"] == "host"
    assert all("ipc" not in found[name] for name in ("proxy", "open-webui"))


def test_nginx_has_no_path_outside_of_what_it_may_write() -> None:
    text = (ROLE / "templates" / "nginx.conf.j2").read_text()
    written = [line.split()[1].rstrip(";") for line in text.splitlines() if "_temp_path" in line or "pid " in line[:4]]
    assert len(written) == 6 and all(path.startswith("/tmp/") for path in written)


def test_the_sandbox_shows_a_container_as_confined_as_docker_would() -> None:
    assert confinement("proxy", yaml.safe_load(rendered())["services"]["proxy"]) == {
        **{"CapAdd": ["CHOWN", "SETGID", "SETUID"], "CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges:true"]},
        **{"ReadonlyRootfs": True, "Tmpfs": {"/tmp": "size=128m"}, "Memory": 512 * 1024**2},
        **{"NanoCpus": 1_000_000_000, "PidsLimit": 64},
    }


@pytest.mark.parametrize("wrong", ["cap_drop: ALL", "read_only: sometimes", "mem_limit: much", "security_opt: {a: b}"])
def test_the_sandbox_refuses_what_compose_would(wrong: str) -> None:
    with pytest.raises(ComposeError, match=r"^services\.one\."):
        confinement("one", yaml.safe_load(f"{{image: x, {wrong}}}"))
