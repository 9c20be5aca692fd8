# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.timeline import timeline
from hypothesis import given
from hypothesis import strategies as st

PHASES = {
    "vm": {"start": 100, "end": 110, "after": []},
    "driver": {"start": 110, "end": 150, "after": ["vm"]},
    "image": {"start": 111, "end": 141, "after": ["vm"]},
    "weights": {"start": 112, "end": 182, "after": ["vm"]},
    "engine": {"start": 184, "end": 214, "after": ["driver", "image", "weights"]},
}


def test_what_had_to_be_waited_for() -> None:
    found = timeline(PHASES, 100)
    assert found is not None
    assert found["critical_path"] == ["vm", "weights", "engine"]
    assert found["seconds"] == 114
    assert found["longest_chain"] == 110
    assert found["one_after_another"] == 180
    assert [row["name"] for row in found["phases"]] == ["vm", "driver", "image", "weights", "engine"]
    assert [row["name"] for row in found["phases"] if not row["critical"]] == ["driver", "image"]


def test_what_was_there_before_is_no_part_of_it() -> None:
    earlier = {**PHASES, "weights": {"start": 20, "end": 30, "after": ["vm"]}, "image": {"start": None, "end": None}}
    found = timeline(earlier, 100)
    assert found is not None
    assert found["critical_path"] == ["vm", "driver", "engine"]
    assert timeline(PHASES, 1000) is None
    assert timeline({}, 0) is None
    # The engine waited for the driver, which was there, and so for the VM.
    there = {**PHASES, "driver": {"after": ["vm"]}, "weights": {"after": ["vm"]}, "image": {"after": ["vm"]}}
    assert timeline(there, 100)["critical_path"] == ["vm", "engine"]  # type: ignore[index]


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=1, max_size=6))
def test_a_chain_lies_between_the_longest_phase_and_all_of_them(spans: list[tuple[int, int]]) -> None:
    names = [f"p{number}" for number in range(len(spans))]
    phases = {
        name: {"start": 1000 + begin, "end": 1000 + begin + length, "after": names[:number]}
        for number, (name, (begin, length)) in enumerate(zip(names, spans, strict=True))
    }
    found = timeline(phases, 1000)
    assert found is not None
    longest = max(length for _begin, length in spans)
    assert longest <= found["longest_chain"] <= found["one_after_another"]
