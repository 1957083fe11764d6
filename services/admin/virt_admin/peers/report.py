"""virt-operator's answer as values to show. Pure; called by ask.py."""

from __future__ import annotations

import msgspec
from kubevirt.admin.v1 import admin_pb2

from virt_admin.outcome import ATTENTION, CLEAN


class Process(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A process of the suite. The JSON of `-o json`: its names only grow."""

    component: str
    pod: str
    node: str
    address: str
    terminating: bool
    problem: str
    """Why it did not answer; "" if it did. Then the rest is known."""

    release: str
    feature_level: int
    instance_id: str
    contracts: list[str]
    features: list[str]
    trust_bundle_sha256: str


def processes(answer: admin_pb2.ListPeersResponse) -> list[Process]:
    """All of them, in virt-operator's order."""
    return [
        Process(
            component=peer.component,
            pod=peer.pod,
            node=peer.node,
            address=peer.address,
            terminating=peer.terminating,
            problem=peer.problem,
            release=peer.info.release,
            feature_level=peer.info.feature_level,
            instance_id=peer.info.instance_id,
            contracts=list(peer.info.contracts),
            features=list(peer.info.features),
            trust_bundle_sha256=peer.info.trust_bundle_sha256,
        )
        for peer in answer.peers
    ]


def exit_code(found: list[Process]) -> int:
    """0 if all answer, with one release and one bundle of authorities; else 1."""
    staying = [process for process in found if not process.terminating]
    versions = {(process.release, process.feature_level, process.trust_bundle_sha256) for process in staying}
    silent = any(process.problem for process in staying)
    return CLEAN if staying and len(versions) == 1 and not silent else ATTENTION


def row(process: Process) -> tuple[str, ...]:
    """Its cells of the table."""
    state = process.problem or "answers"
    state = f"terminating, {state}" if process.terminating else state
    contracts = ", ".join(name.removeprefix("kubevirt.") for name in process.contracts)
    level = str(process.feature_level) if process.release else ""
    return process.component, process.pod, process.node, process.release, level, contracts, state
