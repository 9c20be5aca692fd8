#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: linode_gpu_instance
short_description: Create, adopt, reboot and delete the GPU VM of a session
version_added: 0.1.0
description:
  - The label is the same for everybody who means this session, so a create is never repeated blindly. After an answer
    that says nothing the VM is looked up by its label and adopted.
  - Tags with lease and host key, firewall and user-data are part of the create call, so that a VM is bounded and
    findable from its first moment.
  - Only deletion followed by a 404 counts as gone.
extends_documentation_fragment:
  - linode_coder.gpu.linode
  - linode_coder.gpu.linode.attributes
options:
  session:
    description: Name of the session.
    type: str
    required: true
  state:
    description:
      - V(present) creates or adopts the VM and boots it, V(absent) deletes it, V(rebooted) reboots it through the API.
    type: str
    choices: [present, absent, rebooted]
    default: present
  generation:
    description: Generation of the session's VM.
    type: int
    default: 1
  offers:
    description: Places to try in this order, as O(linode_coder.gpu.linode_gpu_quote#module:plans) were priced.
    type: list
    elements: dict
    default: []
    suboptions:
      plan:
        description: Plan id.
        type: str
        required: true
      region:
        description: Region id.
        type: str
        required: true
      hourly:
        description: Dollars per hour.
        type: float
        required: true
  model:
    description: Id of the model that the session serves.
    type: str
  image:
    description: Image to deploy. The one with NVIDIA's driver when the account lists it, else plain Ubuntu 24.04.
    type: str
  owner:
    description: Who the session belongs to.
    type: str
    default: unknown
  lease:
    description: How long the session may live.
    type: str
  cap:
    description: Hard cap of the lease.
    type: str
  idle:
    description: Idle time after which the session goes, or V(off).
    type: str
  authorized_keys:
    description: Public keys that may log in as root.
    type: list
    elements: str
    default: []
  firewall_id:
    description: Cloud Firewall that is attached in the create call.
    type: int
  account:
    description: EUUID of the account that the session was made in. Nothing is deleted in any other account.
    type: str
  wait_timeout:
    description: Seconds to wait until the VM runs or is gone.
    type: int
    default: 600
"""

EXAMPLES = r"""
- name: Create the VM of a session
  linode_coder.gpu.linode_gpu_instance:
    session: demo
    offers: "{{ quoted.quote.offers }}"
    model: "{{ quoted.quote.model }}"
    lease: 4h
    authorized_keys: ["ssh-ed25519 AAAA... me"]
    firewall_id: "{{ firewall.firewall.id }}"

- name: Delete it
  linode_coder.gpu.linode_gpu_instance:
    session: demo
    state: absent
"""

RETURN = r"""
instance:
  description: The session's view, or null when there is no VM.
  returned: success
  type: dict
  sample: {"name": "demo", "linode_id": 123, "status": "running"}
attempts:
  description: What was tried where, and what came of it.
  returned: success
  type: list
  elements: dict
  sample: [{"plan": "g2-gpu-rtx4000a1-s", "region": "us-ord", "outcome": "created", "reason": null}]
actions:
  description: What was done, in words.
  returned: success
  type: list
  elements: str
  sample: ["created lc-demo-1"]
connection:
  description: Connection variables that pin the host keys in the tags.
  returned: when the VM has an address
  type: dict
  sample: {"ansible_host": "203.0.113.7"}
account:
  description: EUUID of the account.
  returned: when a VM was created or deleted
  type: str
  sample: E1AF5EEC-526F-487D-B317EBEB34C87D71
hours:
  description: Hours that the deleted VM is billed for.
  returned: when O(state=absent) and the VM existed
  type: int
  sample: 2
cost:
  description: Dollars that the deleted VM cost.
  returned: when O(state=absent) and the VM existed
  type: float
  sample: 1.04
already_gone:
  description: Whether there was nothing to delete.
  returned: when O(state=absent)
  type: bool
  sample: false
"""

import base64
import json
import os
import subprocess
import tempfile
import time

from ..module_utils.cost import parse_time
from ..module_utils.failure import Failure
from ..module_utils.host_key import connection_vars, from_openssh, to_openssh
from ..module_utils.lease import new_lease, parse_idle
from ..module_utils.linode_module import run
from ..module_utils.session_name import instance_label, validate_session_name
from ..module_utils.session_tags import MARKER, SessionTags, decode, encode, owner_slug
from ..module_utils.session_view import session_view

NVIDIA_IMAGE = "linode/ubuntu24.04-nvidia"
PLAIN_IMAGE = "linode/ubuntu24.04"
# Seconds after an ambiguous create during which the VM may still appear in lists. Not documented; generous.
SETTLE_S = (0.5, 1, 2, 4)


def new_host_key():
    """A bootstrap host key: its private text, and the 32 bytes of its public half. Made outside any shared directory."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "key")
        try:
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bootstrap", "-f", path],
                check=True,
                capture_output=True,
                timeout=30,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise Failure(
                "config", "No host key could be made.", cause=str(error), remedy="Install the OpenSSH client."
            ) from error
        with open(path, encoding="ascii") as private, open(path + ".pub", encoding="ascii") as public:
            return private.read(), from_openssh(public.read())


def user_data(private_key, public_line):
    """cloud-config that gives the VM its host key before anybody connects. JSON is YAML."""
    config = {
        "ssh_deletekeys": True,
        "ssh_genkeytypes": [],
        "ssh_keys": {"ed25519_private": private_key, "ed25519_public": public_line},
        "ssh_pwauth": False,
    }
    return base64.b64encode(("#cloud-config\n" + json.dumps(config)).encode()).decode()


class Session:
    def __init__(self, module, api, result):
        self.module = module
        self.params = module.params
        self.api = api
        self.result = result
        self.name = validate_session_name(module.params["session"])
        self.label = instance_label(self.name, module.params["generation"])
        self.deadline = time.monotonic() + module.params["wait_timeout"]
        result["actions"] = []
        result["attempts"] = []

    # -- looking ---------------------------------------------------------------------------------------------------

    def find(self):
        """The VM that is ours: by label, and if it was renamed, by its tags. None is certain, everything else raises."""
        by_label = self.api.list("linode/instances", {"label": self.label})
        for instance in by_label:
            tags = decode(instance["tags"])
            if not tags.ours or tags.session not in (None, self.name):
                raise Failure(
                    "conflict",
                    f"The account has a Linode {self.label!r} that does not belong to session {self.name!r}.",
                    remedy="Choose another session name, or rename that Linode.",
                    field="session",
                    value=self.name,
                )
            return instance
        tagged = self.api.list("linode/instances", {"tags": MARKER})
        return next((row for row in tagged if decode(row["tags"]).session == self.name), None)

    def describe(self, instance):
        view = session_view(instance, int(time.time()))
        self.result["instance"] = view
        if view["address"]:
            keys = [from_openssh(key) for key in view["host_keys"]]
            self.result["connection"] = connection_vars(view["address"], keys)
        return view

    def billing(self, instance):
        hourly = session_view(instance, int(time.time()))["hourly"]
        price = f"${hourly:.2f}/h" if hourly else "an unknown price"
        return f"Linode {instance['label']} ({instance['id']}) is billing at {price}; delete it: linode-coder down {self.name}"

    # -- creating --------------------------------------------------------------------------------------------------

    def request(self, offer, host_key, firewall_id, generation, data):
        clocks = new_lease(int(time.time()), self.params["lease"], self.params["cap"])
        tags = SessionTags(
            session=self.name,
            generation=self.params["generation"],
            owner=owner_slug(self.params["owner"]),
            lease_end=clocks.end,
            hard_cap=clocks.cap,
            idle_minutes=parse_idle(self.params["idle"]),
            hourly_micros=round(offer["hourly"] * 1_000_000),
            model=self.params["model"],
            host_key=host_key,
        )
        body = {
            "label": self.label,
            "type": offer["plan"],
            "region": offer["region"],
            "image": self.image,
            "booted": True,
            "authorized_keys": self.params["authorized_keys"],
            "tags": encode(tags),
            "metadata": {"user_data": data},
            "interface_generation": generation,
        }
        if generation == "linode":
            body["interfaces"] = [
                {"public": {}, "default_route": {"ipv4": True, "ipv6": True}, "firewall_id": firewall_id}
            ]
        elif firewall_id:
            body["firewall_id"] = firewall_id
        return body

    def adopt_after(self, failure):
        """The VM that an unclear create left behind, or None when there is certainly none."""
        for pause in SETTLE_S:
            time.sleep(pause)
            instance = self.find()
            if instance:
                self.result["actions"].append(f"adopted {instance['label']} after: {failure.cause}")
                return instance
        return None

    def create_at(self, offer, body):
        """The VM, or None when this place has no capacity."""
        for last_try in (False, True):
            try:
                instance = self.api.post("linode/instances", body)
                self.result["actions"].append(f"created {self.label}")
                return instance
            except Failure as failure:
                if failure.kind == "capacity":
                    self.attempt(offer, "no capacity", failure.cause)
                    return None
                if failure.kind not in ("ambiguous", "conflict", "rate_limited"):
                    self.attempt(offer, "refused", failure.cause)
                    raise
                if failure.kind == "rate_limited":
                    time.sleep(5)
                else:
                    instance = self.adopt_after(failure)
                    if instance:
                        return instance
                if last_try:
                    self.attempt(offer, "unclear", failure.cause)
                    raise
        return None

    def attempt(self, offer, outcome, reason):
        self.result["attempts"].append(
            {"plan": offer["plan"], "region": offer["region"], "outcome": outcome, "reason": reason}
        )

    def create(self):
        if not self.params["offers"] or not self.params["model"]:
            raise Failure("usage", "offers and model are needed to create a VM.", field="offers")
        settings = self.api.get("account/settings")
        if settings.get("backups_enabled"):
            self.module.warn("The account enables backups on every new Linode, which cost extra.")
        modes = settings.get("interfaces_for_new_linodes") or "legacy_config_only"
        generation = "linode" if modes.startswith("linode") else "legacy_config"
        images = {row["id"] for row in self.api.list("images")}
        self.image = self.params["image"] or (NVIDIA_IMAGE if NVIDIA_IMAGE in images else PLAIN_IMAGE)
        self.result["account"] = self.api.get("account")["euuid"]
        if self.module.check_mode:
            offer = self.params["offers"][0]
            preview = self.request(offer, bytes(32), self.params["firewall_id"], generation, "")
            preview["tags"] = [tag for tag in preview["tags"] if not tag.startswith("lc:hk")]
            preview.pop("metadata")
            self.result["diff"] = {"before": {}, "after": preview, "after_header": self.label}
            return None
        private, public = new_host_key()
        data = user_data(private, to_openssh(public))
        for offer in self.params["offers"]:
            instance = self.create_at(offer, self.request(offer, public, self.params["firewall_id"], generation, data))
            if instance:
                self.attempt(offer, "created", None)
                return instance
        tried = ", ".join(f"{row['plan']} in {row['region']}" for row in self.result["attempts"])
        raise Failure(
            "capacity",
            f"No capacity anywhere: tried {tried}.",
            remedy="Try again later, or name other plans or regions.",
        )

    # -- waiting ---------------------------------------------------------------------------------------------------

    def wait_running(self, instance):
        """Poll the VM, and its events for a failed boot, until it runs."""
        events_readable = True
        while instance["status"] != "running":
            if time.monotonic() > self.deadline:
                raise Failure(
                    "timeout",
                    f"{self.label} is still {instance['status']}.",
                    remedy=f"Look at it in Cloud Manager, or continue: linode-coder up {self.name}.",
                    billing=[self.billing(instance)],
                )
            if events_readable:
                try:
                    self.check_events(instance)
                except Failure as failure:
                    if failure.kind != "scope":
                        raise
                    events_readable = False
                    self.module.warn("The token lacks events:read_only, so a failed boot is noticed only by time.")
            if instance["status"] in ("offline", "stopped"):
                self.api.when_free(lambda: self.api.post(f"linode/instances/{instance['id']}/boot"))
                self.result["actions"].append(f"booted {self.label}")
                self.result["changed"] = True
            time.sleep(0.5 if time.monotonic() < self.deadline - self.params["wait_timeout"] + 20 else 3)
            instance = self.api.get(f"linode/instances/{instance['id']}")
        return instance

    def check_events(self, instance):
        body = self.api.get(
            "account/events?page_size=25",
            {
                "entity.id": instance["id"],
                "entity.type": "linode",
                "+order_by": "created",
                "+order": "desc",
            },
        )
        newest = {}
        for event in body["data"]:
            newest.setdefault(event["action"], event)
        for action in ("linode_create", "linode_boot"):
            event = newest.get(action)
            if event and event["status"] == "failed":
                raise Failure(
                    "cloud",
                    f"Linode reports that {action} of {self.label} failed.",
                    cause=event.get("message"),
                    remedy=f"Take it down and try another region: linode-coder down {self.name}.",
                    billing=[self.billing(instance)],
                )

    def wait_gone(self, instance):
        while True:
            try:
                instance = self.api.get(f"linode/instances/{instance['id']}")
            except Failure as failure:
                if failure.kind == "not_found":
                    return
                raise
            if time.monotonic() > self.deadline:
                raise Failure(
                    "timeout",
                    f"{self.label} is still there after it was deleted.",
                    remedy=f"Run again: linode-coder down {self.name}.",
                    billing=[self.billing(instance)],
                )
            time.sleep(0.5)

    # -- states ----------------------------------------------------------------------------------------------------

    def present(self):
        instance = self.find()
        if instance and instance["status"] == "deleting":
            self.wait_gone(instance)
            instance = None
        if instance is None:
            self.result["changed"] = True
            instance = self.create()
        if instance is None:  # check mode
            self.result["instance"] = None
            return
        if not self.module.check_mode:
            instance = self.wait_running(instance)
        self.describe(instance)

    def absent(self):
        instance = self.find()
        self.result["already_gone"] = instance is None
        self.result["instance"] = None
        if instance is None and not self.params["account"]:
            return
        account = self.api.get("account")["euuid"]
        if self.params["account"] and account != self.params["account"]:
            raise Failure(
                "conflict",
                f"The token opens account {account}, but session {self.name!r} was made in {self.params['account']}.",
                remedy="Use a token of that account. Nothing was deleted.",
                field="account",
                value=account,
            )
        self.result["account"] = account
        if instance is None:
            return
        view = session_view(instance, int(time.time()))
        self.result["changed"] = True
        self.result["diff"] = {"before": {"label": view["label"], "linode_id": view["linode_id"]}, "after": {}}
        if self.module.check_mode:
            return
        try:
            self.api.when_free(lambda: self.api.delete(f"linode/instances/{instance['id']}"))
        except Failure as failure:
            if failure.kind == "ambiguous":
                self.result["actions"].append(f"asked to delete {self.label}; the answer was lost")
            elif failure.kind != "not_found":
                failure.billing = (self.billing(instance),)
                raise
        self.confirm_gone(instance)
        now = int(time.time())
        gone = session_view(instance, max(now, parse_time(instance["created"])))
        self.result.update(hours=gone["started_hours"], cost=gone["cost_so_far"], deleted=gone)
        self.result["actions"].append(f"deleted {self.label}")

    def confirm_gone(self, instance):
        """Return once the API answers 404; every other end says what is still billing."""
        try:
            self.wait_gone(instance)
        except Failure as failure:
            if not failure.billing:
                failure.billing = (self.billing(instance),)
            raise

    def rebooted(self):
        instance = self.find()
        if instance is None:
            raise Failure("not_found", f"Session {self.name!r} has no VM.", field="session", value=self.name)
        self.result["changed"] = True
        if not self.module.check_mode:
            self.api.when_free(lambda: self.api.post(f"linode/instances/{instance['id']}/reboot"))
            self.result["actions"].append(f"rebooted {self.label}")
            time.sleep(0.5)
            instance = self.wait_running(self.api.get(f"linode/instances/{instance['id']}"))
        self.describe(instance)


def work(module, api, result):
    getattr(Session(module, api, result), module.params["state"])()


def main():
    run(
        {
            "session": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent", "rebooted"], "default": "present"},
            "generation": {"type": "int", "default": 1},
            "offers": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "plan": {"type": "str", "required": True},
                    "region": {"type": "str", "required": True},
                    "hourly": {"type": "float", "required": True},
                },
            },
            "model": {"type": "str"},
            "image": {"type": "str"},
            "owner": {"type": "str", "default": "unknown"},
            "lease": {"type": "str"},
            "cap": {"type": "str"},
            "idle": {"type": "str"},
            "authorized_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "firewall_id": {"type": "int"},
            "account": {"type": "str"},
            "wait_timeout": {"type": "int", "default": 600},
        },
        work,
    )


if __name__ == "__main__":
    main()
