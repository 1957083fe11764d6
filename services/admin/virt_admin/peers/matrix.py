"""The matrix of contracts and processes as values to show. Pure; called by contracts.py.

The structures are the JSON of `-o json`: their names only grow.
"""

from __future__ import annotations

import msgspec
from kubevirt.admin.v1 import admin_pb2
from virt_core.conventions import components

from virt_admin.outcome import ATTENTION, BROKEN, CLEAN
from virt_admin.peers.launchers import Launchers, launchers_of
from virt_admin.screen.text import listed


class Offer(msgspec.Struct, frozen=True, rename="camel"):
    """A process that serves a contract."""

    component: str
    pod: str
    node: str
    release: str
    feature_level: int
    versions: list[str]
    features: list[str]


class Contract(msgspec.Struct, frozen=True, rename="camel"):
    """A contract of all its versions."""

    name: str
    offers: list[Offer]


class Side(msgspec.Struct, frozen=True, rename="camel"):
    """The processes of a component that are of one release."""

    component: str
    release: str
    feature_level: int
    processes: int

    def __str__(self) -> str:
        return f"{self.component} {self.release} (level {self.feature_level}, {self.processes})"


class Pairing(msgspec.Struct, frozen=True, rename="camel"):
    """Two sides of which one calls the other."""

    contract: str
    caller: Side
    server: Side
    versions: list[str]
    """That both know; empty: they cannot talk."""

    features: list[str]
    """That every process of the called side has."""


class Silent(msgspec.Struct, frozen=True, rename="camel"):
    """A process that does not answer."""

    component: str
    pod: str
    problem: str


class Matrix(msgspec.Struct, frozen=True, rename="camel"):
    """All of it."""

    contracts: list[Contract]
    pairings: list[Pairing]
    silent: list[Silent]
    launchers: list[Launchers] = []
    other_launchers: int = 0
    """Of further builds, or of none that is known."""

    uncounted_nodes: list[str] = []
    """Whose virt-handler does not answer, or does not count launchers."""


def matrix_of(answer: admin_pb2.ListContractsResponse) -> Matrix:
    """virt-operator's answer. Pods that are being deleted may be silent."""
    return Matrix(
        [Contract(contract.name, list(map(_offer, contract.offers))) for contract in answer.contracts],
        [
            Pairing(found.contract, _side(found.caller), _side(found.server), [*found.versions], [*found.features])
            for found in answer.pairings
        ],
        [
            Silent(peer.component, peer.pod, peer.problem)
            for peer in answer.peers
            if peer.problem and not peer.terminating
        ],
        list(map(launchers_of, answer.launchers)),
        answer.other_launchers,
        [*answer.uncounted_nodes],
    )


def exit_code(matrix: Matrix) -> int:
    """2 if two sides share no version, 1 if a process does not answer or a launcher shares no version, else 0.

    Launchers are not trusted: no guest shall be able to make the suite look broken."""
    apart = [pairing.server.component for pairing in matrix.pairings if not pairing.versions]
    if any(component != components.LAUNCHER for component in apart):
        return BROKEN
    return ATTENTION if apart or matrix.silent or not matrix.contracts else CLEAN


def rows(matrix: Matrix) -> list[tuple[str, ...]]:
    """The cells of the table of processes."""
    return [
        (
            _short(contract.name),
            offer.component,
            offer.pod,
            offer.node,
            offer.release,
            str(offer.feature_level),
            ", ".join(offer.versions),
            ", ".join(offer.features),
        )
        for contract in matrix.contracts
        for offer in contract.offers
    ]


def pairing_row(pairing: Pairing) -> tuple[str, ...]:
    """The cells of the table of pairings."""
    versions = ", ".join(pairing.versions) or "none: they cannot talk"
    return _short(pairing.contract), str(pairing.caller), str(pairing.server), versions, ", ".join(pairing.features)


def uncounted(matrix: Matrix) -> list[str]:
    """What the table of launchers lacks, as sentences."""
    found = []
    if matrix.other_launchers:
        found.append(f"{matrix.other_launchers} more launchers are of further builds, or of none that is known")
    if matrix.uncounted_nodes:
        found.append(f"no virt-handler counts the launchers of node {listed(matrix.uncounted_nodes)}")
    return found


def _short(name: str) -> str:
    return name.removeprefix("kubevirt.")


def _offer(offer: admin_pb2.Offer) -> Offer:
    return Offer(
        offer.component,
        offer.pod,
        offer.node,
        offer.release,
        offer.feature_level,
        [*offer.versions],
        [*offer.features],
    )


def _side(side: admin_pb2.Side) -> Side:
    return Side(side.component, side.release, side.feature_level, side.processes)
