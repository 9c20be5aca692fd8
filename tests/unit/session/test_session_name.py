# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.name import (
    RESERVED,
    firewall_label,
    instance_label,
    is_host_name,
    validate_session_name,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import CORPUS, canary

LINODE_LABEL = re.compile(r"^[a-zA-Z]((?!--|__|\.\.)[a-zA-Z0-9-_.])+$")


@given(
    st.from_regex(r"[a-z](-?[a-z0-9])*", fullmatch=True).filter(lambda name: len(name) <= 24 and name not in RESERVED)
)
def test_labels_are_valid_for_the_api(name: str) -> None:
    assert validate_session_name(name) == name
    assert LINODE_LABEL.match(instance_label(name, 999999))
    assert len(instance_label(name, 999999)) <= 64
    assert LINODE_LABEL.match(firewall_label(name))
    assert len(firewall_label(name)) <= 32


@pytest.mark.parametrize(
    "name", ["", "Demo", "1a", "a--b", "a-", "-a", "a_b", "a.b", "ä1", "a" * 25, "a b", None, 5, *RESERVED]
)
def test_other_names_are_refused(name: object) -> None:
    with pytest.raises(Failure) as caught:
        validate_session_name(name)
    assert (caught.value.exit_code, caught.value.field) == (2, "session")


@pytest.mark.parametrize("name", ["lc-demo-1", "web_1.example", "Main", "a", "linode-7", "1web", "a" * 64])
def test_what_can_be_the_name_of_a_host(name: str) -> None:
    assert is_host_name(name)


# Of the corpus, all that is more than letters, digits and the like.
HOSTILE = [
    text for text in (*CORPUS.values(), *canary("x").values()) if not re.fullmatch("[A-Za-z0-9_]+", text, re.ASCII)
]
OTHERS = ["-oProxyCommand=x", "localhost", "LOCALHOST", "all", "ungrouped", "127.0.0.1", "::1", "a:22", "a,b", "a[1:2]"]


@pytest.mark.parametrize(
    "name", [*HOSTILE, *OTHERS, "", "a b", "{{ x }}", "a\n", "a.", "a" * 65, "7", "é", "!a", "&a", None, 5]
)
def test_what_cannot(name: object) -> None:
    assert not is_host_name(name)
