"""Docker hosts by themselves, with the real OpenSSH client."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from linode_coder.sandbox.hosts.base import HostSpec
from linode_coder.sandbox.hosts.docker_hosts import LABEL, DockerHosts
from tests import user_data
from tests.hosts_fixture import Sandbox, keygen, sandbox

BIN = Path(sys.executable).parent


def left(directory: Path, kind: str = "container") -> list[str]:
    everything = ["--all"] if kind == "container" else []
    command = ["docker", kind, "ls", *everything, "--quiet", "--filter", f"label={LABEL}={directory}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


@asynccontextmanager
async def docker_sandbox(home: Path) -> AsyncIterator[Sandbox]:
    async with sandbox(home, DockerHosts) as box:
        try:
            yield box
        finally:
            for number in (1, 2):
                await box.hosts.delete(number)
            assert not left(home / "hosts") and not left(home / "hosts", "volume")


async def outside(directory: Path, spec: HostSpec) -> dict[str, list[int]]:
    """Ports that answer at the address by which the host is reached, and at its container's own."""
    template = "{{.NetworkSettings.IPAddress}}"
    command = ["docker", "inspect", "--format", template, *left(directory)]
    own = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    found: dict[str, list[int]] = {}
    for address in (spec.address, own):
        for port in (22, 80, 443, 2375, 8000, 8080):
            try:
                _reader, writer = await asyncio.wait_for(asyncio.open_connection(address, port), 5)
            except OSError:
                continue
            writer.close()
            found.setdefault(address, []).append(port)
    return {"loopback": found.get(spec.address, []), "container": found.get(own, [])}


def test_a_machine_with_systemd_and_docker(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with docker_sandbox(tmp_path) as box:
            box.user_data = user_data.everything((tmp_path / "host_key").read_text(), box.host_key)
            spec = await box.add(1)
            assert await box.say(spec, "hostname") == spec.label
            assert await box.say(spec, "cat /proc/1/comm") == "systemd"
            assert "\nrecoverable_errors: {}" in await box.say(spec, "cloud-init status --wait --long")
            assert await box.say(spec, "cloud-init schema --system") == "Valid schema user-data"
            assert await box.say(spec, user_data.SHOW) == user_data.LEFT
            assert await box.say(spec, "systemctl is-system-running --wait") == "running"
            assert (await box.say(spec, "docker version --format '{{.Server.Version}}'")).startswith("26.")
            assert (await box.say(spec, "docker compose version --short")).startswith("2.")
            assert await outside(tmp_path / "hosts", spec) == {"loopback": [22], "container": [22]}

            keygen(tmp_path / "other")
            other = (tmp_path / "other.pub").read_text().strip()
            assert (await box.ssh(spec, "true", key=other))[0] == 255

            first = await box.say(spec, "cat /proc/sys/kernel/random/boot_id")
            assert first != Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            await box.say(spec, "echo kept > /root/file; touch /run/gone /tmp/gone")
            await box.hosts.reboot(1)
            assert (await box.say(spec, "cloud-init status --wait")).endswith("status: done")
            assert await box.say(spec, user_data.SHOW) == user_data.LEFT_AFTER_A_REBOOT
            assert await box.say(spec, "cat /root/file; ls /run/gone /tmp/gone 2>/dev/null || true") == "kept"
            second = await box.say(spec, "cat /proc/sys/kernel/random/boot_id")
            assert second != first

            await box.ssh(spec, "systemctl reboot")
            for _ in range(300):
                code, out, _err = await box.ssh(spec, "cat /proc/sys/kernel/random/boot_id")
                if code == 0 and out.decode().strip() not in (first, second):
                    break
                await asyncio.sleep(0.2)
            else:
                pytest.fail("a reboot from inside does not come back")

    asyncio.run(scenario())


def test_faults_act_on_ssh_and_are_mended(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with docker_sandbox(tmp_path) as box:
            spec = await box.add(1)
            await box.hosts.fault(1, {"kind": "wrong_host_key"})
            code, _out, err = await box.ssh(spec, "true")
            assert code == 255 and b"IDENTIFICATION HAS CHANGED" in err
            await box.hosts.fault(1, {"kind": "clear"})
            await box.hosts.fault(1, {"kind": "gpu_lost"})
            assert "gpu_lost" in await box.say(spec, "cat /run/sandbox/faults.json")
            await box.hosts.fault(1, {"kind": "ssh_down"})
            assert (await box.ssh(spec, "true"))[0] == 255
            await box.hosts.fault(1, {"kind": "clear"})
            assert await box.say(spec, "cat /run/sandbox/faults.json") == "[]"

    asyncio.run(scenario())


def test_files_survive_the_server_and_nothing_survives_the_instance(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with sandbox(tmp_path, DockerHosts) as box:
            kept, dropped = await asyncio.gather(box.add(1), box.add(2))
            await box.say(kept, "echo kept > /srv/file")
            await box.say(dropped, "true")
        async with docker_sandbox(tmp_path) as box:
            await box.hosts.restore([kept], {1})
            assert await box.say(kept, "cat /srv/file") == "kept"
            assert len(left(tmp_path / "hosts")) == len(left(tmp_path / "hosts", "volume")) == 1

    asyncio.run(scenario())


def coder(home: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "linode-coder"), "sandbox", *arguments],
        env={**os.environ, "LINODE_CODER_HOME": str(home), **changes},
        capture_output=True,
        text=True,
        timeout=900,
    )


def test_says_what_is_missing(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("docker", "ssh", "ssh-keygen", "dpkg-deb"):
        (tools / tool).symlink_to(next(p for d in os.environ["PATH"].split(":") if (p := Path(d, tool)).exists()))
    done = coder(tmp_path / "home", "start", "--hosts", "docker", PATH=str(tools))
    assert done.returncode == 2 and "mmdebstrap" in done.stderr and "apt-get install gnupg mmdebstrap" in done.stderr
    done = coder(tmp_path / "home", "start", "--hosts", "docker", DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert done.returncode == 2 and "No Docker Engine answers" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_killed_server_leaves_nothing_after_stop(tmp_path: Path) -> None:
    home = tmp_path / "home"
    started = coder(home, "start", "--hosts", "docker", "--json")
    assert started.returncode == 0, started.stderr
    try:
        pid = int(started.stdout.split('"pid":')[1].split(",")[0])
        hosts = home / "state/sandbox/docker-hosts"
        name = f"lc-test-{tempfile.mkdtemp(dir=tmp_path)[-6:]}"
        subprocess.run(
            ["docker", "run", "--detach", "--name", name, "--label", f"{LABEL}={hosts}", image(), "sleep", "600"],
            check=True,
            capture_output=True,
        )
        os.kill(pid, signal.SIGKILL)
    finally:
        stopped = coder(home, "stop")
    assert stopped.returncode == 0 and "is stopped" in stopped.stdout
    running = subprocess.run(["docker", "ps", "--quiet", "--filter", f"name={name}"], capture_output=True, text=True)
    assert running.stdout == ""
    # Its directory gone, the next sandbox of this machine removes what it left.
    for path in sorted(home.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    other = tmp_path / "other"
    assert coder(other, "start", "--hosts", "docker").returncode == 0
    assert coder(other, "stop").returncode == 0
    assert not left(hosts)


def image() -> str:
    command = ["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "linode-coder-sandbox-host"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]
