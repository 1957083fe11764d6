"""virt-launcher: runs a single guest with libvirt in its pod. Started and restarted by the supervisor.

A thread connects to libvirt while gRPC, the largest import, is still being imported.
"""

from __future__ import annotations

import os
import sys

from virt_core.conventions import components

# A libvirtd that hangs delays the end of the pod by this much.
_FAREWELL = 0.5  # seconds


def main() -> None:
    """Serve; exit with status 0 when the machine has ended and its end is acknowledged."""
    os.umask(0o077)  # sockets and records are for this user and for root
    # This process does not use TLS in Python, and asyncio works without it: saves 1.2 MiB per VM.
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
    host.close(_FAREWELL)
    sys.stderr.flush()
    # Skips the interpreter's shutdown, which would wait for a thread that may hang in libvirt.
    os._exit(0)


if __name__ == "__main__":
    main()
