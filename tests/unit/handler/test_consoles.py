"""The end of a console when one of its directions ends."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from kubevirt.handler.v1 import handler_pb2 as pb
from virt_core.rpc.errors import Denied, Refused, Unavailable
from virt_handler.launchers.pod_folders import PodFolders
from virt_handler.service.consoles import Consoles
from virt_handler.service.session import Session

from tests.support.patience import PATIENCE

FIRST = pb.OpenConsoleRequest(target=pb.VirtualMachineInstanceRef(name="demo"), device=pb.CONSOLE_DEVICE_SERIAL)


def stays(_target: pb.VirtualMachineInstanceRef, _pod_uid: str) -> str:
    """The guest does not migrate."""
    return ""


class Folders:
    """Any pod has any socket; descriptors are of nothing in particular."""

    def open_socket(self, _pod_uid: str, _volume: str, _name: str) -> int:
        return os.open("/dev/null", os.O_PATH)


@pytest.fixture
async def guest() -> AsyncIterator[tuple[Consoles, socket.socket]]:
    """Consoles whose sockets all lead to one guest, and the guest's end."""
    ours, guests = socket.socketpair()
    guests.setblocking(False)

    async def open_session(descriptor: int) -> Session:
        os.close(descriptor)
        return Session(*await asyncio.open_unix_connection(sock=ours))

    with guests:
        yield Consoles(cast(PodFolders, Folders()), open_session), guests


async def all_of(responses: AsyncIterator[Any], opened: asyncio.Event) -> list[Any]:
    found = []
    async for response in responses:
        found.append(response)
        opened.set()
    return found


async def test_a_console_ends_when_its_callers_stream_breaks(guest: tuple[Consoles, socket.socket]) -> None:
    consoles, _ = guest

    async def requests() -> AsyncIterator[pb.OpenConsoleRequest]:
        yield FIRST
        raise Denied("the caller's certificate was revoked")

    async with asyncio.timeout(PATIENCE):
        responses = await all_of(consoles.open(requests(), lambda _: "pod", stays), asyncio.Event())
    assert [response.WhichOneof("message") for response in responses] == ["opened"]


async def test_of_two_callers_at_once_who_preserve_an_older_console_the_second_is_refused() -> None:
    entered, pairs = asyncio.Semaphore(0), [socket.socketpair(), socket.socketpair()]
    answers = [asyncio.Event(), asyncio.Event()]
    waiting = list(zip(pairs, answers, strict=True))

    async def open_session(descriptor: int) -> Session:
        os.close(descriptor)
        (ours, _), answered = waiting.pop(0)
        entered.release()
        await answered.wait()
        return Session(*await asyncio.open_unix_connection(sock=ours))

    async def requests() -> AsyncIterator[pb.OpenConsoleRequest]:
        yield pb.OpenConsoleRequest(target=FIRST.target, device=FIRST.device, preserve_older=True)
        await asyncio.Event().wait()

    consoles, opened = Consoles(cast(PodFolders, Folders()), open_session), [asyncio.Event(), asyncio.Event()]
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        first = group.create_task(all_of(consoles.open(requests(), lambda _: "pod", stays), opened[0]))
        await entered.acquire()
        second = asyncio.ensure_future(all_of(consoles.open(requests(), lambda _: "pod", stays), opened[1]))
        await entered.acquire()
        answers[0].set()
        await opened[0].wait()
        answers[1].set()
        with pytest.raises(Refused, match="is in use"):
            await second
        assert not first.done(), "the older console stays"
        first.cancel()
    for _, guests in pairs:
        guests.close()


async def test_a_console_that_the_guest_ends_leaves_no_reader_of_its_callers_stream(
    guest: tuple[Consoles, socket.socket],
) -> None:
    consoles, serial = guest
    opened, released = asyncio.Event(), asyncio.Event()

    async def requests() -> AsyncIterator[pb.OpenConsoleRequest]:
        yield FIRST
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(50):  # as a transport that has something to put in order
                await asyncio.sleep(0)
            released.set()

    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        reading = group.create_task(all_of(consoles.open(requests(), lambda _: "pod", stays), opened))
        await opened.wait()
        serial.shutdown(socket.SHUT_WR)
        await reading
        assert released.is_set()


async def test_a_console_that_ends_because_the_guest_migrates_says_where_the_guest_is(
    guest: tuple[Consoles, socket.socket],
) -> None:
    consoles, serial = guest
    opened = asyncio.Event()

    async def requests() -> AsyncIterator[pb.OpenConsoleRequest]:
        yield FIRST
        await asyncio.Event().wait()

    async with asyncio.timeout(PATIENCE):
        responses = consoles.open(requests(), lambda _: "pod", lambda _, pod: "node2" if pod == "pod" else "")
        reading = asyncio.create_task(all_of(responses, opened))
        await opened.wait()
        serial.shutdown(socket.SHUT_WR)
        with pytest.raises(Unavailable, match="the guest migrates to node node2, connect again") as raised:
            await reading
    assert raised.value.reason == "MIGRATED"
