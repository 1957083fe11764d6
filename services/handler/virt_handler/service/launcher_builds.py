"""Counts launchers by what they have answered to GetInfo. Pure; called by probes.py.

Launchers are hostile: each may answer anything, so texts are shortened, and a node has 50 builds at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kubevirt.handler.v1 import handler_pb2, probe_pb2
from kubevirt.info.v1 import info_pb2

from virt_handler.machines.hostile_text import TEXT_LENGTH, printable

_BUILDS, _CONTRACTS, _FEATURES = 50, 32, 64

Launcher = tuple[handler_pb2.VirtualMachineInstanceRef, info_pb2.GetInfoResponse | None]
"""The guest and the launcher's answer; None if the handler is not connected to it."""

_Build = tuple[str, int, tuple[str, ...], tuple[str, ...]]


def launchers_message(launchers: Iterable[Launcher]) -> probe_pb2.ListLaunchersResponse:
    """The builds, the most frequent first."""
    builds: dict[_Build, list[handler_pb2.VirtualMachineInstanceRef]] = {}
    unconnected = 0
    for guest, info in launchers:
        if info is None:
            unconnected += 1
        else:
            builds.setdefault(_build_of(info), []).append(guest)
    ordered = sorted(builds.items(), key=lambda item: (-len(item[1]), item[0]))
    return probe_pb2.ListLaunchersResponse(
        builds=[_message(build, guests) for build, guests in ordered[:_BUILDS]],
        further=sum(len(guests) for _, guests in ordered[_BUILDS:]),
        unconnected=unconnected,
    )


def _build_of(info: info_pb2.GetInfoResponse) -> _Build:
    release = printable(info.release, TEXT_LENGTH)
    return release, info.feature_level, _names(info.contracts, _CONTRACTS), _names(info.features, _FEATURES)


def _names(names: Sequence[str], most: int) -> tuple[str, ...]:
    return tuple(sorted(printable(name, TEXT_LENGTH) for name in names[:most]))


def _message(build: _Build, guests: list[handler_pb2.VirtualMachineInstanceRef]) -> probe_pb2.LauncherBuild:
    release, level, contracts, features = build
    example = min(guests, key=lambda guest: (guest.namespace, guest.name))
    return probe_pb2.LauncherBuild(
        release=release,
        feature_level=level,
        contracts=contracts,
        features=features,
        count=len(guests),
        example=example,
    )
