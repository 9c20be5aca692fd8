# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/awx.yml with the real modules of awx.awx against a played controller: `make test-foreign`.

objects.yml has what a controller gets; UPDATE_OBJECTS=1 writes it anew.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import product
from tests.played_controller import TOKEN, PlayedController

EXPECTED = Path(__file__).with_name("objects.yml")
ROOT = Path(__file__).parents[2]
SECRETS = {
    "awx_linode_token": "secret-linode-token",
    "awx_hub_token": "secret-hub-token",
    "awx_ssh_private_key": "secret-key",
}
GIVEN = {
    **SECRETS,
    "awx_image": "registry.example.com/linode-coder-ee:0.1.0",
    "awx_budget": 200,
    "awx_authorized_keys": ["ssh-ed25519 AAAA team"],
    "awx_webhook": "https://hooks.example.com/secret-hook",
}


class Setup:
    def __init__(self, controller: PlayedController, place: Path) -> None:
        self.controller, self.place = controller, place

    def run(self, *options: str, code: int = 0, **given: Any) -> tuple[str, int]:
        """The output, and how many tasks changed something."""
        variables = self.place / "variables.yml"
        variables.write_text(yaml.safe_dump({**GIVEN, **given}))
        done = subprocess.run(
            [str(product.BIN / "ansible-playbook"), "linode_coder.gpu.awx", "-e", f"@{variables}", *options],
            cwd=self.place,
            env={
                **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
                "ANSIBLE_PIPELINING": "1",
                "HOME": str(self.place),
                "CONTROLLER_HOST": self.controller.url,
                "CONTROLLER_OAUTH_TOKEN": TOKEN,
                "ANSIBLE_COLLECTIONS_PATH": os.environ["AWX_COLLECTIONS"],
                "ANSIBLE_NOCOLOR": "1",
            },
            capture_output=True,
            text=True,
            timeout=240,
        )
        output = done.stdout + done.stderr
        assert done.returncode == code, output
        assert "[ERROR]" not in output or code, output
        for secret in (*SECRETS.values(), "secret-hook"):
            assert secret not in output
        found = re.search(r"^localhost .*changed=(\d+)", output, re.MULTILINE)
        return output, int(found[1]) if found else 0


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    controller = PlayedController(ROOT / "playbooks")
    yield Setup(controller, tmp_path)
    controller.close()


def test_a_controller_is_set_up_changed_and_taken_away(setup: Setup) -> None:
    controller = setup.controller
    untouched = controller.described()
    output, changed = setup.run("--check")
    assert (controller.sent, untouched) == ([], {})
    assert changed and "compared: no" in output

    setup.run()
    made = controller.described()
    if os.environ.get("UPDATE_OBJECTS"):
        EXPECTED.write_text("---\n" + yaml.safe_dump(made, sort_keys=False, width=120))
    assert made == yaml.safe_load(EXPECTED.read_text())
    assert sorted(value for inputs in controller.secrets.values() for value in inputs.values()) == sorted(
        SECRETS.values()
    )

    # All else is as it was.
    controller.sent.clear()
    output, changed = setup.run("--check", awx_interval=10)
    assert (controller.sent, changed) == ([], 1)
    assert "compared: yes" in output

    # Somebody has begun to, by hand.
    for endpoint, name in (
        ("credentials", "Hugging Face"),
        ("credential_types", "Hugging Face"),
        ("job_templates", "list"),
    ):
        (number,) = (key for key, one in controller.objects[endpoint].items() if one["name"] == f"linode_coder {name}")
        controller.answer("DELETE", f"/api/v2/{endpoint}/{number}/", None)
    setup.run(awx_state="absent")
    assert controller.described() == {}


def test_what_is_missing_is_said_before_anything_is_sent(setup: Setup) -> None:
    output, _changed = setup.run(code=2, awx_image="")
    assert "awx_image, the image that jobs run in" in output
    output, _changed = setup.run(code=2, awx_interval=90)
    assert "Take a whole number from 1 to 60" in output
    assert setup.controller.sent == []


def test_a_controller_that_refuses_is_quoted(setup: Setup) -> None:
    output, _changed = setup.run(code=2, awx_organization="Elsewhere")
    assert "Request to /api/v2/organizations/?name=Elsewhere returned 0 items, expected 1" in output
