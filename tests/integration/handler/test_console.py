"""Consoles over real mTLS; the hypervisor's end is a plain unix socket."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kubevirt.handler.v1 import handler_pb2 as pb
from kubevirt.handler.v1 import handler_pb2_grpc
from kubevirt.info.v1 import info_pb2
from virt_core.rpc.authorize import allow
from virt_core.rpc.error_status import from_rpc_error
from virt_core.rpc.errors import Denied, Displaced, InvalidField, NotFound, Refused
from virt_core.rpc.identity import Identity
from virt_core.rpc.port import listening
from virt_core.rpc.tls import Certificates
from virt_core.vmi.instance import VirtualMachineInstance
from virt_handler.launchers.folder_events import FolderEvents
from virt_handler.launchers.pod_folders import PodFolders
from virt_handler.service.commands import Commands
from virt_handler.service.consoles import Consoles
from virt_handler.service.servicer import HandlerService, contract
from virt_handler.service.session import CHUNK

from tests.support.patience import PATIENCE

VMI_UID = "5f0c1e9e-6a50-4a34-8c6b-0d6f2b1c0a11"
POD_UID = "0b8f3c52-1f7e-4f0a-9d43-7a1f5f2f9c00"
NAME = "virt-handler.kubevirt.svc"


class Authority:
    """Signs leaves into folders as Secrets are mounted."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self._certificate = self._sign(self._name, self._key, authority=True)

    def leaf(self, folder: Path, component: str) -> Certificates:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"kubevirt.io:system:{component}")])
        folder.mkdir()
        pem = serialization.Encoding.PEM
        (folder / "tls.crt").write_bytes(self._sign(subject, key).public_bytes(pem))
        (folder / "ca.crt").write_bytes(self._certificate.public_bytes(pem))
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (folder / "tls.key").write_bytes(private)
        return Certificates(folder)

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, authority: bool = False) -> Any:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
            .sign(self._key, hashes.SHA256())
        )


class Serial:
    """The hypervisor's end: one client at a time, as QEMU serves it; `accepted` hands each one over."""

    def __init__(self) -> None:
        self.accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self._writers: list[asyncio.StreamWriter] = []
        self._closed = False

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self.accepted.put_nowait((reader, writer))
        if self._closed:
            writer.close()

    async def close(self) -> None:
        self._closed = True
        for writer in self._writers:
            writer.close()
        for writer in self._writers:
            with suppress(ConnectionError):
                await writer.wait_closed()


class Cache:
    """What the servicer asks of the reflector."""

    def __init__(self, vmi: VirtualMachineInstance) -> None:
        self._vmi = vmi

    def get(self, key: tuple[str, str]) -> VirtualMachineInstance | None:
        return self._vmi if key == self._vmi.key else None


class Place:
    """A served handler."""

    def __init__(self, serial: Serial, connect: Callable[[str], Any], path: Path) -> None:
        self.serial = serial
        self.socket = path
        self._connect = connect

    @asynccontextmanager
    async def call(self, component: str) -> AsyncIterator[Any]:
        """A stream on which nothing is written yet."""
        async with self._connect(component) as channel:
            yield handler_pb2_grpc.HandlerServiceStub(channel).OpenConsole(timeout=PATIENCE)

    @asynccontextmanager
    async def open(self, uid: str = VMI_UID, **request: Any) -> AsyncIterator[Any]:
        async with self.call("virt-api") as call:
            target = pb.VirtualMachineInstanceRef(namespace="default", name="demo", uid=uid)
            await call.write(pb.OpenConsoleRequest(target=target, **{"device": pb.CONSOLE_DEVICE_SERIAL, **request}))
            yield call

    async def refusal(self, **options: Any) -> Any:
        async with self.open(**options) as call:
            return await refusal_of(call)


async def refusal_of(call: Any) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call.read()
    return from_rpc_error(refused.value)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    if os.geteuid() != 0:
        pytest.skip("needs root: sockets of another owner are made")
    stored = {
        "metadata": {"name": "demo", "namespace": "default", "uid": VMI_UID},
        "status": {"phase": "Running", "activePods": {POD_UID: "node1"}},
    }
    vmi = VirtualMachineInstance.of(stored)
    folder = tmp_path / "pods" / POD_UID / "volumes" / "kubernetes.io~empty-dir" / "private"
    folder.mkdir(parents=True)
    authority, serial = Authority(), Serial()
    async with AsyncExitStack() as stack:
        listener = await _listen_as_launcher(serial, folder)
        stack.push_async_callback(serial.close)
        stack.push_async_callback(listener.wait_closed)
        stack.callback(listener.close)
        events = FolderEvents()
        stack.callback(events.close)
        folders = PodFolders(tmp_path / "pods", events)
        stack.callback(folders.close)
        identity = Identity.for_process(info_pb2.COMPONENT_HANDLER, ("kubevirt.handler.v1",))
        service = HandlerService("node1", Cache(vmi), Consoles(folders), Commands(lambda _: None))  # type: ignore[arg-type]
        own = authority.leaf(tmp_path / "virt-handler", "virt-handler")
        serving = listening(0, identity, own, contract(service), peers=allow("virt-api"))
        port = await stack.enter_async_context(serving)
        authority.leaf(tmp_path / "virt-api", "virt-api")

        def connect(component: str) -> Any:
            credentials = Certificates(tmp_path / component).channel_credentials()
            options = [("grpc.ssl_target_name_override", NAME)]
            return grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=options)

        yield Place(serial, connect, folder / "virt-serial0")


async def _listen_as_launcher(serial: Serial, folder: Path) -> asyncio.Server:
    """The kernel tells a client who called listen(), so that is done as the launcher's user."""
    listener = socket.socket(socket.AF_UNIX)
    descriptor = os.open(folder, os.O_PATH)  # the path itself may exceed a socket's address
    listener.bind(f"/proc/self/fd/{descriptor}/virt-serial0")
    os.close(descriptor)
    os.chown(folder / "virt-serial0", 107, 107)
    os.seteuid(107)
    try:
        return await asyncio.start_unix_server(serial.serve, sock=listener)
    finally:
        os.seteuid(0)


async def test_bytes_pass_in_both_directions_and_the_end_is_reported(place: Place) -> None:
    async with place.open() as call:
        assert (await call.read()).WhichOneof("message") == "opened"
        reader, writer = await place.serial.accepted.get()
        await call.write(pb.OpenConsoleRequest(data=b"ls\n"))
        assert await reader.readexactly(3) == b"ls\n"
        big = bytes(range(256)) * 2048  # more than any buffer on the way
        writer.write(big)
        received = b""
        while len(received) < len(big):
            received += (await call.read()).data
        assert received == big
        writer.close()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_what_was_typed_last_arrives_though_the_caller_ends_at_once(place: Place) -> None:
    async with place.open() as call:
        assert (await call.read()).WhichOneof("message") == "opened"
        reader, _ = await place.serial.accepted.get()
        typed = b"x" * (8 * CHUNK)  # more than the socket takes before its reader reads
        for start in range(0, len(typed), CHUNK):
            await call.write(pb.OpenConsoleRequest(data=typed[start : start + CHUNK]))
        await call.done_writing()
        assert await reader.readexactly(len(typed)) == typed
        assert await call.read() is grpc.aio.EOF


async def test_a_newer_caller_displaces_the_older(place: Place) -> None:
    async with place.open() as older, place.open() as newer:
        assert (await older.read()).WhichOneof("message") == "opened"
        first, _ = await place.serial.accepted.get()
        assert (await newer.read()).WhichOneof("message") == "opened"
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await older.read()
        assert isinstance(from_rpc_error(ended.value), Displaced)
        assert await first.read() == b""  # the port was released
        second, _ = await place.serial.accepted.get()
        await newer.write(pb.OpenConsoleRequest(data=b"x"))
        assert await second.readexactly(1) == b"x"


async def test_a_newer_caller_who_preserves_the_older_is_refused(place: Place) -> None:
    async with place.open() as older:
        assert (await older.read()).WhichOneof("message") == "opened"
        refused = await place.refusal(preserve_older=True)
        assert isinstance(refused, Refused) and refused.reason == "IN_USE"
        reader, _ = await place.serial.accepted.get()
        await older.write(pb.OpenConsoleRequest(data=b"x"))
        assert await reader.readexactly(1) == b"x"


async def test_the_display_is_another_device_than_the_console(place: Place) -> None:
    refused = await place.refusal(device=pb.CONSOLE_DEVICE_VNC)
    assert isinstance(refused, Refused) and "virt-vnc" in refused.message
    place.socket.rename(place.socket.with_name("virt-vnc"))
    async with place.open(device=pb.CONSOLE_DEVICE_VNC) as call:
        assert (await call.read()).WhichOneof("message") == "opened"
    unknown = await place.refusal(device=99)
    assert isinstance(unknown, InvalidField)


async def test_a_caller_that_goes_releases_the_port(place: Place) -> None:
    async with place.open() as call:
        assert (await call.read()).WhichOneof("message") == "opened"
        reader, _ = await place.serial.accepted.get()
        call.cancel()
        async with asyncio.timeout(PATIENCE):
            assert await reader.read() == b""


async def test_only_virt_api_may_call_and_only_for_a_guest_of_this_node(place: Place) -> None:
    # Denied before anything is read, so nothing is written: gRPC's client may lose the status of a stream that ends
    # while it writes (grpc/grpc issue 36066). virt-api negotiates first and is denied there.
    async with place.call("virt-handler") as call:
        assert isinstance(await refusal_of(call), Denied)
    assert isinstance(await place.refusal(uid="another"), NotFound)


async def test_a_console_that_is_not_the_launchers_socket_is_not_opened(place: Place) -> None:
    place.socket.unlink()
    assert isinstance(await place.refusal(), Refused)
    place.socket.symlink_to("/run/elsewhere")
    refused = await place.refusal()
    assert isinstance(refused, Refused)
    assert refused.reason == "HOSTILE_PATH"
