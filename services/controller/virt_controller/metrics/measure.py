"""Collects virt-controller's metrics from its caches. Called by app.py when somebody asks.

Only the leader shows objects, so that a sum over all replicas is right. What the caches hold is noted in one go; the
families are made of it in a thread, because those of 10,000 guests take seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.metrics_core import Metric
from virt_core.conventions import components
from virt_core.metrics.component import component
from virt_core.metrics.families import gauge
from virt_core.migration.migration import VirtualMachineInstanceMigration
from virt_core.objects.kubevirt import Configuration
from virt_core.vm.virtual_machine import VirtualMachine
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.caches import Caches
from virt_controller.metrics import devices, migrations, vmis, vms
from virt_controller.pod.observed import LauncherPod
from virt_controller.transitions import Transitions
from virt_controller.vmi.observe import current_pod

_EMULATION = "Indicates whether the Software Emulation is enabled in the configuration."


@dataclass(frozen=True, slots=True)
class _Noted:
    vms: tuple[VirtualMachine, ...]
    vmis: tuple[tuple[VirtualMachineInstance, tuple[LauncherPod, ...]], ...]
    migrations: tuple[VirtualMachineInstanceMigration, ...]
    configuration: Configuration | None


def of_process(caches: Caches, *, leading: bool) -> list[Metric]:
    """What every replica shows."""
    return component(components.CONTROLLER, ready=caches.complete, leading=leading)


async def of_cluster(
    caches: Caches, outdated: int | None, of_vmis: Transitions, of_migrations: Transitions
) -> list[Metric]:
    """What the leader shows when its caches are complete."""
    counted = [
        vmis.pass_family(of_vmis),
        *vmis.transition_families(of_vmis),
        *migrations.transition_families(of_migrations),
    ]
    if outdated is not None:
        counted.append(migrations.outdated_family(outdated))
    noted = _Noted(
        tuple(caches.vms),
        tuple((vmi, caches.pods.concerning(vmi)) for vmi in caches.vmis),
        tuple(caches.migrations),
        caches.configuration.current,
    )
    return [*counted, *await asyncio.to_thread(lambda: list(_families(noted)))]


def _families(noted: _Noted) -> Iterator[Metric]:
    machines = [vms.Machine.of(vm) for vm in noted.vms]
    yield from vms.families(machines)
    of = {machine.vm.key: machine for machine in machines if machine.instancetype or machine.preference}
    yield from vmis.families(_guest(vmi, pods, of.get(vmi.key)) for vmi, pods in noted.vmis)
    yield from migrations.families(noted.migrations, [vmi for vmi, _ in noted.vmis])
    if noted.configuration is not None:
        yield from devices.families(noted.vms, [vmi for vmi, _ in noted.vmis], noted.configuration)
        emulated = noted.configuration.developer_configuration.use_emulation
        yield gauge("kubevirt_configuration_emulation_enabled", _EMULATION, [({}, emulated)])


def _guest(vmi: VirtualMachineInstance, pods: tuple[LauncherPod, ...], machine: vms.Machine | None) -> vmis.Guest:
    pod = current_pod(vmi, pods)
    name = pod.metadata.name if pod is not None and pod.status.phase == "Running" else ""
    if machine is None:
        return vmis.Guest(vmi, name)
    return vmis.Guest(vmi, name, machine.instancetype, machine.preference)
