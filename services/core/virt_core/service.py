"""How operator, api, controller and handler run: flags, logs, settings, then one coroutine on uvloop until SIGTERM.

Called by their `__main__`. The launcher has its own: it must not load what this imports.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from virt_core import aio, logs
from virt_core.flags import log_level
from virt_core.settings import BadSetting

Settings = TypeVar("Settings")


def serve(
    component: str,
    read: Callable[[], Settings],
    run: Callable[[Settings, asyncio.Event], Coroutine[Any, Any, None]],
    arguments: Sequence[str] | None = None,
) -> None:
    """Run `run(settings, stopping)` until it returns. `read` makes the settings from the environment.

    `arguments` are the flags, by default the process's. A BadSetting ends the process with its message and status 1.
    """
    logs.setup(component, log_level(component, arguments))
    try:
        settings = read()
    except BadSetting as error:
        sys.exit(f"{component}: {error}")
    aio.run(lambda stopping: run(settings, stopping))
