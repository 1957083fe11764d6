"""``python -m virt_handler``: settings from the environment, then start.run, which imports app.py, until SIGTERM."""

from __future__ import annotations

import os
import sys

from virt_core.conventions import components
from virt_core.service import serve

from virt_handler.settings import Settings
from virt_handler.start import run


def main() -> None:
    """Serve in this process."""
    serve(components.HANDLER, Settings.from_environment, run)
    sys.stderr.flush()
    # Skips the interpreter's shutdown: during an update the node has no handler until this process is gone.
    os._exit(0)


if __name__ == "__main__":
    main()
