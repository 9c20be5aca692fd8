"""What the last `up` left on a VM, so that the next one can see that nothing is to be done without starting Ansible.

Only a shortcut: whatever is not exactly as recorded, or could not be asked, is left to the playbook.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.atomic_file import replace_file
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import session_dir
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.client import EngineSilent
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.name import firewall_label

from .. import __version__
from ..api import LinodeReader
from ..playbook.paths import playbook
from .api_key import kept_key
from .port_owner import TunnelClient
from .tunnel import open_tunnel, ssh_command

# Read in one round trip: the files that the roles write, and which boot this is.
_QUESTION = (
    "sha256sum /opt/linode-coder/vllm/* /proc/sys/kernel/random/boot_id"
    " && stat -c '%n %a %U' /opt/linode-coder/vllm /opt/linode-coder/vllm/*"
)
# Of a session's view: what stays the same while nobody changes anything.
_STABLE = (
    "linode_id",
    "generation",
    "plan",
    "region",
    "image",
    "address",
    "model",
    "hard_cap",
    "host_keys",
)


def _record(name: str) -> Path:
    return session_dir(name) / "applied.json"


def _content() -> str:
    """Which playbook and roles would run."""
    path, _environment = playbook("up")
    digest = hashlib.sha256(__version__.encode())
    for file in [path, *sorted(path.parents[1].glob("roles/*/*/*"))]:
        if file.is_file():
            digest.update(str(file).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _on_vm(view: dict[str, Any]) -> str | None:
    # Not through the open tunnel: its host key was checked when it was opened, and may be another one by now.
    command = ssh_command(view, "-o", "ControlPath=none", "-o", "BatchMode=yes")
    done = subprocess.run([*command, _QUESTION], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    return done.stdout if done.returncode == 0 else None


def _serves(name: str) -> bool:
    """Whether the engine is well and takes the key that this machine has."""
    client = TunnelClient(name, kept_key(name))
    try:
        return client.healthy() and bool(client.served())
    except EngineSilent:
        return False


def _state(view: dict[str, Any], reader: LinodeReader) -> dict[str, Any] | None:
    """All that is compared; None when any of it could not be learned."""
    walls = reader.list(f"linode/instances/{view['linode_id']}/firewalls")
    rules = [
        wall["rules"] for wall in walls if wall["label"] == firewall_label(view["name"]) and wall["status"] == "enabled"
    ]
    files = _on_vm(view)
    if len(rules) != 1 or files is None:
        return None
    return {"content": _content(), "view": {key: view[key] for key in _STABLE}, "rules": rules[0], "files": files}


def remember(view: dict[str, Any], reader: LinodeReader, data: dict[str, Any]) -> None:
    """After a successful `up`: record how everything is. Without the answers there is no shortcut next time."""
    path = _record(view["name"])
    path.unlink(missing_ok=True)
    try:
        state = _state(view, reader)
    except (Failure, OSError, subprocess.SubprocessError):
        return
    if state is None:
        return
    kept = {key: data.get(key) for key in ("api_key_file", "max_model_len", "changed_flags", "webui_port")}
    replace_file(path, json.dumps({"state": state, "data": kept}))


def unchanged(view: dict[str, Any], reader: LinodeReader) -> tuple[dict[str, Any], int] | None:
    """What to report and the tunnel's port when all is as recorded and the engine answers with our key; else None."""
    try:
        recorded = json.loads(_record(view["name"]).read_text())
        if view["status"] != "running" or not view["complete"]:
            return None
        port = open_tunnel(view)
        name = view["name"]
        if not _serves(name) or _state(view, reader) != recorded["state"]:
            return None
    except (Failure, OSError, ValueError, KeyError, TypeError, subprocess.SubprocessError):
        return None
    return dict(recorded["data"]), port
