# SPDX-License-Identifier: GPL-3.0-or-later
"""Which addresses are those of a collector, and what the engine is told with them."""

from __future__ import annotations

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.traces import (
    parse_traces,
    traces_environment,
    traces_flags,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import CORPUS


@pytest.mark.parametrize(
    ("given", "address"),
    [
        (None, None),
        ("", None),
        ("off", ""),
        # As YAML reads it.
        ("False", ""),
        ("grpc://otel.example.com:4317", "grpc://otel.example.com:4317"),
        ("grpc://127.0.0.1:4317", "grpc://127.0.0.1:4317"),
        ("http://10.0.0.5:4318", "http://10.0.0.5:4318/v1/traces"),
        ("https://Otel.Example.com:443/otlp/v1/traces", "https://otel.example.com:443/otlp/v1/traces"),
        ("http://[2001:DB8::5]:4318/", "http://[2001:db8::5]:4318/v1/traces"),
    ],
)
def test_addresses(given: str | None, address: str | None) -> None:
    assert parse_traces(given) == address


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("otel.example.com:4317", "begins with none of grpc://, http://, https://"),
        ("file:///etc/passwd", "begins with none"),
        ("grpc://otel.example.com", "no port"),
        ("grpc://otel.example.com:0", "no port"),
        ("grpc://otel.example.com:70000", "begins with none"),
        ("grpc://otel.example.com:4317/v1/traces", "more in it"),
        ("http://otel.example.com:4318/v1/traces?key=s3cret", "more in it"),
        ("http://otel.example.com:4318/v1/traces#x", "more in it"),
        ("http://otel.example.com:4318/a b", "more in it"),
        ("http://otel.example.com:4318/{{ 7 * 7 }}", "more in it"),
        ("grpc://:4317", "no host"),
        ("grpc://-x:4317", "no host"),
        ("grpc://a_b:4317", "no host"),
        ("grpc://[fe80::1%25eth0]:4317", "no host"),
        ("grpc://otel.example.com\n:4317", "begins with none"),
        ("grpc://" + "a" * 400 + ":4317", "begins with none"),
    ],
)
def test_what_is_none_is_said(given: str, why: str) -> None:
    with pytest.raises(Failure) as caught:
        parse_traces(given)
    assert (caught.value.kind, caught.value.field) == ("usage", "traces")
    assert why in caught.value.message and caught.value.remedy


def test_no_password_is_said_again() -> None:
    with pytest.raises(Failure, match="credentials") as caught:
        parse_traces("https://me:s3cret@otel.example.com:4318")
    assert "s3cret" not in str(caught.value.as_dict())


@pytest.mark.parametrize("text", CORPUS.values())
def test_a_hostile_text_is_no_address(text: str) -> None:
    # One of them is like a number, which a path may be.
    path = [] if text == CORPUS["number"] else [f"http://otel.example.com:4318/{text}"]
    for address in (text, f"grpc://{text}:4317", *path):
        with pytest.raises(Failure, match="traces"):
            parse_traces(address)


@given(st.text("grpchtps:/[].@?#%-_ a1", max_size=30))
def test_any_text_is_an_address_that_stays_itself_or_refused(text: str) -> None:
    try:
        found = parse_traces(text)
    except Failure:
        return
    assert not found or parse_traces(found) == found


def test_what_the_engine_is_told() -> None:
    assert traces_flags("grpc://a:1") == {"otlp-traces-endpoint": "grpc://a:1"}
    assert traces_environment("grpc://a:1")["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] == "grpc"
    assert traces_environment("https://a:1/v1/traces")["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] == "http/protobuf"
    assert traces_flags("") == traces_environment("") == {}
