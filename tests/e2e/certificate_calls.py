"""Calls all servers of the suite continuously, and counts failures while their certificates change.

    python -m tests.e2e.certificate_calls --seconds 900 --rate 10

Every call makes a connection of its own, so every call is a handshake with the certificates of that moment; what goes
through the API server is asked as a user asks. The caller holds a leaf as the operator's replicas hold theirs, by their
own code. Runs where pods can be reached; prints what it counted as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import sys
import tempfile
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc
import msgspec
from cryptography import x509
from kubevirt.info.v1 import info_pb2, info_pb2_grpc
from virt_core.conventions.component_pod import RPC_PORT
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import API_SERVICES, KUBEVIRTS, PODS, VIRTUAL_MACHINE_INSTANCES
from virt_core.rpc.tls import Certificates
from virt_operator.certificates.authority import AuthorityWatch
from virt_operator.certificates.own import OwnCertificate
from virt_operator.peers.answer import SuitePod, suite_pods
from virt_operator.suite.observed import PodObject

NAMESPACE = "kubevirt"
_DEADLINE = 60.0
_LOOK = 2.0
_HTTPS = {"virt-api": 8443, "virt-operator": 8444}
T = TypeVar("T")


@dataclass
class Seen:
    """What was counted at one port."""

    calls: int = 0
    slowest: float = 0.0
    failures: list[str] = field(default_factory=list)
    leaves: set[int] = field(default_factory=set)
    authorities: set[str] = field(default_factory=set)
    newest: str = ""
    """The authority of the last leaf that was shown."""

    def summary(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "calls": self.calls,
            "failures": len(self.failures),
            "reasons": Counter(self.failures).most_common(5),
            "slowestSeconds": round(self.slowest, 2),
            "leavesSeen": len(self.leaves),
            "authoritiesSeen": len(self.authorities),
        }


class _Watch(AuthorityWatch):
    """As the operator's, but what is absent is only the operator's to make."""

    async def _create(self) -> bool:
        return False


class Caller:
    """Everything that is called, and what was counted."""

    def __init__(self, client: KubeClient, certificates: Certificates) -> None:
        self._client = client
        self._certificates = certificates
        self._pods: tuple[SuitePod, ...] = ()
        self._bundle = ""  # what the API server trusts virt-api by
        self._turn = 0
        self.seen: dict[str, Seen] = {}

    async def run(self, seconds: float, rate: float, *, until_changed: bool) -> None:
        """Call for `seconds`; with `until_changed` only until every port shows a leaf of a second authority."""
        ends = time.monotonic() + seconds
        await self._look()
        calls = self._calls()
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(self._keep_looking(), name="watch of pods and served leaves")
            while time.monotonic() < ends and not (until_changed and self._changed()):
                began = time.monotonic()
                for name, call in calls.items():
                    group.create_task(self._count(name, call), name=name)
                await asyncio.sleep(max(began + 1 / rate - time.monotonic(), 0))
            looking.cancel()

    def _changed(self) -> bool:
        ports = [seen for seen in self.seen.values() if seen.leaves]
        return len(ports) > len(_HTTPS) and all(len(seen.authorities) > 1 for seen in ports) and self._settled(ports)

    def _settled(self, ports: list[Seen]) -> bool:
        return len({seen.newest for seen in ports}) == 1

    def _calls(self) -> dict[str, Callable[[], Awaitable[object]]]:
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "webhook, through the API server": self._webhook,
            "webhooks of virt-api, through the API server": self._machine,
            "aggregated API, through the API server": self._aggregated,
        }
        for component in sorted({pod.component for pod in self._pods}):
            calls[f"{component}: gRPC"] = lambda component=component: self._get_info(component)
        for component in _HTTPS:
            calls[f"{component}: HTTPS"] = lambda component=component: self._https(component)
        return calls

    async def _count(self, name: str, call: Callable[[], Awaitable[object]]) -> None:
        seen = self.seen.setdefault(name, Seen())
        began = time.monotonic()
        try:
            async with asyncio.timeout(_DEADLINE):
                await call()
        except Exception as error:
            seen.failures.append(f"{type(error).__name__}: {error}"[:300])
            print(f"{time.strftime('%H:%M:%S')} {name}: {error}", file=sys.stderr, flush=True)
        seen.calls += 1
        seen.slowest = max(seen.slowest, time.monotonic() - began)

    async def _webhook(self) -> None:
        await self._client.merge_patch(KUBEVIRTS, NAMESPACE, "kubevirt", {}, dry_run=True)

    async def _machine(self) -> None:
        spec = {"domain": {"memory": {"guest": "64Mi"}, "devices": {}}}
        body = {
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachineInstance",
            "metadata": {"name": "a"},
            "spec": spec,
        }
        await self._client.create(VIRTUAL_MACHINE_INSTANCES, "default", body, dry_run=True)

    async def _aggregated(self) -> None:
        path = "/apis/subresources.kubevirt.io/v1/version"
        async with self._client.stream(path, {}, deadline=_DEADLINE) as body:
            msgspec.json.decode(await body.read())

    async def _get_info(self, component: str) -> None:
        pod = self._one(component)
        options = (
            ("grpc.ssl_target_name_override", _name(pod)),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_retries", 0),
        )
        credentials = self._certificates.channel_credentials()
        async with grpc.aio.secure_channel(f"{pod.address}:{RPC_PORT}", credentials, options=options) as channel:
            await info_pb2_grpc.InfoServiceStub(channel).GetInfo(info_pb2.GetInfoRequest(), timeout=_DEADLINE)

    async def _https(self, component: str) -> None:
        pod = self._one(component)
        context = ssl.create_default_context(cadata=self._bundle)
        await self._shown(pod, _HTTPS[component], context, f"{component}: HTTPS")

    def _one(self, component: str) -> SuitePod:
        there = [pod for pod in self._pods if pod.component == component and not pod.terminating]
        self._turn += 1
        return there[self._turn % len(there)]

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            await self._look()

    async def _look(self) -> None:
        """Find the pods, and see which leaf each shows."""
        try:
            listed = await self._client.list(PODS, NAMESPACE)
            service = await self._client.get(API_SERVICES, None, "v1.subresources.kubevirt.io")
        except Exception as error:
            print(f"looking again: {error}", file=sys.stderr, flush=True)
            return
        self._pods = suite_pods(msgspec.convert(pod, PodObject) for pod in listed)
        self._bundle = _decoded(service["spec"]["caBundle"])
        for pod in self._pods:
            if pod.terminating or not pod.address:
                continue
            try:
                own = self._certificates.folder
                context = ssl.create_default_context(cafile=own / "ca.crt")
                context.load_cert_chain(own / "tls.crt", own / "tls.key")
                context.set_alpn_protocols(["h2"])
                async with asyncio.timeout(_DEADLINE):
                    await self._shown(pod, RPC_PORT, context, f"{pod.component}: gRPC")
            except (OSError, TimeoutError) as error:
                print(f"{pod.name} shows no leaf: {error}", file=sys.stderr, flush=True)

    async def _shown(self, pod: SuitePod, port: int, context: ssl.SSLContext, name: str) -> None:
        _, writer = await asyncio.open_connection(pod.address, port, ssl=context, server_hostname=_name(pod))
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        leaf = x509.load_der_x509_certificate(der)
        seen = self.seen.setdefault(name, Seen())
        seen.leaves.add(leaf.serial_number)
        seen.newest = leaf.issuer.rfc4514_string()
        seen.authorities.add(seen.newest)


def _name(pod: SuitePod) -> str:
    return pod.server_name or f"{pod.component}.{NAMESPACE}.svc"


def _decoded(text: str) -> str:
    return b64decode(text).decode()


async def _main(arguments: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        async with KubeClient.connect("certificate-calls") as client, asyncio.TaskGroup() as group:
            authority = _Watch(client, NAMESPACE)
            own = OwnCertificate(authority, NAMESPACE, Path(folder))
            tasks = [group.create_task(authority.run(), name="authority"), group.create_task(own.run(), name="own")]
            await own.ready.wait()
            caller = Caller(client, Certificates(Path(folder)))
            began = time.monotonic()
            await caller.run(arguments.seconds, arguments.rate, until_changed=arguments.until_changed)
            for task in tasks:
                task.cancel()
        ports = {name: seen.summary() for name, seen in sorted(caller.seen.items())}
        return {
            "seconds": round(time.monotonic() - began),
            "calls": sum(result["calls"] for result in ports.values()),
            "failures": sum(result["failures"] for result in ports.values()),
            "ports": ports,
        }


def main() -> None:
    """Call, count, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=900.0)
    parser.add_argument("--rate", type=float, default=10.0, help="calls a second at each port")
    parser.add_argument("--until-changed", action="store_true", help="end when every port shows a second authority")
    print(json.dumps(asyncio.run(_main(parser.parse_args())), indent=1))


if __name__ == "__main__":
    main()
