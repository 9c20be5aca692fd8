"""Why an ssh that the person watched ended with 255: it has said so on standard error, which was not ours to read."""

from __future__ import annotations

import subprocess
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.ssh_refusal import key_refused, unknown_key

from .tunnel import NOT_LET_IN, ssh_command


def _says(view: dict[str, Any]) -> str:
    """What ssh says when it is asked for nothing."""
    options = ("-o", "BatchMode=yes", "-o", "ControlPath=none", "-o", "ConnectTimeout=10")
    try:
        done = subprocess.run(
            [*ssh_command(view, *options), "true"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=20,
        )
    except subprocess.TimeoutExpired:
        return "no answer within 20 s"
    return done.stderr if done.returncode == 255 else ""


def ssh_failure(view: dict[str, Any]) -> Failure:
    """Another host key, a key of ours that it does not know, or out of reach."""
    name = view["name"]
    said = _says(view)
    if key_refused(said):
        return unknown_key(name)
    wrong_key = "host key verification failed" in said.lower()
    return Failure(
        "host_key" if wrong_key else "unreachable",
        f"The VM of session {name!r} presents another host key than it was made with."
        if wrong_key
        else f"The VM of session {name!r} could not be reached over SSH.",
        remedy=f"Verify and repair it: linode-coder up {name}" if wrong_key else NOT_LET_IN.format(name=name),
    )
