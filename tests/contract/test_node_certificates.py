"""A handler requests the certificate of its node, and the operator signs it: both real, with a fake API server."""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography import x509
from kubevirt.info.v1 import info_pb2
from virt_core.conventions.node_certificate import dns_names, node_name
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import CERTIFICATE_SIGNING_REQUESTS
from virt_core.objects.meta import ObjectMeta
from virt_core.rpc.authorize import allow
from virt_core.rpc.errors import Unavailable
from virt_core.rpc.identity import Identity
from virt_core.rpc.peer import Peer
from virt_core.rpc.port import listening
from virt_core.rpc.tls import Certificates, read_files, write_files
from virt_core.testing.api_server import FakeApiServer
from virt_handler.certificates.renewal import NodeCertificate, Timing
from virt_handler.certificates.request import new_request
from virt_operator.certificates.authority import AuthorityWatch
from virt_operator.certificates.issue import new_authority, new_leaf
from virt_operator.certificates.node_requests import Grant, Refusal, RequestSpec, SigningRequest, judge
from virt_operator.certificates.node_signing import NodeSigning
from virt_operator.certificates.rollover import Authority, fingerprint, next_step, trust_data, with_successor
from virt_operator.certificates.rotation import DEFAULT

from tests.support.patience import PATIENCE

NAMESPACE = "kubevirt"
USER = "system:serviceaccount:kubevirt:kubevirt-handler"
EXTRA = {
    "authentication.kubernetes.io/pod-name": ["virt-handler-x"],
    "authentication.kubernetes.io/pod-uid": ["uid-x"],
    "authentication.kubernetes.io/node-name": ["node1"],
}


@dataclass
class Pod:
    metadata: ObjectMeta
    spec: dict[str, object]


def handler_pod(node: str = "node1", app: str = "virt-handler") -> Pod:
    return Pod(ObjectMeta("virt-handler-x", NAMESPACE, uid="uid-x", labels={"kubevirt.io": app}), {"nodeName": node})


def request(names: tuple[str, ...] = dns_names("node1", NAMESPACE), **spec: Any) -> SigningRequest:
    _, pem = new_request(names)
    fields = {"request": b64encode(pem).decode(), "signer_name": "kubevirt.io/virt-handler", "username": USER}
    return SigningRequest(ObjectMeta("r"), RequestSpec(**{**fields, "extra": EXTRA, **spec}))


def test_the_handler_of_a_node_is_granted_that_nodes_name() -> None:
    granted = judge(request(), [handler_pod()], NAMESPACE)
    assert isinstance(granted, Grant)
    assert granted.node == "node1"
    assert granted.names == ("node1.virt-handler.kubevirt.svc", "virt-handler.kubevirt.svc")


def test_a_pod_that_is_not_known_yet_is_waited_for() -> None:
    assert judge(request(), [], NAMESPACE) is None
    reborn = replace(handler_pod(), metadata=ObjectMeta("virt-handler-x", NAMESPACE, uid="another"))
    assert judge(request(), [reborn], NAMESPACE) is None
    assert judge(request(), [handler_pod(node="")], NAMESPACE) is None, "a version before it was scheduled"


@pytest.mark.parametrize(
    ("signing_request", "pod", "why"),
    [
        (request(dns_names("node2", NAMESPACE)), handler_pod(), "is not what the handler of node 'node1' has"),
        (request(("virt-api.kubevirt.svc",)), handler_pod(), "is not what the handler of node 'node1' has"),
        (request(), handler_pod("node2"), "the token of the request is of node 'node1'"),
        (request(username="system:serviceaccount:kubevirt:default"), handler_pod(), "may not ask for this"),
        (request(username="system:serviceaccount:other:kubevirt-handler"), handler_pod(), "may not ask for this"),
        (request(extra={}), handler_pod(), "is not bound to a pod"),
        (request(), handler_pod(app="virt-api"), "is no virt-handler"),
        (request(request="bm90IGEgcmVxdWVzdA=="), handler_pod(), "cannot be read"),
    ],
)
def test_whoever_asks_for_another_name_is_refused(signing_request: SigningRequest, pod: Pod, why: str) -> None:
    refused = judge(signing_request, [pod], NAMESPACE)
    assert isinstance(refused, Refusal)
    assert why in refused.why


class AsPod:
    """A client for whose requests the fake API server records the requester."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def create(self, resource: Any, namespace: str | None, body: dict[str, Any]) -> Any:
        spec = {**body["spec"], "username": USER, "extra": EXTRA}
        body = {**body, "metadata": {**body["metadata"], "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": spec}
        return await self._client.create(resource, namespace, body)


@dataclass
class Node:
    """A handler and the operator's leader."""

    client: KubeClient
    folder: Path
    trust: Path
    authority: AuthorityWatch
    clock: list[datetime] = field(default_factory=lambda: [datetime.now(UTC)])
    certificate: NodeCertificate = field(init=False)

    def tell(self) -> None:
        """The kubelet shows what the operator wrote."""
        assert self.authority.able is not None
        data = trust_data(self.authority.able)
        write_files(self.trust, {name: b64decode(content) for name, content in data.items()})

    def leaf(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(read_files(self.folder, ("tls.crt",))["tls.crt"])


@asynccontextmanager
async def running(client: KubeClient, tmp_path: Path) -> AsyncIterator[Node]:
    node = new_node(client, tmp_path)
    async with signing(client, node, [handler_pod()]), at_work(node):
        yield node


def new_node(client: KubeClient, tmp_path: Path) -> Node:
    folder, trust = tmp_path / "own", tmp_path / "trust"
    folder.mkdir(), trust.mkdir()
    authority = AuthorityWatch(client, NAMESPACE)
    authority.able = Authority(new_authority(datetime.now(UTC)))
    node = Node(client, folder, trust, authority)
    node.tell()
    return node


@asynccontextmanager
async def signing(client: KubeClient, node: Node, pods: list[Pod]) -> AsyncIterator[None]:
    signing = NodeSigning(client, node.authority, NAMESPACE, lambda: pods, now=lambda: node.clock[0], look_again=0.01)
    async with task("signing", signing.run()):
        yield


@asynccontextmanager
async def at_work(node: Node) -> AsyncIterator[None]:
    """One process of the handler."""
    node.certificate = NodeCertificate(
        cast(KubeClient, AsPod(node.client)),
        node="node1",
        namespace=NAMESPACE,
        instance="virt-handler-x",
        folder=node.folder,
        trust=node.trust,
        now=lambda: node.clock[0],
        timing=Timing(look=0.01, retry=0.01, reminder=0.01),
    )
    async with task("certificate", node.certificate.run()):
        yield


@asynccontextmanager
async def task(name: str, work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        running = group.create_task(work, name=name)
        yield
        running.cancel()


async def renewed(node: Node, before: int) -> None:
    while node.leaf().serial_number == before:  # noqa: ASYNC110 - there is no notification of changed files
        await asyncio.sleep(0.01)


async def test_a_handler_gets_a_leaf_whose_key_never_left_it(client: KubeClient, tmp_path: Path) -> None:
    async with running(client, tmp_path) as node:
        await node.certificate.ready.wait()
        alternative = node.leaf().extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert tuple(alternative.get_values_for_type(x509.DNSName)) == dns_names("node1", NAMESPACE)
        (stored,) = await client.list(CERTIFICATE_SIGNING_REQUESTS)
        assert [condition["type"] for condition in stored["status"]["conditions"]] == ["Approved"]
        assert b"PRIVATE" not in b64decode(stored["spec"]["request"])


async def test_a_request_is_answered_as_soon_as_its_pod_is_known(client: KubeClient, tmp_path: Path) -> None:
    node, pods, decided = new_node(client, tmp_path), list[Pod](), asyncio.Event()

    def known() -> list[Pod]:
        decided.set()
        return pods

    operator = NodeSigning(client, node.authority, NAMESPACE, known, look_again=2 * PATIENCE)
    async with task("signing", operator.run()), at_work(node):
        await decided.wait()
        pods.append(handler_pod())
        operator.pods_changed()
        await node.certificate.ready.wait()


async def test_a_leaf_is_renewed_at_half_life_and_when_another_authority_signs(
    client: KubeClient, tmp_path: Path
) -> None:
    async with running(client, tmp_path) as node:
        await node.certificate.ready.wait()
        first = node.leaf().serial_number
        node.clock[0] += timedelta(hours=12, minutes=1)
        await renewed(node, first)

        second = node.leaf().serial_number
        assert node.authority.able is not None
        successor = new_authority(node.clock[0])
        both = with_successor(node.authority.able, successor)
        issuing = DEFAULT.leaf.issuing(fingerprint(both.signer.certificate))
        step = next_step(replace(both, issuing=issuing), DEFAULT, (), node.clock[0] + timedelta(minutes=1))
        assert step is not None
        assert step.to is not None
        node.authority.able = step.to
        node.tell()
        await renewed(node, second)
        node.leaf().verify_directly_issued_by(x509.load_pem_x509_certificate(successor.certificate))


async def test_a_container_that_starts_again_has_its_leaf_without_an_api_server(
    client: KubeClient, server: FakeApiServer, tmp_path: Path
) -> None:
    async with running(client, tmp_path) as node:
        await node.certificate.ready.wait()
        before = node.leaf()
    await server.down()
    again = NodeCertificate(
        client,
        node="node1",
        namespace=NAMESPACE,
        instance="virt-handler-x",
        folder=node.folder,
        trust=node.trust,
    )
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        running_again = group.create_task(again.run(), name="again")
        await again.ready.wait()
        assert node.leaf() == before
        running_again.cancel()


async def test_the_certificate_of_one_node_is_of_no_use_as_another_nodes_handler(
    client: KubeClient, tmp_path: Path
) -> None:
    identity = Identity.for_process(info_pb2.COMPONENT_HANDLER, ())
    api = tmp_path / "api"
    api.mkdir()
    async with running(client, tmp_path) as node:
        await node.certificate.ready.wait()
        assert node.authority.able is not None
        pair = new_leaf(node.authority.able.signer, "kubevirt.io:system:virt-api", ("virt-api",), datetime.now(UTC))
        write_files(api, {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": pair.bundle})
        own = Certificates(node.folder, node.trust)
        async with listening(0, identity, own, peers=allow("virt-api")) as port:
            for name in dns_names("node1", NAMESPACE):
                info = await ask(port, name, Certificates(api))
                assert info.trust_bundle_sha256 == node.authority.able.bundle_sha256
            with pytest.raises(Unavailable, match="Hostname Verification Check failed"):
                await ask(port, node_name("node2", NAMESPACE), Certificates(api))


async def ask(port: int, name: str, certificates: Certificates) -> info_pb2.GetInfoResponse:
    options = (("grpc.ssl_target_name_override", name), ("grpc.use_local_subchannel_pool", 1))
    credentials = certificates.channel_credentials()
    peer = Peer(f"127.0.0.1:{port}", name=name, credentials=credentials, options=options)
    try:
        return await peer.negotiate(PATIENCE, patient=False)
    finally:
        await peer.close()


async def requests(client: KubeClient) -> list[dict[str, Any]]:
    return await client.list(CERTIFICATE_SIGNING_REQUESTS)


async def test_a_night_without_an_operator_leaves_one_request_which_is_then_answered(
    client: KubeClient, server: FakeApiServer, tmp_path: Path
) -> None:
    node, pods = new_node(client, tmp_path), list[Pod]()
    for restart in range(5):
        async with at_work(node):
            await server.received("WATCH", server.count("WATCH") + 1)
            node.clock[0] += timedelta(hours=2)
            server.compact()  # as etcd does every five minutes
            server.cut()
            await server.received("WATCH", server.count("WATCH") + 1)
            assert len(await requests(client)) == 1, restart
    async with signing(client, node, pods), at_work(node):
        await server.received("WATCH", server.count("WATCH") + 2)
        pods.append(handler_pod())  # the operator's watch of pods is behind that of requests
        await node.certificate.ready.wait()
        (answered,) = await requests(client)
        assert b64decode(answered["status"]["certificate"]) == read_files(node.folder, ("tls.crt",))["tls.crt"]


async def test_a_request_that_was_deleted_is_made_again_with_the_same_key(
    client: KubeClient, server: FakeApiServer, tmp_path: Path
) -> None:
    node = new_node(client, tmp_path)
    async with at_work(node):
        await server.received("WATCH", 1)
        (first,) = await requests(client)
        await client.delete(CERTIFICATE_SIGNING_REQUESTS, None, first["metadata"]["name"])
        await server.received("WATCH", 2)  # of the next request
        (second,) = await requests(client)
    assert second["spec"]["request"] == first["spec"]["request"]
    assert second["metadata"]["uid"] != first["metadata"]["uid"]


async def test_after_a_denial_another_key_is_used(client: KubeClient, server: FakeApiServer, tmp_path: Path) -> None:
    node = new_node(client, tmp_path)
    async with at_work(node):
        await server.received("WATCH", 1)
        (first,) = await requests(client)
        denied = {"conditions": [{"type": "Denied", "status": "True", "message": "no"}]}
        name = first["metadata"]["name"]
        await client.merge_patch(CERTIFICATE_SIGNING_REQUESTS, None, name, {"status": denied}, "approval")
        await server.received("WATCH", 2)  # of the next request
    assert len({request["spec"]["request"] for request in await requests(client)}) == 2
