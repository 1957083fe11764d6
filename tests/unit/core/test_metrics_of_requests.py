"""Requests to the API server are counted by what they are about, and never by name."""

from __future__ import annotations

import asyncio

import pytest
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import NotFound, Unavailable
from virt_core.kube.resource import PODS
from virt_core.metrics.requests import Requests, kind_of_path
from virt_core.testing.api_server import FakeApiServer


@pytest.mark.parametrize(
    ("path", "kind", "resource", "named"),
    [
        ("/api/v1/namespaces/shop/pods", "/api/v1/namespaces/{namespace}/pods", "pods", False),
        ("/api/v1/namespaces/shop/pods/web", "/api/v1/namespaces/{namespace}/pods/{name}", "pods", True),
        (
            "/apis/kubevirt.io/v1/namespaces/shop/virtualmachines/web/status",
            "/apis/kubevirt.io/v1/namespaces/{namespace}/virtualmachines/{name}/status",
            "virtualmachines/status",
            True,
        ),
        ("/api/v1/nodes/node1", "/api/v1/nodes/{name}", "nodes", True),
        ("/api/v1/nodes", "/api/v1/nodes", "nodes", False),
        ("/api/v1/namespaces", "/api/v1/namespaces", "namespaces", False),
        ("/api/v1/namespaces/shop", "/api/v1/namespaces/{name}", "namespaces", True),
        ("/version", "/version", "", True),
        ("/apis/kubevirt.io/v1", "/apis/kubevirt.io/v1", "", True),
    ],
)
def test_names_are_no_part_of_a_path(path: str, kind: str, resource: str, named: bool) -> None:
    assert kind_of_path(path) == (kind, resource, named)


@pytest.mark.parametrize(
    ("method", "path", "verb"),
    [
        ("GET", "/api/v1/nodes", "list"),
        ("GET", "/api/v1/nodes/n", "get"),
        ("POST", "/api/v1/nodes", "create"),
        ("PATCH", "/api/v1/nodes/n", "patch"),
        ("DELETE", "/api/v1/nodes/n", "delete"),
    ],
)
def test_a_verb_follows_from_method_and_path(method: str, path: str, verb: str) -> None:
    requests = Requests("https://10.96.0.1:443")
    requests.count(method, path, 200, 0.1)
    assert list(requests.total) == [("200", method, "10.96.0.1:443", "nodes", verb)]


async def test_a_client_counts_answers_refusals_and_watches(server: FakeApiServer, client: KubeClient) -> None:
    server.put(PODS.path("shop"), {"metadata": {"name": "web"}})
    await client.list(PODS, "shop")
    await client.get(PODS, "shop", "web")
    with pytest.raises(NotFound):
        await client.only_while(lambda: True).get(PODS, "shop", "none")
    async with client.stream(PODS.path("shop"), {"watch": "true", "resourceVersion": "0"}, 5):
        pass
    async with client.stream(PODS.path("shop"), {"limit": "500"}, 5):
        pass
    found = {(code, verb): count for (code, _, _, _, verb), count in client.requests.total.items()}
    assert found == {("200", "list"): 2, ("200", "get"): 1, ("404", "get"): 1, ("200", "watch"): 1}
    taken = {labels: counts[-1] for labels, counts, _ in client.requests.took}
    assert taken == {
        ("GET", "/api/v1/namespaces/{namespace}/pods"): 1,
        ("GET", "/api/v1/namespaces/{namespace}/pods/{name}"): 2,
    }


async def test_a_request_without_an_answer_is_counted_and_one_that_is_not_sent_is_not(client: KubeClient) -> None:
    client._host = "http://127.0.0.1:1"
    with pytest.raises(Unavailable):
        await client.list(PODS)
    with pytest.raises(Unavailable):
        await client.only_while(lambda: False).delete(PODS, "shop", "web")
    for query in ({"watch": "true"}, {"limit": "500"}):
        with pytest.raises(Unavailable):
            async with client.stream(PODS.path("shop"), query, 5):
                pass
    answers = [(labels[0], labels[-1]) for labels in client.requests.total.elements()]
    assert answers == [("<error>", "list"), ("<error>", "list"), ("<error>", "watch")]
    await asyncio.sleep(0)
