"""The main job through the command line and the playbooks, on a docker host."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.host_key import to_openssh
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import decode, encode

from linode_coder.sandbox.hosts.docker_cli import DockerCli
from linode_coder.sandbox.hosts.docker_hosts import LABEL, remove_all
from tests import proxy_paths
from tests.api_proxy import api_at, gateway_of
from tests.sandbox_fixture import RunningSandbox, start_sandbox

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    directory = tmp_path_factory.mktemp("docker")
    hosts = directory / "home/state/sandbox/docker-hosts"
    try:
        with start_sandbox(directory, hosts="docker") as running:
            yield running
    finally:
        asyncio.run(remove_all(DockerCli(), hosts))


def run(sandbox: RunningSandbox, *command: str, **environment: str) -> str:
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        env={**sandbox.env, "PATH": f"{BIN}{os.pathsep}{sandbox.env['PATH']}", **environment},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=600,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def session(sandbox: RunningSandbox) -> dict[str, Any]:
    lines = run(sandbox, "linode-coder", "up", "demo", "--yes", "--json").splitlines()
    return dict(json.loads(lines[-1]))


def on_host(sandbox: RunningSandbox, command: str) -> str:
    """What the session's VM says to a shell command."""
    out = run(sandbox, "ansible", "demo", "-i", sandbox.inventory, "-m", "ansible.builtin.shell", "-a", command)
    return out.partition(">>\n")[2].strip()


def wait_for(sandbox: RunningSandbox, text: str) -> None:
    """Until the dead-man timer's service has said so."""
    deadline = time.monotonic() + 120
    while text not in (said := on_host(sandbox, "journalctl --output cat --unit linode-coder-dead-man.service")):
        assert time.monotonic() < deadline, said
        time.sleep(1)


def running_hosts(sandbox: RunningSandbox) -> list[str]:
    label = f"label={LABEL}={sandbox.home / 'state/sandbox/docker-hosts'}"
    command = ["docker", "ps", "--quiet", "--filter", label]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def answered_tokens(sandbox: RunningSandbox, endpoint: str) -> int:
    key = (sandbox.home / "state/sessions/demo/api_key").read_text().strip()
    body = {"model": "openai/gpt-oss-20b", "max_tokens": 4, "messages": [{"role": "user", "content": "Hello"}]}
    request = urllib.request.Request(
        f"{endpoint}/chat/completions",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return int(json.loads(answer.read())["usage"]["completion_tokens"])


def test_up_serves_through_the_tunnel(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    assert answered_tokens(sandbox, session["endpoint"]) > 0
    assert on_host(sandbox, "docker inspect --format '{{ '{{.State.Status}}' }}' vllm-vllm-1 vllm-proxy-1").split() == [
        "running",
        "running",
    ]


def test_a_second_up_changes_nothing(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    out = run(sandbox, "ansible-playbook", "linode_coder.gpu.up", "-e", "session=demo")
    assert "changed=0" in out.split("PLAY RECAP")[1]
    for line in out.split("PLAY RECAP")[1].splitlines():
        assert "changed=" not in line or "changed=0 " in line, out


def test_nothing_but_ssh_listens_to_the_world(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    listening = [
        line.split()[3] for line in on_host(sandbox, "ss --listening --tcp --numeric --no-header").splitlines()
    ]
    own = ("127.", "[::1]", "169.254.169.254", "[fd00:a9fe:a9fe::1]", "192.0.2.80")
    assert {address.rpartition(":")[2] for address in listening if not address.startswith(own)} == {"22"}


def test_the_real_cloud_init_has_nothing_to_complain_of(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    """In the user-data that `up` sends; and the host has the key of the tags and no other."""
    said = on_host(sandbox, "cloud-init status --wait --long")
    assert "status: done\nextended_status: done\n" in said, said
    assert "detail: DataSourceAkamaiLocal\nerrors: []\nrecoverable_errors: {}" in said, said
    assert on_host(sandbox, "cloud-init schema --system") == "Valid schema user-data"
    # That was IPv6; the other address is there for whoever has none.
    token = "curl --silent -X PUT -H 'Metadata-Token-Expiry-Seconds: 60' http://169.254.169.254/v1/token"
    assert len(on_host(sandbox, token)) == 64
    files = on_host(sandbox, "cd /etc/ssh && ls ssh_host_*").split()
    assert files == ["ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"]
    (vm,) = sandbox.api("GET", "linode/instances")["data"]
    host_key = decode(vm["tags"]).whole().host_key
    assert on_host(sandbox, "cat /etc/ssh/ssh_host_ed25519_key.pub").split()[:2] == to_openssh(host_key).split()[:2]


def test_the_real_nginx_lets_through_what_the_list_says(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    """The same table as for the played one on simulated hosts."""
    key = (sandbox.home / "state/sessions/demo/api_key").read_text().strip()
    assert proxy_paths.wrong(urlsplit(session["endpoint"]).port or 0, key) == []


def test_the_gpu_stays_when_systemd_reads_its_units(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    """Devices outside of what systemd knows of a container are taken from it at that moment."""
    in_container = "docker exec vllm-vllm-1 nvidia-smi -L"
    before = on_host(sandbox, in_container)
    assert before.startswith("GPU 0")
    assert on_host(sandbox, f"systemctl daemon-reload && {in_container}") == before
    # It can tell: a container that was not given the GPUs is refused by the same devices.
    refused = (
        "docker run --rm --network none -v /dev:/dev -v /etc/sandbox:/etc/sandbox:ro -v /usr/bin/nvidia-smi:/usr/bin/nvidia-smi:ro "
        "--entrypoint nvidia-smi vllm/vllm-openai:v0.33.0 -L || true"
    )
    assert "Unknown Error" in on_host(sandbox, refused)


def test_no_process_of_a_container_has_a_privilege(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    """But nginx's master the three with which it makes its worker another user; and the proxy's root cannot be written."""
    status = "cat /proc/[0-9]*/status"
    for name, most in (("vllm", 0), ("proxy", 1 << 0 | 1 << 6 | 1 << 7)):
        lines = on_host(sandbox, f"docker exec vllm-{name}-1 sh -c '{status}'").splitlines()
        # The shell that asks is one of them: what a container may at most.
        for what in ("CapEff", "CapPrm", "CapBnd"):
            held = [int(line.split()[1], 16) for line in lines if line.startswith(f"{what}:")]
            assert held and max(held) == most, (name, what, held)
        assert {line.split()[1] for line in lines if line.startswith("NoNewPrivs:")} == {"1"}
        if name == "proxy":
            workers = [line for line in lines if line.startswith("Uid:") and line.split()[1] != "0"]
            assert len(workers) == 1 and "0000000000000000" in {line.split()[1] for line in lines if "CapEff" in line}
    refused = on_host(sandbox, "docker exec vllm-proxy-1 sh -c 'echo x > /etc/x' 2>&1 || true")
    assert "Read-only file system" in refused
    assert on_host(sandbox, "docker exec vllm-proxy-1 sh -c 'echo x > /tmp/x && echo written'") == "written"


def test_a_reboot_comes_back_serving(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    boot = on_host(sandbox, "cat /proc/sys/kernel/random/boot_id")
    run(
        sandbox,
        "ansible",
        "localhost",
        "-m",
        "linode_coder.gpu.linode_gpu_instance",
        "-a",
        "session=demo state=rebooted",
    )
    assert on_host(sandbox, "cat /proc/sys/kernel/random/boot_id") != boot
    deadline = time.monotonic() + 300
    while True:
        endpoint = json.loads(run(sandbox, "linode-coder", "use", "demo", "--json"))["endpoint"]
        try:
            assert answered_tokens(sandbox, endpoint) > 0
        except OSError:
            assert time.monotonic() < deadline, on_host(sandbox, "docker ps --all; docker logs --tail 20 vllm-vllm-1")
            time.sleep(1)
        else:
            break


def test_systemd_runs_the_dead_man_timer(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    """It fires, asks the API with its own token, warns within half an hour after the lease, and goes without a trace."""
    unit = "linode-coder-dead-man"
    token = sandbox.api("POST", "profile/tokens", {"label": "dead man", "scopes": "linodes:read_write"})["token"]
    (container,) = running_hosts(sandbox)
    with api_at(gateway_of(container), sandbox) as url:
        around = {"LINODE_API_URL": url, "LINODE_CODER_DEAD_MAN_TOKEN": token}
        run(sandbox, "linode-coder", "up", "demo", "--dead-man", **around)
        assert on_host(sandbox, f"systemctl is-enabled {unit}.timer; systemctl is-active {unit}.timer").split() == [
            "enabled",
            "active",
        ]
        assert on_host(sandbox, f"systemd-analyze verify /etc/systemd/system/{unit}.timer") == ""
        # As it is but for its ten minutes.
        soon = f"/run/systemd/system/{unit}.timer.d"
        timer = "[Timer]\\nOnActiveSec=\\nOnBootSec=\\nOnUnitActiveSec=\\nAccuracySec=1s\\nOnActiveSec=1s\\nOnUnitActiveSec=2s\\n"
        on_host(
            sandbox,
            f"mkdir {soon} && printf '{timer}' > {soon}/soon.conf && systemctl daemon-reload && systemctl restart {unit}.timer",
        )
        wait_for(sandbox, "the lease goes on for")
        (vm,) = sandbox.api("GET", "linode/instances")["data"]
        over = encode(replace(decode(vm["tags"]).whole(), lease_end=int(time.time()) - 60))
        sandbox.api("PUT", f"linode/instances/{vm['id']}", {"tags": over})
        wait_for(sandbox, "this VM deletes itself in 2")
        run(sandbox, "linode-coder", "up", "demo", "--no-dead-man", **around)
    left = on_host(sandbox, f"systemctl list-units --all --no-legend '{unit}*'; ls /opt/linode-coder")
    assert left.split() == ["vllm", "weights"]
    assert token not in on_host(sandbox, f"journalctl --unit {unit}.service")


def in_vm(sandbox: RunningSandbox, *command: str) -> str:
    """What a program in the session's VM says, whatever its exit code."""
    (container,) = running_hosts(sandbox)
    return subprocess.run(["docker", "exec", container, *command], capture_output=True, text=True, timeout=120).stdout


def team(sandbox: RunningSandbox, inventory: Path, people: str, *options: str, sessions: str = "demo") -> str:
    """What the playbook says that makes the VM of demo the gateway of these people to these sessions."""
    hosts = "hosts: {demo: {}}"
    names = f"team_gateway_sessions: [{sessions}], team_gateway_people: [{people}]"
    # The sandbox plays the internet at port 443 of some address.
    inventory.write_text(
        f"team_gateway: {{{hosts}, vars: {{{names}, team_gateway_name: 127.0.0.1, team_gateway_port: 8443}}}}\n"
    )
    words = ("-i", sandbox.inventory, "-i", str(inventory), "--diff", *options)
    return run(sandbox, "ansible-playbook", "linode_coder.gpu.team_gateway", *words)


def changes(out: str) -> int:
    return sum(int(number) for number in re.findall(r"changed=(\d+)", out.split("PLAY RECAP")[1]))


def asked(sandbox: RunningSandbox, key: str, path: str = "models", body: str = "") -> str:
    """The status of the answer to who trusts the gateway's certificate and has this key."""
    words = ["curl", "--silent", "--max-time", "60", "--output", "/dev/null", "--write-out", "%{http_code}"]
    words += [
        "--cacert",
        "/etc/linode-coder-team/tls.crt",
        "--header",
        f"x-api-key: {key}",
        *(["--json", body] if body else []),
    ]
    return in_vm(sandbox, *words, f"https://127.0.0.1:8443/v1/{path}")


def test_a_vm_becomes_the_gateway_of_a_team(sandbox: RunningSandbox, session: dict[str, Any], tmp_path: Path) -> None:
    """That of its own session: real nginx, systemd, sshd and apt, of packages that lie on the host."""
    inventory, keys = tmp_path / "gateway.yml", sandbox.home / "state/team/demo"
    source = "echo 'deb [trusted=yes] file:/usr/share/sandbox-debian ./' > /etc/apt/sources.list.d/debian.list"
    in_vm(sandbox, "sh", "-c", f"{source} && apt-get update")
    planned = team(sandbox, inventory, "ada, bob", "--check")
    assert changes(planned) and not keys.exists()
    assert in_vm(sandbox, "sh", "-c", "ls -d /etc/linode-coder-team /usr/sbin/nginx; id -u linode-coder-team") == ""

    made = team(sandbox, inventory, "ada, bob")
    ada, bob = ((keys / name).read_text().strip() for name in ("ada", "bob"))
    engine = (sandbox.home / "state/sessions/demo/api_key").read_text().strip()
    again = team(sandbox, inventory, "bob, ada")
    assert changes(again) == 0, again
    assert not any(secret in planned + made + again for secret in (ada, bob, engine))

    hello = {"model": "openai/gpt-oss-20b", "max_tokens": 4, "messages": [{"role": "user", "content": "Hello"}]}
    assert asked(sandbox, ada, "chat/completions", json.dumps({**hello, "stream": True})) == "200"
    assert asked(sandbox, ada, "messages", json.dumps(hello)) == "200"
    assert [asked(sandbox, key) for key in (bob, engine, "x" * 40)] == ["200", "401", "401"]
    listening = in_vm(sandbox, "ss", "--listening", "--tcp", "--numeric", "--no-header").splitlines()
    own = ("127.", "[::1]", "169.254.169.254", "[fd00:a9fe:a9fe::1]", "192.0.2.80")
    ports = {line.split()[3].rpartition(":")[2] for line in listening if not line.split()[3].startswith(own)}
    assert ports == {"22", "8443"}

    # The key that is let in opens the way to the engine and nothing else.
    ssh = ["ssh", "-i", "/etc/linode-coder-team/tunnel_key", "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes"]
    ssh += ["-o", "UserKnownHostsFile=/etc/linode-coder-team/known_hosts", "-o", "HostKeyAlias=demo"]
    assert in_vm(sandbox, *ssh, "root@127.0.0.1", "id") == ""
    # A tunnel that dies comes back; without one people are told.
    unit = "linode-coder-team-tunnel@demo"
    in_vm(sandbox, "systemctl", "stop", unit)
    assert asked(sandbox, ada) == "503"
    in_vm(sandbox, "systemctl", "start", unit)
    in_vm(sandbox, "systemctl", "kill", "--signal=KILL", unit)
    deadline = time.monotonic() + 120
    while asked(sandbox, ada) != "200":
        assert time.monotonic() < deadline, in_vm(sandbox, "journalctl", "--unit", unit, "--no-pager")

    # Written, and stopped before nginx was told: the next run notices.
    in_vm(sandbox, "logrotate", "--force", "/etc/logrotate.d/linode-coder-team")
    in_vm(sandbox, "sed", "--in-place", "/ bob;/d", "/etc/linode-coder-team/people.map")
    assert asked(sandbox, bob) == "200"
    # Nor does it take a session to revoke somebody.
    with pytest.raises(AssertionError, match="Not there, or not running: nobody") as told:
        team(sandbox, inventory, "ada", sessions="nobody")
    assert "Reload the gateway" in str(told.value) and changes(str(told.value)) == 1, told.value
    deadline = time.monotonic() + 60
    while asked(sandbox, bob) != "401":
        assert time.monotonic() < deadline
    assert asked(sandbox, ada) == "200"

    used = json.loads(
        run(
            sandbox,
            "ansible",
            "demo",
            "-i",
            sandbox.inventory,
            "-m",
            "linode_coder.gpu.team_usage",
            ANSIBLE_CALLBACK_RESULT_FORMAT="json",
        ).partition("=>")[2]
    )
    rows = {row["person"]: row for row in used["people"]}
    assert set(rows) == {"ada", "bob"} and used["refused"] >= 3
    assert rows["ada"]["tokens_out"] == 8 and rows["ada"]["tokens_in"] > 0
    assert rows["ada"]["failed"] >= 1 and rows["ada"]["uncounted"] == 0 == rows["bob"]["tokens_out"]
    shown = run(
        sandbox, "ansible-playbook", "linode_coder.gpu.team_usage", "-i", sandbox.inventory, "-i", str(inventory)
    )
    assert "ada" in shown and changes(shown) == 0
    said = in_vm(
        sandbox, "sh", "-c", "journalctl --unit linode-coder-team --no-pager; cat /var/log/linode-coder-team/*; ps -ef"
    )
    assert not any(secret in said for secret in (ada, bob, engine))
    # As it was, for the tests that follow.
    in_vm(
        sandbox, "sh", "-c", f"systemctl disable --now linode-coder-team {unit}; rm /etc/apt/sources.list.d/debian.list"
    )


def test_down_leaves_nothing(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    run(sandbox, "linode-coder", "down", "demo", "--yes")
    directory = sandbox.home / "state/sandbox/docker-hosts"
    for kind in ("container", "volume"):
        everything = ["--all"] if kind == "container" else []
        command = ["docker", kind, "ls", *everything, "--quiet", "--filter", f"label={LABEL}={directory}"]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == ""
