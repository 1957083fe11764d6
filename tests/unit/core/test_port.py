"""The gRPC port of a pod: authorization over real mTLS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from kubevirt.handler.v1 import handler_pb2, handler_pb2_grpc
from kubevirt.info.v1 import info_pb2, info_pb2_grpc
from virt_core.rpc.authorize import allow
from virt_core.rpc.identity import Identity
from virt_core.rpc.port import Contract, listening
from virt_core.rpc.server import create_server
from virt_core.rpc.tls import Certificates
from virt_operator.certificates.issue import KeyPair, new_authority, new_leaf

IDENTITY = Identity.for_process(info_pb2.COMPONENT_HANDLER, ("kubevirt.info.v1", "kubevirt.handler.v1"))


class Echo(handler_pb2_grpc.HandlerServiceServicer):
    """Sends back what was typed."""

    async def OpenConsole(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        async for request in request_iterator:
            yield handler_pb2.OpenConsoleResponse(data=request.data)


@pytest.fixture
def authority() -> KeyPair:
    return new_authority(datetime.now(UTC))


def certificates(authority: KeyPair, folder: Path, component: str) -> Certificates:
    leaf = new_leaf(authority, f"kubevirt.io:system:{component}", ("localhost",), datetime.now(UTC))
    folder.mkdir()
    for name, content in (("tls.crt", leaf.certificate), ("tls.key", leaf.key), ("ca.crt", leaf.bundle)):
        (folder / name).write_bytes(content)
    return Certificates(folder)


@pytest.fixture
async def port(authority: KeyPair, tmp_path: Path) -> AsyncIterator[int]:
    """A handler's port: consoles are virt-api's, GetInfo and reflection are virt-operator's."""
    add = partial(handler_pb2_grpc.add_HandlerServiceServicer_to_server, Echo())
    console = Contract("kubevirt.handler.v1.HandlerService", add, allow("virt-api"))
    own = certificates(authority, tmp_path / "own", "virt-handler")
    async with listening(0, IDENTITY, own, console, peers=allow("virt-operator")) as port:
        yield port


async def test_a_method_may_have_a_rule_of_its_own(authority: KeyPair, tmp_path: Path) -> None:
    add = partial(handler_pb2_grpc.add_HandlerServiceServicer_to_server, Echo())
    rules = {"TakeScreenshot": allow("virt-controller")}
    contract = Contract("kubevirt.handler.v1.HandlerService", add, allow("virt-api"), rules)
    own = certificates(authority, tmp_path / "own", "virt-handler")
    denied, not_implemented = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED
    expected = {"virt-api": (denied, not_implemented), "virt-controller": (not_implemented, denied)}
    async with listening(0, IDENTITY, own, contract, peers=allow("virt-operator")) as port:
        for component, codes in expected.items():
            caller = certificates(authority, tmp_path / component, component).channel_credentials()
            async with grpc.aio.secure_channel(f"localhost:{port}", caller) as channel:
                stub: Any = handler_pb2_grpc.HandlerServiceStub(channel)
                screenshot = stub.TakeScreenshot(handler_pb2.TakeScreenshotRequest(), timeout=5)
                details = stub.GetGuestDetails(handler_pb2.GetGuestDetailsRequest(), timeout=5)
                assert (await screenshot.code(), await details.code()) == codes


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
async def test_the_port_answers_on_ipv4_and_ipv6(address: str, port: int, authority: KeyPair, tmp_path: Path) -> None:
    caller = certificates(authority, tmp_path / "caller", "virt-operator").channel_credentials()
    options = [("grpc.ssl_target_name_override", "localhost")]
    async with grpc.aio.secure_channel(f"{address}:{port}", caller, options) as channel:
        info = await info_pb2_grpc.InfoServiceStub(channel).GetInfo(info_pb2.GetInfoRequest(), timeout=5)
    assert info.component == info_pb2.COMPONENT_HANDLER


@pytest.fixture
async def connect(port: int, authority: KeyPair, tmp_path: Path) -> AsyncIterator[Any]:
    """Channels by the name of the component that calls."""
    channels = []

    def connect(component: str) -> grpc.aio.Channel:
        credentials = certificates(authority, tmp_path / component, component).channel_credentials()
        options = (("grpc.use_local_subchannel_pool", 1),)
        channels.append(grpc.aio.secure_channel(f"localhost:{port}", credentials, options=options))
        return channels[-1]

    yield connect
    for channel in channels:
        await channel.close()


async def get_info(channel: grpc.aio.Channel) -> Any:
    return await info_pb2_grpc.InfoServiceStub(channel).GetInfo(info_pb2.GetInfoRequest(), timeout=5)


async def console(channel: grpc.aio.Channel) -> Any:
    stub: Any = handler_pb2_grpc.HandlerServiceStub(channel)
    return await stub.OpenConsole(iter([handler_pb2.OpenConsoleRequest(data=b"x")]), timeout=5).read()


async def services(channel: grpc.aio.Channel) -> list[str]:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    answer = await stub.ServerReflectionInfo(iter([request]), timeout=5).read()
    return [service.name for service in answer.list_services_response.service]


async def test_each_service_answers_those_that_its_rule_names(connect: Any) -> None:
    operator, api = connect("virt-operator"), connect("virt-api")
    assert (await get_info(operator)).instance_id == IDENTITY.instance_id
    assert (await console(api)).data == b"x"
    # On streams nothing is written: gRPC's client may lose the status of one that ends while it writes (grpc/grpc issue
    # 36066).
    no_reflection: Any = reflection_pb2_grpc.ServerReflectionStub(api)
    no_console: Any = handler_pb2_grpc.HandlerServiceStub(operator)
    for refused in (
        get_info(api),
        no_reflection.ServerReflectionInfo(timeout=5).read(),
        no_console.OpenConsole(timeout=5).read(),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as denied:
            await refused
        assert denied.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert "may not call this, only" in (denied.value.details() or "")


async def test_reflection_lists_the_services_and_describes_them(connect: Any) -> None:
    operator = connect("virt-operator")
    assert await services(operator) == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "kubevirt.handler.v1.HandlerService",
        "kubevirt.info.v1.InfoService",
    ]
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(operator)
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol="kubevirt.handler.v1.HandlerService")
    answer = await stub.ServerReflectionInfo(iter([request]), timeout=5).read()
    assert b"OpenConsole" in answer.file_descriptor_response.file_descriptor_proto[0]


async def test_health_answers_every_component_and_a_watch_reports_the_end(authority: KeyPair, tmp_path: Path) -> None:
    own = certificates(authority, tmp_path / "own", "virt-handler")
    credentials = certificates(authority, tmp_path / "client", "anything").channel_credentials()
    request = health_pb2.HealthCheckRequest(service="kubevirt.info.v1.InfoService")
    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    async with listening(0, IDENTITY, own, peers=allow("virt-operator")) as port:
        channel = grpc.aio.secure_channel(f"localhost:{port}", credentials)
        stub: Any = health_pb2_grpc.HealthStub(channel)
        assert (await stub.Check(request, timeout=5)).status == serving
        watch = stub.Watch(request, timeout=5)
        assert (await watch.read()).status == serving
    assert (await watch.read()).status == not_serving
    await channel.close()


async def test_a_service_without_a_rule_is_refused(authority: KeyPair, tmp_path: Path) -> None:
    server = create_server(IDENTITY, rules={})
    own = certificates(authority, tmp_path / "own", "virt-operator")
    port = server.add_secure_port("localhost:0", own.server_credentials())
    await server.start()
    async with grpc.aio.secure_channel(f"localhost:{port}", own.channel_credentials()) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match="has no rule"):
            await get_info(channel)
    await server.stop(None)


async def test_a_further_authority_is_trusted_as_soon_as_it_is_known(authority: KeyPair, tmp_path: Path) -> None:
    other = new_authority(datetime.now(UTC))
    own = certificates(authority, tmp_path / "own", "virt-operator")
    foreign = certificates(other, tmp_path / "foreign", "virt-operator")
    credentials = grpc.ssl_channel_credentials(
        authority.certificate, (foreign.folder / "tls.key").read_bytes(), (foreign.folder / "tls.crt").read_bytes()
    )
    trusted_bundle = [b""]
    rule = allow("virt-operator")
    async with listening(0, IDENTITY, own, peers=rule, also_trusted=lambda: trusted_bundle[0]) as port:
        for trusted in (False, True):
            trusted_bundle[0] = other.certificate if trusted else b""
            options = (("grpc.use_local_subchannel_pool", 1),)
            async with grpc.aio.secure_channel(f"localhost:{port}", credentials, options=options) as channel:
                if trusted:
                    assert (await get_info(channel)).release
                    continue
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await get_info(channel)
                assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
