"""libvirtd's listener, found in the kernel's table of sockets."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from virt_launcher.migration.listening import Listening, ListeningFailed, is_connected, listens


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
        assert not is_connected(Path(table).read_text(), address, port)
        with socket.create_connection((address, port)):
            assert is_connected(Path(table).read_text(), address, port)


@contextmanager
def libvirtd_of(folder: Path, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of that name, whose number is in the file of libvirtd's."""
    for made in ("run/libvirt", "config/libvirt"):
        (folder / made).mkdir(parents=True)
    with subprocess.Popen([name, "60"], executable="/usr/bin/sleep") as process:
        (folder / "run/libvirt/libvirtd.pid").write_text(f"{process.pid}\n")
        yield process
        process.kill()


async def test_libvirtd_that_does_not_restart_is_reported_and_does_not_listen_later(tmp_path: Path) -> None:
    with libvirtd_of(tmp_path, "/usr/sbin/libvirtd") as libvirtd:
        with pytest.raises(ListeningFailed, match="libvirtd did not restart within"):
            await Listening(tmp_path, patience=0.2).open("127.0.0.1")
        assert libvirtd.wait() == -signal.SIGTERM
    assert Listening(tmp_path).address is None


async def test_process_with_the_number_of_a_dead_libvirtd_is_left_alone(tmp_path: Path) -> None:
    with libvirtd_of(tmp_path, "/usr/bin/sleep") as stranger:
        with pytest.raises(ListeningFailed):
            await Listening(tmp_path, patience=0.1).open("127.0.0.1")
        assert stranger.poll() is None


async def test_closing_what_is_not_open_does_nothing(tmp_path: Path) -> None:
    listening = Listening(tmp_path)
    await listening.close()
    assert listening.address is None
