"""libvirt's test driver, in this process: its parser and schema are the real ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import libvirt


@contextmanager
def without_hypervisor() -> Iterator[libvirt.virConnect]:
    """A connection to the test driver. Its errors are raised and not written to standard error."""
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    connection = libvirt.open("test:///default")
    try:
        yield connection
    finally:
        connection.close()


def require_valid(connection: libvirt.virConnect, xml: str) -> None:
    """Raises libvirtError unless `xml` is a valid domain."""
    connection.defineXMLFlags(xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE).undefine()
