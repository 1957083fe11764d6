"""The matrix of contracts: which process serves which versions, and which versions two sides share. Pure; called by
servicer.py.

A process says in GetInfo what it serves; what launchers have said, the virt-handler of their node repeats. What a
process calls follows from its component, and the versions that it knows as a caller from its feature level: contracts
only grow, so a level knows all versions of the levels before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from kubevirt.admin.v1 import admin_pb2
from virt_core.conventions import components

from virt_operator.admin.launchers import launchers_message, most_frequent
from virt_operator.admin.status import peer_message
from virt_operator.peers.answer import Answer, Info, NodeLaunchers, SuitePod

_INFO, _HANDLER, _LAUNCHER = "kubevirt.info", "kubevirt.handler", "kubevirt.launcher"
_CALLS = (
    (_HANDLER, components.API, components.HANDLER),
    (_HANDLER, components.OPERATOR, components.HANDLER),
    (_INFO, components.API, components.HANDLER),
    *((_INFO, components.OPERATOR, server) for server in (components.OPERATOR, *components.INSTALLED)),
)
"""Contract, the component that calls and the one that is called."""

_KNOWN: Mapping[str, Mapping[str, int]] = {_INFO: {"v1": 1}, _HANDLER: {"v1": 1}, _LAUNCHER: {"v1": 1}}
"""By contract: each version with the feature level from which callers know it."""

_Side = tuple[str, str, int]
"""Component, release and feature level."""


def contracts_message(
    answers: Iterable[Answer], launchers: Iterable[NodeLaunchers] = ()
) -> admin_pb2.ListContractsResponse:
    """The matrix of the processes that answer, all pods, and the launchers that virt-handlers count."""
    found, counted = list(answers), most_frequent(launchers)
    known = [(answer.pod, answer.info) for answer in found if answer.info is not None]
    handlers = {answer.pod.node for answer in found if answer.pod.component == components.HANDLER}
    pairings = [*_pairings(known), *_launcher_pairings(known, counted)]
    return admin_pb2.ListContractsResponse(
        contracts=_contracts(known),
        pairings=sorted(pairings, key=lambda pairing: (pairing.contract, _key(pairing.caller), _key(pairing.server))),
        peers=[peer_message(answer) for answer in found],
        launchers=launchers_message(counted),
        other_launchers=sum(of_node.others for of_node in counted),
        uncounted_nodes=sorted(handlers - {of_node.pod.node for of_node in counted} - {""}),
    )


def _launcher_pairings(
    known: Iterable[tuple[SuitePod, Info]], counted: Iterable[NodeLaunchers]
) -> list[admin_pb2.Pairing]:
    """The virt-handlers of a release with the launchers on their nodes: each build alone, for they are not trusted."""
    handlers = {pod: info for pod, info in known if pod.component == components.HANDLER}
    sides: dict[_Side, list[Info]] = {}
    for info in handlers.values():
        sides.setdefault((components.HANDLER, info.release, info.feature_level), []).append(info)
    counts: Counter[tuple[_Side, Info]] = Counter()
    for of_node in counted:
        if (handler := handlers.get(of_node.pod)) is not None:
            caller = (components.HANDLER, handler.release, handler.feature_level)
            counts.update({(caller, build.info): build.count for build in of_node.builds})
    found = []
    for (caller, info), count in counts.items():
        server = (components.LAUNCHER, info.release, info.feature_level)
        pairing = _pairing(_LAUNCHER, caller, server, {**sides, server: [info]})
        pairing.server.processes = count
        found.append(pairing)
    return found


def _key(side: admin_pb2.Side) -> _Side:
    return side.component, side.release, side.feature_level


def _contracts(known: Iterable[tuple[SuitePod, Info]]) -> list[admin_pb2.Contract]:
    offers: dict[str, list[admin_pb2.Offer]] = {}
    for pod, info in known:
        for name, versions in sorted(_served(info).items()):
            offer = admin_pb2.Offer(
                component=pod.component,
                pod=pod.name,
                node=pod.node,
                release=info.release,
                feature_level=info.feature_level,
                versions=sorted(versions),
                features=sorted(info.features),
            )
            offers.setdefault(name, []).append(offer)
    return [admin_pb2.Contract(name=name, offers=offers[name]) for name in sorted(offers)]


def _pairings(known: Iterable[tuple[SuitePod, Info]]) -> list[admin_pb2.Pairing]:
    sides: dict[_Side, list[Info]] = {}
    for pod, info in known:
        sides.setdefault((pod.component, info.release, info.feature_level), []).append(info)
    return [
        _pairing(contract, caller, server, sides)
        for contract, calling, called in sorted(_CALLS)
        for caller in sorted(side for side in sides if side[0] == calling)
        for server in sorted(side for side in sides if side[0] == called)
    ]


def _pairing(contract: str, caller: _Side, server: _Side, sides: Mapping[_Side, list[Info]]) -> admin_pb2.Pairing:
    level = max(1, caller[2])
    spoken = {version for version, since in _KNOWN[contract].items() if since <= level}
    served = [_served(info).get(contract, set()) for info in sides[server]]
    features = [set(info.features) for info in sides[server]]
    return admin_pb2.Pairing(
        contract=contract,
        caller=_side(caller, sides),
        server=_side(server, sides),
        versions=sorted(spoken.intersection(*served)),
        features=sorted(set.intersection(*features)),
    )


def _side(side: _Side, sides: Mapping[_Side, list[Info]]) -> admin_pb2.Side:
    component, release, level = side
    return admin_pb2.Side(component=component, release=release, feature_level=level, processes=len(sides[side]))


def _served(info: Info) -> dict[str, set[str]]:
    """The versions that a process serves, by contract."""
    found: dict[str, set[str]] = {}
    for package in info.contracts:
        name, _, version = package.rpartition(".")
        found.setdefault(name, set()).add(version)
    return found
