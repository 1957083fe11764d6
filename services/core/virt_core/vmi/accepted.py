"""A spec that every check has accepted, with the values that it leaves to defaults. Pure.

`accept` is the only function that makes an AcceptedSpec. virt-api calls it at admission, the controller before it makes
a pod, the handler before it starts a machine; what builds pods, machines and networks takes an AcceptedSpec, so that
none of them can be called with a spec that nobody has checked. `AcceptedSpecs` keeps the results in the processes that
look at one object many times.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from virt_core.objects.kubevirt import Configuration
from virt_core.validation.refusal import Refusal, UnsupportedSpec
from virt_core.validation.unsupported import Unfit, supported_part
from virt_core.vmi.instance import VirtualMachineInstance, VmiPhase, parse_spec, read_spec
from virt_core.vmi.rules.check import check_spec, spec_refusals
from virt_core.vmi.spec import effective
from virt_core.vmi.spec.devices import Input, Interface
from virt_core.vmi.spec.domain import VmiSpec
from virt_core.vmi.spec.volumes import Network

_NOT_STARTED = (VmiPhase.UNSET, VmiPhase.PENDING, VmiPhase.SCHEDULING, VmiPhase.SCHEDULED)
_ENDS = re.compile(r"(?=[.\[])|$")  # of the paths that lead to a field
_KEPT = 1024  # results in one process: more than a node has guests; the controller looks at a spec until it has a pod


@dataclass(frozen=True, slots=True)
class AcceptedSpec:
    """What the guest gets. Made by `accept` alone."""

    spec: VmiSpec
    """As the user wrote it: for what has no default."""

    emulated: bool
    """Whether the cluster emulates the guest's CPU."""

    machine_type: str
    cpu_model: str
    """Empty: the launcher's choice."""

    topology: effective.Topology
    memory_bytes: int
    hugepage_bytes: int
    """Size of a huge page behind guest memory; 0: ordinary pages."""

    interfaces: tuple[Interface, ...]
    networks: tuple[Network, ...]
    disks: tuple[effective.EffectiveDisk, ...]
    """In the order of the guest's slots."""

    inputs: tuple[Input, ...]
    display: effective.Display | None
    watchdog_action: str | None
    """None: there is no watchdog."""

    boots_by_uefi: bool


@dataclass(frozen=True, slots=True)
class RefusedSpec:
    """Why a spec is not accepted: every reason."""

    refusals: tuple[Refusal, ...]

    def __str__(self) -> str:
        return str(UnsupportedSpec(*self.refusals))


def accept(raw: msgspec.Raw | Any, configuration: Configuration, *, started: bool = False) -> AcceptedSpec:
    """The spec, which is JSON or made of builtins, under the cluster's configuration.

    `started`: its guest has been started, when the configuration may have been another. What the cluster allows now is
    not held against it.

    Raises:
        UnsupportedSpec: with all that is unknown, not supported or not allowed.
    """
    allowed = None if started else configuration
    try:
        spec = parse_spec(raw) if isinstance(raw, msgspec.Raw) else read_spec(raw)
    except UnsupportedSpec as error:
        raise UnsupportedSpec(*error.refusals, *_beside(error.refusals, raw, allowed)) from error
    check_spec(spec, allowed)
    return AcceptedSpec(
        spec=spec,
        emulated=configuration.developer_configuration.use_emulation,
        machine_type=spec.domain.machine.type or configuration.default_machine_type,
        cpu_model=spec.domain.cpu.model or configuration.cpu_model,
        topology=effective.effective_topology(spec),
        memory_bytes=effective.guest_memory_bytes(spec),
        hugepage_bytes=effective.hugepage_bytes(spec),
        interfaces=effective.effective_interfaces(spec),
        networks=effective.effective_networks(spec),
        disks=effective.effective_disks(spec),
        inputs=effective.effective_inputs(spec),
        display=effective.effective_display(spec),
        watchdog_action=effective.effective_watchdog_action(spec),
        boots_by_uefi=effective.boots_by_uefi(spec),
    )


def _beside(unsupported: tuple[Refusal, ...], raw: Any, configuration: Configuration | None) -> Iterator[Refusal]:
    """What else is wrong with a spec that has fields which are not supported: users want to read it in one answer."""
    stored = msgspec.json.decode(raw) if isinstance(raw, msgspec.Raw) else raw
    try:
        spec = msgspec.convert(supported_part(stored, VmiSpec), VmiSpec)
    except (Unfit, RecursionError, msgspec.ValidationError):
        return
    # What holds an unsupported field may be wrong only because the field is left out here.
    holders = {refusal.field[: end.start()] for refusal in unsupported for end in _ENDS.finditer(refusal.field)}
    yield from (refusal for refusal in spec_refusals(spec, configuration) if refusal.field not in holders)


@dataclass(frozen=True, slots=True)
class _Result:
    raw: bytes
    configuration: Configuration
    started: bool
    spec: AcceptedSpec | RefusedSpec


class AcceptedSpecs:
    """The last results of `accept`, by UID: a spec is parsed once, not in every pass.

    Whether the spec is still the same its JSON says. The generation does not: a VMI has no status subresource, so each
    write of its status counts.
    """

    def __init__(self, kept: int = _KEPT) -> None:
        self._results: OrderedDict[str, _Result] = OrderedDict()
        self._kept = kept

    def of(self, vmi: VirtualMachineInstance, configuration: Configuration) -> AcceptedSpec | RefusedSpec:
        """The VMI's spec. An accepted one stays so once its guest is started, however the configuration changes."""
        uid, raw = vmi.metadata.uid, bytes(vmi.spec)
        started = vmi.status.phase not in _NOT_STARTED
        result = self._results.get(uid)
        if result is None or result.raw != raw or not _holds(result, configuration, started=started):
            try:
                spec: AcceptedSpec | RefusedSpec = accept(vmi.spec, configuration, started=started)
            except UnsupportedSpec as error:
                spec = RefusedSpec(error.refusals)
            result = _Result(raw, configuration, started, spec)
            self._results[uid] = result
            if len(self._results) > self._kept:
                self._results.popitem(last=False)
        self._results.move_to_end(uid)
        return result.spec


def _holds(result: _Result, configuration: Configuration, *, started: bool) -> bool:
    if started and isinstance(result.spec, AcceptedSpec):
        return True
    return result.started == started and result.configuration == configuration
