# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of a VM and the digests that they are held to: the one that is asked for, else the one that the first pull brought."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from . import state as engine_state


@dataclass(frozen=True)
class HeldImage:
    """``reference`` is how a Compose file names it; without a digest while none is known."""

    reference: str
    present: bool
    digest: str | None
    # What the registry called the image that is there; None for one that came from no registry.
    found: str | None = None


def held_digest(state_file: str, name: str, digest: str | None) -> str | None:
    return digest or engine_state.load(state_file)["images"].get(name)


def _loaded(module: AnsibleModule, docker: str, name: str, digest: str | None, state_file: str) -> bool:
    """Whether the image is the one that was loaded from a verified archive of this digest: Docker may know no digest of it then."""
    known = engine_state.load(state_file)["loaded"].get(name)
    if not isinstance(known, dict) or known.get("digest") != digest:
        return False
    code, out, _err = module.run_command([docker, "image", "inspect", name])
    return bool(code == 0 and json.loads(out)[0].get("Id") == known.get("id"))


def look(module: AnsibleModule, docker: str, name: str, digest: str | None, state_file: str) -> HeldImage:
    reference = f"{name}@{digest}" if digest else name
    code, out, _err = module.run_command([docker, "image", "inspect", reference])
    if code:
        if digest and _loaded(module, docker, name, digest, state_file):
            return HeldImage(name, True, digest)
        return HeldImage(reference, False, digest)
    digests: list[Any] = json.loads(out)[0].get("RepoDigests") or []
    return HeldImage(reference, True, digest, digests[0].partition("@")[2] if digests else None)
