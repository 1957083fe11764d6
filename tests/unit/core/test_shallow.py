"""A JSON text taken apart at its top is what a whole decoder would give."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virt_core.kube.shallow import members, parts

SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
NAMES = st.text("abcXYZ", min_size=1, max_size=9)


@given(VALUES, st.sampled_from([None, 1]))
def test_parts_are_the_elements(value: Any, indent: int | None) -> None:
    text = json.dumps([value, value], indent=indent).encode()
    assert [json.loads(part) for part in parts(text)] == [value, value]


@given(st.dictionaries(NAMES, VALUES, max_size=4), st.sampled_from([None, 1]))
def test_members_are_the_objects_members(value: dict[str, Any], indent: int | None) -> None:
    text = json.dumps(value, indent=indent).encode()
    assert {name: json.loads(part) for name, part in members(text).items()} == value


@pytest.mark.parametrize("depth", [10, 100_000])
def test_depth_does_not_matter(depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    assert list(parts(b'[{"a": ' + deep + b"}, 1]")) == [b'{"a": ' + deep + b"}", b"1"]
