"""``python -m virt_api``: logs, settings, then app.py until SIGTERM."""

from __future__ import annotations

from virt_core import aio, logs
from virt_core.conventions import components
from virt_core.flags import log_level

from virt_api.app import run


def main() -> None:
    """Run the service in this process."""
    logs.setup(components.API, log_level(components.API))
    aio.run(run)


if __name__ == "__main__":
    main()
