# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the role that serves: each is described, and with the default that it has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROLE = Path(__file__).parents[3] / "roles" / "vllm"


def load(name: str) -> Any:
    return yaml.safe_load((ROLE / name).read_text())


def files() -> list[Path]:
    return [*(ROLE / "tasks").iterdir(), *(ROLE / "templates").iterdir(), ROLE / "vars" / "main.yml"]


def test_every_entry_point_is_described_and_takes_the_same_options() -> None:
    described = load("meta/argument_specs.yml")["argument_specs"]
    assert len({str(entry["options"]) for entry in described.values()}) == 1
    playbooks = "".join(path.read_text() for path in ROLE.parents[1].glob("playbooks/*.yml"))
    named = set(re.findall(r"name: vllm\n +tasks_from: (\w+)", playbooks))
    assert named and named | {"main"} <= set(described)


def test_the_described_defaults_are_the_defaults() -> None:
    options = load("meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    defaults = load("defaults/main.yml")
    assert {name: option["default"] for name, option in options.items() if "default" in option} == defaults
    open_ended = {name for name, option in options.items() if "default" not in option}
    assert open_ended == {"vllm_aliases", "vllm_model", "vllm_open_webui", "vllm_traces"}
    assert all(option["description"] for option in options.values())


def test_every_variable_is_an_option_or_of_the_role_itself() -> None:
    text = "".join(path.read_text() for path in files())
    used = set(re.findall(r"\bvllm_\w+", text))
    known = set(load("meta/argument_specs.yml")["argument_specs"]["main"]["options"]) | set(load("vars/main.yml"))
    registered = set(re.findall(r"register: (vllm_\w+)", text)) | {"vllm_engine_image"}
    modules = {"vllm_spec", "vllm_ready"}
    assert used - modules <= known | registered
    # And no option is without effect.
    assert set(load("defaults/main.yml")) <= used


def test_every_image_can_be_pinned() -> None:
    defaults = load("defaults/main.yml")
    images = [name for name in defaults if re.fullmatch(r"vllm_(\w+_)?image", name)]
    assert len(images) == 4
    for name in images:
        assert f"{name}_digest" in defaults
        assert re.search(r":[\w.-]+$", defaults[name]) and not defaults[name].endswith(":latest")
