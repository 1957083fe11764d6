"""GetInfo of every pod of the suite, asked of all of them side by side.

    answers = await ask_all(suite_pods(pods), certificates, namespace)

`pods` are what a list or a watch of the namespace holds, `certificates` the operator's own. The leader asks before it
relies on what all of them know (a new authority, a release), the admin port for people, on any replica. Nothing is
remembered: an answer is about the process that gave it, then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from virt_core.conventions.component_pod import RPC_PORT
from virt_core.rpc.errors import RpcError
from virt_core.rpc.peer import Peer
from virt_core.rpc.tls import Certificates

from virt_operator.peers.answer import Answer, SuitePod, answer_of

_DEADLINE = 5.0  # seconds for one pod; a node that is gone answers nothing at all
_AT_ONCE = 50  # handshakes under way


async def ask_all(
    pods: Iterable[SuitePod],
    certificates: Certificates,
    namespace: str,
    *,
    deadline: float = _DEADLINE,
    at_once: int = _AT_ONCE,
    port: int = RPC_PORT,
) -> tuple[Answer, ...]:
    """An answer for each of `pods`, in their order, each within `deadline` seconds of its turn; `at_once` have theirs
    at the same time. Never raises for a pod's sake.

    Raises:
        OSError: there are no `certificates` yet.
    """
    credentials = certificates.channel_credentials()
    turns = asyncio.Semaphore(at_once)

    async def ask(pod: SuitePod) -> Answer:
        if not pod.address:
            return Answer(pod, None, "the pod has no address yet")
        address = f"[{pod.address}]" if ":" in pod.address else pod.address
        # Pods are reached by their address; what they must prove is their component, handlers also their node.
        options = (("grpc.ssl_target_name_override", pod.server_name or f"{pod.component}.{namespace}.svc"),)
        async with turns:
            peer = Peer(f"{address}:{port}", name=pod.name, credentials=credentials, options=options)
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
