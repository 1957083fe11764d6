"""A launcher on the double of the hypervisor, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest

from tests.support.virtual_time import Loop
from tests.unit.launcher.launcher_pod import LauncherPod

_PODS = frozenset({"pod", "pair"})  # fixtures


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests with a pod of this folder run in virtual time."""
    del config
    return (
        {"virtual": Loop} if _PODS.intersection(getattr(item, "fixturenames", ())) else {"real": asyncio.new_event_loop}
    )


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[LauncherPod]:
    """A launcher that has no machine yet."""
    made = LauncherPod(tmp_path)
    yield made
    await made.end()
