#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_spec
short_description: Keep the engine's flags and remember which engine served
version_added: 0.1.0
description:
  - Runs on the VM. Writes C(vllm.yaml) and C(engine.env), which the engine reads when it starts, and C(engine.json), which
    remembers.
  - While the same is asked for as before, C(vllm.yaml) stays as it is, so that a parameter that healing changed holds.
attributes:
  check_mode:
    description: Says whether it would write.
    support: full
  diff_mode:
    description: Shows C(vllm.yaml) before and after.
    support: full
options:
  project_dir:
    description: Directory of the engine's Compose project.
    type: path
    default: /opt/linode-coder/vllm
  state_file:
    description: File that remembers.
    type: path
    default: /var/lib/linode-coder/engine.json
  state:
    description:
      - V(present) makes O(model), O(image) and O(flags) the engine that is wanted.
      - V(verified) remembers the engine that is wanted as the last one that served, with O(measured).
      - V(restored) makes the last one that served the one that is wanted again.
      - V(inherited) begins with O(engine) where nothing was wanted yet.
    type: str
    choices: [present, verified, restored, inherited]
    default: present
  engine:
    description: What RV(linode_coder.gpu.gpu_heal#module:engine) says of the VM that this one replaces.
    type: dict
  model:
    description: Id of the model. Needed for V(present).
    type: str
  image:
    description: Reference of the engine's image. Needed for V(present).
    type: str
  flags:
    description: Flags of C(vllm serve) without their dashes.
    type: dict
    default: {}
  environment:
    description: Environment variables of the engine.
    type: dict
    default: {}
  keep:
    description:
      - Flags of which nobody asked for a value. For the model that is wanted already they stay as they were wanted before.
    type: list
    elements: str
    default: []
  keep_changes:
    description: Whether C(vllm.yaml) stays as it is while the same is asked for as before. Otherwise changed flags are put back.
    type: bool
    default: true
  measured:
    description: What the engine said of itself, recorded with a spec that is verified for the first time.
    type: dict
    default: {}
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Write the engine's flags
  linode_coder.gpu.vllm_spec:
    model: Qwen/Qwen2.5-Coder-7B-Instruct-AWQ
    image: docker.io/vllm/vllm-openai:v0.33.0
    flags:
      max-model-len: 32768
"""

RETURN = r"""
model:
  description: Model of the engine that is wanted now; null when there is none.
  returned: success
  type: str
  sample: Qwen/Qwen2.5-Coder-7B-Instruct-AWQ
image:
  description: Reference of its image; null when there is none.
  returned: success
  type: str
  sample: docker.io/vllm/vllm-openai:v0.33.0@sha256:4f1c...
last_good:
  description: Model of the last engine that served; null when none did.
  returned: success
  type: str
  sample: Qwen/Qwen2.5-Coder-7B-Instruct-AWQ
healed:
  description: Flags that differ from what was asked for, since healing or a person changed them; null for one that was taken away.
  returned: success
  type: dict
  sample: {"max-model-len": 16384}
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import engine_state
from ..module_utils.engine_config import parse, render
from ..module_utils.failure import Failure
from ..module_utils.vm_module import fail

_COMMENT = """Flags of the engine, read when it starts: see `vllm serve --help`.
After a change: docker compose up --detach --force-recreate vllm"""


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def write(path, text):
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path + ".new", 0o644)
    os.replace(path + ".new", path)


def kept(params, before):
    """The flags that are wanted, with those that stay as they were."""
    flags = dict(params["flags"])
    if before and before["model"] == params["model"]:
        for name in params["keep"]:
            if name in before["flags"]:
                flags[name] = before["flags"][name]
            else:
                flags.pop(name, None)
    return flags


def main():
    module = AnsibleModule(
        argument_spec={
            "project_dir": {"type": "path", "default": "/opt/linode-coder/vllm"},
            "state_file": {"type": "path", "default": "/var/lib/linode-coder/engine.json"},
            "state": {"type": "str", "choices": ["present", "verified", "restored", "inherited"], "default": "present"},
            "engine": {"type": "dict"},
            "model": {"type": "str"},
            "image": {"type": "str"},
            "flags": {"type": "dict", "default": {}},
            "environment": {"type": "dict", "default": {}},
            "keep": {"type": "list", "elements": "str", "default": []},
            "keep_changes": {"type": "bool", "default": True},
            "measured": {"type": "dict", "default": {}},
        },
        required_if=[("state", "present", ("model", "image")), ("state", "inherited", ("engine",))],
        supports_check_mode=True,
    )
    params, state = module.params, module.params["state"]
    path = os.path.join(params["project_dir"], "vllm.yaml")
    before_text = read(path)
    remembered = engine_state.load(params["state_file"])
    text = before_text
    try:
        if state == "present":
            wanted = {
                "model": params["model"],
                "image": params["image"],
                "flags": kept(params, remembered["wanted"]),
                "environment": {name: str(value) for name, value in params["environment"].items()},
            }
            if before_text is None or remembered["wanted"] != wanted or not params["keep_changes"]:
                text = render({"model": wanted["model"], **wanted["flags"]}, {"": _COMMENT})
        elif state == "restored":
            wanted = remembered["last_good"]
            if wanted is None:
                failure = Failure(
                    "unhealthy",
                    "No engine has served on this VM yet, so there is none to go back to.",
                    remedy="Choose another model and run it again.",
                )
                fail(module, failure)
            text = render({"model": wanted["model"], **wanted["flags"]}, {"": _COMMENT})
        elif state == "inherited" and remembered["wanted"] is None and before_text is None:
            wanted, text = params["engine"]["wanted"], params["engine"]["config"]
        else:
            wanted = remembered["wanted"]
        flags = parse(text) if text is not None else {}
    except Failure as failure:
        fail(module, failure)
    flags.pop("model", None)
    good = {**wanted, "flags": flags} if wanted else None

    def work(state_now):
        state_now["wanted"] = wanted
        if state == "verified" and (state_now["last_good"] != good or not state_now["measured"]):
            state_now["last_good"] = good
            state_now["measured"] = params["measured"]

    env_path = os.path.join(params["project_dir"], "engine.env")
    before_env = read(env_path)
    lines = sorted(f"{name}={value}\n" for name, value in ((wanted or {}).get("environment") or {}).items())
    env = "".join(["# Of the engine's model; see vllm.yaml.\n", *lines])
    was, now = engine_state.change(params["state_file"], work, dry=module.check_mode)
    if not module.check_mode:
        for place, old, new in ((path, before_text, text), (env_path, before_env, env)):
            if new != old:
                write(place, new)
    asked = (wanted or {}).get("flags") or {}
    missing = object()
    healed = {
        name: flags.get(name) for name in {**asked, **flags} if asked.get(name, missing) != flags.get(name, missing)
    }
    module.exit_json(
        changed=was != now or text != before_text or env != before_env,
        model=engine_state.serves(now["wanted"]),
        image=(now["wanted"] or {}).get("image"),
        last_good=engine_state.serves(now["last_good"]),
        healed=healed,
        diff={"before": before_text or "", "after": text or "", "before_header": path, "after_header": path},
    )


if __name__ == "__main__":
    main()
