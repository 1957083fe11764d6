"""How an instance type's vCPUs become sockets, cores and threads, as a preference has it. Pure; called by apply.py,
requirements.py and admission.py, with specs whose types are right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from virt_core.objects.paths import at
from virt_core.validation.refusal import Refusal, Refusals

Body = Mapping[str, Any]
Counts = dict[str, int]

SOCKETS, CORES, THREADS, SPREAD, ANY = "sockets", "cores", "threads", "spread", "any"
DEPRECATED = {
    "preferSockets": SOCKETS,
    "preferCores": CORES,
    "preferThreads": THREADS,
    "preferSpread": SPREAD,
    "preferAny": ANY,
}
"""KubeVirt's older names."""

TOPOLOGIES = (SOCKETS, CORES, THREADS, SPREAD, ANY)
SOCKETS_CORES, CORES_THREADS, ALL_LEVELS = "SocketsCores", "CoresThreads", "SocketsCoresThreads"
ACROSS = (SOCKETS_CORES, CORES_THREADS, ALL_LEVELS)
_DEFAULT_RATIO = 2
_THREADS_PER_CORE = 2


def preferred_topology(preference: Body) -> str:
    """One of TOPOLOGIES; what is none stays as it is."""
    preferred = at(preference, ("cpu", "preferredCPUTopology")) or SOCKETS
    return DEPRECATED.get(preferred, preferred)


def spread_options(preference: Body) -> tuple[int, str]:
    """The ratio, and what vCPUs are spread across."""
    options = at(preference, ("cpu", "spreadOptions")) or {}
    ratio = options.get("ratio") or preference.get("preferSpreadSocketToCoreRatio") or _DEFAULT_RATIO
    return ratio, options.get("across") or SOCKETS_CORES


def topology_refusals(vcpus: int, preference: Body) -> Refusals:
    """A refusal if the vCPUs cannot be spread evenly."""
    if preferred_topology(preference) != SPREAD:
        return
    ratio, across = spread_options(preference)
    divisor = ratio * _THREADS_PER_CORE if across == ALL_LEVELS else ratio
    if vcpus % divisor:
        message = (
            f"{vcpus} vCPUs provided by the instance type cannot be spread across {across} by the preference's ratio "
            f"of {ratio}, use a multiple of {divisor}"
        )
        yield Refusal("instancetype.spec.cpu.guest", message)  # KubeVirt's field


def topology(vcpus: int, preference: Body) -> Counts:
    """Sockets, cores and threads of a guest with that many vCPUs."""
    counts = {SOCKETS: 1, CORES: 1, THREADS: 1}
    preferred = preferred_topology(preference)
    if preferred in (CORES, THREADS):
        return {**counts, preferred: vcpus}
    if preferred != SPREAD:
        return {**counts, SOCKETS: vcpus}
    ratio, across = spread_options(preference)
    if across == CORES_THREADS:
        return {**counts, CORES: vcpus // ratio, THREADS: ratio}
    if across == ALL_LEVELS:
        return {SOCKETS: vcpus // ratio // _THREADS_PER_CORE, CORES: ratio, THREADS: _THREADS_PER_CORE}
    return {**counts, SOCKETS: vcpus // ratio, CORES: ratio}
