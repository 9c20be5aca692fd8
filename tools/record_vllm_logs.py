# SPDX-License-Identifier: GPL-3.0-or-later
"""Records what the real engine logs: python -m tools.record_vllm_logs [NAME...]

One start for each name, with the model and the flags that it needs, into tests/unit/health/vllm-logs/RELEASE. Names of this
machine's directories are replaced; whatever else the engine said stays as it is.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from linode_coder.sandbox import vllm_env
from tests.engine.test_standin_is_like_vllm import Engine, Starts

LOGS = Path(__file__).parents[1] / "tests/unit/health/vllm-logs" / vllm_env.VLLM.rpartition(".")[0]
Then = Callable[[Engine], None]


def edited(model: Path, **changes: object) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, **changes}))


def half(model: Path) -> None:
    weights = model / "model.safetensors"
    with weights.open("r+b") as file:
        file.truncate(weights.stat().st_size // 2)


def kept(model: Path) -> None:
    pass


def nothing(engine: Engine) -> None:
    engine.process.wait()


def serve(engine: Engine) -> None:
    """Until it has answered once."""
    engine.wait()
    engine.ask("POST", "/v1/completions", {"prompt": "hi", "max_tokens": 4}, {"Authorization": "Bearer key"})


def stop(engine: Engine) -> None:
    serve(engine)
    os.kill(engine.process.pid, signal.SIGTERM)
    engine.process.wait()


def stop_while_answering(engine: Engine) -> None:
    engine.wait()
    body = {"prompt": "hi", "max_tokens": 1500, "ignore_eos": True, "stream": True}
    connection = http.client.HTTPConnection("127.0.0.1", engine.port)
    headers = {"Content-Type": "application/json", "Authorization": "Bearer key"}
    connection.request("POST", "/v1/completions", json.dumps(body), headers)
    answer = connection.getresponse()
    answer.readline()
    reader = threading.Thread(target=answer.read)
    reader.start()
    os.kill(engine.process.pid, signal.SIGTERM)
    engine.process.wait()
    reader.join()


def kill(kind: str) -> Then:
    def then(engine: Engine) -> None:
        serve(engine)
        os.kill(int(re.findall(rf"\({kind} pid=(\d+)\)", engine.log)[-1]), signal.SIGKILL)
        engine.process.wait()

    return then


_CALLS = ("--enable-auto-tool-choice", "--tool-call-parser")
# What is done to the model, the flags beside it, and what is done to the engine.
CASES: dict[str, tuple[Callable[[Path], None], tuple[str, ...], Then]] = {
    "ok-start": (kept, ("--served-model-name", "coder"), stop),
    "badflag": (kept, ("--no-such-flag",), nothing),
    "bad-cache-type": (kept, ("--kv-cache-dtype", "fp7"), nothing),
    "badparser": (kept, (*_CALLS, "nope"), nothing),
    "reasonbad": (kept, ("--reasoning-parser", "nope"), nothing),
    "badquant": (kept, ("--quantization", "awq"), nothing),
    "toolong": (kept, ("--max-model-len", "100000"), nothing),
    "badarch": (lambda model: edited(model, architectures=["FooBarForCausalLM"]), (), nothing),
    "badmodeltype": (lambda model: edited(model, model_type="qwen99"), (), nothing),
    "nodir": (kept, ("--model", "./does_not_exist"), nothing),
    "repooffline": (kept, ("--model", "Qwen/Qwen3-0.6B"), nothing),
    "noweights": (lambda model: (model / "model.safetensors").unlink(), (), nothing),
    "truncated-weights": (half, (), nothing),
    "context-too-long": (lambda model: edited(model, max_position_embeddings=1 << 20), (), nothing),
    "port-in-use": (kept, (), nothing),
    "core-killed": (kept, (), kill("EngineCore")),
    "worker-killed-idle": (kept, (), kill("Worker")),
    "sigterm-inflight-drain60": (kept, ("--shutdown-timeout", "60"), stop_while_answering),
}


def record(starts: Starts, name: str) -> str:
    prepare, flags, then = CASES[name]
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        shutil.copytree(starts.models / "tiny-coder-1m", home / "tiny")
        prepare(home / "tiny")
        model = () if "--model" in flags else ("--model", "./tiny")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1] if name == "port-in-use" else None
            engine = Engine(home, starts, *model, *flags, port=port)
            try:
                then(engine)
            finally:
                engine.end()
        return plain(engine.log, starts, directory)


def plain(log: str, starts: Starts, directory: str) -> str:
    """Without names of this machine."""
    packages = str(starts.models.parent / "env/lib")
    for here, there in (
        (packages, "/usr/local/lib"),
        (f"{sys.base_prefix}/lib", "/usr/local/lib"),
        (str(starts.models.parent), "/opt/vllm"),
        (directory, "/srv"),
        (str(Path(__file__).parents[1]), "/usr/lib/linode-coder-sandbox"),
    ):
        log = log.replace(here, there)
    return re.sub(r"(?<=mq_connect_ip=)[\d.]+", "192.0.2.2", log)


def main(names: list[str]) -> int:
    LOGS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        starts = Starts(vllm_env.ensure(lambda step, detail: None), Path(home))
        try:
            for name in names or CASES:
                (LOGS / f"{name}.log").write_text(record(starts, name))
                print(name, flush=True)
        finally:
            starts.end()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
