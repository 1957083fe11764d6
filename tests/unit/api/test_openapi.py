"""OpenAPI documents of the subresources, and how often they are sent."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from kubevirt.launcher.v1 import guest_pb2, launcher_pb2
from virt_api.aggregation.documents import static_documents
from virt_api.aggregation.openapi import openapi_v2, openapi_v3
from virt_api.subresources.guest_documents import document_of
from virt_core.conventions.subresources import SUPPORTED, VERSIONS
from virt_core.objects.field_table import field_table

V2, V3 = openapi_v2("0.1.0"), {version: openapi_v3("0.1.0", version) for version in VERSIONS}
DOCUMENTS = pytest.mark.parametrize("document", [V2, *V3.values()], ids=["v2", *VERSIONS])
ROOT = "/apis/subresources.kubevirt.io"
VMI = f"{ROOT}/v1/namespaces/{{namespace}}/virtualmachineinstances/{{name}}"
NAMED = r"{namespace}/(\w+/{name}/[^{]+?)(/{.*)?"
_METHODS = {"get": "get", "update": "put"}


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for below in value.values():
            yield from nodes(below)
    elif isinstance(value, list):
        for below in value:
            yield from nodes(below)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            yield path, operation


@DOCUMENTS
def test_every_served_subresource_is_described_with_its_method(document: dict[str, Any]) -> None:
    for version in VERSIONS:
        described = {
            (found[1], method)
            for path, methods in document["paths"].items()
            for method in methods
            if (
                found := re.fullmatch(
                    rf"{ROOT}/{version}/namespaces/{{namespace}}/(\w+/{{name}}/[^{{]+?)(/{{.*)?", path
                )
            )
        }
        expected = {(name.replace("/", "/{name}/", 1), _METHODS[verb]) for name, verb in SUPPORTED.items()}
        assert described == (expected if f"{ROOT}/{version}/version" in document["paths"] else set())


@DOCUMENTS
def test_a_generator_of_clients_finds_names_parameters_answers_and_types(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, operation in operations(document)]
    assert len(names) == len(set(names))
    for path, operation in operations(document):
        declared = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
        assert declared == set(re.findall(r"{(\w+)}", path))
        assert operation["responses"]
    types = document.get("definitions") or document["components"]["schemas"]
    references = {node["$ref"].rpartition("/")[2] for node in nodes(document) if "$ref" in node}
    assert references <= set(types)


def test_operations_bodies_and_answers_have_kubevirts_names() -> None:
    paths = V3["v1"]["paths"]
    pause, info = paths[f"{VMI}/pause"]["put"], paths[f"{VMI}/guestosinfo"]["get"]
    assert pause["operationId"] == "v1Pause"
    body = pause["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/v1.PauseOptions"}
    assert "required" not in pause["requestBody"]
    answer = info["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer == {"$ref": "#/components/schemas/v1.VirtualMachineInstanceGuestAgentInfo"}
    assert paths[f"{VMI}/portforward/{{port}}/{{protocol}}"]["get"]["operationId"] == "v1vmi-PortForwardWithProtocol"
    assert "101" in paths[f"{VMI}/console"]["get"]["responses"]
    assert V2["paths"][f"{VMI}/vnc/screenshot"]["get"]["produces"] == ["image/png"]


def test_types_have_the_fields_of_kubevirts_own() -> None:
    for name, schema in V2["definitions"].items():
        if not name.endswith("List"):
            assert set(schema["properties"]) == set(field_table()[name]), name


def test_an_answer_of_a_real_disk_fits_its_type() -> None:
    details = launcher_pb2.GetGuestDetailsResponse(
        filesystems=[guest_pb2.GuestFilesystem(name="vda1", mount_point="/", total_bytes=1 << 40, used_bytes=1 << 39)]
    )
    (item,) = document_of("filesystemlist", details)["items"]
    properties = V2["definitions"]["v1.VirtualMachineInstanceFileSystem"]["properties"]
    assert set(item) - {"disk"} <= set(properties)
    assert item["totalBytes"] > 1 << 31 and properties["totalBytes"] == {"type": "integer", "format": "int64"}


@pytest.fixture
async def server() -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    application = web.Application()
    for path, document in static_documents("0.1.0").items():
        application.router.add_get(path, document.serve)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as session:
        yield session, f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize("path", ["/openapi/v2", "/openapi/v3", f"/openapi/v3{ROOT}/v1", ROOT])
async def test_a_document_that_the_caller_has_is_not_sent_again(
    server: tuple[aiohttp.ClientSession, str], path: str
) -> None:
    session, url = server
    async with session.get(url + path) as first:
        etag, body = first.headers["ETag"], await first.read()
    assert json.loads(body)
    async with session.get(url + path, headers={"If-None-Match": etag}) as second:
        assert (second.status, await second.read(), second.headers["ETag"]) == (304, b"", etag)
    async with session.get(url + path, headers={"If-None-Match": '"of another release"'}) as third:
        assert (third.status, await third.read()) == (200, body)


async def test_the_index_names_documents_by_hash_and_another_hash_leads_to_the_present_one(
    server: tuple[aiohttp.ClientSession, str],
) -> None:
    session, url = server
    async with session.get(f"{url}/openapi/v3") as answer:
        index = (await answer.json())["paths"]
    assert sorted(index) == [f"{ROOT[1:]}/{version}" for version in VERSIONS]
    place = index[f"{ROOT[1:]}/v1"]["serverRelativeURL"]
    async with session.get(url + place) as answer:
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "public, immutable")
        assert (await answer.json())["openapi"] == "3.0.0"
    stale = place.partition("?")[0] + "?hash=OLD"
    async with session.get(url + stale, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (301, place)


def test_documents_change_with_the_release() -> None:
    old, new = static_documents("0.1.0"), static_documents("0.2.0")
    assert old["/openapi/v3"].body != new["/openapi/v3"].body
