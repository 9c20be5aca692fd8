"""Containers of the sandbox's docker: processes of the host with a supervisor each, and a file that says how they are."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from .. import start
from ..faults import active, mend
from ..json_types import Json

STATE = Path("/var/lib/sandbox/docker")
ENGINE = Path("/etc/sandbox/engine.json")
HUB = Path(__file__).parents[1] / "hub"
NEVER = "0001-01-01T00:00:00Z"


def now() -> str:
    """As the Docker daemon writes times."""
    seconds = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1e9):09d}Z"


def start_ticks(pid: int) -> str | None:
    """When a process began, to tell it from a later one with its number; None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def seconds_of(kind: str, default: float) -> float:
    """How long this kind of work takes in this sandbox (image, driver, weights, engine)."""
    settings = json.loads(ENGINE.read_text()) if ENGINE.exists() else {}
    return float(settings.get("seconds", {}).get(kind, default))


def repository(image: str) -> str:
    """organisation/name of an image reference, without registry, tag and digest."""
    name = image.partition("@")[0]
    head, _, tail = name.rpartition("/")
    name = f"{head}/{tail.partition(':')[0]}" if head else tail.partition(":")[0]
    return name.removeprefix("docker.io/").removeprefix("library/")


def program(image: str, entrypoint: list[str], command: list[str]) -> list[str] | None:
    """What really runs for an image; None for an image whose programs this sandbox does not have."""
    name = repository(image)
    if name == "vllm/vllm-openai" and not entrypoint:
        real = json.loads(ENGINE.read_text())["engine"] == "vllm"
        return [*start.command("engine.vllm_cpu" if real else "engine.main"), *command]
    if name == "nginx":
        return [*start.command("docker.nginx"), *command]
    words = [*entrypoint, *command]
    if name in ("python", "vllm/vllm-openai") and words[:1] in (["python"], ["python3"]):
        return [sys.executable, "-S", "-u", *words[1:]]
    if name == "ghcr.io/open-webui/open-webui":
        return start.command("docker.open_webui")
    return None


class Container:
    """`container.json` is the truth; whoever changes it does so whole."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.directory = STATE / "containers" / name
        self.file = self.directory / "container.json"
        self.log = self.directory / "log"

    def load(self) -> Json | None:
        return json.loads(self.file.read_text()) if self.file.exists() else None

    def save(self, data: Json) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        new = self.file.with_name(f"new.{os.getpid()}.{threading.get_ident()}")
        new.write_text(json.dumps(data))
        new.replace(self.file)

    def update(self, **changes: object) -> None:
        """Its supervisor and the command line change it at the same moments."""
        if not self.directory.is_dir():
            return
        with (self.directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            data = self.load()
            if data is not None:
                self.save({**data, **changes})

    def create(self, **definition: object) -> None:
        mend("recreate_container")
        self.save(
            {
                "name": self.name,
                "id": os.urandom(32).hex(),
                "created": now(),
                "entrypoint": [],
                "command": [],
                "environment": {},
                "labels": {},
                "binds": [],
                "confinement": {},
                "restart": "no",
                "grace": 10.0,
                "status": "created",
                "supervisor": 0,
                "supervisor_ticks": None,
                "pid": 0,
                "exit_code": 0,
                "oom_killed": False,
                "restarts": 0,
                "started_at": NEVER,
                "finished_at": NEVER,
                "stopped": False,
                **definition,
            }
        )

    def alive(self) -> bool:
        """Whether its supervisor runs: the container does, or is about to be restarted."""
        data = self.load()
        return (
            data is not None
            and bool(data["supervisor"])
            and start_ticks(int(str(data["supervisor"]))) == data["supervisor_ticks"]
        )

    def status(self) -> str:
        """created, running, restarting or exited."""
        data = self.load()
        if data is None:
            return "absent"
        if self.alive():
            return str(data["status"])
        return "created" if data["status"] == "created" else "exited"

    def start(self) -> None:
        """Under a supervisor of its own, which does what the restart policy means."""
        mend("restart_container")
        self.update(
            stopped=False, status="running", restarts=0, oom_killed=False, started_at=now(), supervisor=0, pid=0
        )
        process = subprocess.Popen(
            [*start.command("docker.docker"), "supervise", self.name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.update(supervisor=process.pid, supervisor_ticks=start_ticks(process.pid))

    def stop(self, grace: float, number: int = signal.SIGTERM) -> None:
        data = self.load()
        if data is None:
            return
        self.update(stopped=True)
        if not self.alive():
            return
        pid = int(str(data["supervisor"]))
        try:
            os.kill(pid, number)
            deadline = time.monotonic() + grace
            while self.alive() and time.monotonic() < deadline:
                time.sleep(0.05)
            if self.alive():
                os.killpg(pid, signal.SIGKILL)
                while self.alive():
                    time.sleep(0.02)
                self.update(status="exited", pid=0, exit_code=137, finished_at=now())
        except ProcessLookupError:
            return  # it ended by itself meanwhile

    def remove(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)

    def inspect(self) -> Json:
        """The parts of `docker inspect` that programs read."""
        data = self.load()
        assert data is not None
        status = self.status()
        return {
            "Id": data["id"],
            "Name": f"/{self.name}",
            "Created": data["created"],
            "Image": "sha256:" + image_id(str(data["image"])),
            "RestartCount": data["restarts"],
            "LogPath": str(self.log),
            "State": {
                "Status": status,
                "Running": status in ("running", "restarting"),
                "Paused": False,
                "Restarting": status == "restarting",
                "OOMKilled": data["oom_killed"],
                "Dead": False,
                "Pid": data["pid"] if status == "running" else 0,
                "ExitCode": 0 if status == "running" else data["exit_code"],
                "Error": "",
                "StartedAt": data["started_at"],
                "FinishedAt": data["finished_at"],
            },
            "Config": {
                "Image": data["image"],
                "Entrypoint": data["entrypoint"] or None,
                "Cmd": data["command"],
                "Env": [f"{key}={value}" for key, value in dict(data["environment"]).items()],
                "Labels": data["labels"],
            },
            "HostConfig": {
                "RestartPolicy": {"Name": data["restart"], "MaximumRetryCount": 0},
                "NetworkMode": "host",
                "Binds": data["binds"],
                **dict(data["confinement"]),
            },
        }


def image_id(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def copy_log(stream: Iterable[bytes], path: Path) -> None:
    """Each line with the time it was said, as the json-file driver keeps it."""
    with path.open("ab") as log:
        for line in stream:
            log.write(now().encode() + b" " + line.rstrip(b"\n") + b"\n")
            log.flush()


def environment_of(data: Json) -> dict[str, str]:
    engine = json.loads(ENGINE.read_text())
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(HUB),
        "SANDBOX_ENGINE_SECONDS": str(seconds_of("engine", 1.0)),
        **engine.get("env", {}),
        **dict(data["environment"]),
    }


def fail(message: str, code: int = 1) -> int:
    print(message, file=sys.stderr)
    return code


def no_such(name: str) -> int:
    return fail(f"Error response from daemon: No such container: {name}")


def execute(container: Container, command: list[str]) -> int:
    """In the host itself: its files and processes are the container's."""
    data = container.load()
    if data is None:
        return no_such(container.name)
    if container.status() != "running":
        return fail(f"Error response from daemon: container {data['id']} is not running")
    try:
        environment = {**environment_of(data), "SANDBOX_CONTAINER": container.name}
        return subprocess.run(command, env=environment, check=False).returncode
    except FileNotFoundError:
        return fail(
            f'OCI runtime exec failed: exec failed: unable to start container process: exec: "{command[0]}": executable '
            "file not found in $PATH: unknown",
            127,
        )


def supervise(name: str) -> int:
    """Run the container's program, again and again where its restart policy says so."""
    container = Container(name)
    child: subprocess.Popen[bytes] | None = None

    def forward(number: int, _frame: object) -> None:
        if child is not None:
            child.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, forward)
    pause = 0.1
    while True:
        data = container.load()
        if data is None or data["stopped"]:
            return 0
        argv = program(str(data["image"]), list(data["entrypoint"]), [str(part) for part in data["command"]])
        if argv is None:
            container.update(status="exited", exit_code=127, finished_at=now())
            return 127
        began = time.monotonic()
        child = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment_of(data), cwd="/"
        )
        copier = threading.Thread(target=copy_log, args=(child.stdout, container.log))
        copier.start()
        container.update(status="running", pid=child.pid, started_at=now())
        oom = False
        while child.poll() is None:
            try:
                child.wait(0.1)
            except subprocess.TimeoutExpired:
                fault = active("container_oom")
                if fault and not oom and fault.get("service", "vllm") == dict(data["labels"]).get(SERVICE):
                    oom = True
                    child.kill()
        code = child.returncode
        copier.join(2)
        container.update(
            status="exited",
            pid=0,
            exit_code=code if code >= 0 else 128 - code,
            oom_killed=oom,
            finished_at=now(),
        )
        data = container.load()
        if data is None or data["stopped"] or not wants_restart(str(data["restart"]), code):
            return 0
        # The daemon's own pauses: doubled each time, forgotten after ten seconds of running.
        pause = 0.1 if time.monotonic() - began > 10 else min(pause * 2, 60)
        container.update(status="restarting")
        late = active("restart_late")
        time.sleep(pause if late is None else float(str(late.get("delay") or 5)))
        data = container.load()
        if data is not None and not data["stopped"]:
            container.update(restarts=int(str(data["restarts"])) + 1)


def wants_restart(policy: str, code: int) -> bool:
    return policy in ("always", "unless-stopped") or (policy.startswith("on-failure") and code != 0)


SERVICE = "com.docker.compose.service"


def boot() -> None:
    """What the daemon does when it comes up."""
    for directory in sorted((STATE / "containers").glob("*")):
        container = Container(directory.name)
        data = container.load()
        if data is None:
            continue
        if data["restart"] == "always" or (data["restart"] == "unless-stopped" and not data["stopped"]):
            container.start()
        else:
            container.update(status="created" if data["status"] == "created" else "exited", pid=0)
