"""The VirtualMachine of `make demo`: its user data serves a page, on every boot."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.e2e import demo
from tests.e2e.cluster import kubectl
from tests.e2e.guests import Guest

pytestmark = pytest.mark.parallel


@pytest.fixture
def guest() -> Iterator[Guest]:
    """The demo's guest, deleted afterwards."""
    try:
        demo.start()
        yield Guest(demo.NAME)
    finally:
        kubectl("delete", "vm,service", demo.NAME, "--ignore-not-found", "--wait", "--timeout=180s")


def test_the_demos_user_data_serves_a_page_before_and_after_a_restart(guest: Guest) -> None:
    asyncio.run(demo.login())
    demo.fetch()
    demo.restart(guest)
