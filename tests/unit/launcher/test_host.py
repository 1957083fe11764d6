"""The connection to libvirtd when an old one closes late."""

from __future__ import annotations

import libvirt
from virt_launcher.domain.host import Host

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
