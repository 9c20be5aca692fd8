"""What this machine keeps of a session, and how it goes when the VM is gone."""

from __future__ import annotations

import shutil
from pathlib import Path

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import session_dir

from ..local.unrecorded import recorded

# Of a VM that is gone. What else is in the session's directory, like its port, stays the session's.
OF_THE_VM = ("api_key", "applied.json")


def agents_dir(name: str) -> Path:
    """For what `launch` writes for agents, some of it with the key; it goes with the VM."""
    return session_dir(name) / "agents"


def forget_vm(name: str) -> bool:
    """Close the tunnel and remove the VM's key and record; whether there was a tunnel."""
    from .tunnel import close

    was_open = False
    with recorded():
        was_open = close(name)
    for leftover in OF_THE_VM:
        with recorded():
            (session_dir(name) / leftover).unlink(missing_ok=True)
    with recorded():
        if agents_dir(name).exists():
            shutil.rmtree(agents_dir(name))
    return was_open
