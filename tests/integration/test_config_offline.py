# SPDX-License-Identifier: GPL-3.0-or-later
"""GPUs and prices of the configuration come from the API, and from its last answer when it is gone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.sandbox_fixture import start_sandbox

CODER = str(Path(sys.executable).parent / "linode-coder")
PLAN = "g2-gpu-rtx4000a2-s"


def hardware(env: dict[str, str], cwd: Path) -> Any:
    words = [CODER, "config", "show", "--json"]
    done = subprocess.run(words, env=env, cwd=cwd, capture_output=True, text=True, timeout=120, check=True)
    return json.loads(done.stdout)["hardware"]


def test_the_price_outlives_the_api(tmp_path: Path) -> None:
    with start_sandbox(tmp_path) as running:
        env = {**running.env, "LINODE_CODER_PLAN": PLAN}
        now = hardware(env, tmp_path)
        types = running.api("GET", "linode/types?page_size=500")["data"]
    row = next(row for row in types if row["id"] == PLAN)
    assert (now["prices"]["from"], now["prices"]["why"]) == ("api", None)
    assert (now["plans"][0]["gpus"], now["plans"][0]["hourly"]) == (row["gpus"], row["price"]["hourly"])
    then = hardware(env, tmp_path)
    assert then["plans"] == now["plans"]
    assert (then["prices"]["from"], then["prices"]["asked"]) == ("remembered", now["prices"]["asked"])
    assert then["prices"]["why"]
