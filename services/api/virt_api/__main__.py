"""``python -m virt_api``: settings from the environment, then app.run until SIGTERM."""

from __future__ import annotations

from virt_core.conventions import components
from virt_core.service import serve

from virt_api.app import run
from virt_api.settings import Settings


def main() -> None:
    """Serve in this process."""
    serve(components.API, Settings.from_environment, run)


if __name__ == "__main__":
    main()
