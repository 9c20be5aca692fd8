"""Simulated hosts by themselves, with the real OpenSSH client: what a person or Ansible relies on."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from linode_coder.sandbox.hosts.base import SandboxError
from tests import user_data
from tests.hosts_fixture import keygen, sandbox


def test_commands_streams_and_files(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with sandbox(tmp_path) as box:
            spec = await box.add(1)
            assert await box.say(spec, "hostname") == spec.label
            assert (await box.ssh(spec, "echo out; echo err >&2; exit 7"))[0:3] == (7, b"out\n", b"err\n")
            assert (await box.ssh(spec, "kill -TERM $$"))[0] == 255  # OpenSSH's code for an end by signal
            data = os.urandom(20_000_000)
            assert (await box.ssh(spec, "cat", stdin=data))[1] == data
            many = await asyncio.gather(*(box.say(spec, f"sleep 0.2; echo {number}") for number in range(20)))
            assert many == [str(number) for number in range(20)]
            (tmp_path / "data").write_bytes(data)
            port = ["-P", str(box.hosts.ssh_port)]
            for source, target in (
                ("data", f"root@{spec.address}:/srv/data"),
                (f"root@{spec.address}:/srv/data", "back"),
            ):
                copying = await asyncio.create_subprocess_exec(
                    "scp", "-q", *port, *box.options(spec), source, target, cwd=tmp_path
                )
                assert await asyncio.wait_for(copying.wait(), 60) == 0
            assert (tmp_path / "back").read_bytes() == data
            assert await box.say(spec, "stty size < /dev/null || echo no terminal") == "no terminal"
            assert (await box.ssh(spec, "-tt", "tty; exit 3"))[0] == 3

    asyncio.run(scenario())


def test_a_host_sees_nothing_of_the_machines_user_and_changes_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        secret = tmp_path / "secret"
        secret.write_text("planted")
        async with sandbox(tmp_path) as box:
            spec = await box.add(1)
            for path in (secret, Path.home() / ".bashrc", Path(__file__)):
                assert (await box.ssh(spec, f"ls {path}"))[0] != 0
            before = Path("/usr/bin/env").stat()
            assert await box.say(spec, "rm /usr/bin/env; echo x > /etc/passwd-x; ls /usr/bin/env 2>&1 || true")
            assert Path("/usr/bin/env").stat() == before
            assert not Path("/etc/passwd-x").exists()
            assert (await box.ssh(spec, "mount -t tmpfs none /mnt"))[0] != 0
            assert (await box.ssh(spec, "echo 1 > /proc/sys/kernel/panic"))[0] != 0

    asyncio.run(scenario())


def test_reboot_keeps_files_drops_processes_and_delete_leaves_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with sandbox(tmp_path) as box:
            spec = await box.add(1)
            first = await box.say(spec, "cat /proc/sys/kernel/random/boot_id")
            await box.say(spec, "echo kept > /root/kept; echo kept > /usr/bin/kept; echo gone > /tmp/gone")
            await box.say(spec, "sleep 1000 > /dev/null 2>&1 & exit 0")
            await box.hosts.reboot(1)
            assert (
                await box.say(spec, "cat /root/kept /usr/bin/kept; ls /tmp; pgrep -c sleep || true") == "kept\nkept\n0"
            )
            second = await box.say(spec, "cat /proc/sys/kernel/random/boot_id")
            assert second != first
            await box.ssh(spec, "reboot")
            for _ in range(100):
                code, out, _err = await box.ssh(spec, "cat /proc/sys/kernel/random/boot_id")
                if code == 0 and out.decode().strip() != second:
                    break
                await asyncio.sleep(0.1)
            assert code == 0
            await box.hosts.delete(1)
            assert not (tmp_path / "hosts" / "1").exists()
            assert list((tmp_path / "hosts" / "trash").iterdir()) == []
            with pytest.raises(SandboxError):
                await box.hosts.boot(1)

    asyncio.run(scenario())


def test_user_data_of_every_kind_does_what_the_real_cloud_init_does(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with sandbox(tmp_path) as box:
            box.user_data = user_data.everything((tmp_path / "host_key").read_text(), box.host_key)
            spec = await box.add(1)
            assert (await box.say(spec, "cloud-init status --wait")).endswith("status: done")
            assert await box.say(spec, user_data.SHOW) == user_data.LEFT
            await box.hosts.reboot(1)
            assert await box.say(spec, user_data.SHOW) == user_data.LEFT_AFTER_A_REBOOT

    asyncio.run(scenario())


SAID = """\
status: error
extended_status: error - done
boot_status_code: enabled-by-generator
detail: DataSourceAkamaiLocal
errors:
\t- write_files failed: KeyError: 'path'
\t- scripts user failed: ValueError: runcmd: exit code 3
recoverable_errors:
WARNING:
\t- left out by the sandbox: part-003 of the user-data, text/x-include-url, which begins with '#include https://example.com/'
\t- left out by the sandbox: part-004 of the user-data, text/html, which begins with '<p>'
\t- left out by the sandbox: ntp\\x1b of the cloud-config
\t- left out by the sandbox: users of the cloud-config: a simulated host has root alone
"""
LEFT_OUT = """\
#cloud-config
"ntp\\e": {enabled: true}
users: [default, {name: dev}]
write_files: [{content: nowhere}]
runcmd: [exit 3]
"""


def test_what_of_user_data_is_left_out_or_fails_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And the host boots with the rest of it."""

    async def scenario() -> None:
        async with sandbox(tmp_path) as box:
            parts = (box.user_data.decode(), LEFT_OUT, "#include https://example.com/")
            box.user_data = user_data.several(*(("plain", part) for part in parts), ("html", "<p>"))
            spec = await box.add(1)
            code, said, _err = await box.ssh(spec, "cloud-init status --wait --long")
            assert (code, said.decode()) == (1, SAID)
            for line in SAID.splitlines():
                if "left out" in line:
                    assert f"cloud-init of the sandbox leaves out: {line.partition(': ')[2]}\n" in caplog.text
            assert "cloud-init: write_files failed" in caplog.text

    asyncio.run(scenario())


def test_the_host_key_is_the_one_that_lies_in_the_host(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with sandbox(tmp_path) as box:
            spec = await box.add(1)
            new = keygen(tmp_path / "new")
            code, _out, err = await box.ssh(spec, "true", key=new)
            assert code == 255
            assert b"Host key verification failed" in err
            await box.ssh(spec, "umask 077; cat > /etc/ssh/ssh_host_ed25519_key", stdin=(tmp_path / "new").read_bytes())
            assert (await box.ssh(spec, "systemctl reload ssh"))[0] == 0
            assert (await box.ssh(spec, "true"))[0] == 255
            assert (await box.ssh(spec, "true", key=new))[0] == 0
            await box.hosts.fault(1, {"kind": "wrong_host_key"})
            assert (await box.ssh(spec, "true", key=new))[0] == 255
            await box.hosts.fault(1, {"kind": "clear"})
            assert (await box.ssh(spec, "true", key=new))[0] == 0

    asyncio.run(scenario())


SERVER = """
import asyncio, sys
from pathlib import Path
sys.path.append({tests!r})
from tests.hosts_fixture import Sandbox

async def main():
    box = Sandbox(Path(sys.argv[1]))
    await box.hosts.start()
    spec = await box.add(1)
    print(box.hosts.ssh_port, spec.address, await box.say(spec, "id -u"), flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


def _processes_of(directory: Path) -> list[str]:
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = command.read_bytes()
        except OSError:
            continue  # it ended meanwhile
        if str(directory).encode() in text:
            found.append(text.decode())
    return found


def _until(condition: Callable[[], bool]) -> bool:
    for _ in range(100):
        if condition():
            return True
        time.sleep(0.1)
    return False


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory whose parents another user may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="lc-hosts-") as directory:
        yield Path(directory)


@pytest.mark.parametrize("user", ["invoking", "nobody"])
def test_killing_the_server_leaves_nothing_behind(open_directory: Path, user: str) -> None:
    """As whoever runs the tests; for root also as an ordinary user (who may read the interpreter's files)."""
    home = open_directory
    prefix: list[str] = []
    if user == "nobody" and os.geteuid() == 0:
        os.chown(home, 65534, 65534)
        identity = ["--reuid=65534", "--regid=65534", "--clear-groups"]
        prefix = ["setpriv", *identity, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    program = SERVER.format(tests=str(Path(__file__).parents[2]))
    server = subprocess.Popen([*prefix, sys.executable, "-c", program, str(home)], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    with server.stdout:
        said = server.stdout.readline().split()
    assert said[2:] == ["0"]
    assert len(_processes_of(home / "hosts")) >= 3
    server.send_signal(signal.SIGKILL)
    server.wait()
    assert _until(lambda: not _processes_of(home / "hosts"))
    assert str(home) not in Path("/proc/mounts").read_text()


def test_a_forwarded_port_ends_inside_the_host(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with sandbox(tmp_path) as box:
            spec = await box.add(1)
            serve = (
                "import http.server as h; h.HTTPServer(('127.0.0.1', 8000), h.SimpleHTTPRequestHandler).serve_forever()"
            )
            await box.say(spec, f'cd /etc; python3 -c "{serve}" > /dev/null 2>&1 & sleep 0.5')
            code, out, _err = await box.ssh(spec, "-W", "127.0.0.1:8000", stdin=b"GET /hostname HTTP/1.0\r\n\r\n")
            assert code == 0
            assert out.endswith(f"{spec.label}\n".encode())

    asyncio.run(scenario())
