"""The double of the hypervisor does what libvirt and QEMU do: the integration tests run the same checks on those."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any, cast

import pytest
from virt_launcher.domain import guest, guest_agent
from virt_launcher.domain.host import Host
from virt_launcher.migration import calls

from tests.support.hypervisor.conformance import CHECKS, Check
from tests.support.hypervisor.fake_host import FakeHypervisor
from tests.support.hypervisor.fake_migration import FakeConnection


class FakePod:
    """conformance.Pod on the double."""

    def __init__(self) -> None:
        self._hypervisor = FakeHypervisor()
        self.host = cast(Host, self._hypervisor.connect())

    def xml(self, machine_type: str = "q35", name: str = "default_demo") -> str:
        return f"<domain><name>{name}</name><os><type machine='{machine_type}'>hvm</type></os></domain>"

    async def kill_qemu(self) -> None:
        self._hypervisor.kill_qemu()

    async def end_qemu(self) -> None:
        self._hypervisor.power_off()

    async def restart_libvirtd(self) -> None:
        self._hypervisor.stop_libvirtd()
        await asyncio.sleep(0)
        self._hypervisor.start_libvirtd()

    async def suspend_libvirtd(self) -> None:
        self._hypervisor.hanging.add("observe")

    async def resume_libvirtd(self) -> None:
        self._hypervisor.hanging.clear()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_double_of_the_hypervisor(check: Check) -> None:
    await check(FakePod())


@pytest.mark.parametrize("module", [guest, guest_agent])
def test_the_double_has_each_function_that_the_launcher_calls(module: ModuleType) -> None:
    functions = [f for _, f in inspect.getmembers(module, inspect.isfunction) if f.__module__ == module.__name__]
    for function in functions:
        if function.__name__.startswith("_") or function.__name__ == "warm":
            continue
        double = getattr(FakeHypervisor, function.__name__, None)
        assert double is not None, function.__name__
        assert _parameters(double) == _parameters(function), function.__name__


def test_the_double_has_each_call_of_a_migration() -> None:
    for name, function in inspect.getmembers(calls, inspect.isfunction):
        if function.__module__ != calls.__name__ or name.startswith("_") or name == "uri":
            continue
        assert _parameters(getattr(FakeConnection, f"_{name}")) == _parameters(function), name


def _parameters(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)[1:]
