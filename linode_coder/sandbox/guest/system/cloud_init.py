"""cloud-init of a simulated host: user-data from the metadata service, once per instance, in the stages of the real one.

What it leaves out it says: to the server's log, in /var/log/cloud-init.log and with `cloud-init status --long`.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path

from ..json_types import Json
from ..start import command
from . import cloud_config
from .user_data import BOOTHOOK, SCRIPTS, Part, read_config, read_parts

SERVICE = "http://169.254.169.254/v1"
INSTANCE = Path("/var/lib/cloud/instance")
GIVEN = INSTANCE / "user-data.txt"  # there from the first boot on
FINISHED = INSTANCE / "boot-finished"
LOG = Path("/var/log/cloud-init.log")
OUTPUT = Path("/var/log/cloud-init-output.log")
STATUS = Path("/run/cloud-init/status.json")
DIRECTORIES = {
    "user": cloud_config.SCRIPTS,
    **{kind: Path("/var/lib/cloud/scripts", kind) for kind in ("per-once", "per-boot", "per-instance")},
}


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


def boot() -> None:
    """Everything before SSH answers. What comes after it goes on in a process of its own, if there is any."""
    first = not GIVEN.exists()
    data = user_data() if first else GIVEN.read_bytes()
    parts, left_out = read_parts(data)
    config, unread = read_config(parts)
    left_out = [cloud_config.plain(what) for what in (*left_out, *unread, *cloud_config.left_out(config))]
    steps: list[cloud_config.Step] = [
        (part.name, partial(run_boothook, part)) for part in parts if part.kind == BOOTHOOK
    ]
    steps.append(("bootcmd", partial(cloud_config.boot_commands, config)))
    if first:
        steps += [*cloud_config.init_steps(config), ("scripts", partial(keep_scripts, parts))]
    errors = cloud_config.run(steps)
    if first:
        GIVEN.parent.mkdir(parents=True, exist_ok=True)
        GIVEN.write_bytes(data)
        GIVEN.chmod(0o600)
        for what in left_out:
            print(f"cloud-init of the sandbox leaves out: {what}")
    for error in errors:
        print(f"cloud-init: {error}")
    state = {"status": "running", "errors": errors, "left_out": left_out}
    more = first and (cloud_config.asks_for_more(config) or any(part.kind in SCRIPTS for part in parts))
    if not more and not DIRECTORIES["per-boot"].is_dir():
        report(state | {"status": "done"})
        return
    report(state)
    with OUTPUT.open("ab") as output:
        argv = [*command("system.cloud_init"), "final", "first" if first else "again"]
        subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)


def run_boothook(part: Part) -> None:
    path = INSTANCE / "boothooks" / part.name
    cloud_config.keep_script(path, part.body.lstrip().removeprefix(b"#cloud-boothook").lstrip(b"\n"))
    subprocess.run([str(path)], check=True)


def keep_scripts(parts: list[Part]) -> None:
    for part in parts:
        if part.kind in SCRIPTS:
            cloud_config.keep_script(DIRECTORIES[SCRIPTS[part.kind]] / part.name, part.body)


def final(first: bool) -> None:
    """What is done while SSH answers already, with its output in `OUTPUT`."""
    state = json.loads(STATUS.read_text())
    config, _unread = read_config(read_parts(GIVEN.read_bytes())[0])
    steps: list[cloud_config.Step] = cloud_config.final_steps(config) if first else []
    steps += [
        (f"scripts {kind}", partial(cloud_config.run_scripts, DIRECTORIES[kind]))
        for kind in (("per-once", "per-boot", "per-instance", "user") if first else ("per-boot",))
    ]
    errors = cloud_config.run(steps)
    for error in errors:
        print(f"cloud-init: {error}")
    if first and config.get("final_message"):
        print(config["final_message"])
    report(state | {"status": "done", "errors": [*state["errors"], *errors]})


def report(state: Json) -> None:
    """For `cloud-init status`, and for whoever looks into the host."""
    STATUS.parent.mkdir(parents=True, exist_ok=True)
    new = STATUS.with_suffix(".new")
    new.write_text(json.dumps(state))
    new.replace(STATUS)
    with LOG.open("a") as log:
        log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {json.dumps(state)}\n")
    if state["status"] == "done":
        FINISHED.write_text("done\n")


def status(options: list[str]) -> int:
    """As the real one shows it: 0 done or running, 1 with errors, 2 when something was left out."""
    state = json.loads(STATUS.read_text())
    while {"--wait", "-w"} & set(options) and state["status"] == "running":
        time.sleep(0.25)
        state = json.loads(STATUS.read_text())
    errors, warnings, said = state["errors"], state["left_out"], state["status"]
    print(f"status: {'error' if errors and said == 'done' else said}")
    if {"--long", "-l"} & set(options):
        extended = f"error - {said}" if errors else f"degraded {said}" if warnings else said
        print(f"extended_status: {extended}\nboot_status_code: enabled-by-generator\ndetail: DataSourceAkamaiLocal")
        print("errors:" + ("".join(f"\n\t- {error}" for error in errors) or " []"))
        listed = "".join(f"\n\t- left out by the sandbox: {what}" for what in warnings)
        print("recoverable_errors:" + (f"\nWARNING:{listed}" if listed else " {}"))
    return 1 if errors else 2 if warnings else 0


def main(arguments: list[str]) -> int:
    if arguments == ["boot"]:
        boot()
        return 0
    if arguments[:1] == ["final"]:
        final(first=arguments[1:] == ["first"])
        return 0
    if arguments[:1] == ["status"]:
        return status(arguments[1:])
    print("the sandbox's cloud-init knows `status`", file=sys.stderr)
    return 2
