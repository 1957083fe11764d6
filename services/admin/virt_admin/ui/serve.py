"""`virtadm ui`: listens on 127.0.0.1, opens the browser, until SIGINT or SIGTERM. Called by cli.py."""

from __future__ import annotations

import asyncio
import html
import os
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from aiohttp import web
from virt_core import aio
from virt_core.kube.resource import KUBEVIRTS
from virt_core.objects.kubevirt import KubeVirt

from virt_admin.access import Access
from virt_admin.outcome import CLEAN, CannotTell
from virt_admin.suite.listing import listed
from virt_admin.suite.observed import suite_of
from virt_admin.ui.app import Server
from virt_admin.ui.board import Board
from virt_admin.ui.guard import SESSION
from virt_admin.ui.page import File, read_page
from virt_admin.ui.session import Session

_ADDRESS = "127.0.0.1"
_SHUTDOWN = 2.0  # seconds for what is being answered
_OPENER = """<!doctype html><meta charset="utf-8"><title>virtadm ui</title>
<form method="post" action="{action}"><input type="hidden" name="code" value="{code}">
<button>Open virtadm ui</button></form><script>document.forms[0].submit()</script>
"""


async def serve(access: Access, namespace: str | None, *, port: int, browser: bool) -> int:
    """Serve the page until a signal comes; returns the process's status."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    board = Board(access.client, namespace, await _suite_namespace(access))
    async with listening(access, board, read_page(), port) as server:
        click.echo(f"http://{_ADDRESS}:{server.port}/\nthe code, good once: {server.session.code}")
        with TemporaryDirectory(prefix="virtadm-ui-") as folder:
            if browser and _has_screen():
                url = opener(Path(folder), server).as_uri()
                threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()  # some return when closed
            await aio.until(stopping, ("watches of the page", board.run()))
    return CLEAN


@asynccontextmanager
async def listening(access: Access, board: Board, files: Mapping[str, File], port: int = 0) -> AsyncIterator[Server]:
    """The server, on 127.0.0.1 alone; port 0 is any.

    Raises:
        CannotTell: the port is in use.
    """
    with socket.socket() as bound:  # first, because the port is a part of what is checked
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((_ADDRESS, port))
        except OSError as error:
            raise CannotTell(f"cannot listen on {_ADDRESS}:{port}: {error.strerror}") from error
        server = Server(access, board, files, Session(), bound.getsockname()[1])
        runner = web.AppRunner(
            server.application(), access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN
        )
        await runner.setup()
        try:
            await web.SockSite(runner, bound).start()
            yield server
        finally:
            await runner.cleanup()


def opener(folder: Path, server: Server) -> Path:
    """A file for this user alone that posts the code: with a URL every process of the machine would see it."""
    path = folder / "open.html"
    action = f"http://{_ADDRESS}:{server.port}{SESSION}"
    text = _OPENER.format(action=action, code=html.escape(server.session.code))
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def _has_screen() -> bool:
    """Whether a browser would have a window: some open in this terminal otherwise."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


async def _suite_namespace(access: Access) -> str:
    """Where the suite is; a user who may not know has the usual one."""
    try:
        kubevirt = suite_of(await listed(access.client, KUBEVIRTS, KubeVirt, optional=True))
    except CannotTell:
        return "kubevirt"
    return kubevirt.metadata.namespace if kubevirt is not None else "kubevirt"
