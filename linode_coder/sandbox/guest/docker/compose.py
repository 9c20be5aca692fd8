"""docker compose of the sandbox: reads the real compose.yaml with the real YAML library."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import sys
import time
from pathlib import Path

import yaml

from ..json_types import Any, Json
from . import images
from .containers import SERVICE, STATE, Container, execute

VERSION = "2.36.2"
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
# What a service of this sandbox may say; the rest is refused rather than overlooked.
_KEYS = frozenset(
    [
        "image",
        "command",
        "entrypoint",
        "environment",
        "env_file",
        "network_mode",
        "ipc",
        "restart",
        "stop_grace_period",
        "stop_signal",
        "volumes",
        "deploy",
        "ulimits",
        "logging",
        "profiles",
        "labels",
        "container_name",
        "depends_on",
        "init",
        "healthcheck",
        "shm_size",
        "devices",
        "pull_policy",
        "working_dir",
        "user",
        "read_only",
        "tmpfs",
        "security_opt",
        "cap_drop",
        "cap_add",
        "mem_limit",
        "pids_limit",
        "cpus",
    ]
)


class ComposeError(Exception):
    pass


def seconds(text: object) -> float:
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)(ms|h|m|s)", str(text)))


def words(value: str | list[Any] | None) -> list[str]:
    if value is None:
        return []
    return shlex.split(value) if isinstance(value, str) else [str(part) for part in value]


def read_env_file(path: Path) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in path.read_text().splitlines() if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, value in pairs}


_BYTES = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def _texts(service: str, key: str, value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise ComposeError(f"services.{service}.{key} must be a array")  # Compose's own grammar
    return value


def confinement(service: str, definition: Json) -> Json:
    """What Docker would confine a service to, as `docker inspect` shows it. The played programs are not confined: a docker host's
    are."""
    found: Json = {"CapAdd": None, "CapDrop": None, "SecurityOpt": None, "ReadonlyRootfs": False}
    found |= {"Memory": 0, "NanoCpus": 0, "PidsLimit": None}
    for key, name in (("cap_add", "CapAdd"), ("cap_drop", "CapDrop"), ("security_opt", "SecurityOpt")):
        if key in definition:
            found[name] = _texts(service, key, definition[key])
    if "read_only" in definition:
        if not isinstance(definition["read_only"], bool):
            raise ComposeError(f"services.{service}.read_only must be a boolean")
        found["ReadonlyRootfs"] = definition["read_only"]
    if "tmpfs" in definition:
        given = definition["tmpfs"]
        mounts = [given] if isinstance(given, str) else _texts(service, "tmpfs", given)
        found["Tmpfs"] = {path: options for path, _colon, options in (mount.partition(":") for mount in mounts)}
    if "mem_limit" in definition:
        size = re.fullmatch(r"(\d+)([bkmg]?)b?", str(definition["mem_limit"]).lower())
        if size is None:
            raise ComposeError(f"services.{service}.mem_limit: invalid size: '{definition['mem_limit']}'")
        found["Memory"] = int(size[1]) * _BYTES[size[2] or "b"]
    if "pids_limit" in definition:
        found["PidsLimit"] = int(str(definition["pids_limit"]))
    if "cpus" in definition:
        found["NanoCpus"] = int(float(str(definition["cpus"])) * 1e9)
    return found


class Project:
    def __init__(self, directory: Path, file: Path | None, profiles: set[str]) -> None:
        self.directory = directory
        path = file or directory / "compose.yaml"
        try:
            text = sys.stdin.read() if path == Path("-") else path.read_text()
        except OSError as error:
            raise ComposeError(f"open {path}: {(error.strerror or str(error)).lower()}") from error
        if re.search(r"(?<!\$)\$(?!\$)", text):
            raise ComposeError(f"{path}: the sandbox's docker compose does not interpolate variables")
        try:
            document = yaml.safe_load(text.replace("$$", "$"))
        except yaml.YAMLError as error:
            raise ComposeError(f"yaml: {str(error).splitlines()[0]}") from error
        if not isinstance(document, dict) or not isinstance(document.get("services"), dict):
            raise ComposeError(f"{path}: services must be a mapping")
        self.name = str(document.get("name") or re.sub(r"[^a-z0-9_-]", "", directory.name.lower()))
        self.all: dict[str, Json] = document["services"]
        for service, definition in self.all.items():
            unknown = sorted(set(definition) - _KEYS)
            if unknown:
                raise ComposeError(f"services.{service} additional properties '{unknown[0]}' not allowed")
            if "image" not in definition:
                raise ComposeError(f'service "{service}" has neither an image nor a build context specified')
            confinement(service, definition)
        self.profiles = profiles

    def active(self, named: list[str]) -> dict[str, Json]:
        """The named services, which brings their profiles with them, or those of the profiles that are on."""
        for name in named:
            if name not in self.all:
                raise ComposeError(f"no such service: {name}")
        if named:
            return {name: self.all[name] for name in named}
        return {
            name: definition
            for name, definition in self.all.items()
            if not definition.get("profiles") or self.profiles & set(definition["profiles"])
        }

    def environment(self, service: str) -> dict[str, str]:
        definition = self.all[service]
        found: dict[str, str] = {}
        files = definition.get("env_file") or []
        for file in [files] if isinstance(files, str | dict) else files:
            required = not isinstance(file, dict) or file.get("required", True)
            path = self.directory / (file["path"] if isinstance(file, dict) else str(file))
            if not path.exists():
                if required:
                    raise ComposeError(f"env file {path} not found: stat {path}: no such file or directory")
                continue
            found |= read_env_file(path)
        given = definition.get("environment") or {}
        if isinstance(given, list):
            given = dict(part.split("=", 1) for part in given)
        return found | {str(key): str(value) for key, value in given.items()}

    def hash(self, service: str) -> str:
        """Over what the container is made from, the resolved environment with it; not over the files it mounts."""
        parts = {**self.all[service], "environment": self.environment(service), "env_file": None, "profiles": None}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def container(self, service: str) -> Container:
        return Container(str(self.all[service].get("container_name") or f"{self.name}-{service}-1"))

    def existing(self) -> dict[str, Container]:
        found = {}
        for directory in sorted((STATE / "containers").glob("*")):
            data = Container(directory.name).load()
            labels = dict(data["labels"]) if data else {}
            if (
                labels.get("com.docker.compose.project") == self.name
                and labels.get("com.docker.compose.oneoff") == "False"
            ):
                found[str(labels[SERVICE])] = Container(directory.name)
        return found

    def mounts(self, service: str) -> list[str]:
        """Files and directories that must be there as they are: a missing one becomes an empty directory."""
        binds = []
        for volume in self.all[service].get("volumes") or []:
            if isinstance(volume, dict):
                volume = f"{volume['source']}:{volume['target']}"
            source, _, rest = str(volume).partition(":")
            path = Path(source) if source.startswith("/") else (self.directory / source)
            path = Path(str(path).replace("/./", "/"))
            if str(path) != rest.partition(":")[0]:
                raise ComposeError(
                    f"the sandbox's docker mounts a path at the same path only, not {path} at {rest.partition(':')[0]}"
                )
            if not path.exists():
                path.mkdir(parents=True)
            binds.append(f"{path}:{rest}")
        return binds

    def create(self, service: str) -> Container:
        definition = self.all[service]
        container = self.container(service)
        labels = definition.get("labels") or {}
        if isinstance(labels, list):
            labels = dict(part.partition("=")[::2] for part in labels)
        container.log.unlink(missing_ok=True)
        container.create(
            image=definition["image"],
            entrypoint=words(definition.get("entrypoint")),
            command=words(definition.get("command")),
            environment=self.environment(service),
            restart=str(definition.get("restart", "no")),
            grace=seconds(definition.get("stop_grace_period", "10s")),
            binds=self.mounts(service),
            confinement=confinement(service, definition),
            labels={
                **labels,
                "com.docker.compose.project": self.name,
                SERVICE: service,
                "com.docker.compose.config-hash": self.hash(service),
                "com.docker.compose.project.working_dir": str(self.directory),
                "com.docker.compose.oneoff": "False",
            },
        )
        return container


def stop(container: Container, grace: float | None = None) -> None:
    data = container.load()
    if data is not None:
        container.stop(float(str(data["grace"])) if grace is None else grace)


def up(project: Project, options: Json, named: list[str]) -> int:
    existing = project.existing()
    for service, definition in project.active(named).items():
        container = project.container(service)
        data = container.load()
        same = data is not None and dict(data["labels"])["com.docker.compose.config-hash"] == project.hash(service)
        if same and not options.get("--force-recreate"):
            if not container.alive():
                container.start()
            continue
        if images.inspect(str(definition["image"])) is None and images.pull(str(definition["image"]), quiet=True):
            return 1
        stop(container)
        container.remove()
        project.create(service).start()
        print(f" Container {container.name}  Started", file=sys.stderr)
    if options.get("--remove-orphans"):
        for service, container in existing.items():
            if service not in project.all:
                stop(container)
                container.remove()
    return 0


def row(project: Project, service: str, container: Container) -> Json:
    data = container.load()
    assert data is not None
    status = container.status()
    labels = dict(data["labels"])
    words_for = {
        "running": "Up 5 seconds",
        "restarting": f"Restarting ({data['exit_code']}) 1 second ago",
        "exited": f"Exited ({data['exit_code']}) 5 seconds ago",
        "created": "Created",
    }
    return {
        "ID": str(data["id"])[:12],
        "Name": container.name,
        "Service": service,
        "Project": project.name,
        "Image": data["image"],
        "State": status,
        "Status": words_for[status],
        "ExitCode": 0 if status == "running" else data["exit_code"],
        "Health": "",
        "Labels": ",".join(f"{key}={value}" for key, value in labels.items()),
    }


# option -> whether it takes a value
_OPTIONS = {
    **dict.fromkeys(("--detach", "-d", "--remove-orphans", "--force-recreate", "--no-deps", "--no-recreate"), False),
    **dict.fromkeys(("--quiet", "-q", "--quiet-pull", "--all", "-a", "--no-color", "--no-log-prefix", "--wait"), False),
    **dict.fromkeys(("--follow", "-f", "--timestamps", "-t", "--short", "--services", "--images"), False),
    **dict.fromkeys(
        ("--volumes", "-v", "-T", "--no-TTY", "--stop", "-s", "--force", "--rm", "--ignore-buildable"), False
    ),
    **dict.fromkeys(
        ("--timeout", "--format", "--tail", "-n", "--since", "--hash", "--signal", "--policy", "--pull"), True
    ),
}


def options_of(arguments: list[str], valued: tuple[str, ...] = ()) -> tuple[Json, list[str]]:
    """Options, and the words from the first that is none."""
    found: Json = {}
    while arguments and arguments[0].startswith("-"):
        name, equals, value = arguments.pop(0).partition("=")
        if name not in _OPTIONS:
            raise ComposeError(f"unknown flag: {name}")
        if _OPTIONS[name] or name in valued:
            found[name] = value if equals else arguments.pop(0)
        else:
            found[name] = value != "false"
    return found, arguments


def compose(arguments: list[str]) -> int:
    directory, file, profiles = Path.cwd(), None, set()
    while arguments and arguments[0].startswith("-"):
        option, equals, value = arguments.pop(0).partition("=")
        if option not in ("--project-directory", "--file", "-f", "--profile", "--progress", "--ansi"):
            print(f"unknown flag: {option}", file=sys.stderr)
            return 1
        value = value if equals else arguments.pop(0)
        if option == "--project-directory":
            directory = Path(value)
        elif option == "--profile":
            profiles.add(value)
        elif option in ("--file", "-f"):
            file = Path(value)
    command, rest = arguments[0] if arguments else "", arguments[1:]
    if command == "version":
        print(VERSION if "--short" in rest else f"Docker Compose version v{VERSION}")
        return 0
    handler = _COMMANDS.get(command)
    if handler is None:
        print(f'unknown docker command: "compose {command}"', file=sys.stderr)
        return 1
    if file is not None and directory == Path.cwd():
        directory = file.parent
    try:
        project = Project(directory.absolute(), file, profiles)
        valued = {"up": ("-t",), "stop": ("-t",), "down": ("-t",), "restart": ("-t",), "kill": ("-s",)}
        options, named = options_of(rest, valued.get(command, ()))
        return handler(project, options, named)
    except ComposeError as error:
        print(error, file=sys.stderr)
        return 15
    except (KeyError, ValueError, TypeError, IndexError) as error:
        print(f"{directory}/compose.yaml: {type(error).__name__}: {error}", file=sys.stderr)
        return 15


def config(project: Project, options: Json, named: list[str]) -> int:
    services = project.active(named)
    if "--hash" in options:
        wanted = str(options["--hash"])
        for service in services if wanted == "*" else wanted.split(","):
            print(service, project.hash(service))
    elif "--services" in options:
        print("\n".join(services))
    elif "--images" in options:
        print("\n".join(str(definition["image"]) for definition in services.values()))
    elif "--quiet" not in options and "-q" not in options:
        print(yaml.safe_dump({"name": project.name, "services": services}).replace("$", "$$"), end="")
    return 0


def pull(project: Project, options: Json, named: list[str]) -> int:
    quiet = "--quiet" in options or "-q" in options
    wanted = [str(definition["image"]) for definition in project.active(named).values()]
    return max((images.pull(image, quiet) for image in wanted), default=0)


def ps(project: Project, options: Json, named: list[str]) -> int:
    everything = "--all" in options or "-a" in options
    rows = [
        row(project, service, container)
        for service, container in project.existing().items()
        if (not named or service in named) and (everything or container.status() in ("running", "restarting"))
    ]
    if "--quiet" in options or "-q" in options:
        print("\n".join(str(entry["ID"]) for entry in rows))
    elif options.get("--format") == "json":
        for entry in rows:
            print(json.dumps(entry))
    else:
        print("NAME  SERVICE  STATUS")
        for entry in rows:
            print(entry["Name"], entry["Service"], entry["Status"])
    return 0


def targets(project: Project, named: list[str]) -> dict[str, Container]:
    for name in named:
        if name not in project.all:
            raise ComposeError(f"no such service: {name}")
    return {name: container for name, container in project.existing().items() if not named or name in named}


def _grace(options: Json) -> float | None:
    given = options.get("-t", options.get("--timeout"))
    return None if given is None else float(str(given))


def down(project: Project, options: Json, named: list[str]) -> int:
    for container in targets(project, named).values():
        stop(container, _grace(options))
        container.remove()
    return 0


def stop_command(project: Project, options: Json, named: list[str]) -> int:
    for container in targets(project, named).values():
        stop(container, _grace(options))
    return 0


def start_command(project: Project, options: Json, named: list[str]) -> int:
    found = targets(project, named)
    for name in named:
        if name not in found:
            raise ComposeError(f'service "{name}" has no container to start')
    for container in found.values():
        if not container.alive():
            container.start()
    return 0


def restart(project: Project, options: Json, named: list[str]) -> int:
    for container in targets(project, named).values():
        stop(container, _grace(options))
        container.start()
    return 0


def kill(project: Project, options: Json, named: list[str]) -> int:
    import signal

    text = str(options.get("-s", options.get("--signal", "SIGKILL")))
    number = signal.Signals["SIG" + text.removeprefix("SIG")]
    for container in targets(project, named).values():
        if number == signal.SIGKILL:
            container.stop(0)
        else:
            data = container.load()
            if data and data["pid"]:
                import os

                os.kill(int(str(data["pid"])), number)
    return 0


def rm(project: Project, options: Json, named: list[str]) -> int:
    for container in targets(project, named).values():
        if container.alive():
            if not options.get("--stop") and not options.get("-s"):
                continue
            stop(container)
        container.remove()
    return 0


def logs(project: Project, options: Json, named: list[str]) -> int:
    found = targets(project, named)
    prefix = "--no-log-prefix" not in options
    tail = options.get("--tail", options.get("-n"))
    follow = "--follow" in options or "-f" in options
    since = options.get("--since")
    stamped = "--timestamps" in options or "-t" in options
    return show_logs(
        {
            (f"{service}-1  | " if prefix else "", name): container
            for (service, container), name in zip(found.items(), found, strict=True)
        },
        None if tail in (None, "all") else int(str(tail)),
        None if since is None else str(since),
        stamped,
        follow,
    )


def moment(text: str) -> float:
    """`--since`: a duration back from now, or a time."""
    if re.fullmatch(r"(\d+(\.\d+)?(ms|s|m|h))+", text):
        return time.time() - seconds(text)
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    import datetime

    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def show_logs(
    containers: dict[tuple[str, str], Container], tail: int | None, since: str | None, stamped: bool, follow: bool
) -> int:
    begin = moment(since) if since else None
    places = {}
    for key, container in containers.items():
        raw = container.log.read_bytes() if container.log.exists() else b""
        lines = raw.split(b"\n")[:-1]  # not splitlines: progress bars have carriage returns
        places[key] = len(raw)
        if begin is not None:
            lines = [line for line in lines if moment(line.split(b" ", 1)[0].decode()[:26] + "Z") >= begin]
        for line in lines[-tail:] if tail else ([] if tail == 0 else lines):
            _say(key[0], line, stamped)
    while follow:
        time.sleep(0.2)
        for key, container in containers.items():
            raw = container.log.read_bytes() if container.log.exists() else b""
            begin_at = places[key] if len(raw) >= places[key] else 0
            fresh = raw[begin_at : raw.rfind(b"\n") + 1]
            places[key] = begin_at + len(fresh)
            for line in fresh.split(b"\n")[:-1]:
                _say(key[0], line, stamped)
    return 0


def _say(prefix: str, line: bytes, stamped: bool) -> None:
    text = line.decode(errors="replace")
    print(prefix + (text if stamped else text.partition(" ")[2]), flush=True)


def exec_command(project: Project, options: Json, named: list[str]) -> int:
    service, command = named[0], named[1:]
    if service not in project.all:
        raise ComposeError(f"no such service: {service}")
    return execute(project.container(service), command)


_COMMANDS = {
    "config": config,
    "down": down,
    "exec": exec_command,
    "kill": kill,
    "logs": logs,
    "ps": ps,
    "pull": pull,
    "restart": restart,
    "rm": rm,
    "start": start_command,
    "stop": stop_command,
    "up": up,
}
