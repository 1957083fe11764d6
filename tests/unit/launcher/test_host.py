"""The connection to libvirtd when an old one closes late, and when a new one cannot be used."""

from __future__ import annotations

import queue

import libvirt
import pytest
from virt_launcher.domain.host import Host

from tests.support.patience import PATIENCE

CLOSED = libvirt.VIR_CONNECT_CLOSE_REASON_EOF


def test_a_connection_that_was_replaced_may_close_late_and_the_one_in_use_stays() -> None:
    host = Host("qemu:///session?socket=/there-is-no-such-socket")  # it goes on trying and never connects by itself
    older, used = object(), object()
    host._connection = used
    host._on_close(older, CLOSED, None)
    assert host.connected
    assert not host._lost.is_set()
    host._on_close(used, CLOSED, None)
    assert not host.connected
    assert host._lost.is_set()


def test_a_connection_that_cannot_be_used_is_closed_before_the_next_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    left: queue.Queue[int] = queue.Queue()  # references to each connection after it was closed
    close = libvirt.virConnect.close

    def closed(connection: libvirt.virConnect) -> int:
        left.put(references := close(connection))
        return int(references)

    monkeypatch.setattr(libvirt.virConnect, "close", closed)
    host = Host("test:///default")  # the test driver has no keepalive, and refuses it after all else was set up
    assert [left.get(timeout=PATIENCE) for _ in range(2)] == [0, 0]
    assert not host.connected
