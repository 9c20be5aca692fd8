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
  - linode_coder.gpu.budget
options:
  session:
    description: Name of the session.
    type: str
    required: true
  state:
    description:
      - V(present) creates or adopts the VM and boots it, V(running) boots one that exists, V(rebooted) reboots it
        through the API, V(absent) deletes it.
    type: str
    choices: [present, absent, running, rebooted]
    default: present
  generation:
    description: Generation of the session's VM. Without it any VM of the session is meant, and a new one is the first.
    type: int
  predecessor:
    description:
      - Label of the VM that a new one is to replace. Its lease, hard cap, idle limit, owner, model and what the tags
        remember of healing go on; the lease does not begin anew.
    type: str
  bad_gpus:
    description: UUIDs of the cards that the predecessor is given up for.
    type: list
    elements: str
    default: []
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
  group:
    description: Group that the session is a member of. The session is called as the group with a number then, V(team-1) for example.
    type: str
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
  wait_for_capacity:
    description:
      - How long to keep trying when no place has capacity, for example V(2h). Not at all when empty.
      - The places are asked in rounds, some minutes apart. The lease begins when the VM is created. Before each round it is looked
        whether somebody else made the VM, whether the prices are still those of O(offers), and whether O(budget) still allows it.
    type: str
  wait:
    description: Whether to wait until the VM runs or is gone. Without waiting nothing is known to be gone.
    type: bool
    default: true
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
no_vm:
  description: Whether it is certain, although the module failed, that the session has no VM, old or new.
  returned: always
  type: bool
  sample: false
account:
  description: EUUID of the account.
  returned: when a VM was created or deleted
  type: str
  sample: E1AF5EEC-526F-487D-B317EBEB34C87D71
rounds:
  description: How often capacity was waited for.
  returned: when O(wait_for_capacity) had to wait
  type: int
  sample: 3
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
deleted:
  description: The view of the VM that was deleted, as it was last seen.
  returned: when O(state=absent) and the VM existed
  type: dict
  sample: {"name": "demo", "linode_id": 123, "started_hours": 2, "cost_so_far": 1.04}
already_gone:
  description: Whether there was nothing to delete.
  returned: when O(state=absent)
  type: bool
  sample: false
"""

import base64
import json
import random
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from ..module_utils.core.cost import cost, parse_time
from ..module_utils.core.duration import format_duration
from ..module_utils.core.failure import Failure
from ..module_utils.core.local_module import Call
from ..module_utils.core.retry import pause_s
from ..module_utils.core.told import tell
from ..module_utils.heal.attempts import bad_gpu_tags, is_healing_tag
from ..module_utils.linode.client import LinodeApi
from ..module_utils.linode.interfaces import interface_generations, refuses_interfaces
from ..module_utils.linode.module import api_module
from ..module_utils.offer.budget import against_budget
from ..module_utils.offer.budget_look import BUDGET_SPEC, look, records_of
from ..module_utils.offer.waiting import rounds_until, still_priced, wait_s
from ..module_utils.session.client_keys import parse_key
from ..module_utils.session.host_key import from_openssh, to_openssh
from ..module_utils.session.lease import new_lease, parse_idle
from ..module_utils.session.name import instance_label, validate_session_name
from ..module_utils.session.ssh import connection_vars
from ..module_utils.session.tags import MARKER, DecodedTags, SessionTags, decode, encode, owner_slug, with_changes
from ..module_utils.session.view import session_view

NVIDIA_IMAGE = "linode/ubuntu24.04-nvidia"
PLAIN_IMAGE = "linode/ubuntu24.04"
# Seconds after an ambiguous create during which the VM may still appear in lists. Not documented; generous.
SETTLE_S = (0.5, 1, 2, 4)
# Seconds after which a deletion whose answer was lost, and that shows no effect, is asked for once more.
DELETE_AGAIN_S = 5
_BOOTED = {"before": {"status": "offline"}, "after": {"status": "running"}}


def new_host_key() -> tuple[str, bytes]:
    """A bootstrap host key: its private text and the 32 bytes of its public half, made in a directory of mode 0700."""
    with tempfile.TemporaryDirectory() as directory:
        private = Path(directory) / "key"
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bootstrap", "-f", str(private)]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=30)
        except (OSError, subprocess.SubprocessError) as error:
            raise Failure(
                "config", "No host key could be made.", cause=str(error), remedy="Install the OpenSSH client."
            ) from error
        public = private.with_suffix(".pub").read_text(encoding="ascii")
        return private.read_text(encoding="ascii"), from_openssh(public)


def user_data(private_key: str, public_line: str) -> str:
    """cloud-config that gives the VM its host key before anybody connects. JSON is YAML.

    Where `ssh_keys` is given, cloud-init makes no key of any kind; an empty `ssh_genkeytypes` is against its schema.
    """
    config = {
        "ssh_deletekeys": True,
        "ssh_keys": {"ed25519_private": private_key, "ed25519_public": public_line},
        "ssh_pwauth": False,
    }
    return base64.b64encode(("#cloud-config\n" + json.dumps(config)).encode()).decode()


class Session:
    def __init__(self, module: Call, api: LinodeApi, result: dict[str, Any]) -> None:
        self.module = module
        self.params = module.params
        self.api = api
        self.result = result
        self.name = validate_session_name(module.params["session"])
        self.generation = module.params["generation"] or 1
        self.label = instance_label(self.name, self.generation)
        self.predecessor: dict[str, Any] | None = None
        self.started = time.monotonic()
        self.deadline = self.started + module.params["wait_timeout"]
        self.events_readable = True
        self.wait_seconds = wait_s(module.params["wait_for_capacity"])
        result["actions"] = []
        result["attempts"] = []
        result["no_vm"] = False

    # -- looking ---------------------------------------------------------------------------------------------------

    def find(self) -> dict[str, Any] | None:
        """The VM that is ours: by label, and if it was renamed, by its tags. None is certain; doubt is a Failure."""
        for instance in self.api.list("linode/instances", {"label": self.label}):
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
        return next((row for row in tagged if self.is_meant(decode(row["tags"]))), None)

    def is_meant(self, tags: DecodedTags) -> bool:
        return tags.session == self.name and self.params["generation"] in (None, tags.generation)

    def refresh(self, instance: dict[str, Any]) -> dict[str, Any]:
        return self.api.get(f"linode/instances/{instance['id']}")

    def describe(self, instance: dict[str, Any]) -> None:
        view = session_view(instance, int(time.time()))
        self.result["instance"] = view
        if view["address"]:
            keys = [from_openssh(key) for key in view["host_keys"]]
            self.result["connection"] = connection_vars(view["address"], keys)

    def billing(self, instance: dict[str, Any]) -> str:
        hourly = session_view(instance, int(time.time()))["hourly"]
        price = f"${hourly:.2f}/h" if hourly else "an unknown price"
        return (
            f"Linode {instance['label']} ({instance['id']}) is billing at {price}; "
            f"delete it: linode-coder down {self.name}"
        )

    def read_account(self) -> str | None:
        """EUUID of the account. None when the token may not read it and nobody asked for a certain one."""
        return self.optional("account", "the account is not checked", {}).get("euuid")

    def optional(self, path: str, consequence: str, default: dict[str, Any]) -> dict[str, Any]:
        """An object that is only read to do better; without its scope the module warns and uses ``default``."""
        try:
            return self.api.get(path)
        except Failure as failure:
            if failure.kind not in ("scope", "auth"):
                raise
            self.module.warn(f"{failure.message} Without it {consequence}.")
            return default

    # -- creating --------------------------------------------------------------------------------------------------

    def tags(self, hourly_micros: int, host_key: bytes) -> tuple[SessionTags, list[str]]:
        """The session's tags, and those that remember what was tried to heal it."""
        if self.predecessor:
            inherited = with_changes(
                decode(self.predecessor["tags"]).whole(),
                generation=self.generation,
                hourly_micros=hourly_micros,
                host_key=host_key,
                next_host_key=None,
                doom=None,
            )
            remembered = [tag for tag in self.predecessor["tags"] if is_healing_tag(tag)]
            return inherited, list(dict.fromkeys([*remembered, *bad_gpu_tags(self.params["bad_gpus"])]))
        clocks = new_lease(int(time.time()), self.params["lease"], self.params["cap"])
        made = SessionTags(
            session=self.name,
            generation=self.generation,
            owner=owner_slug(self.params["owner"]),
            lease_end=clocks.end,
            hard_cap=clocks.cap,
            idle_minutes=parse_idle(self.params["idle"]),
            hourly_micros=hourly_micros,
            model=self.params["model"],
            host_key=host_key,
            group=self.params["group"] or None,
        )
        return made, []

    def find_predecessor(self) -> None:
        """The VM that is to be replaced, when there is one."""
        label = self.params["predecessor"]
        if label is None:
            return
        found = self.api.list("linode/instances", {"label": label})
        if not found or not decode(found[0]["tags"]).complete:
            raise Failure(
                "conflict",
                f"{label} cannot be replaced: it is gone or its tags are incomplete.",
                remedy=f"See what exists: linode-coder list. Start over: linode-coder up {self.name}.",
                field="predecessor",
                value=label,
            )
        self.predecessor = found[0]

    def request(self, offer: dict[str, Any], host_key: bytes, generation: str, data: str) -> dict[str, Any]:
        tags, remembered = self.tags(round(offer["hourly"] * 1_000_000), host_key)
        body = {
            "label": self.label,
            "type": offer["plan"],
            "region": offer["region"],
            "image": self.image,
            "booted": True,
            "authorized_keys": self.params["authorized_keys"],
            "tags": [*encode(tags), *remembered],
            "metadata": {"user_data": data},
            "interface_generation": generation,
        }
        firewall_id = self.params["firewall_id"]
        if generation == "linode":
            body["interfaces"] = [
                {"public": {}, "default_route": {"ipv4": True, "ipv6": True}, "firewall_id": firewall_id}
            ]
        elif firewall_id:
            body["firewall_id"] = firewall_id
        return body

    def preview(self, offer: dict[str, Any], generation: str) -> dict[str, Any]:
        """The create call as diff shows it: without user-data, which holds a private key, and its public half."""
        body = self.request(offer, bytes(32), generation, "")
        del body["metadata"]
        body["tags"] = [tag for tag in body["tags"] if not tag.startswith("lc:hk")]
        return {"before": {}, "after": body, "before_header": self.label, "after_header": self.label}

    def adopt_after(self, failure: Failure) -> dict[str, Any] | None:
        """The VM that an unclear create left behind, or None when there is certainly none."""
        for pause in SETTLE_S:
            time.sleep(pause_s(pause))
            try:
                instance = self.find()
                if instance and instance["status"] == "deleting":
                    self.wait_gone(instance)
                    continue
            except Failure as lookup:
                if lookup.kind == "conflict":
                    raise
                raise Failure(
                    "ambiguous",
                    f"Whether {self.label} was created is not known, and looking it up failed as well.",
                    cause=f"{failure.cause}; then {lookup.cause}",
                    remedy=f"Run linode-coder up {self.name} again: it looks for the VM before it creates one.",
                    billing=[f"Linode {self.label} may exist and bill; delete it: linode-coder down {self.name}"],
                ) from lookup
            if instance:
                self.result["actions"].append(f"adopted {instance['label']} after: {failure.cause}")
                return instance
        return None

    def create_at(self, offer: dict[str, Any], body: dict[str, Any]) -> dict[str, Any] | None:
        """The VM, or None when this place has no capacity. Sent again only when it is sure that nothing was created."""
        nothing = self.result["no_vm"]
        tell(detail=f"asking for {offer['plan']} in {offer['region']}")
        for last_try in (False, True):
            self.result["no_vm"] = False
            try:
                instance = self.api.post("linode/instances", body)
            except Failure as failure:
                self.result["no_vm"] = nothing and failure.kind not in ("ambiguous", "conflict")
                if failure.kind == "capacity":
                    self.attempt(offer, "no capacity", failure.cause)
                    return None
                if failure.kind == "rate_limited" and not last_try:
                    time.sleep(pause_s(5.0, failure))
                    continue
                if failure.kind not in ("ambiguous", "conflict"):
                    self.attempt(offer, "refused", failure.cause)
                    raise
                adopted = self.adopt_after(failure)
                if adopted:
                    self.attempt(offer, "adopted", failure.cause)
                    return adopted
                if last_try:
                    self.attempt(offer, "unclear", failure.cause)
                    raise
            else:
                self.result["actions"].append(f"created {self.label}")
                self.attempt(offer, "created", None)
                return instance
        return None

    def create_with(
        self, generations: list[str], offer: dict[str, Any], public: bytes, data: str
    ) -> dict[str, Any] | None:
        """``create_at``, with the other kind of interfaces when the account refuses the first one; then with that."""
        while True:
            try:
                return self.create_at(offer, self.request(offer, public, generations[0], data))
            except Failure as failure:
                if len(generations) == 1 or not refuses_interfaces(failure):
                    raise
                refused = generations.pop(0)
            self.result["actions"].append(f"took {generations[0]} interfaces, since the account refused {refused}")

    def attempt(self, offer: dict[str, Any], outcome: str, reason: str | None) -> None:
        made = {"plan": offer["plan"], "region": offer["region"], "outcome": outcome, "reason": reason}
        self.result["attempts"].append(made)
        # Twelve places may be tried before this module ends.
        tell(attempt=made)

    def validate(self) -> None:
        """What a create needs, checked before anything is read or made."""
        for name in ("offers", "model"):
            if not self.params[name]:
                raise Failure("usage", f"{name} is needed to create the VM of {self.name!r}.", field=name)
        if not self.params["authorized_keys"] and not self.module.check_mode:
            raise Failure(
                "usage",
                "authorized_keys is empty: nobody could log in.",
                remedy="Pass the public key of this control node.",
                field="authorized_keys",
            )

        for line in self.params["authorized_keys"]:
            parse_key(line)

    def choose_image(self) -> str:
        if self.params["image"]:
            wanted: str = self.params["image"]
            return wanted
        images = self.optional("images?page_size=500", f"{PLAIN_IMAGE} is used", {"data": []})
        return NVIDIA_IMAGE if any(row["id"] == NVIDIA_IMAGE for row in images["data"]) else PLAIN_IMAGE

    def create(self) -> dict[str, Any] | None:
        self.result["no_vm"] = self.params["generation"] is None and self.params["predecessor"] is None
        self.validate()
        self.find_predecessor()
        settings = self.optional("account/settings", "both kinds of network interfaces are tried", {})
        if settings.get("backups_enabled"):
            self.module.warn("The account enables backups on every new Linode, which cost extra.")
        generations = interface_generations(settings.get("interfaces_for_new_linodes"))
        self.image = self.choose_image()
        self.result["account"] = self.read_account()
        self.result["diff"] = self.preview(self.params["offers"][0], generations[0])
        if self.module.check_mode:
            return None
        private, public = new_host_key()
        data = user_data(private, to_openssh(public))
        instance = self.create_somewhere(self.params["offers"], generations, public, data)
        if instance is None and self.wait_seconds is not None:
            instance = self.wait_for_capacity(generations, public, data)
        if instance:
            return instance
        places = dict.fromkeys(f"{row['plan']} in {row['region']}" for row in self.result["attempts"])
        tried = "; ".join(places)
        waited = f" for {format_duration(self.wait_seconds)}" if self.wait_seconds is not None else ""
        old = self.predecessor and self.predecessor["label"]
        raise Failure(
            "capacity",
            f"There is no capacity in any region that was tried{waited}: {tried}.",
            cause=self.result["attempts"][-1]["reason"],
            remedy=f"{old} stays as it is, and bills. Try again later: linode-coder heal {self.name}."
            if old
            else "Name other plans or regions, or keep trying: linode-coder up --wait-for-capacity.",
        )

    def create_somewhere(
        self, offers: list[dict[str, Any]], generations: list[str], public: bytes, data: str
    ) -> dict[str, Any] | None:
        """The VM, at the first of the offers that has capacity; None when none has."""
        for offer in offers:
            instance = self.create_with(generations, offer, public, data)
            if instance:
                return instance
        return None

    def wait_for_capacity(self, generations: list[str], public: bytes, data: str) -> dict[str, Any] | None:
        """The VM, once a place has capacity; None when none had in time. Before each round is asked again what may have changed
        meanwhile: whether somebody else made the VM, the prices, and what is left of the budget.
        """
        another_round = rounds_until(self.wait_seconds or 0, time.monotonic, self.rest, random.random)
        while another_round():
            # What waited needs as long to boot as what did not.
            self.started = time.monotonic()
            self.deadline = self.started + self.params["wait_timeout"]
            instance = self.find()
            if instance is not None and instance["status"] != "deleting":
                self.result["actions"].append(f"adopted {instance['label']}, which came while this waited for capacity")
                return instance
            offers = still_priced(self.params["offers"], self.api.list("linode/types"))
            self.check_budget(offers)
            # Of the last round alone: there may be many.
            self.result["attempts"] = []
            instance = self.create_somewhere(offers, generations, public, data)
            if instance:
                return instance
        return None

    def rest(self, seconds: float) -> None:
        """Until the next round, and say so: a person may watch."""
        pause = pause_s(seconds)
        self.result["rounds"] = self.result.get("rounds", 0) + 1
        at = time.strftime("%H:%M:%S", time.localtime(time.time() + pause))
        places = len({(row["plan"], row["region"]) for row in self.result["attempts"]})
        rounds = f"round {self.result['rounds']}; the next one at {at}."
        said = f"No capacity in {places} place{'' if places == 1 else 's'}, {rounds}"
        self.module.say(said)
        tell(detail=said)
        time.sleep(pause)

    def check_budget(self, offers: list[dict[str, Any]]) -> None:
        """Failure(refused) when other sessions took meanwhile what of the budget this one needs."""
        limit = self.params["budget"]
        if limit is None:
            return
        hourly = max(offer["hourly"] for offer in offers)
        now = int(time.time())
        clocks = new_lease(now, self.params["lease"], self.params["cap"])
        instances = self.api.list("linode/instances", {"tags": MARKER})
        seen = look(self.api, now, instances, records_of(self.params["budget_records"]), hourly)
        against_budget(seen, limit, cost(now, clocks.end, hourly) or 0.0, hourly, f"the session {self.name}")

    # -- waiting ---------------------------------------------------------------------------------------------------

    def events(self, instance: dict[str, Any]) -> list[dict[str, Any]] | None:
        """The VM's newest events, newest first. None, and one warning, when the token may not read events."""
        if not self.events_readable:
            return None
        wanted = {"entity.id": instance["id"], "entity.type": "linode", "+order_by": "created", "+order": "desc"}
        try:
            found: list[dict[str, Any]] = self.api.get("account/events?page_size=25", wanted)["data"]
        except Failure as failure:
            if failure.kind not in ("scope", "auth"):
                raise
            self.events_readable = False
            self.module.warn(f"{failure.message} Only the status is watched, so a failed boot is noticed late.")
            return None
        return found

    def wait_running(self, instance: dict[str, Any], seen: int) -> dict[str, Any]:
        """Poll status and events until the VM runs; boot it when it is off and nobody is booting it.

        Failed events up to the id ``seen`` are old news.
        """
        while instance["status"] != "running":
            if instance["status"] in ("deleting", "billing_suspension") or time.monotonic() > self.deadline:
                over = time.monotonic() > self.deadline
                raise Failure(
                    "timeout" if over else "cloud",
                    f"{self.label} is {'still ' if over else ''}{instance['status']}.",
                    remedy=f"Look at it in Cloud Manager, then continue: linode-coder up {self.name}.",
                    billing=[self.billing(instance)],
                )
            events = self.events(instance)
            self.refuse_failed(instance, events or [], seen)
            pending = any(event["status"] in ("scheduled", "started") for event in events or [])
            if instance["status"] == "offline" and not pending:
                self.boot(instance)
            tell(detail=f"{instance['type']} in {instance['region']}, {instance['status']}")
            time.sleep(0.5 if time.monotonic() < self.started + 20 else 3)
            instance = self.refresh(instance)
        return instance

    def boot(self, instance: dict[str, Any]) -> None:
        """Ask for a boot. A busy Linode refuses before it does anything, and is asked again by the next look."""
        try:
            self.api.post(f"linode/instances/{instance['id']}/boot")
        except Failure as failure:
            if failure.kind not in ("busy", "rate_limited", "ambiguous"):
                raise
        else:
            self.result["actions"].append(f"booted {instance['label']}")
            self.result["changed"] = True
            self.result.setdefault("diff", _BOOTED)

    def refuse_failed(self, instance: dict[str, Any], events: list[dict[str, Any]], seen: int) -> None:
        """Failure(cloud) when the newest create, boot or reboot after ``seen`` failed."""
        newest: dict[str, dict[str, Any]] = {}
        for event in events:
            newest.setdefault(event["action"], event)
        for action in ("linode_create", "linode_boot", "linode_reboot"):
            last = newest.get(action)
            if last and last["status"] == "failed" and last["id"] > seen:
                raise Failure(
                    "cloud",
                    f"Linode reports that {action} of {instance['label']} failed; the VM exists and is billing.",
                    cause=last.get("message"),
                    remedy=f"Delete it and try another region: linode-coder down {self.name}.",
                    billing=[self.billing(instance)],
                )

    def newest_event(self, instance: dict[str, Any]) -> int:
        return max((event["id"] for event in self.events(instance) or []), default=0)

    def wait_gone(self, instance: dict[str, Any], ask_again: bool = False) -> None:
        """Return once the API answers 404. Nothing else counts as gone."""
        asked = time.monotonic()
        while True:
            try:
                instance = self.refresh(instance)
            except Failure as failure:
                if failure.kind == "not_found":
                    return
                raise
            if time.monotonic() > self.deadline:
                raise Failure(
                    "timeout",
                    f"{self.label} is still {instance['status']} although its deletion was asked for.",
                    remedy=f"Run again: linode-coder down {self.name}.",
                    billing=[self.billing(instance)],
                )
            if ask_again and instance["status"] != "deleting" and time.monotonic() - asked > pause_s(DELETE_AGAIN_S):
                asked = time.monotonic()
                self.delete(instance)
            time.sleep(0.5)

    # -- states ----------------------------------------------------------------------------------------------------

    def present(self) -> None:
        instance, seen = self.find(), 0
        if instance and instance["status"] == "deleting":
            if not self.module.check_mode:
                self.wait_gone(instance)
            instance = None
        if instance is None:
            instance = self.create()
            self.result["changed"] = True
        elif instance["status"] != "running" and self.params["wait"] and not self.module.check_mode:
            seen = self.newest_event(instance)
        self.bring_up(instance, seen)

    def running(self) -> None:
        instance = self.existing()
        seen = 0 if instance["status"] == "running" else self.newest_event(instance)
        self.bring_up(instance, seen)

    def existing(self) -> dict[str, Any]:
        instance = self.find()
        if instance is None:
            raise Failure(
                "not_found",
                f"Session {self.name!r} has no VM.",
                remedy=f"Create it: linode-coder up {self.name}.",
                field="session",
                value=self.name,
            )
        return instance

    def bring_up(self, instance: dict[str, Any] | None, seen: int) -> None:
        """Wait until ``instance`` runs, and describe it. None is what check mode has instead of a VM."""
        if instance is None:
            self.result["instance"] = None
            return
        if self.module.check_mode:
            if instance["status"] == "offline":
                self.result["changed"] = True
                self.result["diff"] = _BOOTED
        elif self.params["wait"]:
            instance = self.wait_running(instance, seen)
        self.describe(instance)

    def absent(self) -> None:
        instance = self.find()
        self.result["already_gone"] = instance is None
        self.result["instance"] = None
        if instance is None and not self.params["account"]:
            return
        self.check_account()
        if instance is None:
            return
        self.remove(instance)
        if self.params["wait"] and not self.module.check_mode:
            # While its VM is being replaced, a session has two.
            for other in self.api.list("linode/instances", {"tags": MARKER}):
                if other["id"] != instance["id"] and self.is_meant(decode(other["tags"])):
                    self.remove(other)

    def remove(self, instance: dict[str, Any]) -> None:
        view = session_view(instance, int(time.time()))
        shown = {name: view[name] for name in ("label", "linode_id", "plan", "region", "created", "cost_so_far")}
        if self.module.check_mode:
            self.deleted(instance["label"], shown)
            return
        try:
            if instance["status"] != "deleting":
                self.delete(instance)
                self.deleted(instance["label"], shown)
            if self.params["wait"]:
                self.wait_gone(instance, ask_again=True)
        except Failure as failure:
            failure.billing = failure.billing or (self.billing(instance),)
            raise
        gone = session_view(instance, max(int(time.time()), parse_time(instance["created"])))
        costs = [cost for cost in (self.result.get("cost"), gone["cost_so_far"]) if cost is not None]
        hours = self.result.get("hours", 0) + gone["started_hours"]
        self.result.update(hours=hours, cost=round(sum(costs), 4) if costs else None, deleted=gone)
        self.result["actions"].append(f"deleted {instance['label']}")

    def deleted(self, label: str, shown: dict[str, Any]) -> None:
        """Say that a VM goes, or would; a session may have two."""
        self.result["changed"] = True
        self.result.setdefault("diff", {"before": {}, "after": {}})["before"][label] = shown

    def check_account(self) -> None:
        """Nothing is deleted, and nothing is called gone, in another account than the one that was asked for."""
        wanted = self.params["account"]
        account = self.api.get("account")["euuid"] if wanted else self.read_account()
        if wanted and account != wanted:
            raise Failure(
                "conflict",
                f"The token opens account {account}, but session {self.name!r} was made in {wanted}.",
                remedy="Use a token of that account. Nothing was deleted.",
                field="account",
                value=account,
            )
        self.result["account"] = account

    def delete(self, instance: dict[str, Any]) -> None:
        """Ask for the deletion. Whatever becomes of the answer, only a 404 later on counts."""
        try:
            self.api.when_free(lambda: self.api.delete(f"linode/instances/{instance['id']}"))
        except Failure as failure:
            if failure.kind == "ambiguous":
                self.result["actions"].append(f"asked to delete {instance['label']}; the answer was lost")
            elif failure.kind != "not_found":
                raise

    def rebooted(self) -> None:
        instance = self.existing()
        self.result["diff"] = {"before": {"status": instance["status"]}, "after": {"status": "rebooted"}}
        if not self.module.check_mode:
            seen = self.newest_event(instance)
            action = "boot" if instance["status"] == "offline" else "reboot"
            self.api.when_free(lambda: self.api.post(f"linode/instances/{instance['id']}/{action}"))
            self.result["changed"] = True
            self.result["actions"].append(f"rebooted {instance['label']}")
            if self.params["wait"]:
                time.sleep(0.5)
                instance = self.wait_running(self.refresh(instance), seen)
        self.result["changed"] = True
        self.describe(instance)


def work(module: Call, api: LinodeApi, result: dict[str, Any]) -> None:
    getattr(Session(module, api, result), module.params["state"])()


MODULE = api_module(
    {
        "session": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent", "running", "rebooted"], "default": "present"},
        "generation": {"type": "int"},
        "predecessor": {"type": "str"},
        "bad_gpus": {"type": "list", "elements": "str", "default": []},
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
        "group": {"type": "str"},
        "lease": {"type": "str"},
        "cap": {"type": "str"},
        "idle": {"type": "str"},
        "authorized_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
        "firewall_id": {"type": "int"},
        "account": {"type": "str"},
        "wait_for_capacity": {"type": "str"},
        **BUDGET_SPEC,
        "wait": {"type": "bool", "default": True},
        "wait_timeout": {"type": "int", "default": 600},
    },
    work,
)


def main() -> None:
    MODULE.main()


if __name__ == "__main__":
    main()
