"""The order of integration tests: `make test-integration` hands its workers whole modules, in this order."""

from __future__ import annotations

import pytest

LONGEST = (
    "test_domain_variants",
    "test_guest_agent",
    "test_skew_table",
    "test_disks",
    "test_access_credentials",
    "test_commands",
)
"""Modules that take longest."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest modules come first, then the others that boot guests, so that no worker has one left at the end."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    if item.path.stem in LONGEST:
        return LONGEST.index(item.path.stem)
    return len(LONGEST) + (item.path.parent.name != "launcher")
