"""Which virt-handler serves a node, and a channel to it. Called by streams.py, commands.py and details.py;
knows nothing of what is said over it.

The pods come from a reflector of the suite's own namespace. A channel is shared by everyone who talks to the same pod
with the same certificates and closed by the last of them, so a new leaf means a new channel for new callers while the
old one drains, and nothing is left over from pods that went.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import msgspec
from virt_core.conventions.labels import APP
from virt_core.conventions.node_certificate import PER_NODE, node_name, shared_name
from virt_core.kube.client import KubeClient
from virt_core.kube.reflector import Reflector
from virt_core.kube.resource import PODS
from virt_core.objects.meta import Condition, ObjectMeta
from virt_core.rpc.peer import Peer
from virt_core.rpc.tls import Certificates

from virt_api.errors import ServiceUnavailable
from virt_api.settings import Settings

_LARGEST_MESSAGE = 17 * 1024 * 1024  # bytes: a picture of a display, which handler/v1 bounds, and a little more


class PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    """Where it runs."""

    node_name: str = ""


class PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    """How it is reached."""

    pod_ip: str = msgspec.field(default="", name="podIP")
    conditions: list[Condition] = []


class HandlerPod(msgspec.Struct, frozen=True):
    """A pod of virt-handler."""

    metadata: ObjectMeta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def ready(self) -> bool:
        """As the kubelet says."""
        return any(condition.type == "Ready" and condition.status == "True" for condition in self.status.conditions)


def choose(pods: Iterable[HandlerPod], node: str) -> HandlerPod | None:
    """The pod to ask about guests of `node`: while one replaces another, the one that stays, then the ready one.

    One that is not ready is still asked: the kubelet's word is seconds old, the process answers for itself.
    """
    there = [pod for pod in pods if pod.spec.node_name == node and pod.status.pod_ip]

    def preference(pod: HandlerPod) -> tuple[bool, bool, str]:
        return (pod.metadata.deletion_timestamp is None, pod.ready, pod.metadata.creation_timestamp)

    return max(there, key=preference, default=None)


def server_name(pod: HandlerPod, namespace: str) -> str:
    """The name that the handler's certificate must have: its node's, but a handler of an earlier release has none."""
    if PER_NODE in pod.metadata.annotations:
        return node_name(pod.spec.node_name, namespace)
    return shared_name(namespace)


@dataclass(slots=True)
class _Shared:
    peer: Peer
    users: int = 0


class HandlerPods:
    """The handlers of all nodes."""

    def __init__(self, client: KubeClient, settings: Settings, certificates: Certificates) -> None:
        self._port = settings.handler_port
        self._namespace = settings.namespace
        self._certificates = certificates
        self._shared: dict[tuple[str, str], _Shared] = {}
        self._reflector = Reflector(
            client, PODS, HandlerPod, lambda _: None, namespace=settings.namespace, labels=f"{APP}=virt-handler"
        )
        self.synced = self._reflector.synced

    async def run(self) -> None:
        """Follow the pods until cancelled."""
        await self._reflector.run()

    @contextlib.asynccontextmanager
    async def peer(self, node: str) -> AsyncIterator[Peer]:
        """A channel to the handler of `node`, for the time of the block. Not connected yet.

        Raises:
            ServiceUnavailable: the node has no handler.
        """
        pod = choose(self._reflector, node)
        if pod is None:
            raise ServiceUnavailable(f"there is no virt-handler pod on node {node!r}, try again later")
        address = pod.status.pod_ip
        key = (address, self._certificates.fingerprint())
        shared = self._shared.get(key)
        if shared is None:
            target = f"[{address}]:{self._port}" if ":" in address else f"{address}:{self._port}"
            name = f"{pod.metadata.name} of node {node}"
            # Pods are reached by their address; what they must prove is that they are the handler of this node.
            options = (
                ("grpc.ssl_target_name_override", server_name(pod, self._namespace)),
                ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
            )
            credentials = self._certificates.channel_credentials()
            shared = self._shared[key] = _Shared(Peer(target, name=name, credentials=credentials, options=options))
        shared.users += 1
        try:
            yield shared.peer
        finally:
            shared.users -= 1
            if not shared.users:
                del self._shared[key]
                await shared.peer.close()
