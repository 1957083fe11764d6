"""A spec that has passed every check, with its defaults filled in. Pure.

`accept` is the only function that creates an AcceptedSpec. virt-api calls it at admission, the controller before it
creates a pod, the handler before it starts a machine. The builders of pods, machines and networks take an AcceptedSpec,
so they cannot be called with an unchecked spec. `AcceptedSpecs` caches results in processes that read an object many
times.
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
_KEPT = 1024  # results per process: more than guests on a node


@dataclass(frozen=True, slots=True)
class AcceptedSpec:
    """The guest's effective configuration. Created by `accept` only."""

    spec: VmiSpec
    """The spec as the user wrote it, for fields without a default."""

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
    """None: no watchdog."""

    boots_by_uefi: bool


@dataclass(frozen=True, slots=True)
class RefusedSpec:
    """All reasons why a spec is refused."""

    refusals: tuple[Refusal, ...]

    def __str__(self) -> str:
        return str(UnsupportedSpec(*self.refusals))


def accept(raw: msgspec.Raw | Any, configuration: Configuration, *, started: bool = False) -> AcceptedSpec:
    """Check the spec (JSON or builtins) against the cluster's configuration.

    `started`: the guest has been started, perhaps under another configuration. Rules that depend on the configuration
    do not apply then.

    Raises:
        UnsupportedSpec: with all unknown, unsupported and invalid fields.
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
    """Further problems of a spec with unsupported fields, so that the user gets all of them in one message."""
    stored = msgspec.json.decode(raw) if isinstance(raw, msgspec.Raw) else raw
    try:
        spec = msgspec.convert(supported_part(stored, VmiSpec), VmiSpec)
    except (Unfit, RecursionError, msgspec.ValidationError):
        return
    # The parent of an unsupported field may look invalid only because the field is left out here.
    holders = {refusal.field[: end.start()] for refusal in unsupported for end in _ENDS.finditer(refusal.field)}
    yield from (refusal for refusal in spec_refusals(spec, configuration) if refusal.field not in holders)


@dataclass(frozen=True, slots=True)
class _Result:
    uid: str
    raw: bytes
    configuration: Configuration
    started: bool
    spec: AcceptedSpec | RefusedSpec


class AcceptedSpecs:
    """A cache of the results of `accept`, so that a spec is parsed once and not in every pass.

    An unchanged spec is recognized by its JSON. The generation does not help: a VMI has no status subresource, so each
    write of its status increments it.
    """

    def __init__(self, kept: int = _KEPT) -> None:
        self._results: OrderedDict[tuple[str, str], _Result] = OrderedDict()
        self._kept = kept

    def of(self, vmi: VirtualMachineInstance, configuration: Configuration) -> AcceptedSpec | RefusedSpec:
        """The VMI's spec. After the guest has been started, a change of the configuration cannot refuse it."""
        key, uid, raw = vmi.key, vmi.metadata.uid, bytes(vmi.raw_spec)
        started = vmi.status.phase not in _NOT_STARTED
        result = self._results.get(key)
        if (
            result is None
            or (result.uid, result.raw) != (uid, raw)
            or not _holds(result, configuration, started=started)
        ):
            try:
                spec: AcceptedSpec | RefusedSpec = accept(vmi.raw_spec, configuration, started=started)
            except UnsupportedSpec as error:
                spec = RefusedSpec(error.refusals)
            result = _Result(uid, raw, configuration, started, spec)
            self._results[key] = result
            if len(self._results) > self._kept:
                self._results.popitem(last=False)
        self._results.move_to_end(key)
        return result.spec

    def forget(self, key: tuple[str, str]) -> None:
        """The VMI of this namespace and name has gone."""
        self._results.pop(key, None)


def _holds(result: _Result, configuration: Configuration, *, started: bool) -> bool:
    if started and isinstance(result.spec, AcceptedSpec):
        return True
    return result.started == started and result.configuration == configuration
