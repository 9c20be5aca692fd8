# SPDX-License-Identifier: GPL-3.0-or-later
"""`linode-coder explain` has a text for every name that is printed, and shows it as lines that fit."""

from __future__ import annotations

import json
import re

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import EXIT_CODES, Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.rungs import RUNGS
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.causes import BY_EXIT_CODE, CAUSES
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.catalogue import CHECKS
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.xid_catalogue import XIDS

from linode_coder.cli import app
from linode_coder.cli.explain_topics import KINDS, topic
from linode_coder.terminal.console import Console
from linode_coder.terminal.markdown import plain, slug
from tests.unit.cli.terminal import at_terminal, foreign

ALL = [each for read in KINDS.values() for each in read()]


@pytest.mark.parametrize("kind", EXIT_CODES)
def test_the_docs_line_of_an_error_is_a_command_that_explains_it(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    Console(as_json=False).failure(Failure(kind, "Wrong."))
    line = capsys.readouterr().err.splitlines()[-1]
    command = re.fullmatch(r"docs: linode-coder (explain \S+), exit code \d+", line)
    assert command
    assert app.run(command[1].split()) == 0
    assert capsys.readouterr().out.startswith(f"{kind}\n{'-' * len(kind)}\n\nExit code {EXIT_CODES[kind]}. ")


def test_everything_that_has_a_name_is_known() -> None:
    known = {each.name for each in ALL}
    assert known >= {f"exit-{code}" for code in (0, *EXIT_CODES.values(), 130, 143)}
    assert known >= {*CHECKS, *(rung.id for rung in RUNGS), *(f"xid-{code}" for code in XIDS)}
    assert known >= {cause.id for cause in (*CAUSES, *BY_EXIT_CODE.values())}


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("ERROR-USAGE", "error-usage"),
        ("not_found", "error-not-found"),
        ("7", "exit-7"),
        ("Xid 79", "xid-79"),
        ("#error-host-key", "error-host-key"),
        ("leases.md#a-budget", "leases#a-budget"),
        ("errors.md", "errors"),
    ],
)
def test_a_name_may_be_written_in_several_ways(word: str, name: str) -> None:
    found = topic(word)
    assert found and found.name == name


def test_two_of_one_name_are_both_told() -> None:
    found = topic("rate_limited")
    assert found and "Exit code 5" in found.text and "Why an engine does not run" in found.text


@pytest.mark.parametrize(
    ("word", "near"), [("error-usge", "error-usage"), ("gpu.lsot", "gpu.lost"), ("budget", "leases#a-budget")]
)
def test_a_misspelt_name_gets_a_hint(word: str, near: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["explain", word]) == 2
    assert re.search(rf"Did you mean .*{re.escape(near)}\b", capsys.readouterr().err)


def test_without_a_name_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["explain"]) == 0
    out = capsys.readouterr().out
    assert "not-found" in out and "gpu.lost" in out and "leases" in out
    assert app.run(["explain", "--json"]) == 0
    anchors = json.loads(capsys.readouterr().out)["anchors"]
    assert [name for group in anchors.values() for name in group] == [each.name for each in ALL]


def test_what_pages_link_to_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    known = {each.name for each in ALL}
    for page in sorted({each.page for each in ALL}):
        assert app.run(["explain", page, "--json"]) == 0
        assert set(json.loads(capsys.readouterr().out)["see_also"]) <= known, page


@pytest.mark.parametrize("columns", [60, 100])
def test_lines_fit(columns: int) -> None:
    """But for commands, and words that are longer than a line."""
    for each in ALL:
        for line in plain(each.text, columns):
            long = len(line) > columns and not line.startswith("    ") and " " in line.strip().lstrip("-0123456789. ")
            assert not long, f"{each.name}: {line}"


def test_at_a_terminal_it_is_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    said = at_terminal(monkeypatch, "explain", "healing")
    assert said.code == 0 and not foreign(said.out) and "<!--" not in said.out and "](" not in said.out


PAGE = """\
# A page

<a id="error-x"></a>
## `one` & two

Words with a [link](other.md#there), **strong** ones and a [site](https://example.org).

- first
  goes on
- second

    command --option   # stays

    another

| a | b |
|---|---|
| `x\\|y` | [z](#z) |
"""


def test_the_forms_that_pages_have() -> None:
    assert plain(PAGE, 60) == [
        *("A page", "======", ""),
        *("`one` & two", "-----------", ""),
        *("Words with a link, strong ones and a site", "(https://example.org).", ""),
        *("- first goes on", "- second", ""),
        *("    command --option   # stays", "", "    another", ""),
        *("a      b", "`x|y`  z"),
    ]
    assert slug("What `--model` takes: a b_c") == "what---model-takes-a-b_c"


def test_a_table_that_does_not_fit_is_told_row_by_row() -> None:
    assert plain("| a | b | c |\n|---|---|---|\n| one | a long text of some words | |\n", 24) == [
        "one",
        "  b: a long text of some",
        "    words",
    ]


def test_a_command_in_a_page_stays_on_one_line() -> None:
    shown = plain("- When nothing else helps here, run `linode-coder heal demo --now --dry-run`, and read.", 50)
    assert any("linode-coder heal demo --now --dry-run" in line for line in shown)
    assert max(map(len, shown)) <= 50 and all(line.startswith("  ") for line in shown[1:])
