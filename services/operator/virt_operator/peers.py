"""What every pod of the suite says of itself: GetInfo, asked of all of them side by side.

    answers = await peers.ask_all(peers.suite_pods(pods), certificates, namespace)

`pods` are what a list or a watch of the namespace holds, `certificates` the operator's own. The leader asks before it
relies on what all of them know (a new authority, a release), the admin port for people, on any replica. Nothing is
remembered: an answer is about the process that gave it, then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from kubevirt.info.v1 import info_pb2
from virt_core.api import labels
from virt_core.api.meta import ObjectMeta
from virt_core.rpc import PORT
from virt_core.rpc.errors import RpcError
from virt_core.rpc.peer import Peer
from virt_core.rpc.tls import Certificates

COMPONENTS = {
    "virt-operator": info_pb2.COMPONENT_OPERATOR,
    "virt-api": info_pb2.COMPONENT_API,
    "virt-controller": info_pb2.COMPONENT_CONTROLLER,
    "virt-handler": info_pb2.COMPONENT_HANDLER,
}
_DEADLINE = 5.0  # seconds for one pod; a node that is gone answers nothing at all
_AT_ONCE = 50  # handshakes under way
_ENDED = ("Succeeded", "Failed")


class Pod(Protocol):
    """A pod as a list or a watch has it."""

    @property
    def metadata(self) -> ObjectMeta: ...

    @property
    def spec(self) -> dict[str, Any]: ...

    @property
    def status(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True, order=True)
class SuitePod:
    """A pod of operator, api, controller or handler."""

    component: str
    """For example "virt-handler"."""

    name: str
    node: str
    """"" until it is scheduled."""

    address: str
    """"" until it has one."""


@dataclass(frozen=True, slots=True)
class Info:
    """What a process said of itself; fields as in info.proto."""

    release: str
    instance_id: str
    feature_level: int
    contracts: frozenset[str]
    features: frozenset[str]
    trust_bundle_sha256: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One pod's answer: `info`, or why there is none."""

    pod: SuitePod
    info: Info | None
    problem: str = ""


def suite_pods(pods: Iterable[Pod]) -> tuple[SuitePod, ...]:
    """Those of `pods` that should answer, in a stable order. Pods that have ended for good are none of them."""
    found = (
        SuitePod(
            pod.metadata.labels.get(labels.APP, ""),
            pod.metadata.name,
            pod.spec.get("nodeName", ""),
            pod.status.get("podIP", ""),
        )
        for pod in pods
        if pod.status.get("phase") not in _ENDED
    )
    return tuple(sorted(pod for pod in found if pod.component in COMPONENTS))


async def ask_all(
    pods: Iterable[SuitePod],
    certificates: Certificates,
    namespace: str,
    *,
    deadline: float = _DEADLINE,
    at_once: int = _AT_ONCE,
    port: int = PORT,
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
        # Pods are reached by their address, and all of a component hold its name.
        options = (("grpc.ssl_target_name_override", f"{pod.component}.{namespace}.svc"),)
        async with turns:
            peer = Peer(f"{address}:{port}", name=pod.name, credentials=credentials, options=options)
            try:
                said = await peer.negotiate(deadline, patient=False)
            except RpcError as error:
                return Answer(pod, None, error.message)
            finally:
                await peer.close()
        return _judged(pod, said)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(pod), name=f"question to {pod.name}") for pod in pods]
    return tuple(task.result() for task in tasks)


def _judged(pod: SuitePod, said: info_pb2.GetInfoResponse) -> Answer:
    if said.component != COMPONENTS[pod.component]:
        return Answer(pod, None, f"the process says that it is component {said.component}")
    return Answer(
        pod,
        Info(
            release=said.release,
            instance_id=said.instance_id,
            feature_level=said.feature_level,
            contracts=frozenset(said.contracts),
            features=frozenset(said.features),
            trust_bundle_sha256=said.trust_bundle_sha256,
        ),
    )
