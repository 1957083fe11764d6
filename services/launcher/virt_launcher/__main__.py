"""virt-launcher: runs one guest by libvirt in its pod. Started, again and again, by the supervisor.

The connection to libvirt is made by a thread while gRPC, the largest import, is still on its way.
"""

from __future__ import annotations

import os
import sys

from virt_core.conventions import components

# A libvirtd that hangs delays the end of the pod by this much.
_FAREWELL_S = 0.5


def main() -> None:
    """Serve; exit with status 0 when the machine is over and done with."""
    os.umask(0o077)  # sockets and records are for this user and for root
    # Nothing here speaks TLS in Python, and asyncio does without it: 1.2 MiB of each machine.
    sys.modules["ssl"] = None  # type: ignore[assignment]

    from virt_launcher.domain.host import Host
    from virt_launcher.settings import Settings, log_level

    settings = Settings()
    host = Host(settings.connection_uri)

    import asyncio

    from virt_core import logs
    from virt_core.rpc import lean

    lean.load()
    from virt_launcher import app

    logs.setup(components.LAUNCHER, log_level())
    asyncio.run(app.run(settings, host))
    host.close(_FAREWELL_S)
    sys.stderr.flush()
    # Not by way of the interpreter's end: it would wait for a thread that libvirt may hold for ever.
    os._exit(0)


if __name__ == "__main__":
    main()
