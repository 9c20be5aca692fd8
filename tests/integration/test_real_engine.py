"""The same main job with the real vLLM (CPU build, tiny model) in the host: what the stand-in claims, this one judges."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sandbox_fixture import start_sandbox

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1500)]
CODER = str(Path(sys.executable).parent / "linode-coder")


def test_real_vllm_serves_through_the_tunnel(tmp_path: Path) -> None:
    from openai import AuthenticationError, OpenAI

    with start_sandbox(tmp_path, hosts="simulated", engine="vllm") as sandbox:

        def coder(*arguments: str) -> dict[str, object]:
            done = subprocess.run(
                [CODER, *arguments, "--json"],
                env=sandbox.env,
                cwd="/",
                capture_output=True,
                text=True,
                timeout=600,
                stdin=subprocess.DEVNULL,
            )
            assert done.returncode == 0, done.stderr
            return dict(json.loads(done.stdout.splitlines()[-1]))

        up = coder("up", "real", "--yes")
        key = Path(str(up["api_key_file"])).read_text().strip()
        client = OpenAI(base_url=str(up["endpoint"]), api_key=key)
        model = client.models.list().data[0].id
        stream = client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": "hi"}],
            max_tokens=8,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"ignore_eos": True},
        )
        usage = [chunk.usage for chunk in stream if chunk.usage]
        assert usage and usage[-1].completion_tokens == 8
        with pytest.raises(AuthenticationError):
            OpenAI(base_url=str(up["endpoint"]), api_key="wrong").models.list()
        assert coder("up", "real")["changed"] == 0
        assert coder("down", "real", "--yes")["cost"] == 0.52
