# SPDX-License-Identifier: GPL-3.0-or-later
"""A team's gateway: the role's own configuration under the real nginx, in a directory."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml

from tests import product, programs
from tests.free_port import free_port

ROLE = product.COLLECTION / "roles" / "team_gateway"
ENGINE_KEY = "The-Engines_own-key"
ADA, BOB = "A" * 40, "B" * 20 + "_" * 10 + "-" * 10


@dataclass
class Gateway:
    directory: Path
    port: int
    process: subprocess.Popen[bytes]

    def connect(self, timeout: float = 30) -> http.client.HTTPSConnection:
        """One that trusts the gateway's own certificate and no other."""
        trusted = ssl.create_default_context(cafile=str(self.directory / "tls.crt"))
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=trusted)

    def ask(
        self, target: str, key: str | None = ADA, body: Any = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, str]:
        """Status, headers and body of the answer."""
        connection = self.connect()
        given = {"Authorization": f"Bearer {key}"} if key else {}
        data = None if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
        sent = {"Content-Type": "application/json"} if data else {}
        connection.request("POST" if data else "GET", target, data, {**given, **sent, **headers})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, answer.headers, text

    def log(self, lines: int) -> list[dict[str, Any]]:
        """The last entries, once that many requests have ended."""
        deadline = time.monotonic() + 30
        while len(found := (self.directory / "access.log").read_text().splitlines()) < lines:
            assert time.monotonic() < deadline, found
            time.sleep(0.02)
        return [json.loads(line) for line in found][-lines:]

    def logged(self) -> int:
        return len((self.directory / "access.log").read_text().splitlines())

    def people(self, **keys: str) -> None:
        """Who may ask, by the hashes of their keys."""
        lines = [f'"{hashlib.sha256(key.encode()).hexdigest()}" {name};\n' for name, key in keys.items()]
        (self.directory / "people.map").write_text("".join(lines))

    def reload(self) -> None:
        """As systemd does it, until the new workers have taken over."""
        before = self._workers()
        self.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 30
        while before & self._workers():
            assert time.monotonic() < deadline, (self.directory / "stderr").read_text()
            time.sleep(0.02)

    def _workers(self) -> set[str]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return set(children.read_text().split())


def configure(directory: Path, port: int, upstream: Sequence[int], **variables: Any) -> None:
    """As the role writes it, but for where files lie and who the workers are."""
    values = {
        **yaml.safe_load((ROLE / "defaults/main.yml").read_text()),
        "ansible_managed": "ours",
        "team_gateway_directory": directory,
        "team_gateway_log_directory": directory,
        "team_gateway_upstream_ports": list(upstream),
        "team_gateway_addresses": ["127.0.0.1"],
        "team_gateway_port": port,
        **variables,
    }
    user = "root" if os.geteuid() == 0 else "nobody"
    source = (ROLE / "templates/nginx.conf.j2").read_text().replace("/run/linode-coder-team", str(directory))
    source = source.replace("user www-data;", f"user {user};")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True)
    (directory / "nginx.conf").write_text(environment.from_string(source).render(values))
    (directory / "team.js").write_text((ROLE / "files/team.js").read_text())
    (directory / "engine_key.conf").write_text(f'default "{ENGINE_KEY}";\n')


def certificate(directory: Path) -> None:
    """Made as the role makes it."""
    (directory / "openssl.cnf").write_text(
        "[req]\nprompt = no\ndistinguished_name = name\nx509_extensions = extensions\n"
        "[name]\nCN = 127.0.0.1\n[extensions]\nsubjectAltName = IP:127.0.0.1\nbasicConstraints = critical, CA:true\n"
    )
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-days", "825", "-config", "openssl.cnf", "-keyout", "tls.key", "-out", "tls.crt"]
    subprocess.run([*command, *files], check=True, cwd=directory, capture_output=True)


@contextmanager
def running(
    directory: Path, upstream: int | Sequence[int], people: Mapping[str, str] | None = None, **variables: Any
) -> Iterator[Gateway]:
    """In front of the engines at these ports; ``people`` are keys by name, Ada's and Bob's otherwise."""
    nginx = programs.program("nginx")
    programs.nginx_module("ngx_http_js_module.so")
    port = free_port()
    configure(directory, port, [upstream] if isinstance(upstream, int) else upstream, **variables)
    certificate(directory)
    gateway = Gateway(directory, port, None)  # type: ignore[arg-type]
    gateway.people(**(people or {"ada": ADA, "bob": BOB}))
    with (directory / "stderr").open("wb") as stderr:
        command = [nginx, "-e", "stderr", "-c", str(directory / "nginx.conf"), "-g", "daemon off;"]
        gateway.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)
    try:
        deadline = time.monotonic() + 60
        while True:
            assert gateway.process.poll() is None, (directory / "stderr").read_text()
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, (directory / "stderr").read_text()
                time.sleep(0.05)
        yield gateway
    finally:
        gateway.process.terminate()
        gateway.process.wait(30)
