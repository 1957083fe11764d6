"""How a new virt-handler is proven: over real mTLS, and what counts against it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from kubevirt.handler.v1 import handler_pb2, probe_pb2, probe_pb2_grpc
from kubevirt.info.v1 import info_pb2
from virt_core.conventions.handler_probe import MACHINE_PROBE
from virt_core.kube.client import KubeClient
from virt_core.objects.upgrade_status import SilentGuest
from virt_core.rpc.authorize import allow
from virt_core.rpc.errors import Denied
from virt_core.rpc.identity import Identity
from virt_core.rpc.port import Contract, listening
from virt_core.rpc.tls import Certificates
from virt_operator.certificates.issue import KeyPair, new_authority, new_leaf
from virt_operator.peers.answer import SuitePod
from virt_operator.proof.judge import decoded, expected, machines_fault
from virt_operator.proof.prove import PodProber
from virt_operator.suite.actions import Prove
from virt_operator.suite.observed import Fault

from tests.support.patience import PATIENCE

RELEASE, LEVEL = "v1.3.0", 7
SERVICE = probe_pb2.DESCRIPTOR.services_by_name["ProbeService"].full_name


def machine(name: str, phase: str = "Running", **meta: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", **meta}
    return {"metadata": metadata, "status": {"phase": phase, "activePods": {f"pod-{name}": "node1"}}}


def probed(name: str, *, answered: bool = True, message: str = "") -> probe_pb2.ProbedMachine:
    ref = handler_pb2.VirtualMachineInstanceRef(namespace="default", name=name, uid=f"uid-{name}")
    return probe_pb2.ProbedMachine(machine=ref, pod_uid=f"pod-{name}", launcher_answered=answered, message=message)


class Handler(probe_pb2_grpc.ProbeServiceServicer):
    """Answers what it is told to."""

    def __init__(self, *machines: probe_pb2.ProbedMachine, delay: float = 0.0) -> None:
        self.machines = machines
        self.delay = delay

    async def ProbeMachines(  # noqa: N802 - the contract's name
        self, request: probe_pb2.ProbeMachinesRequest, context: Any
    ) -> probe_pb2.ProbeMachinesResponse:
        await asyncio.sleep(self.delay)
        return probe_pb2.ProbeMachinesResponse(machines=self.machines)


class Cluster:
    """Lists the machines of one moment after the other; the last one stays."""

    def __init__(self, *moments: list[dict[str, Any]]) -> None:
        self.moments = list(moments)
        self.asked: list[str] = []

    async def list(self, resource: Any, *, labels: str) -> list[dict[str, Any]]:
        self.asked.append(labels)
        return self.moments.pop(0) if len(self.moments) > 1 else self.moments[0]


def certificates(authority: KeyPair, folder: Path, component: str) -> Certificates:
    leaf = new_leaf(authority, f"kubevirt.io:system:{component}", (f"{component}.kubevirt.svc",), datetime.now(UTC))
    folder.mkdir()
    for name, content in (("tls.crt", leaf.certificate), ("tls.key", leaf.key), ("ca.crt", leaf.bundle)):
        (folder / name).write_bytes(content)
    return Certificates(folder)


Proving = Callable[..., Any]


@pytest.fixture
async def prove(tmp_path: Path) -> AsyncIterator[Proving]:
    """Probes a handler that serves the contract, unless it is None."""
    authority = new_authority(datetime.now(UTC))
    own = certificates(authority, tmp_path / "operator", "virt-operator")
    theirs = certificates(authority, tmp_path / "handler", "virt-handler")

    async def run(
        handler: Handler | None,
        cluster: Cluster,
        *,
        lenient: bool = False,
        excused: frozenset[str] = frozenset(),
        survey: bool = False,
        slowest: float = PATIENCE,
        **identity: Any,
    ) -> Any:
        features = frozenset({MACHINE_PROBE} if handler is not None else ())
        fields = {"release": RELEASE, "feature_level": LEVEL, "features": features, **identity}
        who = Identity(info_pb2.COMPONENT_HANDLER, ("kubevirt.handler.v1",), **fields)
        async with served(handler, who, theirs) as port:
            prober = PodProber(cast(KubeClient, cluster), own, "kubevirt", port=port, slowest=slowest)
            pod = SuitePod("virt-handler", "virt-handler-x", "node1", "127.0.0.1")
            if survey:
                return await prober.silent_guests(pod)
            return await prober.prove(Prove(pod, "uid-x", RELEASE, LEVEL, lenient, excused))

    yield run


@asynccontextmanager
async def served(handler: Handler | None, identity: Identity, own: Certificates) -> AsyncIterator[int]:
    rule = allow("virt-operator")
    contracts = []
    if handler is not None:
        add = partial(probe_pb2_grpc.add_ProbeServiceServicer_to_server, handler)
        contracts.append(Contract(SERVICE, add, rule))
    async with listening(0, identity, own, *contracts, peers=rule) as port:
        yield port


async def test_a_handler_that_sees_each_guest_passes_with_one_list(prove: Proving) -> None:
    cluster = Cluster([machine("a"), machine("b", "Scheduled"), machine("c", "Succeeded")])
    assert await prove(Handler(probed("a"), probed("b", answered=False)), cluster) is None
    assert cluster.asked == ["kubevirt.io/nodeName=node1"]


async def test_a_handler_that_reports_no_guests_is_named_with_the_guest(prove: Proving) -> None:
    assert await prove(Handler(), Cluster([machine("a")])) == Fault(
        "machines", "does not see VirtualMachineInstance default/a"
    )


async def test_a_handler_that_answers_too_slowly_fails(prove: Proving) -> None:
    fault = await prove(Handler(delay=PATIENCE), Cluster([machine("a")]), slowest=3.0)
    assert fault is not None and fault.probe == "machines" and fault.message.startswith("no answer within 3 s")


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        ({"release": "v1.2.3"}, "is release 'v1.2.3', not 'v1.3.0'"),
        ({"feature_level": 6}, "has feature level 6, not 7"),
    ],
)
async def test_another_release_than_the_requested_one_fails(
    prove: Proving, identity: dict[str, Any], message: str
) -> None:
    assert await prove(Handler(), Cluster([]), **identity) == Fault("GetInfo", message)


async def test_a_handler_without_the_probe_passes_on_a_way_back_only(prove: Proving) -> None:
    cluster = Cluster([machine("a")])
    assert await prove(None, cluster, lenient=True) is None
    assert cluster.asked == []
    fault = await prove(None, cluster)
    assert fault is not None and fault.message.startswith("cannot be probed")


async def test_an_old_handler_of_a_way_back_that_has_the_probe_must_pass_it(prove: Proving) -> None:
    assert await prove(Handler(), Cluster([machine("a")]), lenient=True) is not None


async def test_an_old_handler_names_the_launchers_that_do_not_answer_it(prove: Proving) -> None:
    guests = [machine("a"), machine("b"), machine("c", "Scheduled")]
    mute = probed("a", answered=False, message="not connected")
    handler = Handler(mute, probed("b"), probed("c", answered=False))
    assert await prove(handler, Cluster(guests), survey=True) == (SilentGuest("uid-a", "default/a", "not connected"),)
    assert await prove(handler, Cluster(guests, [machine("b")]), survey=True) == (), "it has ended meanwhile"
    assert await prove(handler, Cluster(guests), excused=frozenset({"uid-a"})) is None
    fault = await prove(Handler(probed("b")), Cluster(guests), excused=frozenset({"uid-a", "uid-c"}))
    assert fault is not None and "does not see" in fault.message, "an excuse is for silent launchers only"


async def test_an_old_handler_that_cannot_be_asked_excuses_nobody(prove: Proving) -> None:
    assert await prove(None, Cluster([machine("a")]), survey=True) == ()
    assert await prove(Handler(delay=PATIENCE), Cluster([machine("a")]), survey=True, slowest=3.0) == ()


async def test_a_pod_that_refuses_connections_fails(tmp_path: Path) -> None:
    own = certificates(new_authority(datetime.now(UTC)), tmp_path / "operator", "virt-operator")
    prober = PodProber(cast(KubeClient, Cluster([])), own, "kubevirt", port=1, slowest=1.0)
    fault = await prober.prove(Prove(SuitePod("virt-handler", "x", "node1", "127.0.0.1"), "uid", RELEASE, LEVEL))
    assert fault is not None and fault.probe == "GetInfo" and "no answer within 1 s" in fault.message


async def test_a_guest_that_comes_or_goes_during_the_probe_does_not_count(prove: Proving) -> None:
    a, b, ended = machine("a"), machine("b"), machine("a", "Failed")
    for moments in (([a, b], [b]), ([b], [a, b]), ([a, b], [ended, b])):
        assert await prove(Handler(probed("b")), Cluster(*moments)) is None


def fault_of(before: list[dict[str, Any]], after: list[dict[str, Any]], *reported: Any) -> Fault | None:
    return machines_fault(expected(decoded(before), "node1"), expected(decoded(after), "node1"), reported)


def test_a_running_guests_launcher_must_answer_and_one_that_ends_need_not() -> None:
    mute = probed("a", answered=False, message="its launcher is not connected")
    assert fault_of([machine("a")], [machine("a")], mute) == Fault(
        "launchers",
        "does not reach the launcher of VirtualMachineInstance default/a: its launcher is not connected",
    )
    leaving = machine("a", deletionTimestamp="2026-01-31T10:00:00Z")
    assert fault_of([machine("a")], [leaving], mute) is None
    assert fault_of([machine("a", "Scheduled")], [machine("a")], mute) is None
    assert fault_of([machine("a")], [machine("a")], mute, probed("a")) is None, "a guest that migrates has two pods"


def test_many_missing_guests_are_counted_and_three_are_named() -> None:
    many = [machine(f"m{number}") for number in range(5)]
    fault = fault_of(many, many)
    assert fault is not None
    assert fault.message == "does not see 5 VirtualMachineInstances: default/m0, default/m1, default/m2, …"


def test_guests_of_other_nodes_and_those_that_do_not_decode_are_not_expected() -> None:
    elsewhere = {**machine("a"), "status": {"phase": "Running", "activePods": {"pod-a": "node2"}}}
    broken = {**machine("b"), "status": {"phase": 7}}
    assert fault_of([elsewhere, broken], [elsewhere, broken]) is None


async def test_a_refusal_of_the_caller_is_a_failed_probe(prove: Proving) -> None:
    class Closed(Handler):
        async def ProbeMachines(self, request: Any, context: Any) -> Any:  # noqa: N802
            raise Denied("only somebody else")

    fault = await prove(Closed(), Cluster([machine("a")]))
    assert fault is not None and "only somebody else" in fault.message
