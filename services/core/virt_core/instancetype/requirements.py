"""Whether a guest has what a preference requires. Pure; called at admission, after the template was accepted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from virt_core.instancetype.spec import spec_of
from virt_core.instancetype.topology import (
    ALL_LEVELS,
    ANY,
    CORES,
    CORES_THREADS,
    SOCKETS,
    SOCKETS_CORES,
    SPREAD,
    THREADS,
    preferred_topology,
    spread_options,
)
from virt_core.objects.paths import at
from virt_core.objects.quantity import parse_quantity
from virt_core.validation.refusal import Refusal, Refusals
from virt_core.vmi.accepted import AcceptedSpec
from virt_core.vmi.spec.effective import guest_memory

Body = Mapping[str, Any]
_FAILURE = "failure checking preference requirements"  # KubeVirt's words, as are all messages here
_INSTANCETYPE, _CPU = "spec.instancetype", "spec.template.spec.domain.cpu"
_LEVELS = {SOCKETS_CORES: (SOCKETS, CORES), CORES_THREADS: (CORES, THREADS), ALL_LEVELS: (SOCKETS, CORES, THREADS)}


def requirement_refusals(instancetype: Body | None, preference: Body, accepted: AcceptedSpec) -> Refusals:
    """The first requirement that is not met, one refusal per field that could meet it.

    `instancetype` and `preference` are stored objects that were applied to the template; `accepted` is the result.
    """
    provided, preferred = spec_of(instancetype) if instancetype is not None else None, spec_of(preference)
    required: Body = preferred.get("requirements") or {}
    checks = (
        _cpu(provided, required, preferred, accepted),
        _memory(provided, required, accepted),
        _architecture(required, accepted),
    )
    yield from next(filter(None, map(list, checks)), [])


def _cpu(provided: Body | None, required: Body, preference: Body, accepted: AcceptedSpec) -> Iterator[Refusal]:
    least = at(required, ("cpu", "guest"))
    if least is None:
        return
    if provided is not None:
        guest = provided["cpu"]["guest"]
        if guest < least:
            message = f"insufficient CPU resources of {guest} vCPU provided by instance type, preference requires"
            yield _refusal(_INSTANCETYPE, f"{message} {least} vCPU")
        return
    levels, words = _counted(preference)
    guest = 1
    for level in levels:
        guest *= getattr(accepted.topology, level)
    if guest < least:
        message = f"insufficient CPU resources of {guest} vCPU provided by VirtualMachine, preference requires"
        yield from (_refusal(f"{_CPU}.{level}", f"{message} {least} vCPU provided as {words}") for level in levels)


def _counted(preference: Body) -> tuple[tuple[str, ...], str]:
    """The levels of the guest's topology that a preference counts, and its words for them."""
    preferred = preferred_topology(preference)
    if preferred == SPREAD:
        _, across = spread_options(preference)
        return _LEVELS.get(across, _LEVELS[SOCKETS_CORES]), across
    if preferred == ANY:
        return (CORES, SOCKETS, THREADS), "cores, sockets and threads"
    level = preferred if preferred in (CORES, THREADS) else SOCKETS
    return (level,), level


def _memory(provided: Body | None, required: Body, accepted: AcceptedSpec) -> Iterator[Refusal]:
    least = at(required, ("memory", "guest"))
    if least is None:
        return
    if provided is not None:
        field, whose, guest = _INSTANCETYPE, "instance type", provided["memory"]["guest"]
    else:
        field, whose, guest = "spec.template.spec.domain.memory", "VirtualMachine", guest_memory(accepted.spec).value
    if _is_less(guest, least):
        yield _refusal(
            field, f"insufficient Memory resources of {guest} provided by {whose}, preference requires {least}"
        )


def _architecture(required: Body, accepted: AcceptedSpec) -> Iterator[Refusal]:
    wanted, has = required.get("architecture"), accepted.spec.architecture or "amd64"
    if wanted and wanted != has:
        field = "spec.template.spec.architecture"
        yield _refusal(field, f"preference requires architecture {wanted} but {has} is being requested")


def _is_less(guest: Any, least: Any) -> bool:
    """A requirement that is no quantity is met by nothing; admission of preferences refuses it."""
    try:
        return parse_quantity(str(guest)) < parse_quantity(str(least))
    except ValueError:
        return True


def _refusal(field: str, message: str) -> Refusal:
    return Refusal(field, f"{_FAILURE}: {message}")
