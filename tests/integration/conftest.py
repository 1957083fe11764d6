"""The order of integration tests: `make test-integration` hands its workers whole modules, in this order."""

from __future__ import annotations

import pytest

LONGEST = ("test_domain_variants", "test_guest_agent", "test_disks", "test_access_credentials", "test_commands")
"""Modules of the launcher's tests that take longest."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest modules come first, then the others that boot guests, so that no worker has one left at the end."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    if item.path.parent.name != "launcher":
        return len(LONGEST) + 1
    return LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST)
