"""Models and plans through the command line, and a served model with a context that was asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests import product
from tests.played_hub import PlayedHub
from tests.sandbox_fixture import RunningSandbox, start_sandbox

BIN = Path(sys.executable).parent
COMMIT = "0123456789abcdef0123456789abcdef01234567"
ADA, ADA_2, PRO_2 = "g2-gpu-rtx4000a1-m", "g2-gpu-rtx4000a2-s", "g3-gpu-rtxpro6000-blackwell-2"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with start_sandbox(tmp_path_factory.mktemp("models"), hosts="simulated") as running:
        # Nobody answers there: what is asked of the Hub fails at once.
        running.env["HF_ENDPOINT"] = "http://127.0.0.1:9"
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            running.env.pop(name, None)
        running.env["HF_HOME"] = str(running.home / "no-hub")
        yield running


coder = partial(product.coder, timeout=300)


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr + done.stdout
    return dict(json.loads(done.stdout.splitlines()[-1]))


def types(sandbox: RunningSandbox) -> dict[str, Any]:
    listed = subprocess.run(
        [str(BIN / "linode-cli"), "linodes", "types", "--json"],
        env=sandbox.env,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return {row["id"]: row for row in json.loads(listed.stdout)}


def test_models_show_the_cheapest_plan_at_the_accounts_price(sandbox: RunningSandbox) -> None:
    known = types(sandbox)
    found = {model["id"]: model for model in document(coder(sandbox, "models", "--json"))["models"]}
    first = found["gpt-oss-20b"]["first_fit"]
    assert (first["plan"], first["hourly"]) == (ADA, known[ADA]["price"]["hourly"])
    assert found["qwen3.8-27b"]["first_fit"]["plan"] == ADA_2
    assert found["llama-3.3-70b"]["gated"] is True
    text = coder(sandbox, "models", "--plan", ADA, "--all")
    assert text.returncode == 0 and "$0.67" in text.stdout and "no: " in text.stdout


def test_plans_show_a_regions_own_price_and_the_fit(sandbox: RunningSandbox) -> None:
    price = {
        row["id"]: row["hourly"]
        for row in document(coder(sandbox, "plans", "--json", "--model", "gpt-oss-120b"))["plans"]
    }
    there = document(coder(sandbox, "plans", "--json", "--region", "id-cgk", "--model", "gpt-oss-120b"))["plans"]
    by_id = {row["id"]: row for row in there}
    assert by_id[PRO_2]["hourly"] > price[PRO_2]
    assert by_id[PRO_2]["fit"]["fits"] is True
    assert by_id[ADA]["fit"]["fits"] is False and "GiB" in by_id[ADA]["fit"]["why"]
    refused = coder(sandbox, "plans", "--region", "nowhere")
    assert refused.returncode == 2 and "next:" in refused.stderr


def test_where_prices_come_from_is_said_with_a_token_and_without(sandbox: RunningSandbox) -> None:
    env = {name: value for name, value in sandbox.env.items() if name != "LINODE_TOKEN"}
    alone = RunningSandbox(env, sandbox.url, sandbox.home, sandbox.facts)
    found = document(coder(alone, "models", "qwen3.8-27b", "--json"))
    account = document(coder(sandbox, "models", "qwen3.8-27b", "--json"))
    assert found["plans"] == account["plans"] and any(row["hourly"] for row in found["plans"])
    assert "everybody" in found["note"] and "this account" in account["note"]
    assert coder(alone, "plans", "--region", "us-ord").returncode == 0


@pytest.mark.parametrize("token", ["token", None])
def test_without_the_api_there_are_models_and_no_prices(sandbox: RunningSandbox, token: str | None) -> None:
    env = {**sandbox.env, "LINODE_TOKEN": token or "", "LINODE_API_URL": "http://127.0.0.1:9/"}
    alone = RunningSandbox(env, sandbox.url, sandbox.home, sandbox.facts)
    found = document(coder(alone, "models", "qwen3.8-27b", "--json"))
    assert all(row["hourly"] is None for row in found["plans"])
    assert any(row["fits"] for row in found["plans"])
    for command in ("models", "plans"):
        done = coder(alone, command)
        assert done.returncode == 0 and done.stdout.splitlines()[-1].startswith("No prices: they are read"), done.stderr


def test_dry_run_shows_what_takes_the_memory(sandbox: RunningSandbox) -> None:
    done = coder(sandbox, "up", "m", "--model", "qwen3.8-27b", "--plan", ADA_2, "--context", "64K", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "KV cache" in done.stdout and "context 65536 tokens" in done.stdout and "tokens/s" in done.stdout


def test_a_repository_nobody_knows_is_allowed_and_said_to_be_unknown(sandbox: RunningSandbox) -> None:
    done = coder(sandbox, "up", "m", "--model", "org/thing-3b", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "nothing is known of org/thing-3b" in done.stdout


EMBEDDING = {
    "id": "acme/embed-8b",
    "pipeline_tag": "feature-extraction",
    "siblings": [{"rfilename": "model.safetensors", "size": 15_000_000_000}, {"rfilename": "config.json", "size": 700}],
}


def test_what_writes_no_text_is_refused_at_every_door_before_it_is_paid_for(sandbox: RunningSandbox) -> None:
    hub = PlayedHub()
    try:
        hub.serve("acme/embed-8b", EMBEDDING, {"architectures": ["Qwen3ForCausalLM"]})
        asking = RunningSandbox({**sandbox.env, "HF_ENDPOINT": hub.url}, sandbox.url, sandbox.home, sandbox.facts)
        address = "https://huggingface.co/acme/embed-8b/tree/main"
        for words in (
            ("up", "refused", "--model", address, "--yes"),
            ("models", address),
            ("plans", "--model", address),
        ):
            done = coder(asking, *words)
            assert done.returncode == 3, done.stdout + done.stderr
            assert "acme/embed-8b is an embedding model (Qwen3ForCausalLM, feature-extraction)" in done.stderr
        branch = coder(asking, "up", "refused", "--model", "acme/embed-8b@dev", "--yes")
        assert branch.returncode == 2 and "[revisions]" in branch.stderr
    finally:
        hub.close()
    assert "refused" not in {row["name"] for row in document(coder(sandbox, "list", "--json"))["sessions"]}


def test_a_large_model_serves_with_the_context_that_was_asked_for(sandbox: RunningSandbox) -> None:
    import urllib.request

    asked = ("--model", "minimax-m2.7", "--plan", PRO_2, "--context", "64K")
    pins = sandbox.home / "config" / "models.toml"
    pins.parent.mkdir(exist_ok=True)
    pins.write_text(f'[revisions]\n"nvidia/MiniMax-M2.7-NVFP4" = "{COMMIT}"\n')
    up = document(coder(sandbox, "up", "large", *asked, "--yes", "--json"))
    assert up["session"]["model"] == "nvidia/MiniMax-M2.7-NVFP4"
    key = Path(up["api_key_file"]).read_text().strip()
    request = urllib.request.Request(up["endpoint"] + "/models", headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        cards = {card["id"]: card["max_model_len"] for card in json.load(answer)["data"]}
    assert cards == {"coder": 65536, "nvidia/MiniMax-M2.7-NVFP4": 65536}
    # At the commit that is pinned, and no other.
    on_vm = coder(
        sandbox, "ssh", "large", "cat /opt/linode-coder/vllm/vllm.yaml; ls /var/lib/linode-coder/models/hub/*/snapshots"
    )
    assert f'revision: "{COMMIT}"' in on_vm.stdout and on_vm.stdout.splitlines()[-1] == COMMIT, on_vm.stdout
    # What the engine measured of itself replaces the estimate.
    tokens = up["measured"]["kv_cache_tokens"]
    (row,) = document(coder(sandbox, "models", "minimax-m2.7", "--plan", PRO_2, "--json"))["plans"]
    assert (row["kv_tokens"], row["memory"]["measured"]) == (tokens, True)
    # The context stays as long as nobody asks for another.
    assert document(coder(sandbox, "up", "large", "--converge", "--json"))["changed"] == 0
    other = coder(sandbox, "up", "large", "--model", "gpt-oss-120b", "--json")
    assert other.returncode == 3 and "switch-model large" in other.stderr
    document(coder(sandbox, "down", "large", "--yes", "--json"))


def test_listing_models_imports_nothing_heavy(sandbox: RunningSandbox) -> None:
    env = {name: value for name, value in sandbox.env.items() if name != "LINODE_TOKEN"}
    code = "import sys; from linode_coder.cli.app import run; run(['models']); print(sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd="/", capture_output=True, text=True, check=True, timeout=120
    )
    loaded = set(done.stdout.splitlines()[-1].strip("[]").replace("'", "").split(", "))
    assert "linode_coder.cli.models" in loaded
    assert not {"ansible", "ansible_runner", "linode_api4", "requests", "urllib.request"} & loaded
