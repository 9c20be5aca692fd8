"""Performance runs of this control node: their whole documents, and which of them later ones are held against.

Like the rest of the history a record that is never in the way: where it cannot be written, the command says so once and goes on.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from contextlib import closing
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.did_you_mean import did_you_mean, nearest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf.document import answer_tokens, levels, mapping
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf.verdict import single
from ansible_collections.linode_coder.gpu.plugins.module_utils.record.tables import storable

from .history import PATIENCE_S, connect, never_in_the_way

# The newest of each spec; its baseline stays, however old it is.
KEPT = 50
# Bytes of a document: some thousand samples are a tenth of it.
_MOST = 64 * 1024 * 1024
# Flags that say where and under which name the engine serves, and nothing of its speed.
_NO_SPEED = ("api-key", "host", "port", "served-model-name")
# What is read of a run without unpacking it.
_HEAD = ("started", "model", "plan", "region", "gpus", "profile", "where", "engine", "complete", "sandbox")


def spec_of(run: dict[str, Any], where: str | None = None) -> str:
    """What has to be the same for one run to be held against another; ``where`` instead of the run's own."""
    flags = mapping(run.get("flags"))
    told = {name.replace("_", "-"): value for name, value in flags.items() if isinstance(name, str)}
    told = {name: value for name, value in told.items() if name not in _NO_SPEED}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True, default=repr).encode()).hexdigest()[:12]
    parts = [run.get("plan"), run.get("model"), run.get("profile"), where or run.get("where")]
    place = "sandbox" if run.get("sandbox") is True else "account"
    # Where it can be chosen; a run that has not begun has none yet, and is of the kind of any.
    tokens = answer_tokens(run)
    return " ".join([*(str(part or "?") for part in parts), place, digest, *([] if tokens is None else [str(tokens)])])


def _packed(run: dict[str, Any]) -> bytes:
    return zlib.compress(json.dumps(run, default=repr).encode(), 6)


def _head(run: dict[str, Any]) -> str:
    head = {key: run.get(key) for key in _HEAD}
    return json.dumps({**head, "concurrency": list(levels(run)), "stream_tps": single(run)}, default=repr)


def _unpacked(blob: bytes) -> dict[str, Any]:
    """Nothing of a document that is none."""
    try:
        found = json.loads(zlib.decompressobj().decompress(blob, _MOST))
    except (TypeError, ValueError, zlib.error, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


@never_in_the_way(lambda: None)
def keep(run: dict[str, Any], new_baseline: bool = False) -> None:
    """Record the document of a run with its verdict. The first of a spec that passes is its baseline, or one that is made it."""
    verdict = mapping(run.get("verdict"))
    spec, severity = spec_of(run), str(verdict.get("severity") or "unknown")
    with closing(connect(PATIENCE_S)) as connection, connection.writing():
        known = connection.execute(
            "SELECT 1 FROM perf_runs WHERE spec = :spec AND baseline = 1", {"spec": spec}
        ).fetchone()
        first = known is None and severity == "pass" and run.get("complete") is not False
        if new_baseline:
            connection.execute("UPDATE perf_runs SET baseline = 0 WHERE spec = :spec", {"spec": spec})
        connection.execute(
            "INSERT INTO perf_runs (run, session, spec, severity, summary, baseline, head, document)"
            " VALUES (:run, :session, :spec, :severity, :summary, :baseline, :head, :document)"
            " ON CONFLICT (run) DO UPDATE SET severity = excluded.severity, summary = excluded.summary,"
            " baseline = CASE WHEN perf_runs.baseline = 1 THEN 1 ELSE excluded.baseline END,"
            " head = excluded.head, document = excluded.document",
            {
                "run": str(run.get("id") or "?"),
                "session": str(run.get("session") or "?"),
                "spec": spec,
                "severity": severity,
                "summary": str(verdict.get("summary") or ""),
                "baseline": new_baseline or first,
                "head": _head(run),
                "document": _packed(run),
            },
        )
        connection.execute(
            "DELETE FROM perf_runs WHERE spec = :spec AND baseline = 0 AND id NOT IN"
            " (SELECT id FROM perf_runs WHERE spec = :spec ORDER BY id DESC LIMIT :kept)",
            {"spec": spec, "kept": KEPT},
        )


@never_in_the_way(list)
def runs(session: str | None = None) -> list[dict[str, Any]]:
    """The recorded runs without their figures, newest first: ``id``, ``session``, ``severity``, ``summary``, ``baseline``, which
    streams at once there were (``concurrency``), the speed of one alone (``stream_tps``), and what the run was made with."""
    with closing(connect()) as connection:
        rows = connection.execute(
            "SELECT run AS id, session, severity, summary, baseline, head FROM perf_runs"  # noqa: S608 - of ours
            f" {'' if session is None else 'WHERE session = :session'} ORDER BY perf_runs.id DESC",
            {"session": session},
        ).fetchall()
    found = []
    for row in map(dict, rows):
        head = mapping(json.loads(row.pop("head")))
        found.append({**head, **row, "baseline": bool(row["baseline"])})
    return found


@never_in_the_way(list)
def names() -> list[str]:
    """The ids of the recorded runs, newest first."""
    with closing(connect()) as connection:
        return [str(row["run"]) for row in connection.execute("SELECT run FROM perf_runs ORDER BY id DESC").fetchall()]


@never_in_the_way(lambda: None)
def _document(where: str, value: str) -> dict[str, Any] | None:
    """The newest of which a column has this value."""
    kind = "(spec = :value OR substr(spec, 1, :length) = :beginning)"
    conditions = {"run": "run = :value", "baseline": f"{kind} AND baseline = 1", "spec": kind}
    beginning = storable(f"{value} ")
    with closing(connect()) as connection:
        row = connection.execute(
            f"SELECT document FROM perf_runs WHERE {conditions[where]} ORDER BY id DESC LIMIT 1",  # noqa: S608 - of ours
            {"value": value, "beginning": beginning, "length": len(beginning)},
        ).fetchone()
    return _unpacked(row["document"]) if row else None


def baseline_of(run: dict[str, Any]) -> dict[str, Any] | None:
    """The document that a run of this kind is held against, if there is one; never the run itself."""
    found = _document("baseline", spec_of(run))
    return None if found is None or found.get("id") == run.get("id") else found


def near_of(run: dict[str, Any]) -> dict[str, Any] | None:
    """For a run through the tunnel the newest one of its kind that was made on the VM."""
    return _document("spec", spec_of(run, "vm")) if run.get("where") == "here" else None


def resolve(word: str, other: dict[str, Any] | None = None) -> dict[str, Any]:
    """The document that a person means: an id, its unique beginning or its end after the dash, ``last``, or ``baseline``.

    ``baseline`` is that of the kind of ``other``. Failure(not_found) names near ones.
    """
    known = names()
    if not known:
        remedy = "Make one: linode-coder validate-perf"
        raise Failure(
            "not_found", "No performance run is recorded on this machine.", remedy=remedy, field="run", value=word
        )
    if word == "baseline":
        if other is None:
            remedy = "Give the id of a run: linode-coder perf history"
            raise Failure(
                "usage", "It is not known the baseline of what is meant.", remedy=remedy, field="run", value=word
            )
        found = _document("baseline", spec_of(other))
        if found is None:
            remedy = "Make one: linode-coder validate-perf --new-baseline"
            raise Failure(
                "not_found", f"There is no baseline for {_kind(other)}.", remedy=remedy, field="run", value=word
            )
        return found
    fitting = known[:1] if word == "last" else _fitting(word, known)
    if len(fitting) > 1:
        shown = ", ".join(fitting[:3]) + (", ..." if len(fitting) > 3 else "")
        remedy = f"Write more of one of them: {shown}."
        raise Failure(
            "usage", f"{word!r} is the beginning of {len(fitting)} runs.", remedy=remedy, field="run", value=word
        )
    document = _document("run", fitting[0]) if fitting else None
    if not document:
        remedy = did_you_mean(
            nearest(word, [*known, "last", "baseline"]), "See those there are: linode-coder perf history"
        )
        message = f"The record of the run {word!r} cannot be read." if fitting else f"There is no run {word!r}."
        raise Failure("not_found", message, remedy=remedy, field="run", value=word)
    return document


def _fitting(word: str, known: list[str]) -> list[str]:
    if word in known:
        return [word]
    return [name for name in known if word and (name.startswith(word) or name.endswith(f"-{word}"))]


def _kind(run: dict[str, Any]) -> str:
    parts = [run.get("profile"), run.get("model"), run.get("plan"), run.get("where")]
    profile, model, plan, where = (str(part or "?") for part in parts)
    return f"profile {profile} of {model} on {plan}, measured from {where}, with its flags"
