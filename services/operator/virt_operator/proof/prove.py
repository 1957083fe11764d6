"""Proves a new pod over mTLS: who it is; a virt-handler by the guests that it sees and their launchers' answers, a
virt-api by its review of a machine (reviewing.py). Asks an old virt-handler, before it is replaced, which launchers do
not answer it.

Called by reconcile/learn.py. An attempt at a handler is one GetInfo, one list of the node's VirtualMachineInstances
and one ProbeMachines; a second list only if something is missing. judge.py decides.
"""

from __future__ import annotations

from typing import Any, Protocol

from kubevirt.handler.v1 import probe_pb2, probe_pb2_grpc
from virt_core.conventions import components
from virt_core.conventions.component_pod import API_PORT, RPC_PORT
from virt_core.conventions.handler_probe import MACHINE_PROBE
from virt_core.conventions.labels import NODE_NAME
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCES
from virt_core.objects.upgrade_status import SilentGuest
from virt_core.rpc.errors import RpcError, UnsupportedByPeer
from virt_core.rpc.peer import Peer
from virt_core.rpc.tls import Certificates

from virt_operator.peers.answer import Answer, SuitePod, answer_of
from virt_operator.peers.ask import peer_of
from virt_operator.proof.judge import (
    MACHINES,
    Expected,
    decoded,
    expected,
    info_fault,
    machines_fault,
    silent_guests,
)
from virt_operator.proof.reviewing import admission_fault
from virt_operator.proof.work import controller_outcome, handler_outcome
from virt_operator.suite.actions import Prove, ProveWork
from virt_operator.suite.observed import Fault, Outcome

SLOWEST = 3.0  # seconds for each answer; a handler that works takes milliseconds
_GUEST_WITHIN = 15.0  # seconds for its start and for its end; under emulation it takes two
WORK_WITHIN = 5.0  # seconds for each step of a guest; a controller that works takes a tenth of one


class Prober(Protocol):
    """Proves new pods."""

    async def prove(self, action: Prove) -> Fault | None:
        """The first probe that the pod has failed; None if it has passed all.

        Raises:
            KubeError: the API server does not say what the pod should know.
            OSError: the operator has no certificate yet.
        """

    async def prove_work(self, action: ProveWork) -> Outcome:
        """Whether the pod does the work of its component.

        Raises:
            KubeError: a request has failed.
        """

    async def silent_guests(self, pod: SuitePod) -> tuple[SilentGuest, ...]:
        """The guests whose launchers do not answer the virt-handler of the pod; none if it cannot be asked.

        Raises:
            KubeError, OSError: as above.
        """


class PodProber:
    """Proves pods of virt-handler, virt-controller and virt-api."""

    def __init__(
        self,
        client: KubeClient,
        certificates: Certificates,
        namespace: str,
        *,
        port: int = RPC_PORT,
        api_port: int = API_PORT,
        slowest: float = SLOWEST,
        work_within: float = WORK_WITHIN,
    ) -> None:
        self._client = client
        self._certificates = certificates
        self._namespace = namespace
        self._port = port
        self._api_port = api_port
        self._slowest = slowest
        self._work_within = work_within

    async def prove(self, action: Prove) -> Fault | None:
        """See Prober."""
        pod = action.pod
        peer = peer_of(pod, self._certificates.channel_credentials(), self._namespace, self._port)
        try:
            try:
                answer = answer_of(pod, await peer.negotiate(self._slowest, patient=False))
            except RpcError as error:
                answer = Answer(pod, None, error.message)
            fault = info_fault(answer, action.release, action.feature_level, self._slowest)
            if fault is not None or answer.info is None:
                return fault
            if pod.component == components.API:
                return await admission_fault(pod, self._certificates, self._namespace, self._slowest, self._api_port)
            if pod.component != components.HANDLER:
                return None
            if action.lenient and MACHINE_PROBE not in answer.info.features:
                return None
            return await self._machines_fault(peer, pod.node, action.excused)
        finally:
            await peer.close()

    async def prove_work(self, action: ProveWork) -> Outcome:
        """See Prober."""
        if action.pod.component == components.CONTROLLER:
            return await controller_outcome(self._client, action.owner, self._work_within)
        return await handler_outcome(self._client, action.owner, action.pod.node, _GUEST_WITHIN)

    async def silent_guests(self, pod: SuitePod) -> tuple[SilentGuest, ...]:
        """See Prober."""
        peer = peer_of(pod, self._certificates.channel_credentials(), self._namespace, self._port)
        try:
            info = await peer.negotiate(self._slowest, patient=False)
            if MACHINE_PROBE not in info.features:
                return ()
            before = await self._expected(pod.node)
            answer = await self._probed(peer)
            if not silent_guests(before, before, answer.machines):
                return ()
            return silent_guests(before, await self._expected(pod.node), answer.machines)
        except RpcError:
            return ()
        finally:
            await peer.close()

    async def _probed(self, peer: Peer) -> probe_pb2.ProbeMachinesResponse:
        stub: Any = probe_pb2_grpc.ProbeServiceStub(peer.channel)
        return await peer.call(stub.ProbeMachines, probe_pb2.ProbeMachinesRequest(), timeout=self._slowest)

    async def _machines_fault(self, peer: Peer, node: str, excused: frozenset[str]) -> Fault | None:
        before = await self._expected(node)
        try:
            answer = await self._probed(peer)
        except UnsupportedByPeer as error:
            return Fault(MACHINES, f"cannot be probed: {error.message}")
        except RpcError as error:
            return Fault(MACHINES, f"no answer within {self._slowest:.0f} s: {error.message}")
        fault = machines_fault(before, before, answer.machines, excused)
        if fault is None:
            return None
        return machines_fault(before, await self._expected(node), answer.machines, excused)

    async def _expected(self, node: str) -> Expected:
        listed = await self._client.list(VIRTUAL_MACHINE_INSTANCES, labels=f"{NODE_NAME}={node}")
        return expected(decoded(listed), node)
