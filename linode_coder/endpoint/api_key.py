"""The API key of a session, as this machine keeps it or its VM has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.atomic_file import replace_file
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import api_key_path
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.ssh_refusal import key_refused, unknown_key
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine import api_key as key_file
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.api_key import SECRETS_FILE, key_of

from ..terminal.escapes import last_line
from .tunnel import bounded, ssh_command


def kept_key(name: str) -> str | None:
    """The key that this machine has; None when it has none, or a file that is damaged."""
    return key_file.kept_key(api_key_path(name))


def api_key(view: dict[str, Any]) -> str:
    """The session's key; fetched from the VM, and kept, when this machine does not have it."""
    name = view["name"]
    known = kept_key(name)
    if known is not None:
        return known
    done = bounded(name, [*ssh_command(view), f"cat {SECRETS_FILE}"], capture_output=True)
    if done.returncode == 255 and key_refused(done.stderr):
        raise unknown_key(name, last_line(done.stderr))
    if done.returncode:
        raise Failure(
            "unreachable",
            f"The API key of session {name!r} could not be read from its VM.",
            cause=last_line(done.stderr) or None,
            remedy=f"Verify and repair it: linode-coder up {name}",
        )
    key = key_of(done.stdout)
    if key is None:
        raise Failure(
            "unhealthy",
            f"The API key on the VM of session {name!r} is empty.",
            remedy=f"Make a new one: linode-coder ssh {name} -- rm {SECRETS_FILE}, then linode-coder up {name} --converge",
        )
    path = api_key_path(name)
    try:
        replace_file(path, key + "\n", parents=True)
    except OSError as error:
        raise Failure(
            "config",
            f"The API key of session {name!r} cannot be kept in {path}.",
            cause=error.strerror,
            remedy="Make room there, or name a home that can be written: export LINODE_CODER_HOME=DIRECTORY",
        ) from error
    return key


def api_key_file(view: dict[str, Any]) -> Path:
    """The file with the session's key, for whoever reads it."""
    api_key(view)
    return api_key_path(view["name"])
