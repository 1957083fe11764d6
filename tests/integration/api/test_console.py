"""A console through the real process: bytes in both directions, and every way that it can end."""

from __future__ import annotations

import signal
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType

URL = "{}/apis/subresources.kubevirt.io/{}/namespaces/default/virtualmachineinstances/vm/console"
PLAIN = "plain.kubevirt.io"


def connect(virt_api: Any, protocols: tuple[str, ...] = (PLAIN,), version: str = "v1") -> Any:
    headers = {"X-Remote-User": "bob", "Origin": "https://anywhere.example"}
    url = URL.format(virt_api.url, version)
    return virt_api.session.ws_connect(url, ssl=virt_api.front_proxy(), protocols=protocols, headers=headers)


async def ending(socket: aiohttp.ClientWebSocketResponse) -> tuple[int | None, Any]:
    """Close code and reason, once nothing comes any more."""
    while True:
        message = await socket.receive()
        if message.type is not WSMsgType.BINARY:
            return socket.close_code, message.extra


@pytest.mark.parametrize("version", ["v1", "v1alpha3"])
@pytest.mark.parametrize(
    ("offered", "selected"), [((PLAIN,), PLAIN), ((), None), (("x.example", PLAIN), PLAIN), (("x",), None)]
)
async def test_bytes_go_both_ways_whatever_subprotocol_is_offered(
    virt_api: Any, version: str, offered: tuple[str, ...], selected: str | None
) -> None:
    async with connect(virt_api, offered, version) as socket:
        assert socket.protocol == selected
        await socket.send_str("text is ignored")
        await socket.send_bytes(b"HEARTBEAT")
        await socket.send_bytes(b"hello \x00\xff")
        assert await socket.receive_bytes() == b"HELLO \x00\xff"
    target = virt_api.handler.targets[0]
    assert (target.namespace, target.name, target.uid) == ("default", "vm", "uid-vm")
    await virt_api.handler.ended.wait()  # the user left, so the handler's stream ends


async def test_much_is_cut_into_frames_that_kubevirts_clients_read(virt_api: Any) -> None:
    async with connect(virt_api) as socket:
        await socket.send_bytes(b"FLOOD")
        sizes: list[int] = []
        while sum(sizes) < 64 * 60_000:
            sizes.append(len(await socket.receive_bytes()))
        assert max(sizes) == 10240
        await socket.send_bytes(b"a" * 200_000)
        echoed = b""
        while len(echoed) < 200_000:
            echoed += await socket.receive_bytes()
        assert echoed == b"A" * 200_000


async def test_what_was_typed_last_arrives_though_the_client_closes_at_once(virt_api: Any) -> None:
    for round_number in range(20):  # what is lost is lost only now and then
        virt_api.handler.typed = b""
        virt_api.handler.ended.clear()
        async with connect(virt_api) as socket:
            await socket.send_bytes(b"a" * 300_000)
            await socket.send_bytes(b"poweroff")
        await virt_api.handler.ended.wait()
        assert virt_api.handler.typed == b"a" * 300_000 + b"poweroff", round_number


async def test_the_guests_end_is_a_normal_close(virt_api: Any) -> None:
    async with connect(virt_api) as socket:
        await socket.send_bytes(b"EOF")
        assert await ending(socket) == (1000, "")


async def test_a_newer_console_displaces_an_older_one_with_a_message(virt_api: Any) -> None:
    async with connect(virt_api) as old, connect(virt_api) as new:
        code, reason = await ending(old)
        assert code == 1008 and "displaced" in reason
        await new.send_bytes(b"still here")
        assert await new.receive_bytes() == b"STILL HERE"


async def test_a_handler_that_dies_ends_the_console_with_its_name(virt_api: Any) -> None:
    async with connect(virt_api) as socket:
        await virt_api.handler.stop()
        code, reason = await ending(socket)
        assert code == 1011 and reason.startswith("the connection ended: ")


async def test_a_client_that_vanishes_frees_the_console(virt_api: Any) -> None:
    async with connect(virt_api) as socket:
        await socket.send_bytes(b"FLOOD")  # more than every buffer on the way holds
        transport = socket.get_extra_info("socket")
        assert transport is not None
        socket._response.connection.transport.abort()
        await virt_api.handler.ended.wait()


async def test_sigterm_ends_every_console_with_a_message(virt_api: Any) -> None:
    async with connect(virt_api) as socket:
        virt_api.process.send_signal(signal.SIGTERM)
        code, reason = await ending(socket)
        assert (code, str(reason)[:20]) == (1001, "virt-api is stopping")
    assert await virt_api.process.wait() == 0
