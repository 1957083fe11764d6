"""The page's stream of changes, a WebSocket. Called by app.py; reads board.py.

The first messages have everything, later ones what has changed; null is what is gone. Changes that come together are
sent together.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import msgspec
from aiohttp import web
from virt_core import logs

from virt_admin.suite.summary import Summary
from virt_admin.ui.board import MACHINES, SUITE, Board, Changed, encoded
from virt_admin.ui.sockets import drain, opened

_log = logs.bound("virt_admin.ui.feed")
_SETTLE = 0.1  # seconds in which changes are collected
_TICK = 1.0  # seconds between two looks at what is not followed: no watch reports that


class Feed:
    """What one page has not been sent yet."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._changed: set[Changed] = set()
        self._stirred = asyncio.Event()
        self._shown: tuple[Summary | None] | None = None
        self._sent: tuple[bool, list[str]] | None = None

    def note(self, changed: Changed) -> None:
        """To be sent."""
        self._changed.add(changed)
        self._stirred.set()

    async def next(self) -> dict[str, Any]:
        """The next message, when there is one."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_TICK):
                    await self._stirred.wait()
                    await asyncio.sleep(_SETTLE)
            if message := self._message():
                return message

    def _message(self) -> dict[str, Any]:
        changed, self._changed = self._changed, set()
        self._stirred.clear()
        message: dict[str, Any] = {}
        for what, key in changed:
            if what == SUITE:
                message |= self._suite()
            else:
                value = self._board.machine(key) if what == MACHINES else self._board.event(key)
                message.setdefault(what, {})["/".join(key)] = value
        state = (self._board.complete, self._board.troubles())
        if state != self._sent:
            self._sent = state
            message |= {"complete": state[0], "troubles": state[1]}
        return message

    def _suite(self) -> dict[str, Any]:
        """The suite, if the page has not been sent the same: its leases are renewed all the time."""
        suite = self._board.suite()
        timeless = msgspec.structs.replace(suite, time="") if suite is not None else None
        if self._shown == (timeless,):
            return {}
        self._shown = (timeless,)
        return {SUITE: suite}


async def feed(request: web.Request, board: Board) -> web.WebSocketResponse:
    """Send changes until the page is closed. A defect ends the stream, and the page opens another."""
    socket = await opened(request)
    changes = Feed(board)
    board.subscribe(changes.note)
    tasks = {asyncio.create_task(_send(socket, changes)), asyncio.create_task(drain(socket))}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        board.unsubscribe(changes.note)
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception) and not isinstance(ended, ConnectionError):
                _log.error("ending a page's stream after a defect", exc_info=ended)
    return socket


async def _send(socket: web.WebSocketResponse, changes: Feed) -> None:
    while True:
        await socket.send_str(encoded(await changes.next()))
