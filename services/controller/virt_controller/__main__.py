"""``python -m virt_controller``: settings from the environment, then app.main until SIGTERM."""

from __future__ import annotations

from virt_core import aio, logs
from virt_core.conventions import components
from virt_core.flags import log_level

from virt_controller.app import main
from virt_controller.settings import Settings

if __name__ == "__main__":
    logs.setup(components.CONTROLLER, log_level(components.CONTROLLER))
    settings = Settings.from_environment()
    aio.run(lambda stopping: main(settings, stopping))
