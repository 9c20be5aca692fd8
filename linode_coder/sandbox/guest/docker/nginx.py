"""nginx of the sandbox: a reverse proxy that obeys the real configuration file.

Understood are the directives that the role writes; any other is refused as nginx refuses an unknown one.
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import sys
import time
from dataclasses import dataclass, field, replace
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

# Directives without a bearing on which request goes where.
_IGNORED = frozenset(
    [
        "worker_processes",
        "worker_connections",
        "worker_rlimit_nofile",
        "error_log",
        "access_log",
        "pid",
        "user",
        "server_tokens",
        "log_format",
        "proxy_http_version",
        "proxy_buffering",
        "proxy_request_buffering",
        "proxy_read_timeout",
        "proxy_send_timeout",
        "proxy_connect_timeout",
        "client_body_timeout",
        "keepalive",
        "keepalive_timeout",
        "send_timeout",
        "proxy_temp_path",
        "client_body_temp_path",
        "fastcgi_temp_path",
        "uwsgi_temp_path",
        "scgi_temp_path",
        "tcp_nodelay",
        "sendfile",
        "proxy_cache",
        "gzip",
        "proxy_next_upstream",
        "proxy_socket_keepalive",
    ]
)
# What nginx takes once, in a request.
_ONCE = ("host", "authorization", "content-length")
_VARIABLE = re.compile(r"\$(\w+)")
# What nginx does not pass on of a request.
_HOP = frozenset(["connection", "host", "keep-alive", "te", "transfer-encoding", "upgrade", "expect"])
Block = list[tuple[list[str], "Block | None"]]


class ConfigError(Exception):
    pass


def tokens(text: str) -> list[str]:
    found = re.findall(
        r"""#[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[{};]|(?:\\.|[^\s{};#"'])(?:\\.|[^\s{};"'])*""", text
    )
    return [token for token in found if not token.startswith("#")]


def parse(words: list[str]) -> Block:
    """Directives, each a list of words, with a block where it has one. Consumes `words`."""
    block: Block = []
    current: list[str] = []
    while words:
        word = words.pop(0)
        if word == ";":
            block.append((current, None))
            current = []
        elif word == "{":
            block.append((current, parse(words)))
            current = []
        elif word == "}":
            return block
        else:
            current.append(word[1:-1].replace("\\" + word[0], word[0]) if word[0] in "\"'" else word)
    if current:
        raise ConfigError(f'directive "{current[0]}" is not terminated by ";"')
    return block


def children(block: Block, name: str) -> list[tuple[list[str], Block]]:
    return [(words[1:], inner or []) for words, inner in block if words[0] == name]


def size(text: str) -> int:
    units = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
    return int(text[:-1]) * units[text[-1].lower()] if text[-1].isalpha() else int(text)


def normal(path: str) -> str | None:
    """Where a path leads: decoded once, slashes merged, dots followed; None for one that nginx refuses."""
    decoded = unquote(re.sub(r"^https?://[^/]*", "", path))
    if not decoded.startswith("/") or "\0" in decoded:
        return None
    parts: list[str] = []
    words = decoded.split("/")[1:]
    for number, word in enumerate(words):
        last = number == len(words) - 1
        if word == "..":
            if not parts:
                return None
            parts.pop()
        if word not in ("", ".", ".."):
            parts.append(word + ("" if last else "/"))
    return "/" + "".join(parts)


@dataclass
class Outside:
    """What a block has from those around it. Without a word nginx names the upstream as the host and closes."""

    variables: Variables = field(default_factory=lambda: Variables())
    upstreams: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=lambda: {"Host": "$proxy_host", "Connection": "close"})
    type: str = "text/plain"


@dataclass
class Asked:
    """What variables are made of: a request, and where it goes."""

    headers: Message
    path: str
    upstream: str = ""


class Map:
    """A `map` block: patterns in their order after the plain strings, which nginx compares without regard to case."""

    def __init__(self, source: str, block: Block, directory: Path) -> None:
        self.source = source
        self.default = ""
        self.plain: dict[str, str] = {}
        self.patterns: list[tuple[re.Pattern[str], str]] = []
        for words, inner in with_includes(block, directory):
            if len(words) != 2 or inner is not None:
                raise ConfigError("invalid number of the map parameters")
            value, result = words
            if value in ("hostnames", "volatile"):
                raise ConfigError(f'"{value}" in a map is not understood by the sandbox\'s nginx')
            if value == "default":
                self.default = result
            elif value.startswith("~"):
                pattern = value.removeprefix("~").removeprefix("*")
                flags = re.IGNORECASE if value.startswith("~*") else 0
                self.patterns.append((re.compile(pattern, flags), result))
            else:
                self.plain[value.removeprefix("\\").lower()] = result

    def value(self, source: str) -> str:
        if source.lower() in self.plain:
            return self.plain[source.lower()]
        return next((result for pattern, result in self.patterns if pattern.search(source)), self.default)


class Variables:
    def __init__(self) -> None:
        self.maps: dict[str, Map] = {}

    def check(self, text: str) -> str:
        """The text, when all of its variables are known."""
        for name in _VARIABLE.findall(text):
            if name not in self.maps and name not in ("uri", "host", "proxy_host") and not name.startswith("http_"):
                raise ConfigError(f'unknown "{name}" variable')
        return text

    def fill(self, text: str, asked: Asked) -> str:
        return _VARIABLE.sub(lambda match: self._value(match.group(1), asked), text)

    def _value(self, name: str, asked: Asked) -> str:
        if name in self.maps:
            return self.maps[name].value(self.fill(self.maps[name].source, asked))
        if name.startswith("http_"):
            return str(asked.headers.get(name.removeprefix("http_").replace("_", "-")) or "")
        if name == "host":
            return re.sub(r":\d*$", "", str(asked.headers.get("Host") or "")).lower()
        return asked.path if name == "uri" else asked.upstream


class Condition:
    """An `if` of a server: a variable that is true, or compared, and what is returned then."""

    def __init__(self, words: list[str], block: Block, variables: Variables) -> None:
        text = " ".join(words)
        found = re.fullmatch(r"\(\s*(\$\w+)(?:\s+(=|!=)\s+(\S+))?\s*\)", text)
        if found is None:
            raise ConfigError(f'invalid condition "{text}", or one that is not understood by the sandbox\'s nginx')
        self.variable, self.operator, self.wanted = variables.check(found[1]), found[2], found[3]
        if len(block) != 1 or block[0][0][0] != "return" or len(block[0][0]) not in (2, 3):
            raise ConfigError("an if that does more than return is not understood by the sandbox's nginx")
        answer = block[0][0]
        self.answer = (int(answer[1]), answer[2] if len(answer) > 2 else "")

    def holds(self, variables: Variables, asked: Asked) -> bool:
        value = variables.fill(self.variable, asked)
        if self.operator is None:
            return value not in ("", "0")
        return (value == self.wanted) == (self.operator == "=")


def with_includes(block: Block, directory: Path) -> Block:
    """The block with the content of the files that it names in their place."""
    found: Block = []
    for words, inner in block:
        if words[0] != "include":
            found.append((words, inner))
            continue
        path = directory / words[1]
        try:
            found += with_includes(parse(tokens(path.read_text())), directory)
        except OSError as error:
            raise ConfigError(f'open() "{path}" failed ({error.errno}: {error.strerror})') from error
    return found


def headers_set(block: Block, outside: dict[str, str], variables: Variables) -> dict[str, str]:
    """What `proxy_set_header` says here; one of them and those outside are forgotten."""
    own = {}
    for words, _inner in block:
        if words[0] == "proxy_set_header":
            if len(words) != 3:
                raise ConfigError('invalid number of arguments in "proxy_set_header" directive')
            own[words[1]] = variables.check(words[2])
    return own or outside


class Location:
    def __init__(self, words: list[str], block: Block, outside: Outside) -> None:
        self.kind = words[0] if words[0] in ("=", "~", "~*", "^~") else "" if words[0][0] in "/@" else "?"
        if self.kind == "?":
            raise ConfigError(f'invalid location modifier "{words[0]}"')
        self.pattern = words[-1]
        self.target: tuple[str, int] | None = None
        self.answer: tuple[int, str] | None = None
        self.type = outside.type
        self.quiet = False
        self.headers = headers_set(block, outside.headers, outside.variables)
        for directive, _inner in block:
            name = directive[0]
            if name == "proxy_pass":
                address = directive[1].removeprefix("http://")
                host, _, port = outside.upstreams.get(address, address).partition(":")
                self.target = (host, int(port or 80))
            elif name == "return":
                self.answer = (int(directive[1]), directive[2] if len(directive) > 2 else "")
            elif name == "default_type":
                self.type = directive[1]
            elif name == "access_log":
                self.quiet = directive[1] == "off"
            elif name not in _IGNORED and name != "proxy_set_header":
                raise ConfigError(f'unknown directive "{name}"')

    def matches(self, path: str) -> bool:
        if self.kind == "=":
            return path == self.pattern
        if self.kind in ("~", "~*"):
            return re.search(self.pattern, path, re.IGNORECASE if self.kind == "~*" else 0) is not None
        return self.pattern.startswith("/") and path.startswith(self.pattern)


class Server:
    """One `server` block."""

    def __init__(self, block: Block, outside: Outside) -> None:
        types = [words[1] for words, _inner in block if words[0] == "default_type"]
        outside = replace(outside, headers=headers_set(block, outside.headers, outside.variables))
        outside = replace(outside, type=types[-1]) if types else outside
        self.variables, self.type = outside.variables, outside.type
        self.conditions: list[Condition] = []
        self.addresses: list[tuple[str, int]] = []
        self.locations: list[Location] = []
        self.error_pages: dict[int, str] = {}
        self.most = size("1m")
        for words, inner in block:
            if words[0] == "listen":
                host, _, port = words[1].rpartition(":")
                self.addresses.append((host or "0.0.0.0", int(port)))
            elif words[0] == "location":
                self.locations.append(Location(words[1:], inner or [], outside))
            elif words[0] == "if":
                self.conditions.append(Condition(words[1:], inner or [], outside.variables))
            elif words[0] == "error_page":
                for code in words[1:-1]:
                    if code.isdigit():
                        self.error_pages[int(code)] = words[-1]
            elif words[0] == "client_max_body_size":
                self.most = size(words[1])
            elif words[0] not in _IGNORED and words[0] not in ("server_name", "proxy_set_header", "default_type"):
                raise ConfigError(f'unknown directive "{words[0]}"')

    def find(self, path: str) -> Location | None:
        """Exact first, then the first matching pattern unless the longest prefix forbids it, then that prefix."""
        found = [location for location in self.locations if location.matches(path)]
        exact = [location for location in found if location.kind == "="]
        if exact:
            return exact[0]
        prefixes = sorted((row for row in found if row.kind in ("", "^~")), key=lambda row: -len(row.pattern))
        patterns = [location for location in found if location.kind in ("~", "~*")]
        if patterns and not (prefixes and prefixes[0].kind == "^~"):
            return patterns[0]
        return prefixes[0] if prefixes else None

    def error_location(self, code: int) -> Location | None:
        page = self.error_pages.get(code)
        return next((location for location in self.locations if location.pattern == page), None) if page else None


def load(path: Path) -> list[Server]:
    top = with_includes(parse(tokens(path.read_text())), path.parent)
    for words, _inner in top:
        if words[0] not in _IGNORED and words[0] not in ("events", "http"):
            raise ConfigError(f'unknown directive "{words[0]}"')
    servers = []
    for _words, inside in children(top, "http"):
        block = with_includes(inside, path.parent)
        outside = Outside()
        # A server has what surrounds it says, unless it says otherwise.
        inherited: Block = [(words, inner) for words, inner in block if words[0] == "client_max_body_size"]
        for words, inner in block:
            if words[0] == "upstream":
                outside.upstreams[words[1]] = next(line[1] for line, _block in inner or [] if line[0] == "server")
            elif words[0] == "map":
                outside.variables.maps[words[2].removeprefix("$")] = Map(words[1], inner or [], path.parent)
            elif words[0] == "default_type":
                outside.type = words[1]
            elif words[0] not in _IGNORED and words[0] not in ("server", "client_max_body_size", "proxy_set_header"):
                raise ConfigError(f'unknown directive "{words[0]}"')
        for each in outside.variables.maps.values():
            outside.variables.check(each.source)
        outside.headers = headers_set(block, outside.headers, outside.variables)
        servers += [Server(inherited + inner, outside) for _head, inner in children(block, "server")]
    return servers


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_block: Server

    def log_message(self, format: str, *arguments: object) -> None:
        path = normal(getattr(self, "path", "").partition("?")[0])
        location = self.server_block.find(path) if path else None
        if location is not None and location.quiet:
            return
        stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
        print(f'{self.client_address[0]} - - [{stamp}] {format % arguments} "-"', flush=True)

    def answer(self, code: int, text: str, kind: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text.encode())

    def refused(self) -> bool:
        """Whether nginx itself would not take the request's head: no host where there must be one, two, or none that is a name."""
        hosts = self.headers.get_all("Host", [])
        needed = self.request_version >= "HTTP/1.1"
        bad = any(not host or ".." in host or re.search(r"[\x00-\x20\x7f/]", host) for host in hosts)
        twice = any(len(self.headers.get_all(name, [])) > 1 for name in _ONCE)
        return bad or twice or (needed and not hosts)

    def serve(self) -> None:
        path = normal(self.path.partition("?")[0])
        if path is None or self.refused():
            self.close_connection = True
            self.answer(400, "400 Bad Request\n", "text/html")
            return
        length = int(self.headers.get("Content-Length") or 0)
        server = self.server_block
        asked = Asked(self.headers, path)
        said = next((each.answer for each in server.conditions if each.holds(server.variables, asked)), None)
        if length > server.most:
            self.close_connection = True
            if said is None:
                self.answer(413, "413 Too Large\n", "text/html")
            else:
                self.answer(*said, server.type)
            return
        body = self.rfile.read(length) if length else None
        location = server.find(path)
        if said is not None:
            self.answer(*said, server.type)
        elif location is None or (location.target is None and location.answer is None):
            self.answer(404, "<html><head><title>404 Not Found</title></head></html>\n", "text/html")
        elif location.answer is not None:
            self.answer(*location.answer, location.type)
        else:
            self.forward(location, asked, body)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = do_PATCH = serve

    def forward(self, location: Location, asked: Asked, body: bytes | None) -> None:
        assert location.target is not None
        asked.upstream = "{}:{}".format(*location.target)
        upstream = http.client.HTTPConnection(*location.target, timeout=3600)
        fixed = {name: self.server_block.variables.fill(text, asked) for name, text in location.headers.items()}
        own = _HOP | {name.lower() for name in fixed}
        headers = {name: value for name, value in self.headers.items() if name.lower() not in own}
        # One that would be empty is not sent.
        headers |= {name: text for name, text in fixed.items() if text}
        try:
            upstream.request(self.command, self.path, body, {"Host": asked.upstream, **headers})
            response = upstream.getresponse()
        except (OSError, http.client.HTTPException) as error:
            print(f"[error] connect() failed ({error}) while connecting to upstream", file=sys.stderr, flush=True)
            page = self.server_block.error_location(502)
            self.answer(*(page.answer if page and page.answer else (502, "")), page.type if page else "text/html")
            return
        try:
            self.send_response(response.status)
            length = response.getheader("Content-Length")
            for name, value in response.getheaders():
                if name.lower() not in ("connection", "transfer-encoding", "server", "date"):
                    self.send_header(name, value)
            if length is None:
                self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while self.command != "HEAD":
                data = response.read1(65536)
                if not data:
                    break
                self.wfile.write(data if length is not None else f"{len(data):x}\r\n".encode() + data + b"\r\n")
                self.wfile.flush()
            if length is None and self.command != "HEAD":
                self.wfile.write(b"0\r\n\r\n")
        except (OSError, http.client.HTTPException):
            self.close_connection = True
        finally:
            upstream.close()


class Listener(ThreadingHTTPServer):
    # Its default backlog.
    request_queue_size = 511
    daemon_threads = True
    allow_reuse_address = True


def main(arguments: list[str]) -> int:
    words = arguments[1:] if arguments[:1] == ["nginx"] else arguments
    path = Path(words[words.index("-c") + 1]) if "-c" in words else Path("/etc/nginx/nginx.conf")
    try:
        servers = load(path)
    except (OSError, ConfigError, StopIteration, IndexError, ValueError) as error:
        print(f"nginx: [emerg] {error} in {path}", file=sys.stderr)
        return 1
    if "-t" in words:
        print(f"nginx: configuration file {path} test is successful", file=sys.stderr)
        return 0
    import threading

    listeners = []
    for server in servers:
        for address in server.addresses:
            handler = type("BoundHandler", (Handler,), {"server_block": server})
            try:
                listeners.append(Listener(address, handler))
            except OSError as error:
                print(
                    f"nginx: [emerg] bind() to {address[0]}:{address[1]} failed ({error.errno}: {error.strerror})",
                    file=sys.stderr,
                )
                return 1
    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    for listener in listeners:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
    print("nginx: ready (the sandbox's)", file=sys.stderr, flush=True)
    signal.pause()
    return 0
