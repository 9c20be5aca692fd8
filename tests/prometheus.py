# SPDX-License-Identifier: GPL-3.0-or-later
"""The real Prometheus (Debian: prometheus) told what docs/serving.md tells people, and what it makes of an engine's metrics."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.product import COLLECTION
from tests.programs import program

PATIENCE = 60.0
# vLLM's own names, as they are.
_COLONS = "metric names should not contain ':'"
_KNOWN = {'vllm:iteration_tokens_total non-counter metrics should not have "_total" suffix'}


def advised() -> dict[str, Any]:
    """The configuration that the page prints."""
    page = (COLLECTION / "docs/serving.md").read_text()
    (block,) = re.findall(r"^```yaml\n(scrape_configs:.*?)^```$", page, re.MULTILINE | re.DOTALL)
    found: dict[str, Any] = yaml.safe_load(block)
    return found


@dataclass
class Prometheus:
    port: int
    log: Path

    def ask(self, path: str, **arguments: str) -> Any:
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return json.load(answer)["data"]

    def value(self, query: str) -> float | None:
        """The sum of what the query finds; None when that is nothing."""
        found = self.ask("query", query=query)["result"]
        return sum(float(row["value"][1]) for row in found) if found else None

    def target(self) -> dict[str, Any]:
        """The one that is scraped, after it was asked at least once."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                (target,) = self.ask("targets")["activeTargets"]
                if target["health"] != "unknown":
                    return dict(target)
            except (OSError, ValueError):
                pass
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.2)


@contextmanager
def running(directory: Path, config: dict[str, Any]) -> Iterator[Prometheus]:
    """The real one, with a configuration that promtool takes; it scrapes and looks at its rules every second."""
    directory.mkdir(exist_ok=True)
    file = directory / "prometheus.yml"
    often = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    file.write_text(yaml.safe_dump({"global": often, **config}))
    subprocess.run([program("promtool"), "check", "config", str(file)], check=True, stdout=subprocess.DEVNULL)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        own = int(probe.getsockname()[1])
    log = directory / "log"
    where = [f"--config.file={file}", f"--storage.tsdb.path={directory}/data", f"--web.listen-address=127.0.0.1:{own}"]
    command = [program("prometheus"), *where]
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield Prometheus(own, log)
        finally:
            process.terminate()
            process.wait(60)


@contextmanager
def scraping(directory: Path, port: int, key_file: Path | None) -> Iterator[Prometheus]:
    """An endpoint of this machine, with the key in this file or with none, as often as Prometheus can."""
    config = advised()
    (job,) = config["scrape_configs"]
    (targets,) = job["static_configs"]
    targets["targets"] = [f"127.0.0.1:{port}"]
    if key_file is None:
        del job["authorization"]
    else:
        job["authorization"]["credentials_file"] = str(key_file)
    with running(directory, config) as prometheus:
        yield prometheus


def fetched(port: int, key_file: Path) -> str:
    """The metrics as text."""
    headers = {"Authorization": f"Bearer {key_file.read_text().strip()}"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers=headers)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return str(answer.read().decode())


def said(samples: list[str], name: str) -> float:
    """The sum of a metric's series in the text."""
    found = [line.rpartition(" ")[2] for line in samples if line.partition("{")[0] == name]
    assert found, name
    return sum(map(float, found))


def complaints(text: str) -> set[str]:
    """What promtool says of names and texts beside vLLM's colons; it has to be able to read them all."""
    done = subprocess.run(
        [program("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode in (0, 3), done.stderr
    return {line for line in done.stderr.splitlines() if not line.endswith(_COLONS)}


def judge(directory: Path, port: int, key_file: Path) -> None:
    """Scrape an endpoint at rest, with its key and without."""
    text = fetched(port, key_file)
    samples = [line for line in text.splitlines() if line and not line.startswith("#")]
    with scraping(directory / "with the key", port, key_file) as prometheus:
        target = prometheus.target()
        assert (target["health"], target["lastError"]) == ("up", ""), target
        assert prometheus.value("up") == 1
        # Each line of it is a sample that it kept; a request meanwhile may bring a series of its own.
        kept = prometheus.value("scrape_samples_scraped")
        assert kept is not None and len(samples) <= kept <= len(samples) + 3
        assert prometheus.value("vllm:num_requests_running") == 0
        for name in (
            "vllm:generation_tokens_total",
            "vllm:time_to_first_token_seconds_count",
            "vllm:cache_config_info",
        ):
            assert prometheus.value(name) == said(samples, name)
    with scraping(directory / "without", port, None) as prometheus:
        target = prometheus.target()
        assert (target["health"], prometheus.value("up")) == ("down", 0)
        assert "401" in target["lastError"]
    assert complaints(text) == _KNOWN
