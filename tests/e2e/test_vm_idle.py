"""VirtualMachines to which nothing happens cost nothing: no request for any of them, and a virt-controller that starts
again reads them by its lists alone and writes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from tests.e2e.audit import requests
from tests.e2e.controller_restart import restarted_controllers
from tests.e2e.vm_fleet import Fleet, guestless_vm
from tests.support.patience import PATIENCE

_HALTED, _STARTED = 46, 4
_QUIET_SECONDS, _IDLE_SECONDS = 10.0, 60.0
_FIRST_SECONDS = 10.0  # of a new leader, in which it looks at every VirtualMachine


@asynccontextmanager
async def fifty(namespace: str) -> AsyncIterator[Fleet]:
    """Fifty at rest; nobody requests or writes anything about them meanwhile."""
    async with Fleet.in_namespace(namespace) as fleet:
        halted = [f"halted{number}" for number in range(_HALTED)]
        strategies = ("Always", "RerunOnFailure", "Once", "Always")
        started = {f"runs{number}": strategy for number, strategy in enumerate(strategies[:_STARTED])}
        await fleet.create(*(guestless_vm(name) for name in halted))
        await fleet.create(*(guestless_vm(name, strategy) for name, strategy in started.items()))
        await fleet.until_reported(halted, "Stopped")
        await fleet.until_reported(list(started), "Running")
        await _come_to_rest(fleet)
        began, versions = datetime.now(UTC), _versions(fleet)
        yield fleet
        assert _requests(fleet, began) == []
        assert _versions(fleet) == versions


async def _come_to_rest(fleet: Fleet) -> None:
    """Until the last events about their starts are written, and the kubelet has reported that they are ready."""
    async with asyncio.timeout(PATIENCE):
        while True:
            began, versions = datetime.now(UTC), _versions(fleet)
            await asyncio.sleep(_QUIET_SECONDS)
            if _versions(fleet) == versions and not _requests(fleet, began):
                return


def _versions(fleet: Fleet) -> dict[str, str]:
    return {name: vm["metadata"]["resourceVersion"] for name, vm in fleet.vms.items()}


def _requests(fleet: Fleet, since: datetime) -> list[str]:
    """Of the suite, about anything in the fleet's namespace."""
    return [str(request) for request in requests(since) if request.namespace == fleet.namespace]


@pytest.mark.parallel
async def test_fifty_vms_cause_no_request_while_idle() -> None:
    async with fifty("vm-idle"):
        await asyncio.sleep(_IDLE_SECONDS)


async def test_fifty_vms_cause_no_request_by_a_restart_of_the_controller() -> None:
    async with fifty("vm-restart"):
        await asyncio.to_thread(restarted_controllers)
        await asyncio.sleep(_FIRST_SECONDS)
