"""Calls GetInfo on every pod of the suite in parallel, and asks virt-handlers about the launchers of their nodes.

    answers = await ask_all(suite_pods(pods), certificates, namespace)

`pods` come from a list or a watch of the namespace, `certificates` are the operator's own. Called by the leader before
it relies on all pods (for a new authority or release), and by the admin port on any replica. Nothing is cached: an
answer describes the process at the time of the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

import grpc
from kubevirt.handler.v1 import probe_pb2, probe_pb2_grpc
from virt_core.conventions import components
from virt_core.conventions.component_pod import RPC_PORT
from virt_core.rpc.errors import RpcError
from virt_core.rpc.peer import Peer
from virt_core.rpc.tls import Certificates

from virt_operator.peers.answer import Answer, NodeLaunchers, SuitePod, answer_of, launchers_of

T = TypeVar("T")
_DEADLINE = 5.0  # seconds per pod; a pod on a dead node does not answer at all
_AT_ONCE = 50  # parallel handshakes


async def ask_all(
    pods: Iterable[SuitePod],
    certificates: Certificates,
    namespace: str,
    *,
    deadline: float = _DEADLINE,
    at_once: int = _AT_ONCE,
    port: int = RPC_PORT,
) -> tuple[Answer, ...]:
    """The answers of `pods` in their order. `at_once` calls run in parallel, each with a deadline of `deadline`
    seconds. Errors of pods are part of the answers.

    Raises:
        OSError: there are no `certificates` yet.
    """

    async def ask(pod: SuitePod, peer: Peer) -> Answer:
        try:
            return answer_of(pod, await peer.negotiate(deadline, patient=False))
        except RpcError as error:
            return Answer(pod, None, error.message)

    chosen, credentials = list(pods), certificates.channel_credentials()
    able = [pod for pod in chosen if pod.address]
    answers = await _each(able, credentials, namespace, ask, at_once=at_once, port=port)
    found = dict(zip(able, answers, strict=True))
    return tuple(found.get(pod) or Answer(pod, None, "the pod has no address yet") for pod in chosen)


async def ask_launchers(
    answers: Iterable[Answer],
    certificates: Certificates,
    namespace: str,
    *,
    deadline: float = _DEADLINE,
    at_once: int = _AT_ONCE,
    port: int = RPC_PORT,
) -> tuple[NodeLaunchers, ...]:
    """What each virt-handler that has answered knows of its node's launchers; it asks none of them. One that does not
    say it, for example of a release before, is left out.

    Raises:
        OSError: there are no `certificates` any more.
    """

    async def ask(pod: SuitePod, peer: Peer) -> NodeLaunchers | None:
        stub: Any = probe_pb2_grpc.ProbeServiceStub(peer.channel)
        try:
            found = await peer.call(stub.ListLaunchers, probe_pb2.ListLaunchersRequest(), timeout=deadline)
        except RpcError:
            return None
        return launchers_of(pod, found)

    able = [
        answer.pod
        for answer in answers
        if answer.info is not None and answer.pod.component == components.HANDLER and not answer.pod.terminating
    ]
    found = await _each(able, certificates.channel_credentials(), namespace, ask, at_once=at_once, port=port)
    return tuple(launchers for launchers in found if launchers is not None)


async def _each(
    pods: Iterable[SuitePod],
    credentials: grpc.ChannelCredentials,
    namespace: str,
    ask: Callable[[SuitePod, Peer], Coroutine[Any, Any, T]],
    *,
    at_once: int,
    port: int,
) -> list[T]:
    """`ask` with a channel to each of the pods; `at_once` of them in parallel."""
    turns = asyncio.Semaphore(at_once)

    async def turn(pod: SuitePod) -> T:
        async with turns:
            peer = peer_of(pod, credentials, namespace, port)
            try:
                return await ask(pod, peer)
            finally:
                await peer.close()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(turn(pod), name=f"question to {pod.name}") for pod in pods]
    return [task.result() for task in tasks]


def peer_of(pod: SuitePod, credentials: grpc.ChannelCredentials, namespace: str, port: int = RPC_PORT) -> Peer:
    """A channel to a pod that has an address."""
    address = f"[{pod.address}]" if ":" in pod.address else pod.address
    # The target is an address, but the certificate must name the component, a handler's also its node.
    options = (("grpc.ssl_target_name_override", pod.server_name or f"{pod.component}.{namespace}.svc"),)
    return Peer(f"{address}:{port}", name=pod.name, credentials=credentials, options=options)
