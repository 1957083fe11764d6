"""``python -m virt_handler``: settings from the environment, then app.run until SIGTERM."""

from __future__ import annotations

from virt_core.conventions import components
from virt_core.service import serve

from virt_handler.app import run
from virt_handler.settings import Settings


def main() -> None:
    """Serve in this process."""
    serve(components.HANDLER, Settings.from_environment, run)


if __name__ == "__main__":
    main()
