"""Tries the target's ports before anything is copied. Called by source.py."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Iterable

_TIMEOUT = 5.0  # seconds


async def unreachable(address: str, ports: Iterable[int]) -> str:
    """Why a connection to the address is impossible, for people; empty if all ports can be reached. On a port nobody
    may listen yet: a refused connection has reached the target."""
    listed = list(ports)
    reached = await asyncio.gather(*(_reaches(address, port) for port in listed))
    blocked = [str(port) for port, ok in zip(listed, reached, strict=True) if not ok]
    if not blocked:
        return ""
    return (
        f"the target {address} cannot be reached on TCP {', '.join(blocked)}: a NetworkPolicy has to allow the "
        f"TCP ports {', '.join(map(str, listed))} between the virt-launcher pods of the virtual machine"
    )


async def _reaches(address: str, port: int) -> bool:
    try:
        async with asyncio.timeout(_TIMEOUT):
            _, writer = await asyncio.open_connection(address, port)
    except (TimeoutError, OverflowError):  # the latter: no port has that number
        return False
    except OSError as error:
        return error.errno == errno.ECONNREFUSED
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
