"""The page docs/checks.md, made from the catalogue of checks and the table of Xids: python -m tools.checks_page"""

from __future__ import annotations

from pathlib import Path

from ansible_collections.linode_coder.gpu.plugins.module_utils.health.catalogue import CHECKS, Check, Limit
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.collected import CONTINUED_S
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.xid_catalogue import XIDS

from tests.findings_table import NOWHERE, all_found, severities

PAGE = Path(__file__).parents[1] / "collections/ansible_collections/linode_coder/gpu/docs/checks.md"

_HEAD = """\
# Checks

`linode-coder check NAME` looks at a session's VM once, over one SSH connection, and says what is wrong and what to do.
`linode-coder check --all` looks at every session of the account at the same time. `--json` gives one document,
`ansible-playbook linode_coder.gpu.check -e session=NAME` does the same without the command line.

A finding that follows from another one is only counted under it: when a GPU is lost, none of its readings can be read, and the
engine fails as well. `--passed`, or `-v`, shows every finding. In the JSON document each finding has `follows_from`: the `id` and
the `subject` of the finding that explains it, or null. Healing sees every finding.

| word | mark | means | exit code |
|---|---|---|---|
| pass | `ok` | as it should be | 0 |
| warn | `!` | worth knowing; nothing is touched because of it, or only at an idle moment | 0 |
| unknown | `?` | it could not be looked at: never a reason to heal or to delete anything | 11 |
| fail | `x` | broken | 6 |

Every source has a time limit of its own, so a hanging `nvidia-smi` costs its {answer} and makes the checks that need
it unknown, not wrong. A failure is seen several times before anything is touched (column *seen*). One token is
generated to see whether the engine works end to end; what that adds to the engine's counters is taken off again, so that
looking at a session does not keep it alive.

## Bundles

`linode-coder collect NAME` saves everything the check reads as `NAME.tar.gz`: `nvidia-smi.xml`, `kernel.log`,
`engine.log`, `metrics.txt`, `container.json`, `models.json` and `host.json`. API keys, tokens and other secrets are taken
out on the VM, before anything is sent. `linode-coder check --bundle PATH` evaluates such an archive, or a directory with
any of these files from anywhere, without host, token or network. `kernel.log` may come from `journalctl -k` (also
`-o json`) or `dmesg`, `nvidia-smi.xml` may hold the error that nvidia-smi printed instead, `container.json` is what
`docker inspect` prints, and `engine.log` may also be what Docker or Compose printed instead of starting it. nvidia-smi's table
and the text of `nvidia-smi -q` are told apart, and not read.
A link in the directory or the archive is refused, since it would show a file of this machine.

A bundle need not be complete. What it lacks is unknown, never failed: a bundle in which nothing is wrong ends with exit code
0 when it is complete and with 11 when it is not, and names the missing files (`missing` with `--json`). An archive with
links or with paths that lead out of it is refused (3); what is no archive, cut off, empty or larger than 32 MB a file is one
sentence (2).

## Looks that go on

Some troubles show only to who has looked before: a reboot, a hang that comes again, requests without a token for minutes,
a card that stays too hot or slowed down, a PCIe link worse than it was. Every look leaves a note on the VM
(`/var/lib/linode-coder/last_look.json`), and the next one, from whichever machine, goes on from it: it counts as the same
trouble when it comes within {continued}. So such a failure needs a watchdog, or somebody who checks more than once. A first
look has nothing to compare with and is never worse for it.

## The catalogue

A finding may ask for less than its check, or for what its cause needs: the cause decides.

"""

_FAULTS_HEAD = """
## In the sandbox

What makes each of them in the sandbox: faults of `linode-coder sandbox fault add KIND --host LABEL`, several where one is
seen from several sides. The slow tests do all of it and read it with `linode-coder check`.

"""

_XID_HEAD = """
## Xids

What the driver's codes mean on a VM with whole cards. A reset that the vendor asks for becomes a reboot, a bad card
becomes another VM. Codes that are not in the table are reported as unknown.

"""


def _cell(text: str) -> str:
    return text.replace("|", "\\|") or "-"


def _rungs(ladder: tuple[str, ...]) -> str:
    return ", ".join(ladder).replace("_", " ") or "-"


def _confirm(check: Check) -> str:
    probes, seconds = check.confirm
    return f"{probes} times" + (f" over {seconds} s" if seconds else "")


def _ways(check: Check, severity: str, made: dict[tuple[str, str], list[str]]) -> str:
    """A few of what makes it, or why nothing does."""
    if severity not in severities(check):
        return ""
    return ", ".join(made.get((check.id, severity), [])[:3]) or NOWHERE[check.id, severity]


def render() -> str:
    rows = ["| check | looks at | pass | warn | fail | unknown | seen | rungs |", "|---|---|---|---|---|---|---|---|"]
    for check in CHECKS.values():
        cells = (
            check.what + ": " + check.said(check.how),
            *map(check.said, (check.passes, check.warns, check.fails, check.unknowns)),
            _confirm(check),
            _rungs(check.ladder),
        )
        rows.append(f"| `{check.id}` | " + " | ".join(map(_cell, cells)) + " |")
    made = all_found()
    faults = ["| check | warn | fail | unknown |", "|---|---|---|---|"]
    for check in CHECKS.values():
        cells = tuple(_ways(check, severity, made) for severity in ("warn", "fail", "unknown"))
        faults.append(f"| `{check.id}` | " + " | ".join(map(_cell, cells)) + " |")
    xids = ["| Xid | name | weight | rungs | note |", "|---|---|---|---|---|"]
    for entry in XIDS.values():
        cells = (entry.name, entry.severity, _rungs(entry.ladder), entry.note)
        xids.append(f"| {entry.code} | " + " | ".join(map(_cell, cells)) + " |")
    head = _HEAD.format(continued=Limit(CONTINUED_S, "s"), answer=CHECKS["gpu.hang"].limits["answer"])
    return head + "\n".join(rows) + "\n" + _FAULTS_HEAD + "\n".join(faults) + "\n" + _XID_HEAD + "\n".join(xids) + "\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(render())
