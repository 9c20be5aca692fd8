#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: warm_store
short_description: Mount a warm volume on a VM, verify what it holds, and record it
version_added: 0.1.0
description:
  - Runs on the VM. A warm volume holds the weights of one model, archives of the container images and what the engine compiled.
  - A file system is made only on a volume that is new and has none. What is not as it was recorded is removed, so that whoever needs
    it fetches it again.
  - Reading and recording take long. They go on in the background of the VM, and each run of the module says how far they are.
attributes:
  check_mode:
    description: Says what would be done.
    support: full
  diff_mode:
    description: Shows mounts and what would be recorded.
    support: full
options:
  state:
    description:
      - V(mounted) mounts the volume and shows its parts where the engine looks for them, now and after each boot.
      - V(read) verifies what it holds and loads the images.
      - V(recorded) writes down what it holds now, with checksums.
    type: str
    choices: [mounted, read, recorded]
    default: mounted
  device:
    description: Path of the block device. Needed for O(state=mounted).
    type: path
  model:
    description: Id of the model that it is for.
    type: str
    required: true
  may_format:
    description: Whether the volume is known to be new, so that a file system may be made where there is none.
    type: bool
    default: false
  digest:
    description: Digest of the list of what it holds, as it was recorded. Empty for a volume that was never whole.
    type: str
    default: ''
  images:
    description: Images to keep, as M(linode_coder.gpu.container_image) takes them.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Image with registry and tag.
        type: str
        required: true
      digest:
        description: Digest that the image must have. None when empty.
        type: str
  begin_only:
    description: Return as soon as the work has begun.
    type: bool
    default: false
  slice:
    description: Seconds after which the module returns although the work goes on.
    type: float
    default: 8.0
  wait:
    description: Seconds to wait until the device is there.
    type: float
    default: 60.0
  mount_point:
    description: Where the volume is mounted.
    type: path
    default: /var/lib/linode-coder/warm
  models_dir:
    description: Cache of the hub's files on the VM.
    type: path
    default: /var/lib/linode-coder/models
  cache_dir:
    description: Where the engine keeps what it compiled.
    type: path
    default: /var/lib/linode-coder/cache
  state_file:
    description: Record of the engine on the VM.
    type: path
    default: /var/lib/linode-coder/engine.json
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Mount the volume
  linode_coder.gpu.warm_store:
    device: /dev/disk/by-id/scsi-0Linode_Volume_lc-warm-coder-v012345678
    model: Qwen/Qwen2.5-Coder-7B-Instruct-AWQ
    may_format: true

- name: Verify what it holds
  linode_coder.gpu.warm_store:
    state: read
    model: Qwen/Qwen2.5-Coder-7B-Instruct-AWQ
    digest: "{{ warm.volume.digest }}"
  register: read
  until: read.done or read.failure is defined
  retries: 2000
  delay: 0
"""

RETURN = r"""
mounted:
  description: Whether the volume is mounted.
  returned: success
  type: bool
  sample: true
done:
  description: Whether reading or recording is over.
  returned: success
  type: bool
  sample: true
sentence:
  description: What a person should know, for example that something was damaged. Null when all is well.
  returned: success
  type: str
  sample: null
damaged:
  description: What was not as recorded and is removed.
  returned: for O(state=read), once it is done
  type: list
  elements: str
  sample: []
digest:
  description: Digest of the list of what the volume holds.
  returned: for O(state=recorded), once it is done
  type: str
  sample: 0f1e2d3c4b5a69788796a5b4c3d2e1f001234567
phase:
  description: How far it is.
  returned: for O(state=read) and O(state=recorded)
  type: str
  sample: 3.1 of 5.6 GB verified
progress:
  description: The same as data. Null when nothing is known yet.
  returned: for O(state=read) and O(state=recorded)
  type: dict
  sample: {"done": 3100000000, "total": 5600000000, "unit": "bytes", "rate": null}
started:
  description: When it began, in seconds since the epoch.
  returned: for O(state=read) and O(state=recorded)
  type: float
  sample: 1764000000.0
finished:
  description: When it was over.
  returned: for O(state=read) and O(state=recorded)
  type: float
  sample: 1764000030.0
"""

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.core.atomic_file import replace_file
from ..module_utils.core.failure import Failure
from ..module_utils.core.job_record import JobRecord
from ..module_utils.core.module_fail import fail
from ..module_utils.core.program import run
from ..module_utils.core.vm_module import RUN_DIRECTORY, start_ticks
from ..module_utils.engine import state as engine_state
from ..module_utils.engine import warm_store as store
from ..module_utils.model.kept_weights import folder_of

FSTAB = "/etc/fstab"
# mkfs and mount of a large volume; a load of a large image.
_SHORT_S = 300.0
_LONG_S = 3600.0
# Docker starts its containers at boot; a volume that is gone must not keep the VM from booting.
_AT_BOOT = "nofail,x-systemd.before=docker.service,x-systemd.device-timeout=60s"
_NO_LIST = "what the warm volume holds is not what was recorded, so it is filled anew"


class Job(JobRecord):
    def __init__(self, name: str) -> None:
        super().__init__(os.path.join(RUN_DIRECTORY, f"warm-{name}.json"))

    def start(self, work: Callable[[Job], dict[str, Any]]) -> None:
        os.makedirs(RUN_DIRECTORY, mode=0o755, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        pid = os.fork()
        if pid:
            self.save(pid=pid, ticks=start_ticks(pid), started=time.time(), untold=True)
            return
        try:
            os.setsid()
            null = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1, 2):
                os.dup2(null, number)
            while not self.load().get("pid"):
                time.sleep(0.01)
            try:
                ended = work(self)
            except Failure as failure:
                ended = {"failed": failure.message, "cause": failure.cause}
            except Exception as error:  # noqa: BLE001 - whoever waits has to hear of it, whatever it was
                ended = {"failed": "It ended with an error.", "cause": f"{type(error).__name__}: {error}"[:300]}
            self.save(**ended, finished=time.time())
        finally:
            os._exit(0)


class Store:
    def __init__(self, module: AnsibleModule) -> None:
        self.module, self.params = module, module.params
        self.root: str = module.params["mount_point"]
        self.model: str = module.params["model"]

    def program(self, *argv: str, limit: float = _SHORT_S) -> str:
        """What a program says that has to succeed; Failure otherwise."""
        done = run(list(argv), limit)
        if done.rc != 0:
            raise Failure(
                "unhealthy",
                f"{os.path.basename(argv[0])} failed on the warm volume.",
                cause=(done.error or done.text.strip()[-300:] or f"exit code {done.rc}"),
                remedy="The session goes on without it. Look at the volume: linode-coder warm list",
            )
        return done.text

    def source_of(self, path: str) -> str | None:
        """Which device is mounted there."""
        done = run(["findmnt", "--noheadings", "--output", "SOURCE", "--mountpoint", path], 30)
        return done.text.strip() if done.rc == 0 else None

    def is_mounted(self) -> bool:
        return self.source_of(self.root) is not None

    def places(self) -> dict[str, str]:
        """Where each part of the volume is shown."""
        return {
            store.WEIGHTS: folder_of(self.params["models_dir"], self.model),
            store.CACHE: self.params["cache_dir"],
        }

    def wait_for_device(self) -> bool:
        until = time.monotonic() + self.params["wait"]
        while not os.path.exists(self.params["device"]):
            if time.monotonic() > until:
                return False
            time.sleep(0.3)
        return True

    # -- mounted

    def mount(self) -> dict[str, Any]:
        device = self.params["device"]
        if not self.wait_for_device():
            return self.cold(f"the device {device} did not appear within {self.params['wait']:.0f} s")
        if self.source_of(self.root) == os.path.realpath(device):
            return {"changed": False, "mounted": True, "sentence": None}
        if any(os.path.isdir(path) and os.listdir(path) for path in self.places().values()):
            return self.cold("this VM began with weights of its own before")
        done = run(["blkid", "-p", "-o", "export", device], 60)
        kind = dict(line.split("=", 1) for line in done.text.splitlines() if "=" in line).get("TYPE")
        if done.rc not in (0, 2) or (kind not in (None, "ext4")):
            return self.cold(f"{device} cannot be read as ours: {done.text.strip()[-200:] or done.error or kind}")
        if kind is None and not self.params["may_format"]:
            return self.cold("it has no file system although it was filled before; it is left as it is")
        diff = {"before": {"mounted": []}, "after": {"mounted": [self.root, *self.places().values()]}}
        if self.module.check_mode:
            return {"changed": True, "mounted": False, "sentence": None, "diff": diff}
        if kind is None:
            self.program("mkfs.ext4", "-q", "-m", "0", device)
        os.makedirs(self.root, mode=0o755, exist_ok=True)
        lines = [(device, self.root, "ext4", f"noatime,{_AT_BOOT}", "0 2")]
        self.program("mount", "-o", "noatime", device, self.root)
        for part, place in self.places().items():
            os.makedirs(os.path.join(self.root, part), mode=0o755, exist_ok=True)
            os.makedirs(place, mode=0o755, exist_ok=True)
            self.program("mount", "--bind", os.path.join(self.root, part), place)
            needs = f"bind,x-systemd.requires-mounts-for={self.root},{_AT_BOOT}"
            lines.append((os.path.join(self.root, part), place, "none", needs, "0 0"))
        self.keep_in_fstab(lines)
        return {"changed": True, "mounted": True, "sentence": None, "diff": diff}

    @staticmethod
    def keep_in_fstab(lines: list[tuple[str, str, str, str, str]]) -> None:
        try:
            with open(FSTAB, encoding="utf-8") as file:
                before = file.read().splitlines()
        except FileNotFoundError:
            before = []
        points = {line[1] for line in lines}
        kept = [line for line in before if len(line.split()) < 2 or line.split()[1] not in points]
        replace_file(FSTAB, "\n".join([*kept, *(" ".join(line) for line in lines)]) + "\n", 0o644)

    @staticmethod
    def cold(why: str) -> dict[str, Any]:
        return {"changed": False, "mounted": False, "sentence": f"Not started warm: {why}."}

    # -- read

    def read(self, job: Job) -> dict[str, Any]:
        listed = store.load(self.root, self.params["digest"]) if self.params["digest"] else None
        if listed is None or listed["model"] != self.model:
            known = bool(self.params["digest"])
            store.empty(self.root)
            return {"damaged": [store.LIST] if known else [], "sentence": _sentence(_NO_LIST) if known else None}
        whole, lock, read = store.total(listed), threading.Lock(), [0]
        told = [0.0]

        def heard(number: int) -> None:
            with lock:
                read[0] += number
                if time.monotonic() - told[0] > 1:
                    told[0] = time.monotonic()
                    job.save(read=read[0], total=whole)

        damaged: list[str] = []
        failures: list[BaseException] = []

        def weights() -> None:
            try:
                damaged.extend(store.verify(self.root, listed, store.WEIGHTS, heard))
                # What the engine compiled it compiles again.
                store.verify(self.root, listed, store.CACHE, heard)
            except BaseException as error:  # noqa: BLE001 - said by the thread that waits
                failures.append(error)

        beside = threading.Thread(target=weights)
        beside.start()
        try:
            damaged.extend(name for name, row in listed["images"].items() if not self.load_image(name, row, heard))
        finally:
            beside.join()
        if failures:
            raise failures[0]
        shown = ", ".join(sorted(damaged)[:3]) + (f" and {len(damaged) - 3} more" if len(damaged) > 3 else "")
        said = f"the warm volume was damaged ({shown}), and what was is fetched again" if damaged else None
        return {"damaged": sorted(damaged), "sentence": _sentence(said), "read": read[0], "total": whole}

    def load_image(self, name: str, row: dict[str, Any], heard: Callable[[int], None]) -> bool:
        """Whether the image is there now, from its archive, which is as recorded."""
        path = os.path.join(self.root, store.IMAGES, store.archive_of(name))
        try:
            good = os.path.getsize(path) == row["size"] and store.checksum(path, heard) == row["sha256"]
        except OSError:
            good = False
        if not good:
            with contextlib.suppress(OSError):
                os.unlink(path)
            return False
        self.program("docker", "image", "load", "--input", path, limit=_LONG_S)
        found = json.loads(self.program("docker", "image", "inspect", name))[0]

        def note(state: dict[str, Any]) -> None:
            if row.get("digest"):
                state["images"][name] = row["digest"]
                state["loaded"][name] = {"digest": row["digest"], "id": found["Id"]}

        engine_state.change(self.params["state_file"], note)
        return True

    # -- recorded

    def record(self, job: Job) -> dict[str, Any]:
        before = store.load(self.root, self.params["digest"]) if self.params["digest"] else None
        known = engine_state.load(self.params["state_file"])["images"]
        directory = os.path.join(self.root, store.IMAGES)
        os.makedirs(directory, mode=0o755, exist_ok=True)
        images: dict[str, dict[str, Any]] = {}
        for image in self.params["images"]:
            name, digest = image["name"], image["digest"] or known.get(image["name"])
            path = os.path.join(directory, store.archive_of(name))
            old = (before or {}).get("images", {}).get(name)
            if old and old.get("digest") == digest and os.path.isfile(path) and os.path.getsize(path) == old["size"]:
                images[name] = old
                continue
            job.save(phase=f"saving {name}")
            found = run(["docker", "image", "inspect", f"{name}@{digest}" if digest else name], 60)
            if found.rc == 0 and digest:
                # What was pulled by its digest has no tag, and an archive names images by tags.
                self.program("docker", "image", "tag", f"{name}@{digest}", name)
            self.program("docker", "image", "save", "--output", path + ".new", name, limit=_LONG_S)
            os.replace(path + ".new", path)
            images[name] = {"digest": digest, "size": os.path.getsize(path), "sha256": store.checksum(path)}
        wanted = {store.archive_of(name) for name in images}
        for left in set(os.listdir(directory)) - wanted:
            os.unlink(os.path.join(directory, left))
        job.save(phase="computing checksums")
        return {"digest": store.write_list(self.root, store.make_list(self.root, self.model, images, before))}


def _sentence(text: str | None) -> str | None:
    return None if text is None else text[0].upper() + text[1:] + "."


def _progress(found: dict[str, Any]) -> dict[str, Any] | None:
    if not found.get("total"):
        return None
    return {"done": found.get("read", 0), "total": found["total"], "unit": "bytes", "rate": None}


def background(module: AnsibleModule, kept: Store) -> None:
    """``read`` and ``recorded``: begun when they were not yet, and waited for a while."""
    reading = module.params["state"] == "read"
    job = Job("read" if reading else "record")
    mounted = kept.is_mounted()
    if module.check_mode or not mounted:
        found = {} if mounted else {"sentence": "The warm volume is not mounted."}
        changed = mounted and not reading
        diff = {"before": {}, "after": {module.params["state"]: kept.root}} if changed else {}
        module.exit_json(changed=changed, mounted=mounted, done=True, diff=diff, **found)
    found = job.load()
    begun = not job.running() and not (reading and found.get("finished") and not found.get("failed"))
    begun = begun and not found.get("untold")
    if begun:
        job.start(kept.read if reading else kept.record)
    until = time.monotonic() + (0.0 if module.params["begin_only"] else module.params["slice"])
    while job.running() and time.monotonic() < until:
        time.sleep(0.1)
    over, found = not job.running(), job.load()
    if over:
        job.save(untold=False)
    if over and (found.get("failed") or not found.get("finished")):
        failure = Failure(
            "unhealthy",
            f"The warm volume could not be {module.params['state']}. {found.get('failed') or 'It was cut off.'}",
            cause=found.get("cause"),
            remedy="The session goes on without it. Look at the volume: linode-coder warm list",
        )
        fail(module, failure, mounted=True, done=True)
    amount = _progress(found)
    size = f"{amount['done'] / 1e9:.1f} of {amount['total'] / 1e9:.1f} GB read" if amount else "begun"
    changed = begun or (over and not reading)
    shown = {"held": found.get("digest")} if over and not reading else {module.params["state"]: kept.root}
    module.exit_json(
        changed=changed,
        diff={"before": {}, "after": shown} if changed else {},
        mounted=True,
        done=over,
        phase="done" if over else found.get("phase") or size,
        progress=amount,
        sentence=found.get("sentence"),
        damaged=found.get("damaged") or [],
        digest=found.get("digest"),
        started=found.get("started"),
        finished=found.get("finished"),
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["mounted", "read", "recorded"], "default": "mounted"},
            "device": {"type": "path"},
            "model": {"type": "str", "required": True},
            "may_format": {"type": "bool", "default": False},
            "digest": {"type": "str", "default": ""},
            "images": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"name": {"type": "str", "required": True}, "digest": {"type": "str"}},
            },
            "begin_only": {"type": "bool", "default": False},
            "slice": {"type": "float", "default": 8.0},
            "wait": {"type": "float", "default": 60.0},
            "mount_point": {"type": "path", "default": "/var/lib/linode-coder/warm"},
            "models_dir": {"type": "path", "default": "/var/lib/linode-coder/models"},
            "cache_dir": {"type": "path", "default": "/var/lib/linode-coder/cache"},
            "state_file": {"type": "path", "default": "/var/lib/linode-coder/engine.json"},
        },
        required_if=[("state", "mounted", ("device",))],
        supports_check_mode=True,
    )
    kept = Store(module)
    try:
        if module.params["state"] == "mounted":
            module.exit_json(done=True, **kept.mount())
        background(module, kept)
    except Failure as failure:
        fail(module, failure, mounted=False, done=True)


if __name__ == "__main__":
    main()
