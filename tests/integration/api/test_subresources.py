"""Display, ports, commands and queries through the real process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType
from virt_core.rpc.errors import Refused, UnsupportedByPeer

VMI = "/apis/subresources.kubevirt.io/{}/namespaces/default/virtualmachineinstances/vm/{}"
PLAIN = "plain.kubevirt.io"
SERIAL, VNC = 1, 2  # ConsoleDevice of handler/v1


def connect(virt_api: Any, subresource: str, version: str = "v1") -> Any:
    url = virt_api.url + VMI.format(version, subresource)
    headers = {"X-Remote-User": "bob"}
    return virt_api.session.ws_connect(url, ssl=virt_api.front_proxy(), protocols=(PLAIN,), headers=headers)


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A port of the guest, whose address is this machine's: echoes until "bye", then ends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (data := await reader.read(65536)) and data != b"bye":
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.mark.parametrize("version", ["v1", "v1alpha3"])
async def test_a_display_is_joined_and_is_no_console(virt_api: Any, version: str) -> None:
    async with connect(virt_api, "vnc", version) as socket:
        await socket.send_bytes(b"rfb 003.008\n")
        assert await socket.receive_bytes() == b"RFB 003.008\n"
    async with connect(virt_api, "console", version) as socket:
        await socket.send_bytes(b"x")
        assert await socket.receive_bytes() == b"X"
    assert virt_api.handler.devices == [VNC, SERIAL]
    reviewed = [review["resourceAttributes"]["subresource"] for review in virt_api.kube.reviews.seen]
    assert reviewed == ["vnc", "console"]


async def test_a_display_in_use_is_taken_over_unless_the_session_is_to_be_preserved(virt_api: Any) -> None:
    async with connect(virt_api, "vnc") as old:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await connect(virt_api, "vnc?preserveSession=true")
        assert refused.value.status == 503
        await old.send_bytes(b"still mine")
        assert await old.receive_bytes() == b"STILL MINE"
        async with connect(virt_api, "vnc?preserveSession=false"):
            assert (await old.receive()).type is WSMsgType.CLOSE
            assert old.close_code == 1008


@pytest.mark.parametrize("protocol", ["", "/tcp"])
async def test_a_port_carries_bytes_both_ways_and_needs_no_handler(virt_api: Any, port: int, protocol: str) -> None:
    await virt_api.handler.stop()
    async with connect(virt_api, f"portforward/{port}{protocol}") as socket:
        await socket.send_bytes(b"x" * 200_000)
        received = b""
        while len(received) < 200_000:
            received += await socket.receive_bytes()
        await socket.send_bytes(b"bye")
        assert (await socket.receive()).type is WSMsgType.CLOSE
        assert socket.close_code == 1000
    attributes = virt_api.kube.reviews.seen[-1]["resourceAttributes"]
    assert (attributes["verb"], attributes["subresource"]) == ("get", "portforward")


async def test_what_was_sent_last_to_a_port_arrives_though_the_client_closes_at_once(virt_api: Any) -> None:
    received: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await received.put(await reader.read(-1))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        number = server.sockets[0].getsockname()[1]
        async with connect(virt_api, f"portforward/{number}") as socket:
            await socket.send_bytes(b"y" * 300_000)
        assert await received.get() == b"y" * 300_000


async def test_a_port_without_a_listener_is_reported_before_the_upgrade(virt_api: Any, port: int) -> None:
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as server:
        closed = server.sockets[0].getsockname()[1]
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await connect(virt_api, f"portforward/{closed}")
    assert refused.value.status == 503
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await connect(virt_api, f"portforward/{port}/udp")
    assert refused.value.status == 400


@pytest.mark.parametrize("version", ["v1", "v1alpha3"])
@pytest.mark.parametrize(
    ("subresource", "conditions", "kind"),
    [
        ("pause", (), "pause"),
        ("unpause", ("Paused",), "unpause"),
        ("reset", (), "reset"),
        ("softreboot", (), "soft_reboot"),
        ("freeze", ("AgentConnected",), "freeze"),
        ("unfreeze", ("AgentConnected",), "unfreeze"),
    ],
)
async def test_a_command_reaches_the_handler_of_the_guests_node(
    virt_api: Any, version: str, subresource: str, conditions: tuple[str, ...], kind: str
) -> None:
    virt_api.set_conditions(*conditions)
    path = VMI.format(version, subresource)
    assert await virt_api.answered("PUT", path, b'{"dryRun": ["All"]}') == (200, b"", "application/octet-stream")
    assert virt_api.handler.commands == []
    assert (await virt_api.answered("PUT", path))[:2] == (200, b"")
    assert [command.WhichOneof("command") for command in virt_api.handler.commands] == [kind]
    assert virt_api.handler.targets[0].uid == "uid-vm"
    attributes = virt_api.kube.reviews.seen[-1]["resourceAttributes"]
    assert (attributes["verb"], attributes["subresource"], attributes["version"]) == ("update", subresource, version)
    assert (await virt_api.answered("PUT", path, user="eve"))[0] == 403
    assert len(virt_api.handler.commands) == 1


async def test_a_freeze_carries_its_timeout(virt_api: Any) -> None:
    virt_api.set_conditions("AgentConnected")
    path = VMI.format("v1", "freeze")
    assert (await virt_api.answered("PUT", path, b'{"unfreezeTimeout": "2m"}'))[0] == 200
    assert virt_api.handler.commands[0].freeze.unfreeze_after.seconds == 120
    code, body, _ = await virt_api.answered("PUT", path, b'{"unfreezeTimeout": "soon"}')
    assert code == 400 and "unfreezeTimeout" in json.loads(body)["message"]


async def test_what_the_launcher_refuses_is_a_conflict_and_what_it_lacks_is_not_implemented(virt_api: Any) -> None:
    for refusal, code, reason in (
        (Refused("the machine is ending"), 409, "Conflict"),
        (UnsupportedByPeer("launcher: CommandMachine is not known"), 501, "NotImplemented"),
    ):
        virt_api.handler.refusal = refusal
        answered, body, _ = await virt_api.answered("PUT", VMI.format("v1", "pause"))
        status = json.loads(body)
        assert (answered, status["reason"], status["kind"]) == (code, reason, "Status")
        assert "virt-handler-abc of node node1" in status["message"] and str(refusal) in status["message"]


async def test_details_are_queried_only_if_there_is_an_agent(virt_api: Any) -> None:
    for subresource in ("guestosinfo", "userlist", "filesystemlist"):
        code, body, _ = await virt_api.answered("GET", VMI.format("v1", subresource))
        assert code == 409 and "VMI does not have guest agent connected" in json.loads(body)["message"]
    virt_api.set_conditions("AgentConnected")
    code, body, kind = await virt_api.answered("GET", VMI.format("v1alpha3", "guestosinfo"))
    assert (code, kind) == (200, "application/json")
    assert json.loads(body)["hostname"] == "box"
    code, body, _ = await virt_api.answered("GET", VMI.format("v1", "userlist"))
    assert (code, json.loads(body)) == (200, {"metadata": {}, "items": [{"userName": "debian"}]})


async def test_a_screenshot_is_a_picture_of_any_size(virt_api: Any) -> None:
    code, body, kind = await virt_api.answered("GET", VMI.format("v1", "vnc/screenshot?moveCursor=false"))
    assert (code, kind) == (200, "image/png")
    assert body.startswith(b"\x89PNG") and len(body) > 5 * 1024 * 1024
    attributes = virt_api.kube.reviews.seen[-1]["resourceAttributes"]
    assert (attributes["verb"], attributes["subresource"]) == ("get", "vnc/screenshot")
    code, _, _ = await virt_api.answered("GET", VMI.format("v1", "vnc/screenshot?moveCursor=true"))
    assert code == 400
