"""The X-Filter grammar, by example and by property."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linode_coder.sandbox.api.envelope import ApiError, Problems, paginate
from linode_coder.sandbox.api.filters import Filter
from linode_coder.sandbox.api.validation import check_tags

ROWS = [
    {
        "id": 1,
        "label": "alpha",
        "tags": ["red", "blue"],
        "entity": {"id": 7, "type": "linode"},
        "created": "2026-01-01T00:00:00",
    },
    {"id": 2, "label": "beta", "tags": [], "entity": None, "created": "2026-01-02T00:00:00"},
    {
        "id": 3,
        "label": "alphabet",
        "tags": ["redder"],
        "entity": {"id": 8, "type": "disk"},
        "created": "2026-01-03T00:00:00",
    },
]
FIELDS = ("id", "label", "tags", "entity.id", "entity.type", "created")


def ids(expression: object) -> list[int]:
    return [row["id"] for row in Filter(json.dumps(expression), FIELDS).apply(ROWS)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ({}, [1, 2, 3]),
        ({"+and": []}, [1, 2, 3]),
        ({"+and": [], "+order": "asc"}, [1, 2, 3]),
        ({"label": "alpha"}, [1]),
        ({"label": {"+contains": "alpha"}}, [1, 3]),
        ({"label": {"+neq": "alpha"}}, [2, 3]),
        ({"tags": "red"}, [1]),
        ({"tags": {"+contains": "red"}}, [1, 3]),
        ({"tags": {"+neq": "red"}}, [2, 3]),
        ({"entity.id": 7, "entity.type": "linode"}, [1]),
        ({"+or": [{"id": 1}, {"id": 3, "label": "beta"}]}, [1]),
        ({"+and": [{"tags": "red"}, {"tags": "blue"}]}, [1]),
        ({"id": {"+gt": 1, "+lte": 3}}, [2, 3]),
        ({"id": "2"}, [2]),
        ({"created": {"+gte": "2026-01-02T00:00:00Z"}}, [2, 3]),
        ({"+order_by": "created", "+order": "desc"}, [3, 2, 1]),
        ({"+order_by": "created", "+order": "desc", "entity.id": {"+gte": 7}, "id": {"+gte": 1}}, [3, 1]),
    ],
)
def test_examples(expression: object, expected: list[int]) -> None:
    assert ids(expression) == expected


@pytest.mark.parametrize("expression", [{"status": "running"}, {"+or": [{"status": "x"}]}, {"+and": [{"status": "x"}]}])
def test_only_filterable_fields(expression: object) -> None:
    with pytest.raises(ApiError) as caught:
        ids(expression)
    assert caught.value.status == 400
    assert caught.value.errors == [{"reason": "Cannot filter on status", "field": "X-Filter"}]


@pytest.mark.parametrize(
    "text", ["{", "[]", '"a"', '{"+nope": 1}', '{"label": {"+nope": 1}}', '{"+or": {}}', '{"+order": "up"}']
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(ApiError) as caught:
        Filter(text, FIELDS)
    assert caught.value.errors[0]["field"] == "X-Filter"


numbers = st.lists(st.integers(-1000, 1000), max_size=60)


@given(numbers, st.integers(-1000, 1000))
def test_comparisons_partition(values: list[int], pivot: int) -> None:
    rows = [{"n": value} for value in values]

    def count(operator: str) -> int:
        return len(Filter(json.dumps({"n": {operator: pivot}}), ["n"]).apply(rows))

    assert count("+lt") + count("+gte") == len(rows)
    assert count("+gt") + count("+lte") == len(rows)
    assert count("+eq") + count("+neq") == len(rows)


@given(numbers, st.integers(-1000, 1000), st.integers(-1000, 1000))
def test_or_is_a_union_and_and_an_intersection(values: list[int], low: int, high: int) -> None:
    rows = [{"n": value} for value in values]
    parts = [{"n": {"+gte": low}}, {"n": {"+lt": high}}]
    either = Filter(json.dumps({"+or": parts}), ["n"]).apply(rows)
    both = Filter(json.dumps({"+and": parts}), ["n"]).apply(rows)
    assert either == [row for row in rows if row["n"] >= low or row["n"] < high]
    assert both == [row for row in rows if row["n"] >= low and row["n"] < high]


@given(numbers)
def test_order_sorts_and_keeps_all(values: list[int]) -> None:
    rows = [{"n": value} for value in values]
    up = Filter('{"+order_by": "n"}', ["n"]).apply(rows)
    down = Filter('{"+order_by": "n", "+order": "desc"}', ["n"]).apply(rows)
    assert [row["n"] for row in up] == sorted(values)
    assert [row["n"] for row in down] == sorted(values, reverse=True)


@given(st.integers(0, 1200), st.integers(25, 500))
def test_pages_hold_every_row_once(total: int, size: int) -> None:
    rows = list(range(total))
    first = paginate(rows, 1, size)
    seen = [row for page in range(1, first["pages"] + 1) for row in paginate(rows, page, size)["data"]]
    assert seen == rows
    assert first["results"] == total
    with pytest.raises(ApiError) as caught:
        paginate(rows, first["pages"] + 1, size)
    assert caught.value.status == 404


def test_tags_are_equal_whatever_their_case() -> None:
    rows = [{"id": 1, "tags": ["Linode-Coder", "x"]}, {"id": 2, "tags": ["linode"]}, {"id": 3, "tags": []}]
    for wanted in ("linode-coder", "LINODE-CODER", {"+contains": "Coder"}):
        assert [row["id"] for row in Filter(json.dumps({"tags": wanted}), ("tags",)).apply(rows)] == [1]
    assert [row["id"] for row in Filter('{"tags": {"+neq": "X"}}', ("tags",)).apply(rows)] == [2, 3]
    assert check_tags(Problems(), ["Mine", "mine", "other", "MINE"]) == ["Mine", "other"]
