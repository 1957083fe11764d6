"""What a launcher may report numbers of: the devices and vCPUs of its guest's spec. Pure; called by metrics.py.

Only the parts of the spec that say it are read: a guest of another release may have fields that this one does not know.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from virt_core.vmi.instance import VirtualMachineInstance
from virt_core.vmi.spec.domain import Cpu, Domain, Resources, VmiSpec
from virt_core.vmi.spec.effective import DEFAULT_INTERFACE, effective_topology

MOST_VCPUS = 1024


class Reportable(NamedTuple):
    """Of a guest."""

    disks: frozenset[str]
    interfaces: frozenset[str]
    vcpus: int


class _Named(msgspec.Struct, frozen=True):
    name: str = ""


class _Devices(msgspec.Struct, frozen=True):
    disks: list[_Named] = []
    interfaces: list[_Named] = []


class _Cpu(msgspec.Struct, frozen=True):
    sockets: int = 0
    cores: int = 0
    threads: int = 0


class _Resources(msgspec.Struct, frozen=True):
    requests: dict[str, str | int | float] = {}
    limits: dict[str, str | int | float] = {}


class _Domain(msgspec.Struct, frozen=True):
    devices: _Devices = _Devices()
    cpu: _Cpu = _Cpu()
    resources: _Resources = _Resources()


class _Spec(msgspec.Struct, frozen=True):
    domain: _Domain = _Domain()
    volumes: list[_Named] = []


_decoder = msgspec.json.Decoder(_Spec)


def reportable(vmi: VirtualMachineInstance) -> Reportable:
    """Of the spec; of one that does not decode the defaults. A volume without a disk has one of its name."""
    try:
        spec = _decoder.decode(vmi.raw_spec)
    except (msgspec.DecodeError, RecursionError):
        spec = _Spec()
    devices = spec.domain.devices
    return Reportable(
        frozenset(named.name for named in (*devices.disks, *spec.volumes)),
        frozenset(named.name for named in devices.interfaces) or frozenset({DEFAULT_INTERFACE}),
        _vcpus(spec.domain),
    )


def _vcpus(domain: _Domain) -> int:
    """No release adds vCPUs to a guest that runs."""
    cpu, resources = domain.cpu, domain.resources
    known = Domain(
        cpu=Cpu(sockets=cpu.sockets, cores=cpu.cores, threads=cpu.threads),
        resources=Resources(requests=resources.requests, limits=resources.limits),
    )
    return min(effective_topology(VmiSpec(domain=known)).vcpus, MOST_VCPUS)
