"""Every TCP port that a pod of the suite listens on, and who is refused there.

What listens is read from the pods' own network namespaces, so that a new port is not forgotten here.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from kubevirt.admin.v1 import admin_pb2
from kubevirt.handler.v1 import handler_pb2, probe_pb2
from kubevirt.info.v1 import info_pb2, info_pb2_grpc
from localcluster.settings import Cluster
from virt_core.conventions.webhooks import MUTATE, VALIDATE_CREATE, VALIDATE_UPDATE

from tests.e2e import admin
from tests.e2e.admin import Identity, administrator
from tests.e2e.certificates import Authority, component
from tests.e2e.cluster import NAMESPACE, get, on_this_machine, processes, until
from tests.e2e.guests import manifest, running

HEALTH, RPC, WEBHOOK, API, METRICS = 8080, 8186, 8444, 8443, 8443
PORTS = {
    "virt-operator": {HEALTH, RPC, WEBHOOK, METRICS},
    "virt-api": {RPC, API},
    "virt-controller": {HEALTH, RPC, METRICS},
    "virt-handler": {HEALTH, RPC, METRICS},
    "virt-launcher": set(),
}
COMPONENTS = [name for name, ports in PORTS.items() if RPC in ports]
VMI_WEBHOOKS = (MUTATE, VALIDATE_CREATE, VALIDATE_UPDATE)
API_PORT, WEBHOOK_PORT = ("virt-api", API), ("virt-operator", WEBHOOK)
CONTRACTS: tuple[Any, ...] = (admin_pb2, handler_pb2, info_pb2, probe_pb2, health_pb2, reflection_pb2)
HEALTH_SERVICE = "grpc.health.v1.Health"
OUTDATED = "kubevirt_vmi_number_of_outdated"
LISTENING = "0A"  # include/net/tcp_states.h
CONSOLE = "/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachineinstances/none/console"
FRONT_PROXY = "front-proxy-client"
CLUSTER_ADMIN = {"X-Remote-User": "someone", "X-Remote-Group": "system:masters"}
pytestmark = [pytest.mark.parallel, pytest.mark.filterwarnings("error")]


@pytest.fixture(scope="module")
def cluster(suite: None) -> Cluster:
    """The pods' addresses are reached from this machine."""
    local = Cluster.load()
    if not on_this_machine():
        pytest.skip("the pods of this cluster are not on this machine")
    return local


@pytest.fixture(scope="module")
def authority(cluster: Cluster) -> Authority:
    return Authority.of_suite()


def pods(name: str) -> list[Any]:
    selected = get("pods", "-A", "-l", f"kubevirt.io={name}")["items"]
    return [pod for pod in selected if "deletionTimestamp" not in pod["metadata"]]


def address(name: str) -> str:
    return str(pods(name)[0]["status"]["podIP"])


def listening(pid: int) -> Iterator[int]:
    """TCP ports that anyone listens on in the network namespace of a process."""
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if state == LISTENING:
                yield int(local.rpartition(":")[2], 16)


def test_every_port_that_a_pod_listens_on_is_tested_here(cluster: Cluster) -> None:
    with running(manifest("ports")) as (guest,):
        seen = set()
        for pod in [*get("-n", NAMESPACE, "pods")["items"], guest.pod]:
            name = pod["metadata"]["labels"].get("kubevirt.io", "")
            for process in processes(pod["metadata"]["uid"])[:1]:  # none: it has ended
                assert set(listening(process.pid)) == PORTS.get(name, set()), pod["metadata"]["name"]
                seen.add(name)
    assert seen >= set(PORTS)


# --- gRPC ---


def rpc(name: str, caller: Identity | None) -> Any:
    """A channel to a component's gRPC port."""
    key, certificate = (caller.key, caller.certificate) if caller is not None else (None, None)
    credentials = grpc.ssl_channel_credentials(admin.authority(), key, certificate)
    options = [
        ("grpc.ssl_target_name_override", f"{name}.{NAMESPACE}.svc"),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    return grpc.secure_channel(f"{address(name)}:{RPC}", credentials, options=options)


def answer(channel: Any, method: str) -> grpc.StatusCode:
    """What a call of any method with an empty message ends with, or OK with its first answer."""
    call = channel.stream_stream(method)(iter([b""]), timeout=120)
    try:
        next(call)
        return grpc.StatusCode.OK
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    finally:
        call.cancel()


def methods(name: str) -> list[str]:
    """All methods that the component serves on its port, by reflection."""
    caller = administrator() if name == "virt-operator" else Authority.of_suite().leaf(component("virt-operator"))
    with rpc(name, caller) as channel:
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        answer = next(stub.ServerReflectionInfo(iter([request]), timeout=120))
    services = [service.name for service in answer.list_services_response.service]
    known = {name: service for module in CONTRACTS for name, service in module.DESCRIPTOR.services_by_name.items()}
    found = [known[service.rpartition(".")[2]] for service in services]
    return [f"/{service.full_name}/{method.name}" for service in found for method in service.methods]


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_grpc_port_has_no_connection_for_strangers(name: str, authority: Authority) -> None:
    strangers = authority.strangers(component("virt-operator")) | {"none": None}
    if name != "virt-operator":  # which knows users by certificates of the cluster (test_admin.py)
        strangers["of the cluster's administrator"] = administrator()
    for what, stranger in strangers.items():
        with rpc(name, stranger) as channel:
            assert answer(channel, "/kubevirt.info.v1.InfoService/GetInfo") is grpc.StatusCode.UNAVAILABLE, what
    with rpc(name, authority.leaf(component("virt-operator"))) as channel:
        info = info_pb2_grpc.InfoServiceStub(channel).GetInfo(info_pb2.GetInfoRequest(), timeout=120)
    assert info.component != info_pb2.COMPONENT_UNSPECIFIED


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_grpc_port_refuses_every_method_to_the_wrong_component(name: str, authority: Authority) -> None:
    served = methods(name)
    assert "/kubevirt.info.v1.InfoService/GetInfo" in served
    with rpc(name, authority.leaf(component("virt-controller"))) as channel:
        answers = {method: answer(channel, method) for method in served}
    # Health is open to everyone with a certificate of the suite's CA.
    public = {method for method in served if method.startswith(f"/{HEALTH_SERVICE}/")}
    assert {answers[method] for method in public} <= {grpc.StatusCode.OK, grpc.StatusCode.UNIMPLEMENTED}
    assert answers[f"/{HEALTH_SERVICE}/Check"] is grpc.StatusCode.OK
    assert {method: answers[method] for method in served if method not in public} == dict.fromkeys(
        sorted(set(served) - public), grpc.StatusCode.PERMISSION_DENIED
    )


def test_a_handler_s_console_is_for_virt_api_alone(authority: Authority) -> None:
    method = "/kubevirt.handler.v1.HandlerService/OpenConsole"
    with rpc("virt-handler", authority.leaf(component("virt-operator"))) as channel:
        assert answer(channel, method) is grpc.StatusCode.PERMISSION_DENIED
    with rpc("virt-handler", authority.leaf(component("virt-api"))) as channel:
        assert answer(channel, method) not in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAVAILABLE)


# --- HTTPS and HTTP ---


def https(
    where: tuple[str, int], path: str, caller: Identity | None, folder: Path, *, method: str = "GET", **more: Any
) -> int | None:
    """The status of an answer, or None where the handshake was refused."""
    name, port = where
    context = ssl.create_default_context(cadata=admin.authority().decode())
    if caller is not None:
        (folder / "caller.pem").write_bytes(caller.certificate + caller.key)
        context.load_cert_chain(folder / "caller.pem")
    connection = http.client.HTTPConnection(address(name), port, timeout=120)
    with contextlib.closing(connection):
        try:
            connection.connect()
            connection.sock = context.wrap_socket(connection.sock, server_hostname=f"{name}.{NAMESPACE}.svc")
            connection.request(method, path, **more)
            with connection.getresponse() as response:
                return response.status
        except (ssl.SSLError, ConnectionResetError, BrokenPipeError) as error:
            # The server's end of it: by TLS 1.3 the client is through before the server has looked at its certificate.
            assert not isinstance(error, ssl.SSLCertVerificationError), error
            return None


def test_the_aggregated_api_believes_the_front_proxy_alone(
    cluster: Cluster, authority: Authority, tmp_path: Path
) -> None:
    front_proxy = Authority.of_front_proxy(cluster.pki)
    callers = front_proxy.strangers(FRONT_PROXY) | {
        "none": None,
        "of the right authority with another name": front_proxy.leaf("someone"),
        "of the suite's authority": authority.leaf(FRONT_PROXY),
        "of the cluster's administrator": administrator(),
        "the front proxy's": front_proxy.leaf(FRONT_PROXY),
    }
    answers = {
        what: https(API_PORT, CONSOLE, caller, tmp_path, headers=CLUSTER_ADMIN) for what, caller in callers.items()
    }
    assert answers.pop("the front proxy's") == 400  # believed, and allowed: a console is not asked for in this way
    assert answers.pop("none") == 401
    assert answers.pop("of the right authority with another name") == 401
    assert answers == dict.fromkeys(answers, None)
    nobody = {"X-Remote-User": "nobody"}
    assert https(API_PORT, CONSOLE, front_proxy.leaf(FRONT_PROXY), tmp_path, headers=nobody) == 403


def test_the_aggregated_api_shows_discovery_and_metrics_to_everyone_and_nothing_else(
    cluster: Cluster, tmp_path: Path
) -> None:
    for path in ("/healthz", "/apis", "/openapi/v2", "/metrics"):
        assert https(API_PORT, path, None, tmp_path) == 200
    for path in ("/debug/pprof", "/apis/subresources.kubevirt.io/v1/namespaces"):
        assert https(API_PORT, path, None, tmp_path, headers=CLUSTER_ADMIN) == 401


@pytest.mark.parametrize(
    ("where", "path"), [(WEBHOOK_PORT, "/validate-kubevirt"), *((API_PORT, path) for path in VMI_WEBHOOKS)]
)
def test_a_webhook_takes_reviews_from_kube_apiserver_which_shows_no_certificate(
    authority: Authority, tmp_path: Path, where: tuple[str, int], path: str
) -> None:
    """An API server has none for webhooks unless it is configured so. Whoever asks gets a verdict on what they sent."""
    for what, stranger in authority.strangers(component("virt-operator")).items():
        assert https(where, path, stranger, tmp_path, method="POST", body="{}") is None, what
    assert https(where, path, None, tmp_path, method="POST", body="{}") == 400


def test_the_operators_webhook_serves_nothing_else(authority: Authority, tmp_path: Path) -> None:
    assert https(WEBHOOK_PORT, "/metrics", None, tmp_path) == 404


@pytest.mark.parametrize("name", [name for name, ports in PORTS.items() if HEALTH in ports])
def test_the_plain_port_serves_readiness_and_nothing_else(name: str, cluster: Cluster) -> None:
    """So it may be open: the kubelet, who asks, has no certificate of ours."""
    for method, path in (
        ("GET", "/healthz"),
        ("GET", "/metrics"),
        ("POST", "/debug/pprof"),
        ("GET", "/../../etc/passwd"),
    ):
        expected = 200 if path == "/healthz" else 404
        connection = http.client.HTTPConnection(address(name), HEALTH, timeout=120)
        connection.request(method, path, body=json.dumps({}) if method == "POST" else None)
        response = connection.getresponse()
        assert (response.status, response.read()) == (expected, b"")
        assert set(dict(response.getheaders())) == {"Content-Length", "Connection"}
        connection.close()


def metrics_of(pod: dict[str, Any]) -> list[str]:
    """The names of a pod's metrics. Anybody in the cluster may read them, as KubeVirt's."""
    context = ssl.create_default_context(cadata=admin.authority().decode())
    context.check_hostname = False
    connection = http.client.HTTPSConnection(pod["status"]["podIP"], METRICS, timeout=120, context=context)
    with contextlib.closing(connection):
        connection.request("GET", "/metrics")
        with connection.getresponse() as response:
            assert response.status == 200
            lines = response.read().decode().splitlines()
    return sorted({line.split("{")[0].split(" ")[0] for line in lines if not line.startswith("#")})


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_component_serves_metrics_by_https_with_the_suites_certificate(name: str) -> None:
    for pod in pods(name):
        names = metrics_of(pod)
        assert {"process_resident_memory_bytes", f"kubevirt_{name.replace('-', '_')}_ready_status"} <= set(names)
        assert all(metric.startswith(("kubevirt_", "process_")) for metric in names)


def test_the_service_of_metrics_has_every_ready_pod_of_the_suite() -> None:
    def subsets() -> list[Any]:
        found: list[Any] = get("endpoints", "-n", NAMESPACE, "kubevirt-prometheus-metrics").get("subsets", [])
        return found

    def has_all() -> bool:
        addresses = {address["ip"] for subset in subsets() for address in subset.get("addresses", ())}
        return addresses == {pod["status"]["podIP"] for name in COMPONENTS for pod in pods(name)}

    until(has_all, "every pod, which is not ready where a busy machine keeps its probe waiting")
    assert {(port["name"], port["port"]) for subset in subsets() for port in subset["ports"]} == {("metrics", METRICS)}


def test_the_leader_alone_counts_guests() -> None:
    def counted() -> list[str]:
        return [metric for pod in pods("virt-controller") for metric in metrics_of(pod) if metric == OUTDATED]

    until(lambda: counted() == [OUTDATED], "one that counts, also after another leads")
