# SPDX-License-Identifier: GPL-3.0-or-later
"""The API key, out of the engine's secrets file, whatever that holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.api_key import api_key, key_in, key_of


def test_the_key_is_found_beside_others(tmp_path: Path) -> None:
    path = tmp_path / "secrets.env"
    path.write_text("# of the engine\nHF_TOKEN=hf_x\nVLLM_API_KEY=the-key\n")
    assert (key_in(str(path)), api_key(str(tmp_path))) == ("the-key", "the-key")


@pytest.mark.parametrize(
    "content", [b"", b"VLLM_API_KEY=\n", b"VLLM_API_KEY=  ", b"nothing of the kind", b"\xff\xfe=\x00"]
)
def test_a_file_without_one_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secrets.env"
    path.write_bytes(content)
    assert key_of(content.decode(errors="replace")) is None
    with pytest.raises(Failure, match="no API key") as caught:
        key_in(str(path))
    assert caught.value.kind == "unhealthy" and caught.value.cause and caught.value.remedy
    assert api_key(str(tmp_path)) is None


def test_no_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="no API key") as caught:
        key_in(str(tmp_path / "secrets.env"))
    assert "No such file" in (caught.value.cause or "")
    assert api_key(str(tmp_path)) is None
