#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: linode_warm_volume
short_description: Make, attach, mark and delete the volume that a model starts warm from
version_added: 0.1.0
description:
  - One Block Storage volume for each model and region. Its label is the same for everybody, so a create is never repeated blindly.
    After an answer that says nothing the volume is looked up by its label and adopted.
  - Tags are part of the create call. A volume with this label that is not ours is never touched, and one that another VM has is left
    to it.
  - It bills from its creation until it is deleted, whether a VM has it or not. Nothing but O(state=absent) deletes it.
extends_documentation_fragment:
  - linode_coder.gpu.linode
  - linode_coder.gpu.linode.attributes
  - linode_coder.gpu.budget
options:
  state:
    description:
      - V(attached) attaches the volume to a VM, and with O(create) makes it when there is none.
      - V(recorded) notes that it is whole, with the digest of the list of what it holds.
      - V(absent) deletes it, unless a VM has it.
    type: str
    choices: [attached, recorded, absent]
    default: attached
  name:
    description: Label of the volume, for O(state=absent).
    type: str
  model:
    description: Id of the model.
    type: str
  region:
    description: Region of the VM.
    type: str
  linode_id:
    description: Id of the VM.
    type: int
  attach:
    description: Whether to attach a volume that no VM has. Without it O(state=attached) only says whether this VM has it.
    type: bool
    default: true
  create:
    description: Whether to make the volume when there is none.
    type: bool
    default: false
  size_gb:
    description: Size of a new volume.
    type: int
  owner:
    description: Who makes it.
    type: str
    default: unknown
  digest:
    description: Digest of the list of what the volume holds, as M(linode_coder.gpu.warm_store) says it.
    type: str
  wait_timeout:
    description: Seconds to wait until the volume is ready or gone.
    type: int
    default: 120
"""

EXAMPLES = r"""
- name: Start warm from the volume of this model, if there is one
  linode_coder.gpu.linode_warm_volume:
    model: Qwen/Qwen2.5-Coder-7B-Instruct-AWQ
    region: "{{ created.instance.region }}"
    linode_id: "{{ created.instance.linode_id }}"
  register: warm

- name: Delete it
  linode_coder.gpu.linode_warm_volume:
    state: absent
    name: lc-warm-qwen2-5-coder-v012345678
"""

RETURN = r"""
outcome:
  description:
    - V(attached), or why it is not - V(missing), V(busy) when another VM has it, V(foreign) when it is not ours. V(recorded) and
      V(absent) otherwise.
  returned: success
  type: str
  sample: attached
sentence:
  description: What a person should know. Null when there is nothing to say.
  returned: success
  type: str
  sample: null
volume:
  description: The volume, or null when there is none of ours.
  returned: success
  type: dict
  sample: {"name": "lc-warm-qwen2-5-coder-v012345678", "size_gb": 70, "monthly": 7.0, "last_used": "2026-11-30T10:00:00Z"}
device:
  description: Path of its block device on the VM.
  returned: success
  type: str
  sample: /dev/disk/by-id/scsi-0Linode_Volume_lc-warm-qwen2-5-coder-v012345678
digest:
  description: Digest of the list of what it holds, empty when it was never whole.
  returned: success
  type: str
  sample: 0f1e2d3c4b5a69788796a5b4c3d2e1f001234567
actions:
  description: What was done, in words.
  returned: success
  type: list
  elements: str
  sample: ["made lc-warm-qwen2-5-coder-v012345678"]
budget:
  description: What the month's budget says of a new volume. Null without a budget.
  returned: success
  type: dict
  sample: null
"""

import re
import time
from typing import Any

from ..module_utils.core.failure import Failure
from ..module_utils.core.local_module import Call
from ..module_utils.core.retry import pause_s
from ..module_utils.linode.client import LinodeApi
from ..module_utils.linode.module import api_module
from ..module_utils.offer.budget_look import BUDGET_SPEC, budget_of
from ..module_utils.offer.warm import gb_month, may_encrypt, may_hold, volume_budget
from ..module_utils.session.tags import owner_slug
from ..module_utils.session.warm_volume import (
    Looked,
    WarmVolume,
    changed_tags,
    is_warm,
    look_for,
    warm_label,
    warm_tags,
    warm_volume,
)

# Seconds after an unclear create during which the volume may still appear in lists.
SETTLE_S = (0.5, 1, 2, 4)
_TOO_LATE = "This VM has weights of its own already, so nothing is kept warm: end the session, and bring it up again with keep_warm."
_SHOWN = ("name", "model", "region", "size_gb", "monthly", "encrypted")


class Warm:
    def __init__(self, module: Call, api: LinodeApi, result: dict[str, Any]) -> None:
        self.module, self.params, self.api, self.result = module, module.params, api, result
        self.deadline = time.monotonic() + module.params["wait_timeout"]
        result.update(actions=[], sentence=None, volume=None, device=None, digest="", budget=None)
        self.label: str = module.params["name"] or warm_label(module.params["model"], module.params["region"])

    def rows(self) -> list[dict[str, Any]]:
        return [row for row in self.api.list("volumes", {"label": self.label}) if row["label"] == self.label]

    def look(self) -> Looked:
        params = self.params
        return look_for(self.rows(), params["model"], params["region"], params["linode_id"])

    def describe(self, volume: WarmVolume | None, outcome: str, sentence: str | None = None) -> None:
        self.result.update(outcome=outcome, sentence=sentence)
        if volume is not None:
            self.result.update(volume=volume.as_dict(), device=volume.device, digest=volume.digest or "")

    # -- attached

    def attached(self) -> None:
        looked = self.look()
        if looked.state == "missing" and self.params["create"] and self.params["attach"]:
            looked = self.create()
        elif looked.state == "free" and looked.volume and self.params["attach"]:
            looked = self.attach(looked.volume)
        if looked.state == "attached" and looked.volume and not self.module.check_mode:
            looked = Looked("attached", self.use(self.wait_ready(looked.volume)))
        elif looked.state == "missing" and self.params["create"] and not self.params["attach"]:
            looked = Looked("missing", sentence=_TOO_LATE)
        self.describe(looked.volume, looked.state, looked.sentence)

    def create(self) -> Looked:
        """A new one, in the create call attached to the VM. After an unclear answer it is looked up; it is never asked for twice."""
        params = self.params
        region = self.api.get(f"regions/{params['region']}")
        if not may_hold(region):
            return Looked(
                "missing", None, f"The region {params['region']} has no Block Storage, so nothing is kept warm."
            )
        if not params["size_gb"]:
            raise Failure("usage", "size_gb is needed to make a volume.", field="size_gb")
        price = gb_month(self.api.list("volumes/types"), params["region"])
        limit, records = budget_of(params)
        if limit is not None:
            self.result["budget"] = volume_budget(
                self.api, int(time.time()), limit, records, price * params["size_gb"], f"the warm volume {self.label}"
            )
        body = {
            "label": self.label,
            "size": params["size_gb"],
            "linode_id": params["linode_id"],
            "encryption": "enabled" if may_encrypt(region) else "disabled",
            "tags": warm_tags(params["model"], owner_slug(params["owner"]), price, int(time.time())),
        }
        shown = {**body, "region": params["region"], "monthly": round(price * params["size_gb"], 4)}
        self.result.update(changed=True, diff={"before": {}, "after": shown, "after_header": self.label})
        if self.module.check_mode:
            return Looked("missing")
        try:
            row = self.api.when_free(lambda: self.api.post("volumes", body))
        except Failure as failure:
            if failure.kind in ("ambiguous", "conflict") or failure.field == "label":
                found = self.adopt(failure)
                if found.state != "missing":
                    return self.attach(found.volume) if found.state == "free" and found.volume else found
            raise
        self.result["actions"].append(f"made {self.label}")
        return look_for([row], params["model"], params["region"], params["linode_id"])

    def adopt(self, failure: Failure) -> Looked:
        """What an unclear create left behind."""
        for pause in SETTLE_S:
            time.sleep(pause_s(pause))
            try:
                looked = self.look()
            except Failure as lookup:
                raise Failure(
                    "ambiguous",
                    f"Whether the volume {self.label} was made is not known, and looking it up failed as well.",
                    cause=f"{failure.cause}; then {lookup.cause}",
                    remedy="See: linode-coder warm list",
                    billing=[f"Volume {self.label} may exist and bill; delete it: linode-coder warm drop {self.label}"],
                ) from lookup
            if looked.state != "missing":
                self.result["actions"].append(f"adopted {self.label} after: {failure.cause}")
                return looked
        return Looked("missing")

    def attach(self, volume: WarmVolume) -> Looked:
        """To the VM. Two sessions may ask at once: who has it is what the API says afterwards."""
        after = {"attached_to": self.params["linode_id"]}
        self.result.update(changed=True, diff={"before": {"attached_to": None}, "after": after})
        if self.module.check_mode:
            return Looked("free", volume)
        self.wait_ready(volume)
        refused: Failure | None = None
        try:
            self.api.when_free(
                lambda: self.api.post(f"volumes/{volume.id}/attach", {"linode_id": self.params["linode_id"]})
            )
        except Failure as failure:
            refused = failure
        looked = self.look()
        if looked.state == "attached":
            self.result["actions"].append(f"attached {self.label}")
        elif refused is not None and looked.state != "busy":
            raise refused
        return looked

    def wait_ready(self, volume: WarmVolume) -> WarmVolume:
        while not volume.ready:
            if time.monotonic() > self.deadline:
                raise Failure(
                    "timeout",
                    f"The volume {self.label} is not ready.",
                    remedy="See: linode-coder warm list",
                    billing=[f"Volume {self.label} bills; delete it: linode-coder warm drop {self.label}"],
                )
            time.sleep(0.5)
            volume = warm_volume(self.api.get(f"volumes/{volume.id}"))
        return volume

    def use(self, volume: WarmVolume) -> WarmVolume:
        """Note the use, once an hour at most: a second run changes nothing."""
        now = int(time.time())
        if volume.used is not None and now - volume.used < 3600 and not self.result["changed"]:
            return volume
        return self.mark(volume, used=now)

    def mark(self, volume: WarmVolume, **values: int | str) -> WarmVolume:
        row = self.api.get(f"volumes/{volume.id}")
        return warm_volume(self.api.put(f"volumes/{volume.id}", {"tags": changed_tags(row["tags"], **values)}))

    # -- recorded

    def recorded(self) -> None:
        looked, digest = self.look(), self.params["digest"]
        if looked.state != "attached" or looked.volume is None:
            self.describe(looked.volume, looked.state, looked.sentence)
            return
        if not re.fullmatch("[0-9a-f]{40}", digest or ""):
            raise Failure("usage", "digest has to be 40 hexadecimal digits.", field="digest", value=digest)
        volume = looked.volume
        if volume.digest != digest or volume.filled is None:
            before = {"digest": volume.digest}
            self.result.update(changed=True, diff={"before": before, "after": {"digest": digest}})
            if not self.module.check_mode:
                now = int(time.time())
                volume = self.mark(volume, filled=now, used=now, sum=str(digest))
        self.describe(volume, "recorded")

    # -- absent

    def absent(self) -> None:
        rows = self.rows()
        if not rows:
            self.describe(None, "absent")
            return
        volume = warm_volume(rows[0])
        if not is_warm(rows[0]):
            raise Failure(
                "conflict",
                f"The volume {self.label} is not a warm volume of ours; it is left alone.",
                remedy="See those that are: linode-coder warm list",
                field="name",
                value=self.label,
            )
        if volume.linode_id is not None:
            raise Failure(
                "busy",
                f"The volume {self.label} is attached to {volume.linode_label or 'a VM'}.",
                remedy="End that session first (linode-coder list); its volume stays, and can be deleted then.",
                field="name",
                value=self.label,
            )
        shown = {name: value for name, value in volume.as_dict().items() if name in _SHOWN}
        self.result.update(changed=True, diff={"before": shown, "after": {}, "before_header": self.label})
        if not self.module.check_mode:
            self.delete(volume)
            self.result["actions"].append(f"deleted {self.label}")
        self.describe(volume, "absent")

    def delete(self, volume: WarmVolume) -> None:
        """Only a 404 counts as gone. A lost request is sent again: it names an id, which no other volume gets."""
        path = f"volumes/{volume.id}"
        while True:
            try:
                self.api.when_free(lambda: self.api.delete(path))
            except Failure as failure:
                if failure.kind not in ("ambiguous", "not_found"):
                    raise
            try:
                self.api.get(path)
            except Failure as failure:
                if failure.kind == "not_found":
                    return
                raise
            if time.monotonic() > self.deadline:
                raise Failure(
                    "timeout",
                    f"The volume {self.label} is still there although its deletion was asked for.",
                    remedy=f"Run again: linode-coder warm drop {self.label}",
                    billing=[f"Volume {self.label} still bills"],
                )
            time.sleep(0.5)


def work(module: Call, api: LinodeApi, result: dict[str, Any]) -> None:
    getattr(Warm(module, api, result), module.params["state"])()


MODULE = api_module(
    {
        "state": {"type": "str", "choices": ["attached", "recorded", "absent"], "default": "attached"},
        "name": {"type": "str"},
        "model": {"type": "str"},
        "region": {"type": "str"},
        "linode_id": {"type": "int"},
        "attach": {"type": "bool", "default": True},
        "create": {"type": "bool", "default": False},
        "size_gb": {"type": "int"},
        "owner": {"type": "str", "default": "unknown"},
        "digest": {"type": "str"},
        **BUDGET_SPEC,
        "wait_timeout": {"type": "int", "default": 120},
    },
    work,
    required_if=[
        ("state", "attached", ("model", "region", "linode_id")),
        ("state", "recorded", ("model", "region", "linode_id", "digest")),
        ("state", "absent", ("name",)),
    ],
)


def main() -> None:
    MODULE.main()


if __name__ == "__main__":
    main()
