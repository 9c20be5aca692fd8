# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects of a controller: surveys that it takes, nothing that who starts a job could raise, and no secret."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.controller.objects import Wanted, objects
from ansible_collections.linode_coder.gpu.plugins.module_utils.controller.playbooks import PLAYBOOKS, asked
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

from tests.played_controller import survey_refused

WANTED = Wanted(
    name="team",
    organization="Default",
    project_url="https://git.example.com/linode_coder.git",
    project_branch="main",
    project_credential=None,
    image="registry.example.com/ee:1",
    image_credential=None,
    interval=5,
    cleanup_at=3,
    budget=None,
    authorized_keys=(),
    key=False,
    hub=False,
    webhook=False,
)


def templates(wanted: Wanted = WANTED) -> dict[str, dict[str, Any]]:
    return {template["name"].removeprefix("team "): template for template in objects(wanted)["job_templates"]}


def questions(template: dict[str, Any]) -> set[str]:
    return {question["variable"] for question in template["survey_spec"].get("spec", [])}


def test_every_survey_is_one_that_the_controller_takes() -> None:
    found = objects(WANTED)
    surveys = [template["survey_spec"] for template in found["job_templates"] if template["survey_enabled"]]
    assert len(surveys) == len([one for one in PLAYBOOKS if not one.no_template and asked(one)]) > 10
    for survey in [*surveys, found["workflow"]["survey_spec"]]:
        assert survey_refused(survey) is None
        for question in survey["spec"]:
            assert (question["type"] == "multiplechoice") == bool(question["choices"])


def test_what_the_setup_says_nobody_is_asked() -> None:
    held = templates(replace(WANTED, budget=50.0, authorized_keys=("ssh-ed25519 A",)))
    for name, template in templates().items():
        spends = "budget" in questions(template)
        assert questions(held[name]) == questions(template) - {"budget"}
        assert held[name]["extra_vars"].get("budget") == (50.0 if spends else None)
    assert held["up"]["extra_vars"]["authorized_keys"] == ["ssh-ed25519 A"]
    assert {name for name, one in held.items() if "budget" in one["extra_vars"]} == {
        *("adjust", "extend", "heal", "switch_model", "up", "validate", "watchdog"),
    }


def test_who_watches_on_a_schedule_says_how_often() -> None:
    found = objects(replace(WANTED, interval=10))
    watchdog, cleanup = found["schedules"]
    assert watchdog["extra_data"] == {"interval": 600} and watchdog["rrule"].endswith("RRULE:FREQ=MINUTELY;INTERVAL=10")
    assert {"interval"} <= questions(templates()["watchdog"])
    # It only lists: what is removed, a person says.
    assert cleanup["extra_data"] == {} and "T030000Z" in cleanup["rrule"]


def test_credentials_are_those_that_there_is_something_for() -> None:
    assert templates()["up"]["credentials"] == ["team Linode"]
    assert len(objects(WANTED)["credential_types"]) == 1
    everything = replace(WANTED, key=True, hub=True, webhook=True)
    assert templates(everything)["up"]["credentials"] == ["team Linode", "team Hugging Face", "team SSH key"]
    (linode, hub) = objects(everything)["credential_types"]
    assert linode["injectors"]["env"] == {
        "LINODE_TOKEN": "{{ token }}",
        "LINODE_CODER_NOTIFY_URL": "{{ notify_url }}",
        "LINODE_CODER_HISTORY_URL": "{{ history_url }}",
    }
    assert hub["injectors"]["env"] == {"HF_TOKEN": "{{ token }}"}
    assert all(field["secret"] for kind in (linode, hub) for field in kind["inputs"]["fields"])
    told = {name for name, one in templates(everything).items() if one["notification_templates_error"]}
    assert told == {"cleanup", "heal", "watchdog"}


@pytest.mark.parametrize(("name", "value"), [("interval", 0), ("interval", 61), ("cleanup_at", -1), ("cleanup_at", 24)])
def test_a_schedule_that_there_cannot_be_is_refused(name: str, value: int) -> None:
    with pytest.raises(Failure, match=f"{name} is {value}") as caught:
        objects(replace(WANTED, **{name: value}))
    assert caught.value.kind == "usage"
