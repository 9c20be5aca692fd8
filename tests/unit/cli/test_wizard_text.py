# SPDX-License-Identifier: GPL-3.0-or-later
"""What the wizard writes: the answers and nothing else, in a file that somebody may have written comments into."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linode_coder.settings import config
from linode_coder.settings.edit import changed_text

MINE = """# mine
heal = "host" # careful
lease = "2h"  # a lunch break

# what follows is for the team
notify_url = "https://example.invalid/hook"
max_cost = 3.5
"""

answers = st.fixed_dictionaries(
    {
        "model": st.one_of(st.none(), st.sampled_from(["qwen3-14b", "org/name.with-dots"])),
        "context": st.integers(1024, 10_000_000),
        "plan": st.one_of(
            st.none(), st.lists(st.sampled_from(["g2-gpu-rtx4000a1-m", "g2-gpu-rtx4000a2-s"]), min_size=1)
        ),
        "lease": st.sampled_from(["1h", "8h", "20h"]),
        "idle": st.sampled_from(["off", "45m"]),
        "max_cost": st.one_of(st.none(), st.floats(0.01, 1e6)),
    }
)


@given(answers, answers)
def test_answers_come_back_as_they_were_given(
    tmp_path_factory: pytest.TempPathFactory, first: dict[str, object], second: dict[str, object]
) -> None:
    path = tmp_path_factory.mktemp("wizard") / "config.toml"
    path.write_text(MINE)
    for given_answers in (first, second):
        _before, after = changed_text(path, given_answers)
        path.write_text(after)
        written = tomllib.loads(after)
        kept = {"heal": "host", "notify_url": "https://example.invalid/hook"}
        assert written == kept | {key: value for key, value in given_answers.items() if value is not None}
        # Nothing is changed by the same answers again, and what the wizard writes is what every command reads.
        assert changed_text(path, given_answers) == (after, after)
        for key, value in written.items():
            config.BY_KEY[key].parse(value)


def test_comments_stay(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(MINE)
    _before, after = changed_text(path, {"lease": "4h", "max_cost": None})
    assert after == MINE.replace('"2h"', '"4h"').replace("max_cost = 3.5\n", "")
