"""Finds the virt-handler of a node and shares channels to it. Called by streams.py, commands.py and details.py; knows
nothing about the calls.

The pods come from a reflector of the suite's namespace. Callers with the same pod and certificates share a channel, and
the last one closes it. So after a renewal new callers use a new channel while the old one drains, and no channels to
deleted pods remain.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import msgspec
from virt_core.conventions.labels import APP
from virt_core.conventions.node_certificate import PER_NODE, node_name, shared_name
from virt_core.conventions.screenshot import LARGEST_MESSAGE
from virt_core.kube.client import KubeClient
from virt_core.kube.reflector import Reflector
from virt_core.kube.resource import PODS
from virt_core.objects.meta import Condition, ObjectMeta
from virt_core.rpc.peer import Peer
from virt_core.rpc.tls import Certificates

from virt_api.errors import ServiceUnavailable
from virt_api.settings import Settings


class PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    """The pod's node."""

    node_name: str = ""


class PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    """The pod's address and conditions."""

    pod_ip: str = msgspec.field(default="", name="podIP")
    conditions: list[Condition] = []


class HandlerPod(msgspec.Struct, frozen=True):
    """A pod of virt-handler."""

    metadata: ObjectMeta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def ready(self) -> bool:
        """Whether the pod is ready."""
        return any(condition.type == "Ready" and condition.status == "True" for condition in self.status.conditions)


def choose(pods: Iterable[HandlerPod], node: str) -> HandlerPod | None:
    """The pod for calls about guests of `node`. Prefers pods that are not terminating, then ready ones.

    An unready pod is still used: the condition may be seconds old, and the call itself shows whether it works.
    """
    there = [pod for pod in pods if pod.spec.node_name == node and pod.status.pod_ip]

    def preference(pod: HandlerPod) -> tuple[bool, bool, str]:
        return (pod.metadata.deletion_timestamp is None, pod.ready, pod.metadata.creation_timestamp)

    return max(there, key=preference, default=None)


def server_name(pod: HandlerPod, namespace: str) -> str:
    """The required name in the handler's certificate: its node's name, or the shared name for an earlier release."""
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
        """A channel to the handler of `node` for the block. It connects with the first call.

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
            # The target is an address, but the certificate must have the name of this node's handler.
            options = (
                ("grpc.ssl_target_name_override", server_name(pod, self._namespace)),
                ("grpc.max_receive_message_length", LARGEST_MESSAGE),
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
