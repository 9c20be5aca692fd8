"""docker of the sandbox: containers are processes of the host, images are notes, compose projects are real files."""

from __future__ import annotations

import json
import os
import re
import signal
import time

from ..faults import active, refuses
from . import images
from .containers import STATE, Container, boot, execute, fail, no_such, supervise

VERSION = "28.2.2"


def find(name: str) -> Container | None:
    """By name or by the beginning of its id."""
    for directory in sorted((STATE / "containers").glob("*")):
        container = Container(directory.name)
        data = container.load()
        if data is not None and (directory.name == name.lstrip("/") or str(data["id"]).startswith(name)):
            return container
    return None


def render(template: str, data: object) -> str:
    """Of Go's templates: fields, and the function json."""

    def value(match: re.Match[str]) -> str:
        as_json, path = match.groups()
        found: object = data
        for part in [part for part in path.split(".") if part]:
            if not isinstance(found, dict) or part not in found:
                raise KeyError(part)
            found = found[part]
        if as_json:
            return json.dumps(found)
        return str(found).lower() if isinstance(found, bool) else str(found)

    return re.sub(r"\{\{\s*(json\s+)?(\.[\w.]*)\s*\}\}", value, template)


def inspect(arguments: list[str], kind: str | None = None) -> int:
    template = None
    names = []
    while arguments:
        word = arguments.pop(0)
        if word in ("-f", "--format"):
            template = arguments.pop(0)
        elif word.startswith("--format="):
            template = word.partition("=")[2]
        elif word.startswith("--type"):
            kind = word.partition("=")[2] or arguments.pop(0)
        else:
            names.append(word)
    found, missing = [], []
    for name in names:
        container = find(name) if kind in (None, "container") else None
        image = images.inspect(name) if container is None and kind in (None, "image") else None
        if container is not None:
            found.append(container.inspect())
        elif image is not None:
            found.append(image)
        else:
            missing.append(name)
    if template is None or template == "json":
        print(json.dumps(found, indent=4))
    else:
        for entry in found:
            try:
                print(render(template, entry))
            except KeyError as error:
                return fail(f"template parsing error: template: :1: map has no entry for key {error}")
    for name in missing:
        what = {"image": "image", "container": "container"}.get(kind or "", "object")
        fail(f"Error response from daemon: No such {what}: {name}" if kind else f"Error: No such object: {name}")
    return 1 if missing else 0


def ps(arguments: list[str]) -> int:
    everything = bool({"-a", "--all", "-aq"} & set(arguments))
    quiet = bool({"-q", "--quiet", "-aq"} & set(arguments))
    template = next((word.partition("=")[2] for word in arguments if word.startswith("--format=")), None)
    if "--format" in arguments:
        template = arguments[arguments.index("--format") + 1]
    for directory in sorted((STATE / "containers").glob("*")):
        container = Container(directory.name)
        data = container.load()
        if data is None:
            continue
        status = container.status()
        if not everything and status not in ("running", "restarting"):
            continue
        row = {
            "ID": str(data["id"])[:12],
            "Names": container.name,
            "Image": data["image"],
            "State": status,
            "Status": {"running": "Up 5 seconds", "restarting": f"Restarting ({data['exit_code']}) 1 second ago"}.get(
                status, f"Exited ({data['exit_code']}) 5 seconds ago"
            ),
            "Labels": ",".join(f"{key}={value}" for key, value in dict(data["labels"]).items()),
        }
        if quiet:
            print(row["ID"])
        elif template in ("json", "{{json .}}"):
            print(json.dumps(row))
        elif template:
            print(render(template, row))
        else:
            print(row["ID"], row["Image"], row["Status"], row["Names"], sep="\t")
    return 0


def on_containers(command: str, arguments: list[str]) -> int:
    """stop, start, restart, kill, rm of named containers."""
    grace, number, force, names = None, signal.SIGKILL, False, []
    while arguments:
        word = arguments.pop(0)
        if word in ("-t", "--time", "--timeout"):
            grace = float(arguments.pop(0))
        elif word.startswith(("--time=", "--timeout=")):
            grace = float(word.partition("=")[2])
        elif word in ("-s", "--signal"):
            number = signal.Signals["SIG" + arguments.pop(0).removeprefix("SIG")]
        elif word in ("-f", "--force"):
            force = True
        elif word.startswith("-"):
            return fail(f"unknown flag: {word}")
        else:
            names.append(word)
    code = 0
    for name in names:
        container = find(name)
        data = container.load() if container else None
        if container is None or data is None:
            code = no_such(name)
            continue
        if command == "kill":
            if not container.alive():
                code = fail(f"Error response from daemon: cannot kill container: {name}: container is not running")
                continue
            if number == signal.SIGKILL:
                container.stop(0)
            else:
                os.kill(int(str(data["pid"])), number)
        elif command == "rm":
            if container.alive() and not force:
                code = fail(f"Error response from daemon: cannot remove container: {name}: container is running")
                continue
            container.stop(0)
            container.remove()
        elif command != "start" or not container.alive():
            if command in ("stop", "restart"):
                container.stop(float(str(data["grace"])) if grace is None else grace)
            if command in ("start", "restart"):
                container.start()
        print(name)
    return code


def logs(arguments: list[str]) -> int:
    from .compose import show_logs

    tail, since, stamped, follow, name = None, None, False, False, None
    while arguments:
        word, equals, value = arguments.pop(0).partition("=")
        if word in ("--tail", "-n", "--since"):
            value = value if equals else arguments.pop(0)
            tail, since = (tail, value) if word == "--since" else (None if value == "all" else int(value), since)
        elif word in ("-t", "--timestamps"):
            stamped = True
        elif word in ("-f", "--follow"):
            follow = True
        elif word.startswith("-"):
            return fail(f"unknown flag: {word}")
        else:
            name = word
    container = find(str(name))
    if container is None:
        return no_such(str(name))
    return show_logs({("", container.name): container}, tail, since, stamped, follow)


def exec_command(arguments: list[str]) -> int:
    while arguments and arguments[0].startswith("-"):
        word = arguments.pop(0)
        if word in ("-e", "--env", "-u", "--user", "-w", "--workdir"):
            arguments.pop(0)
        elif word not in ("-i", "-t", "-it", "--interactive", "--tty"):
            return fail(f"unknown flag: {word}")
    container = find(arguments[0])
    return no_such(arguments[0]) if container is None else execute(container, arguments[1:])


def image(arguments: list[str]) -> int:
    command, rest = arguments[0] if arguments else "ls", arguments[1:]
    if command == "pull":
        return images.pull(rest[-1], "--quiet" in rest or "-q" in rest)
    if command == "inspect":
        return inspect(rest, "image")
    if command in ("save", "load"):
        return images.save(rest) if command == "save" else images.load(rest)
    if command == "tag":
        # An image is kept under its name without a digest, so the tag that a digest belongs to is there already.
        known = images.find(rest[0])
        if known is None or rest[1] != known["name"]:
            return fail(f"Error response from daemon: No such image: {rest[0]}")
        return 0
    if command in ("rm", "remove"):
        missing = [name for name in rest if not name.startswith("-") and not images.remove(name)]
        return fail(f"Error response from daemon: No such image: {missing[0]}") if missing else 0
    if command == "ls":
        for entry in images.all_images():
            print(json.dumps(entry) if "json" in rest else entry["name"])
        return 0
    if command == "prune":
        return 0
    return fail(f"the sandbox's docker image does not know: {command}")


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["supervise"]:
        return supervise(arguments[1])
    if arguments == ["boot"]:
        boot()
        return 0
    refusal = refuses("docker")
    if refusal is not None:
        return fail(refusal)
    slow = active("docker_slow")
    if slow is not None:
        time.sleep(float(str(slow.get("delay") or 5)))
    if active("docker_down"):
        return fail("Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?")
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    command, rest = arguments[0] if arguments else "", arguments[1:]
    if command == "compose":
        from .compose import compose

        return compose(rest)
    if command in ("version", "info", "--version", "-v"):
        template = next((rest[index + 1] for index, word in enumerate(rest) if word in ("-f", "--format")), None)
        facts = {"Server": {"Version": VERSION}, "Client": {"Version": VERSION}, "ServerVersion": VERSION}
        print(render(template, facts) if template else VERSION)
        return 0
    if command == "pull":
        return images.pull(rest[-1], "--quiet" in rest or "-q" in rest)
    if command in ("save", "load"):
        return image([command, *rest])
    if command == "rmi":
        return image(["rm", *rest])
    if command == "container" and rest[:1] == ["inspect"]:
        return inspect(rest[1:], "container")
    simple = {"image": image, "inspect": inspect, "ps": ps, "logs": logs, "exec": exec_command}
    if command in simple:
        return simple[command](rest)
    if command in ("stop", "start", "restart", "kill", "rm"):
        return on_containers(command, rest)
    return fail(f"docker: unknown command: docker {command}")
