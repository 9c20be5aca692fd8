"""cloud-init of the sandbox: host keys from user-data, fetched from the metadata service once per instance."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

SERVICE = "http://169.254.169.254/v1"
DONE = Path("/var/lib/cloud/instance/boot-finished")
KEY = Path("/etc/ssh/ssh_host_ed25519_key")


def fetch(path: str, method: str, headers: dict[str, str]) -> str:
    request = urllib.request.Request(f"{SERVICE}/{path}", method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.read().decode())


def user_data() -> bytes:
    """Empty when the service does not answer: then user-data silently never runs, as on the real VM."""
    try:
        token = fetch("token", "PUT", {"Metadata-Token-Expiry-Seconds": "300"})
        text = fetch("user-data", "GET", {"Metadata-Token": token})
    except (urllib.error.URLError, TimeoutError) as error:
        print(f"metadata service: {error}")
        return b""
    return base64.b64decode(text)


def install_key(private: str, public: str) -> None:
    KEY.parent.mkdir(parents=True, exist_ok=True)
    KEY.write_text(private)
    KEY.chmod(0o600)
    KEY.with_suffix(".pub").write_text(public.strip() + "\n")


def boot() -> None:
    if DONE.exists():
        return
    data = user_data()
    config = {}
    if data.startswith(b"#cloud-config\n"):
        try:
            config = json.loads(data.partition(b"\n")[2])
        except ValueError:
            print("the sandbox's cloud-init reads cloud-config that is JSON; this one is not and was left out")
    keys = config.get("ssh_keys") or {}
    if "ed25519_private" in keys:
        install_key(keys["ed25519_private"], keys["ed25519_public"])
    if not KEY.exists():
        KEY.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(KEY)], check=True)
    for file in config.get("write_files") or []:
        path = Path(file["path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.get("content", ""))
        path.chmod(int(str(file.get("permissions", "0644")), 8))
    for command in config.get("runcmd") or []:
        argv = command if isinstance(command, list) else ["/bin/sh", "-c", command]
        subprocess.run(argv, check=False)
    DONE.parent.mkdir(parents=True, exist_ok=True)
    DONE.write_text("done\n")


def main(arguments: list[str]) -> int:
    if arguments == ["boot"]:
        boot()
        return 0
    if arguments[:1] == ["status"]:
        print("status: done" if DONE.exists() else "status: running")
        return 0
    print("the sandbox's cloud-init knows `status`", file=sys.stderr)
    return 2
