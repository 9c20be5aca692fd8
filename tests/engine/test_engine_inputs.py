"""What the real vLLM reads is damaged, deleted or set wrong: caused for real, read by `check`, healed and served again."""

from __future__ import annotations

from tests.engine.broken_session import CONTEXT, PROJECT, TOO_LONG, Session, failed, session

__all__ = ["session"]


def test_damaged_weights_are_fetched_again(session: Session) -> None:
    whole = session.weights.stat().st_size
    session.kill_core()
    with session.weights.open("r+b") as file:
        file.truncate(whole // 2)
    session.wait_until_it_says("SafetensorError")
    code, findings = session.check()
    assert code == 6
    assert "corrupt_weights" in failed(findings).values()
    assert set(failed(findings).values()) <= {"corrupt_weights", "not_running"}
    session.healed_by("restart_container")
    assert session.weights.stat().st_size == whole
    session.serves_again()


def test_a_model_that_was_deleted_is_fetched_again(session: Session) -> None:
    session.kill_core()
    session.on_vm("rm", "-r", f"/var/lib/linode-coder/models/hub/{session.model.name}")
    session.wait_until_it_says("LocalEntryNotFoundError")
    code, findings = session.check()
    assert code == 6
    assert "model_not_cached" in failed(findings).values()
    assert set(failed(findings).values()) <= {"model_not_cached", "not_running"}
    session.healed_by("restart_container")
    session.serves_again()


def test_a_context_that_does_not_fit_is_shortened_by_the_engines_own_figure(session: Session) -> None:
    file = session.root / PROJECT.lstrip("/") / "vllm.yaml"
    before = f"max-model-len: {CONTEXT}\n"
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, f"max-model-len: {TOO_LONG}\n"))
    compose = ("docker", "compose", "--project-directory", PROJECT)
    session.on_vm(*compose, "up", "--detach", "--no-deps", "--force-recreate", "vllm")
    session.wait_until_it_says("estimated maximum model length")
    code, findings = session.check()
    assert code == 6
    assert "context_too_long" in failed(findings).values()
    assert set(failed(findings).values()) <= {"context_too_long", "not_running"}
    change = session.healed_by("change_parameters")["change"]
    assert (change["flag"], change["old"]) == ("max-model-len", TOO_LONG)
    assert CONTEXT < change["new"] < TOO_LONG and change["new"] % 1024 == 0
    assert f"max-model-len: {change['new']}\n" in file.read_text()
    session.serves_again()
