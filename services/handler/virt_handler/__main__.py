"""Entry point: settings and logs, then app.run until SIGTERM."""

from __future__ import annotations

import sys

from virt_core import aio, logs
from virt_core.conventions import components
from virt_core.flags import log_level

from virt_handler import app
from virt_handler.settings import BadSetting, Settings


def main() -> int:
    """The process's exit status."""
    logs.setup(components.HANDLER, log_level(components.HANDLER))
    try:
        settings = Settings.from_environment()
    except BadSetting as error:
        print(error, file=sys.stderr)
        return 2
    aio.run(lambda stopping: app.run(settings, stopping))
    return 0


if __name__ == "__main__":
    sys.exit(main())
