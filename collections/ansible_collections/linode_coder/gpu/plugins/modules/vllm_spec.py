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
  - Runs on the VM. Writes C(vllm.yaml) and C(engine.env), which the engine reads when it starts, C(compose.yaml), which names its
    image, and C(engine.json), which remembers.
  - While the same is asked for as before, C(vllm.yaml) stays as it is, so that a parameter that healing changed holds.
attributes:
  check_mode:
    description: Says whether it would write.
    support: full
  diff_mode:
    description:
      - Shows C(vllm.yaml) and C(compose.yaml) before and after, and of the environment the names of the variables.
      - Shows which engine is wanted and which one served last, where that changes.
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
    type: str
    choices: [present, verified, restored]
    default: present
  inherited:
    description:
      - What RV(linode_coder.gpu.gpu_heal#module:engine) says of the VM that this one replaces. V(present) begins with it where
        nothing was wanted yet, with the flags that healing changed.
    type: dict
    default: {}
  compose:
    description: Text of C(compose.yaml). It stays as it is when unset.
    type: str
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
  aliases:
    description:
      - Names of the model for clients, beside those among O(flags). Not set, those that were wanted before stay, also for another model.
    type: list
    elements: str
  traces:
    description:
      - Collector to which the engine sends traces, as RV(linode_coder.gpu.linode_gpu_quote#module:quote.traces); empty for none.
      - Not set, the one that was wanted before stays, also for another model.
    type: str
  keep_changes:
    description: Whether C(vllm.yaml) stays as it is while the same is asked for as before. Otherwise changed flags are put back.
    type: bool
    default: true
  files:
    description:
      - For each service of the Compose project the files that it reads when it starts, as O(linode_coder.gpu.compose_project#module:files).
        With them RV(project) says what a start of the project would do once the files are written.
    type: dict
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
verified:
  description: Whether the engine that is wanted now, with the flags that it has now, is the last one that served.
  returned: success
  type: bool
  sample: true
project:
  description: State of each service, which ones would be made anew, and whether a start of the project would change anything.
  returned: when O(files) is given and an engine served
  type: dict
  sample: {"services": {"vllm": "running"}, "recreate": ["vllm"], "differs": true}
healed:
  description: Flags that differ from what was asked for, since healing or a person changed them; null for one that was taken away.
  returned: success
  type: dict
  sample: {"max-model-len": 16384}
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.core.atomic_file import replace_file
from ..module_utils.core.failure import Failure
from ..module_utils.core.module_fail import fail
from ..module_utils.engine import state as engine_state
from ..module_utils.engine.aliases import with_aliases
from ..module_utils.engine.compose_project import ComposeProject
from ..module_utils.engine.config_file import parse, render
from ..module_utils.engine.env_file import env_line
from ..module_utils.model.traces import traces_environment, traces_flags

_COMMENT = """Flags of the engine, read when it starts: see `vllm serve --help`.
After a change: docker compose up --detach --force-recreate vllm"""


def read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def differences(
    texts: list[tuple[str, str | None, str | None]], was: dict[str, Any], now: dict[str, Any]
) -> list[dict[str, Any]]:
    """What changes as diff shows it. The last of ``texts`` may hold secrets."""
    *shown, (env_path, env_before, env_after) = texts
    found: list[dict[str, Any]] = [
        {"before": old or "", "after": new or "", "before_header": place, "after_header": place}
        for place, old, new in shown
        if old != new
    ]
    if env_before != env_after:
        names, wanted = variables(env_before), variables(env_after)
        values = "(other values)" if names == wanted else "(values)"
        before = {"path": env_path, "variables": names, "content": "(values)"}
        found.append({"before": before, "after": {"path": env_path, "variables": wanted, "content": values}})
    if standing(was) != standing(now):
        found.append({"before": standing(was), "after": standing(now)})
    return found


def variables(text: str | None) -> list[str]:
    return [line.partition("=")[0] for line in (text or "").splitlines() if line[:1] not in ("", "#")]


def standing(remembered: dict[str, Any]) -> dict[str, Any]:
    """Of the engine's record, without the environment."""
    engines = {name: remembered[name] or {} for name in ("wanted", "last_good")}
    facts = ("model", "image", "flags")
    shown: dict[str, Any] = {name: {key: spec.get(key) for key in facts} for name, spec in engines.items()}
    return {**shown, "measured": remembered["measured"]}


def kept(params: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
    """The flags that are wanted, with those that stay as they were."""
    flags = dict(params["flags"])
    if before and before["model"] == params["model"]:
        for name in params["keep"]:
            if name in before["flags"]:
                flags[name] = before["flags"][name]
            else:
                flags.pop(name, None)
    return flags


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "project_dir": {"type": "path", "default": "/opt/linode-coder/vllm"},
            "state_file": {"type": "path", "default": "/var/lib/linode-coder/engine.json"},
            "state": {"type": "str", "choices": ["present", "verified", "restored"], "default": "present"},
            "inherited": {"type": "dict", "default": {}},
            "compose": {"type": "str"},
            "model": {"type": "str"},
            "image": {"type": "str"},
            "flags": {"type": "dict", "default": {}},
            "environment": {"type": "dict", "default": {}},
            "keep": {"type": "list", "elements": "str", "default": []},
            "aliases": {"type": "list", "elements": "str"},
            "traces": {"type": "str"},
            "keep_changes": {"type": "bool", "default": True},
            "files": {"type": "dict"},
            "measured": {"type": "dict", "default": {}},
        },
        required_if=[("state", "present", ("model", "image"))],
        supports_check_mode=True,
    )
    params, state = module.params, module.params["state"]
    path = os.path.join(params["project_dir"], "vllm.yaml")
    before_text = read(path)
    remembered = engine_state.load(params["state_file"])
    text = before_text
    try:
        if state == "present":
            known = remembered["wanted"]
            if params["inherited"] and known is None and text is None:
                known, text = params["inherited"]["wanted"], params["inherited"]["config"]
            aliases = params["aliases"]
            if aliases is None:
                aliases = (known or {}).get("aliases") or []
            traces = params["traces"]
            if traces is None:
                traces = (known or {}).get("traces") or ""
            environment = {name: str(value) for name, value in params["environment"].items()}
            wanted = {
                "model": params["model"],
                "image": params["image"],
                "flags": {**with_aliases(params["model"], kept(params, known), aliases), **traces_flags(traces)},
                "aliases": aliases,
                "environment": {**environment, **traces_environment(traces)},
                **({"traces": traces} if traces else {}),
            }
            if text is None or known != wanted or not params["keep_changes"]:
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
        else:
            wanted = remembered["wanted"]
        flags = parse(text) if text is not None else {}
        lines = sorted(env_line(*item) for item in ((wanted or {}).get("environment") or {}).items())
    except Failure as failure:
        fail(module, failure)
    flags.pop("model", None)
    good = engine_state.in_effect({"wanted": wanted}, flags)

    def work(state_now: dict[str, Any]) -> None:
        state_now["wanted"] = wanted
        if state == "verified" and (state_now["last_good"] != good or not state_now["measured"]):
            state_now["last_good"] = good
            state_now["measured"] = params["measured"]

    env_path, compose_path = (os.path.join(params["project_dir"], name) for name in ("engine.env", "compose.yaml"))
    before_env, before_compose = read(env_path), read(compose_path)
    compose = before_compose if params["compose"] is None else params["compose"]
    texts = [
        (compose_path, before_compose, compose),
        (path, before_text, text),
        (env_path, before_env, "".join(["# Of the engine's model; see vllm.yaml.\n", *lines])),
    ]
    was, now = engine_state.change(params["state_file"], work, dry=module.check_mode)
    if not module.check_mode:
        for place, old, new in texts:
            if new is not None and new != old:
                replace_file(place, new, 0o644)
    asked = (wanted or {}).get("flags") or {}
    missing = object()
    healed = {
        name: flags.get(name) for name in {**asked, **flags} if asked.get(name, missing) != flags.get(name, missing)
    }
    seen = {}
    if params["files"] is not None and now["last_good"] is not None:
        found = ComposeProject(module, params["project_dir"]).differences(params["files"])
        seen["project"] = {"services": found.services, "recreate": found.recreate, "differs": found.differs}
    module.exit_json(
        changed=was != now or any(new != old for _place, old, new in texts),
        model=engine_state.serves(now["wanted"]),
        image=(now["wanted"] or {}).get("image"),
        last_good=engine_state.serves(now["last_good"]),
        verified=good is not None and now["last_good"] == good and bool(now["measured"]),
        healed=healed,
        diff=differences(texts, was, now),
        **seen,
    )


if __name__ == "__main__":
    main()
