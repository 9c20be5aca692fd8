"""docker of the sandbox: containers are processes of the host, images are notes, compose projects are real files.

Reads the compose.yaml that the role writes: JSON is YAML, so the file is parsed as JSON below its comment lines.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from faults import active

STATE = Path("/var/lib/sandbox/docker")
ENGINE = Path("/etc/sandbox/engine.json")
VERSION = "28.2.2"


def fail(message: str, code: int = 1) -> int:
    print(message, file=sys.stderr)
    return code


def start_ticks(pid: int) -> str | None:
    """When a process began, to tell it from a later one with its number; None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


class Container:
    def __init__(self, name: str) -> None:
        self.directory = STATE / "containers" / name
        self.file = self.directory / "container.json"
        self.log = self.directory / "log"

    def load(self) -> dict[str, object] | None:
        return json.loads(self.file.read_text()) if self.file.exists() else None

    def save(self, data: dict[str, object]) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(data))
        new.replace(self.file)

    def running(self) -> bool:
        data = self.load()
        return data is not None and bool(data["pid"]) and start_ticks(int(str(data["pid"]))) == data["ticks"]

    def start(self) -> None:
        """Under a supervisor of its own, which does what `unless-stopped` means."""
        data = self.load()
        assert data is not None
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).resolve()), "supervise", str(data["name"])],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.save({**data, "pid": process.pid, "ticks": start_ticks(process.pid), "stopped": False, "exit_code": None})

    def stop(self, grace: float) -> None:
        data = self.load()
        if data is None:
            return
        self.save({**data, "stopped": True})
        if not self.running():
            return
        pid = int(str(data["pid"]))
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + grace
        while self.running() and time.monotonic() < deadline:
            time.sleep(0.05)
        if self.running():
            os.killpg(pid, signal.SIGKILL)

    def remove(self) -> None:
        for path in (self.file, self.log):
            path.unlink(missing_ok=True)
        self.directory.rmdir()


def engine_command(arguments: list[str]) -> list[str]:
    """What really runs for the image vllm/vllm-openai with these arguments."""
    return [sys.executable, "-I", "-S", str(Path(__file__).with_name("engine.py")), *arguments]


def supervise(name: str) -> int:
    container = Container(name)
    child: subprocess.Popen[bytes] | None = None

    def forward(number: int, _frame: object) -> None:
        if child is not None:
            child.send_signal(number)

    signal.signal(signal.SIGTERM, forward)
    pause = 0.2
    while True:
        data = container.load()
        if data is None or data["stopped"]:
            return 0
        engine = json.loads(ENGINE.read_text())
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
            **engine.get("env", {}),
            **dict(data["environment"]),  # type: ignore[call-overload]
        }
        with container.log.open("ab") as log:
            argv = engine_command([str(part) for part in data["command"]])  # type: ignore[attr-defined]
            child = subprocess.Popen(argv, stdout=log, stderr=log, env=environment, cwd="/")
            code = child.wait()
        data = container.load()
        if data is None:
            return 0
        container.save(
            {**data, "exit_code": code if code >= 0 else 128 - code, "restarts": int(str(data["restarts"])) + 1}
        )
        if data["stopped"] or data["restart"] == "no":
            return 0
        time.sleep(pause)
        pause = min(pause * 2, 60)


# -- images --------------------------------------------------------------------------------------------------------


def image_path(name: str) -> Path:
    return STATE / "images" / hashlib.sha256(name.encode()).hexdigest()[:16]


def pull(name: str) -> int:
    if active("image_pull_fails"):
        return fail(
            f'Error response from daemon: Get "https://registry-1.docker.io/v2/": net/http: request canceled while pulling {name}'
        )
    if not image_path(name).exists():
        image_path(name).parent.mkdir(parents=True, exist_ok=True)
        image_path(name).write_text(name)
        print(f"Status: Downloaded newer image for {name}")
    return 0


# -- compose -------------------------------------------------------------------------------------------------------


def load_project(directory: Path) -> dict[str, dict[str, object]]:
    lines = (directory / "compose.yaml").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#") and line.strip() != "---")
    return dict(json.loads(text)["services"])


def read_env_file(path: Path) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in path.read_text().splitlines() if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, value in pairs}


def compose(arguments: list[str]) -> int:
    directory = Path.cwd()
    while arguments and arguments[0].startswith("--"):
        option, _, value = arguments.pop(0).partition("=")
        if option != "--project-directory":
            return fail(f"the sandbox's docker compose does not know {option}")
        directory = Path(value or arguments.pop(0))
    command, rest = arguments[0], arguments[1:]
    if command == "version":
        print("2.36.2" if "--short" in rest else "Docker Compose version v2.36.2")
        return 0
    project = directory.name
    try:
        services = load_project(directory)
    except (OSError, ValueError, KeyError) as error:
        return fail(f"{directory}/compose.yaml: {error}", 15)
    names = {service: f"{project}-{service}-1" for service in services}
    hashes = {
        service: hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()
        for service, definition in services.items()
    }
    if command == "config" and rest == ["--hash", "*"]:
        for service in services:
            print(service, hashes[service])
        return 0
    if command == "pull":
        return max((pull(str(definition["image"])) for definition in services.values()), default=0)
    if command == "ps":
        for service, name in names.items():
            data = Container(name).load()
            if data is not None:
                state = "running" if Container(name).running() else "exited"
                row = {
                    "Name": name,
                    "Service": service,
                    "State": state,
                    "ExitCode": data["exit_code"] or 0,
                    "Labels": f"com.docker.compose.config-hash={data['hash']},com.docker.compose.service={service}",
                }
                print(json.dumps(row))
        return 0
    if command == "up":
        for service, definition in services.items():
            container = Container(names[service])
            data = container.load()
            if data is not None and data["hash"] == hashes[service] and container.running():
                continue
            if pull(str(definition["image"])):
                return 1
            container.stop(10)
            environment = dict(definition.get("environment") or {})  # type: ignore[call-overload]
            for file in definition.get("env_file") or []:  # type: ignore[attr-defined]
                environment |= read_env_file(directory / str(file))
            container.save(
                {
                    "name": names[service],
                    "image": definition["image"],
                    "command": definition.get("command") or [],
                    "environment": environment,
                    "restart": definition.get("restart", "no"),
                    "hash": hashes[service],
                    "pid": 0,
                    "ticks": None,
                    "exit_code": None,
                    "restarts": 0,
                    "stopped": False,
                }
            )
            container.log.unlink(missing_ok=True)
            container.start()
        return 0
    if command == "down":
        for name in names.values():
            if Container(name).load() is not None:
                Container(name).stop(10)
                Container(name).remove()
        return 0
    if command == "restart":
        for name in names.values():
            Container(name).stop(10)
            Container(name).start()
        return 0
    if command == "logs":
        for name in names.values():
            return show_log(name, rest)
    return fail(f"the sandbox's docker compose does not know {command!r} {' '.join(rest)}")


def show_log(name: str, options: list[str]) -> int:
    container = Container(name)
    if container.load() is None:
        return fail(f"Error response from daemon: No such container: {name}")
    lines = container.log.read_text(errors="replace").splitlines() if container.log.exists() else []
    if "--tail" in options:
        lines = lines[-int(options[options.index("--tail") + 1]) :]
    print("\n".join(lines))
    return 0


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["supervise"]:
        return supervise(arguments[1])
    if arguments == ["boot"]:
        for directory in sorted((STATE / "containers").glob("*")):
            container = Container(directory.name)
            data = container.load()
            if data is not None and data["restart"] == "unless-stopped" and not data["stopped"]:
                container.start()
        return 0
    if active("docker_down"):
        return fail("Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?")
    if arguments[:1] == ["compose"]:
        return compose(arguments[1:])
    if arguments[:1] in (["version"], ["info"]):
        print(VERSION)
        return 0
    if arguments[:2] in (["image", "pull"], ["pull"]):
        return pull(arguments[-1])
    if arguments[:2] == ["image", "inspect"]:
        if not image_path(arguments[-1]).exists():
            return fail(f"Error response from daemon: No such image: {arguments[-1]}")
        print(json.dumps([{"RepoTags": [arguments[-1]]}]))
        return 0
    if arguments[:1] == ["logs"]:
        return show_log(arguments[-1], arguments[1:-1])
    return fail(f"the sandbox's docker does not know: {' '.join(arguments)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
