"""A pass of the watchdog over many healthy hosts, against plain ssh that runs the same commands on one after another.

WATCHED says how many hosts (50). One is brought up; the others are made from its files, so that every one of them serves.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.linode_coder.gpu.plugins.module_utils.session.host_key import to_openssh
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.ssh import ssh_options, ssh_port
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import decode, encode
from ansible_collections.linode_coder.gpu.plugins.modules.linode_gpu_instance import new_host_key, user_data

from tests.sandbox_fixture import RunningSandbox

WATCHED = int(os.environ.get("WATCHED", "50"))
SERVED = "opt/linode-coder var/lib/linode-coder var/lib/sandbox/docker/images var/lib/sandbox/units.json etc/cdi"
# What the modules of a pass run and ask on a VM that is well, as a person would.
COMMANDS = """
key=$(sed -n 's/^[A-Z_]*=//p' /opt/linode-coder/vllm/secrets.env | head -n 1)
test ! -e /var/lib/linode-coder/activity.json || cat /var/lib/linode-coder/activity.json
curl --silent --fail http://127.0.0.1:8000/metrics --header "Authorization: Bearer $key"
cat /proc/sys/kernel/random/boot_id /proc/uptime /proc/meminfo /proc/stat /proc/self/mounts
nvidia-smi -q -x
journalctl -k -o json --no-pager -n 5000
docker version --format '{{.Server.Version}}'
docker compose --project-directory /opt/linode-coder/vllm ps --all --format json
docker inspect vllm-vllm-1
docker logs --timestamps --tail 2000 vllm-vllm-1
docker exec vllm-vllm-1 nvidia-smi -L
df -P -k /
df -P -i /
timedatectl timesync-status || true
lspci -n -d 10de: || cat /sys/bus/pci/devices/*/vendor /sys/bus/pci/devices/*/class || true
curl --silent --fail http://127.0.0.1:8000/health
curl --silent --fail http://127.0.0.1:8000/metrics --header "Authorization: Bearer $key"
curl --silent --fail http://127.0.0.1:8000/v1/models --header "Authorization: Bearer $key"
curl --silent --fail http://127.0.0.1:8000/v1/completions --header "Authorization: Bearer $key" \\
  --header 'Content-Type: application/json' --data '{"model": "MODEL", "prompt": "Hello", "max_tokens": 1}'
"""


class Host:
    def __init__(self, row: dict[str, Any], home: Path) -> None:
        self.label = row["label"]
        tags = decode(row["tags"])
        self.model = tags.model or ""
        keys = [key for key in (tags.host_key, tags.next_host_key) if key]
        identity = home / "state" / "ssh" / "id_ed25519"
        self.ssh = [
            *("ssh", "-i", str(identity), "-p", str(ssh_port()), *ssh_options(keys)),
            f"root@{row['ipv4'][0]}",
        ]

    def script(self) -> bytes:
        return COMMANDS.replace("MODEL", self.model).encode()


def run(command: list[str], env: dict[str, str], given: bytes | None = None) -> bytes:
    done = subprocess.run(command, cwd="/", env=env, input=given, capture_output=True, timeout=1800)
    if done.returncode:
        raise RuntimeError(f"{command[-1]}: {done.stdout[-2000:]!r} {done.stderr[-2000:]!r}")
    return done.stdout


def running(sandbox: RunningSandbox) -> list[dict[str, Any]]:
    rows = sandbox.api("GET", "linode/instances?page_size=500")["data"]
    return [row for row in rows if row["label"].startswith("lc-w") and row["status"] == "running"]


def copies(sandbox: RunningSandbox, env: dict[str, str], count: int) -> list[Host]:
    """``count`` hosts that serve as the first one does."""
    first = running(sandbox)[0]
    tags = decode(first["tags"]).whole()
    public = (sandbox.home / "state" / "ssh" / "id_ed25519.pub").read_text().strip()

    def make(number: int) -> None:
        private, key = new_host_key()
        body = {name: first[name] for name in ("type", "region", "image")}
        own = replace(tags, session=f"w{number}", host_key=key, next_host_key=None)
        body |= {"label": f"lc-w{number}-1", "authorized_keys": [public], "tags": encode(own)}
        body["metadata"] = {"user_data": user_data(private, to_openssh(key))}
        sandbox.api("POST", "linode/instances", body)

    source = Host(first, sandbox.home)
    files = run([*source.ssh, f"tar -C / -cf - {SERVED}"], env)

    def until_it_works(*command: str, given: bytes) -> None:
        deadline = time.monotonic() + 900
        while True:
            try:
                run(list(command), env, given)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)
            else:
                return

    def serve(host: Host) -> None:
        """Until it has made a token: before that a session is still being brought up."""
        start = "tar -C / -xf - && cd /opt/linode-coder/vllm && docker compose up -d --quiet-pull"
        until_it_works(*host.ssh, start, given=files)
        until_it_works(*host.ssh, "sh -e -s", given=host.script())

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(make, range(2, count + 1)))
        deadline = time.monotonic() + 1200
        while len(running(sandbox)) < count:
            if time.monotonic() > deadline:
                raise RuntimeError("the hosts do not boot")
            time.sleep(1)
        hosts = [Host(row, sandbox.home) for row in running(sandbox)]
        list(pool.map(serve, [host for host in hosts if host.label != source.label]))
    return hosts


def spent() -> float:
    """CPU seconds of this process's ended children; a simulated host is none of them."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def one_pass(env: dict[str, str], coder: str) -> tuple[float, dict[str, Any]]:
    began = time.monotonic()
    out = run([coder, "watchdog", "--once", "--json"], env)
    took = time.monotonic() - began
    events = [json.loads(line) for line in out.decode().splitlines()]
    return took, next(event for event in events if event["event"] == "result")


class Watching(NamedTuple):
    """Seconds for each host. The hosts work on this machine too, so wall seconds are theirs and ours."""

    whole: float
    """Wall seconds of a pass."""
    further: float
    """Wall seconds without what a pass costs whatever the number of hosts."""
    plain: float
    """Wall seconds of plain ssh."""
    control: float
    """CPU seconds of a pass on the control node."""
    plain_control: float
    """CPU seconds of plain ssh on the control node."""


def watching(sandbox: RunningSandbox, env: dict[str, str], coder: str) -> Watching:
    os.environ.setdefault("LINODE_CODER_SSH_PORT", env.get("LINODE_CODER_SSH_PORT", "22"))
    run([coder, "up", "w1", "--yes"], env)
    hosts = copies(sandbox, env, WATCHED)
    for _pass in range(4):
        before = spent()
        took, seen = one_pass(env, coder)
        control = spent() - before
        healthy, changed = seen["healthy"], seen["changed"]
        if len(healthy) == WATCHED and not changed:
            break
    else:
        raise RuntimeError(f"{len(healthy)} of {WATCHED} hosts are healthy: {json.dumps(seen)[-3000:]}")
    began, before = time.monotonic(), spent()
    for host in hosts:
        run([*host.ssh, "sh -e -s"], env, host.script())
    plain, plain_control = time.monotonic() - began, spent() - before
    began = time.monotonic()
    playbook = ["ansible-playbook", "-i", ",", "linode_coder.gpu.watchdog", "-e", "session=w1"]
    run(playbook, {**env, "PATH": f"{Path(coder).parent}{os.pathsep}{env['PATH']}"})
    alone = time.monotonic() - began
    each = (took, plain, control, plain_control)
    whole, plainly, ours, theirs = (seconds / WATCHED for seconds in each)
    return Watching(whole, (took - alone) / max(1, WATCHED - 1), plainly, ours, theirs)
