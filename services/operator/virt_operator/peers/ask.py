"""Calls GetInfo on every pod of the suite in parallel.

    answers = await ask_all(suite_pods(pods), certificates, namespace)

`pods` come from a list or a watch of the namespace, `certificates` are the operator's own. Called by the leader before
it relies on all pods (for a new authority or release), and by the admin port on any replica. Nothing is cached: an
answer describes the process at the time of the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import grpc
from virt_core.conventions.component_pod import RPC_PORT
from virt_core.rpc.errors import RpcError
from virt_core.rpc.peer import Peer
from virt_core.rpc.tls import Certificates

from virt_operator.peers.answer import Answer, SuitePod, answer_of

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
    credentials = certificates.channel_credentials()
    turns = asyncio.Semaphore(at_once)

    async def ask(pod: SuitePod) -> Answer:
        if not pod.address:
            return Answer(pod, None, "the pod has no address yet")
        async with turns:
            peer = peer_of(pod, credentials, namespace, port)
            try:
                info = await peer.negotiate(deadline, patient=False)
            except RpcError as error:
                return Answer(pod, None, error.message)
            finally:
                await peer.close()
        return answer_of(pod, info)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(pod), name=f"question to {pod.name}") for pod in pods]
    return tuple(task.result() for task in tasks)


def peer_of(pod: SuitePod, credentials: grpc.ChannelCredentials, namespace: str, port: int = RPC_PORT) -> Peer:
    """A channel to a pod that has an address."""
    address = f"[{pod.address}]" if ":" in pod.address else pod.address
    # The target is an address, but the certificate must name the component, a handler's also its node.
    options = (("grpc.ssl_target_name_override", pod.server_name or f"{pod.component}.{namespace}.svc"),)
    return Peer(f"{address}:{port}", name=pod.name, credentials=credentials, options=options)
