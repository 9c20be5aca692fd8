# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules that no other test runs by themselves: a parameter that is missing, check mode, a change, and none.

The programs that they call are scripts in a PATH of their own; everything else is real.
"""

from __future__ import annotations

import importlib
import json
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scripted_linode import KEY, ScriptedLinode

MODULES = "ansible_collections.linode_coder.gpu.plugins.modules."
Call = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("compose_project", "project_dir"),
        ("container_image", "images"),
        ("endpoint_speed", "session"),
        ("gpu_health_bundle", "bundle, path"),
        ("gpu_health_report", "sessions"),
        ("model_weights", "model"),
        ("session_secret", "secrets, session"),
        ("ssh_ready", "address, host_keys, session"),
    ],
)
def test_a_parameter_that_is_missing_is_named(call: Call, name: str, missing: str) -> None:
    assert call(name)["msg"] == f"missing required arguments: {missing}"


def test_the_key_of_this_control_node_is_made_once(call: Call, tmp_path: Path) -> None:
    planned = call("client_key", check=True)
    assert (planned["changed"], planned["public_key"], (tmp_path / "home").exists()) == (True, None, False)
    made = call("client_key")
    path = Path(made["path"])
    assert made["changed"] and made["public_key"].startswith("ssh-ed25519 ")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(entry.name for entry in path.parent.iterdir()) == [path.name, path.name + ".pub"]
    assert made.pop("diff")["after"] == made["public_key"] + "\n"
    for check in (True, False):
        assert call("client_key", check=check) == made | {"changed": False}


def test_without_ssh_keygen_the_remedy_is_named(call: Call, program: Callable[[str, str], None]) -> None:
    program("ssh-keygen", "echo no entropy >&2; exit 1\n")
    failed = call("client_key")
    assert (failed["failed"], failed["failure"]["cause"]) == (True, "no entropy")
    assert failed["failure"]["remedy"] == "Install the OpenSSH client."


def test_the_secret_of_a_session_is_kept_readable_by_its_owner_only(call: Call) -> None:
    wanted = {"session": "demo", "secrets": "VLLM_API_KEY=planted-secret\n"}
    planned = call("session_secret", check=True, **wanted)
    assert planned["changed"] and not Path(planned["path"]).exists()
    kept = call("session_secret", **wanted)
    path = Path(kept["path"])
    assert (kept["changed"], path.read_text(), stat.S_IMODE(path.stat().st_mode)) == (True, "planted-secret\n", 0o600)
    assert call("session_secret", **wanted)["changed"] is False
    path.chmod(0o644)
    opened = call("session_secret", **wanted)
    assert opened["changed"] is True and opened["diff"]["before"]["mode"] == "0644"
    path.write_bytes(b"\xff\xfe damaged")
    assert call("session_secret", **wanted)["changed"] is True and path.read_text() == "planted-secret\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    other = call("session_secret", session="demo", secrets="VLLM_API_KEY=planted-other")
    assert other["changed"] is True
    assert "planted" not in json.dumps([planned, kept, opened, other])
    assert call("session_secret", session="../demo", secrets="VLLM_API_KEY=x")["failure"]["field"] == "session"


def test_the_first_key_of_a_group_is_the_groups(call: Call) -> None:
    first = {"session": "team-1", "group": "team", "secrets": "VLLM_API_KEY=planted-first"}
    planned = call("session_secret", check=True, **first)
    of_group = Path(planned["path"]).parents[1] / "team" / "api_key"
    assert planned["changed"] and not of_group.exists()
    assert call("session_secret", **first)["changed"] is True
    assert (of_group.read_text(), stat.S_IMODE(of_group.stat().st_mode)) == ("planted-first\n", 0o600)
    assert call("session_secret", **first)["changed"] is False
    # That of another member is that member's own trouble.
    call("session_secret", session="team-2", group="team", secrets="VLLM_API_KEY=planted-second")
    assert of_group.read_text() == "planted-first\n"
    of_group.write_bytes(b"\xff damaged")
    assert call("session_secret", **first)["changed"] is True and of_group.read_text() == "planted-first\n"
    assert call("session_secret", **{**first, "group": "../x"})["failure"]["field"] == "session"


def test_a_bundle_is_written_as_one_archive(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "demo.tar.gz"
    bundle = {"nvidia-smi.xml": "<xml/>", "of nobody": "x"}
    assert call("gpu_health_bundle", check=True, path=str(path), bundle=bundle)["changed"]
    assert not path.exists()
    written = call("gpu_health_bundle", path=str(path), bundle=bundle)
    assert (written["changed"], written["path"], written["files"]["nvidia-smi.xml"]) == (True, str(path), 6)
    with tarfile.open(path) as archive:
        assert archive.getnames() == ["nvidia-smi.xml"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    nowhere = call("gpu_health_bundle", path=str(tmp_path / "no" / "demo.tar.gz"), bundle=bundle)
    assert nowhere["failure"]["remedy"] == "Choose another place."


def test_reports_are_as_bad_as_their_worst_session(call: Call) -> None:
    views = [{"name": "demo", "label": "lc-demo-1", "linode_id": 7, "status": "running"}]
    bad = {"check": "gpu.lost", "severity": "fail", "subject": "GPU 0", "summary": "Lost."}
    for check in (True, False):
        unseen = call("gpu_health_report", check=check, sessions=views)
        assert (unseen["changed"], unseen["severity"], unseen["sessions"][0]["reached"]) == (False, "unknown", False)
    answers = {"lc-demo-1": {"findings": [bad | {"id": bad["check"]}], "activity": {}, "facts": {}}}
    seen = call("gpu_health_report", sessions=views, observations=answers)
    assert (seen["severity"], seen["sessions"][0]["reached"]) == ("fail", True)
    assert call("gpu_health_report", sessions=[])["severity"] == "unknown"


def test_preflight_says_everything_and_changes_nothing(call: Call, api: ScriptedLinode) -> None:
    account = {"api_token": "planted", "api_url": api.url}
    for check in (True, False):
        asked = call("linode_gpu_preflight", check=check, fail_when_refused=False, idle="2m", **account)
        assert asked["changed"] is False and asked["severity"] == "fail"
        assert {finding["severity"] for finding in asked["findings"]} > {"fail"}
    refused = call("linode_gpu_preflight", idle="2m", **account)
    assert refused["failed"] and refused["findings"] and refused["msg"].startswith(refused["failure"]["message"])
    assert {one.method for one in api.calls} == {"GET"}


SSH = {"address": "192.0.2.7", "host_keys": [KEY], "session": "demo"}


def test_ssh_is_waited_for_until_it_answers(
    call: Call, program: Callable[[str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(MODULES + "ssh_ready")
    monkeypatch.setattr(module.time, "sleep", lambda _seconds: None)
    tries = tmp_path / "tries"
    program(
        "ssh",
        f"printf '%s\\n' \"$*\" | tail -1 >> {tries}; test $(wc -l < {tries}) -ge 3 || {{ echo refused >&2; exit 255; }}\n",
    )
    for check in (False, True):
        assert call("ssh_ready", check=check, **SSH)["changed"] is False
    asked = tries.read_text().splitlines()
    assert len(asked) == 4
    assert all("StrictHostKeyChecking=yes" in line and "root@192.0.2.7 " in line for line in asked)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("No ED25519 host key is known.\nHost key verification failed.", "host_key"),
        ("root@192.0.2.7: Permission denied (publickey).", "auth"),
        ("ssh: connect to host 192.0.2.7 port 22: Connection timed out", "timeout"),
    ],
)
def test_why_ssh_does_not_answer_is_said(
    call: Call, program: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch, said: str, kind: str
) -> None:
    module = importlib.import_module(MODULES + "ssh_ready")
    monkeypatch.setattr(module, "DENIED_PATIENCE_S", -1)
    program("ssh", "".join(f"echo '{line}' >&2\n" for line in said.splitlines()) + "exit 255\n")
    failed = call("ssh_ready", timeout=0, **SSH)
    assert (failed["failed"], failed["failure"]["kind"]) == (True, kind)
    assert failed["failure"]["cause"] == said.splitlines()[-1]


DOCKER = """
echo "$*" >> "$CALLS"
case "$*" in
  *"config --hash"*) cat > /dev/null; echo "vllm abc";;
  *config*) echo "services: {}";;
  *ps*) cat "$STATE";;
esac
"""


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Callable[[str, str], None]) -> Path:
    """A Docker whose one project has the containers that the file says; beside it is what it was asked to do."""
    state = tmp_path / "state"
    monkeypatch.setenv("STATE", str(state))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    program("docker", DOCKER)
    return state


def container(state: str) -> str:
    return json.dumps(
        {"Service": "vllm", "Name": "vllm-1", "State": state, "Labels": "com.docker.compose.config-hash=abc"}
    )


@pytest.mark.parametrize(
    ("wanted", "before", "verb"),
    [
        ("present", "", "up --detach --remove-orphans"),
        ("present", container("exited"), "up --detach --remove-orphans"),
        ("present", container("running"), None),
        ("stopped", container("running"), "stop"),
        ("stopped", container("exited"), None),
        ("absent", container("exited"), "down"),
        ("absent", "", None),
    ],
)
def test_a_compose_project_is_changed_only_where_it_differs(
    call: Call, docker: Path, tmp_path: Path, wanted: str, before: str, verb: str | None
) -> None:
    docker.write_text(before)
    project = f"compose --project-directory {tmp_path} "
    for check in (True, False):
        done = call("compose_project", check=check, project_dir=str(tmp_path), state=wanted)
        assert "changed" in done, done
        assert done["changed"] is (verb is not None)
        asked = [line.removeprefix(project) for line in (tmp_path / "calls").read_text().splitlines()]
        acted = [line for line in asked if line.split()[0] in ("up", "stop", "down")]
        assert acted == ([] if check or verb is None else [verb])


def test_weights_that_are_there_are_not_fetched_again(call: Call, tmp_path: Path) -> None:
    own = tmp_path / "model"
    missing = call("model_weights", model=str(own), models_dir=str(tmp_path))
    assert (missing["failed"], missing["failure"]["field"], missing["phase"]) == (True, "model", "failed")
    planned = call("model_weights", check=True, model="acme/Coder", models_dir=str(tmp_path), project_dir=str(own))
    assert (planned["changed"], planned["present"], planned["phase"]) == (True, False, "to be fetched")


def test_weights_are_requested_once(call: Call, docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(MODULES + "model_weights")
    monkeypatch.setattr(module, "RUN_DIRECTORY", str(tmp_path / "run"))
    docker.write_text(json.dumps({"Service": "weights", "Name": "weights-1", "State": "running", "Labels": ""}))
    wanted = {"model": "acme/Coder", "models_dir": str(tmp_path), "project_dir": str(tmp_path), "state": "fetching"}
    assert [call("model_weights", **wanted)["changed"] for _again in range(2)] == [True, False]
    assert (tmp_path / "weights.env").read_text() == "MODEL=acme/Coder\nREVISION=main\n"
    assert (tmp_path / "calls").read_text().count(" up --detach weights") == 1


def test_speed_is_not_measured_with_wishes_that_make_no_sense(call: Call) -> None:
    refused = call("endpoint_speed", session="demo", concurrency=[0])
    assert (refused["failed"], refused["failure"]["field"], refused["run"]) == (True, "concurrency", None)
