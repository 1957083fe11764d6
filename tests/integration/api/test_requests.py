"""Open paths and refusals, without a console."""

from __future__ import annotations

import asyncio
import signal
import ssl

import aiohttp
import pytest
from virt_core.kube.resource import CONFIG_MAPS, KUBEVIRTS
from virt_core.testing.place import Place

from tests.integration.api.process import VirtApi
from tests.samples.virt_api import FRONT_PROXY_RULES
from tests.support.authorities import Authority

GROUP = "/apis/subresources.kubevirt.io"
CONSOLE = f"{GROUP}/v1/namespaces/default/virtualmachineinstances/{{}}/console"


async def test_discovery_version_and_health_are_open_to_everyone(virt_api: VirtApi) -> None:
    nobody = virt_api.tls(None)
    for path in ("/", "/apis", GROUP, f"{GROUP}/v1", f"{GROUP}/v1alpha3", "/openapi/v2", "/openapi/v3"):
        code, _ = await virt_api.get(path, user=None, context=nobody)
        assert code == 200, path
    _, index = await virt_api.get("/openapi/v3", user=None, context=nobody)
    for entry in index["paths"].values():
        code, document = await virt_api.get(entry["serverRelativeURL"], user=None, context=nobody)
        assert (code, document["openapi"]) == (200, "3.0.0")
    _, version = await virt_api.get(f"{GROUP}/v1/version", user=None, context=nobody)
    assert version["gitVersion"].startswith("v")
    code, health = await virt_api.get(f"{GROUP}/v1/healthz", user=None, context=nobody)
    assert (code, health["apiserver"]["connectivity"]) == (200, "ok")
    assert health["apiserver"]["version"]["gitVersion"] == "v1.34.4"
    kubevirt = virt_api.kube.store.get(Place.parse(KUBEVIRTS.path("kubevirt", "kubevirt")))
    assert health["config-resource-version"] == kubevirt["metadata"]["resourceVersion"]


@pytest.mark.parametrize("who", ["no certificate", "another common name"])
async def test_nobody_but_the_front_proxy_names_users(virt_api: VirtApi, who: str) -> None:
    context = virt_api.tls(None) if who == "no certificate" else virt_api.front_proxy("impostor")
    code, status = await virt_api.get(CONSOLE.format("vm"), context=context)
    assert (code, status["kind"], status["reason"]) == (401, "Status", "Unauthorized")
    assert virt_api.kube.reviews.seen == []


async def test_a_certificate_of_another_authority_gets_no_connection(virt_api: VirtApi) -> None:
    ours = virt_api.suite.write_leaf(virt_api.folder / "wrong", "front-proxy-client")
    with pytest.raises((ssl.SSLError, aiohttp.ClientError)):
        await virt_api.get(CONSOLE.format("vm"), context=virt_api.tls(ours))
    assert virt_api.kube.reviews.seen == []


async def test_a_user_without_access_learns_what_was_denied(virt_api: VirtApi) -> None:
    code, status = await virt_api.get(CONSOLE.format("vm"), user="eve")
    assert (code, status["reason"]) == (403, "Forbidden")
    assert 'User "eve" cannot get resource "virtualmachineinstances/console"' in status["message"]
    assert status["details"] == {
        "group": "subresources.kubevirt.io",
        "kind": "virtualmachineinstances",
        "name": "vm",
    }
    attributes = virt_api.kube.reviews.seen[-1]["resourceAttributes"]
    assert (attributes["verb"], attributes["resource"], attributes["subresource"]) == (
        "get",
        "virtualmachineinstances",
        "console",
    )


async def test_refusals_are_status_objects(virt_api: VirtApi) -> None:
    virt_api.put_guest("starting", phase="Scheduling")
    virt_api.put_guest("elsewhere", nodeName="node9")
    virt_api.put_guest("unreadable", phase=5)
    virt_api.put_guest("unknown")
    for name, expected, words in (
        ("absent", 404, '"absent" not found'),
        ("starting", 400, "its phase is Scheduling"),
        ("elsewhere", 503, "no virt-handler pod on node 'node9'"),
        ("unreadable", 500, "status.phase"),
        ("unknown", 404, "virt-handler virt-handler-abc of node node1: no such guest"),
    ):
        code, status = await virt_api.get(CONSOLE.format(name))
        assert (code, status["code"], status["kind"]) == (expected, expected, "Status"), name
        assert words in status["message"]
    base = f"{GROUP}/v1/namespaces/default/virtualmachineinstances/vm"
    for method, path, expected in (
        ("GET", f"{base}/usbredir", 501),
        ("GET", f"{base}/vnc", 400),
        ("GET", f"{base}/nonsense", 404),
        ("PUT", f"{base}/console", 405),
        ("GET", f"{GROUP}/v2", 404),
        ("GET", f"{GROUP}/v1/namespaces/default/virtualmachineinstances/%2e%2e%2fvm/console", 400),
    ):
        code, status = await virt_api.get(path, method=method)
        assert (code, status["code"], status["kind"]) == (expected, expected, "Status"), path


async def test_a_dead_handler_is_named_with_its_node(virt_api: VirtApi) -> None:
    await virt_api.handler.stop()
    code, status = await virt_api.get(CONSOLE.format("vm"))
    assert (code, status["reason"]) == (503, "ServiceUnavailable")
    assert "virt-handler-abc of node node1" in status["message"]


async def test_new_certificates_and_rules_hold_from_the_next_handshake(virt_api: VirtApi) -> None:
    async def leaf() -> bytes | None:
        port = int(virt_api.url.rpartition(":")[2])
        _, writer = await asyncio.open_connection("localhost", port, ssl=virt_api.tls(None))
        certificate: bytes | None = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return certificate

    before = await leaf()
    assert before == await leaf()
    virt_api.suite.write_leaf(virt_api.folder / "api", "kubevirt.io:system:virt-api")
    assert before != await leaf()

    old, successor = virt_api.front_proxy(), Authority("the next front proxy")
    changed = {"data": {"requestheader-client-ca-file": successor.pem.decode()}}
    virt_api.kube.patch(CONFIG_MAPS.path("kube-system", FRONT_PROXY_RULES), changed)
    await virt_api.logged("trusting the front proxy")
    virt_api.proxy = successor
    code, _ = await virt_api.get(CONSOLE.format("absent"))
    assert code == 404
    with pytest.raises((ssl.SSLError, aiohttp.ClientError)):
        await virt_api.get(CONSOLE.format("absent"), context=old)


async def test_sigterm_is_heard_by_the_probe_first_and_ends_the_process(virt_api: VirtApi) -> None:
    assert await virt_api.is_ready()
    virt_api.process.send_signal(signal.SIGTERM)
    await virt_api.logged("draining")
    assert not await virt_api.is_ready()
    assert await virt_api.process.wait() == 0
