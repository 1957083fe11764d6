"""libvirtd's listener, found in the kernel's table of sockets."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from virt_launcher.migration.listening import Listening, listens


@pytest.mark.parametrize(
    ("family", "address", "table"),
    [(socket.AF_INET, "127.0.0.1", "/proc/self/net/tcp"), (socket.AF_INET6, "::1", "/proc/self/net/tcp6")],
)
def test_listener_is_found_by_its_address_and_port(family: socket.AddressFamily, address: str, table: str) -> None:
    with socket.socket(family) as server:
        server.bind((address, 0))
        port = server.getsockname()[1]
        assert not listens(Path(table).read_text(), address, port)
        server.listen()
        assert listens(Path(table).read_text(), address, port)
        other = "127.0.0.2" if family is socket.AF_INET else "::2"
        assert not listens(Path(table).read_text(), other, port)


async def test_closing_what_is_not_open_does_nothing(tmp_path: Path) -> None:
    listening = Listening(tmp_path)
    await listening.close()
    assert listening.address is None
