"""Each folder's tests carry its marker, so that ``-m unit`` and the folder mean the same."""

from __future__ import annotations

from pathlib import Path

import pytest

_ROOT = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark by top folder."""
    for item in items:
        folder = item.path.relative_to(_ROOT).parts[0]
        if folder in ("unit", "contract", "integration", "e2e"):
            item.add_marker(folder)
        if folder == "e2e":
            # aiohttp leaves the TLS transport of a refused websocket to the loop, which a test's end closes too early.
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))
