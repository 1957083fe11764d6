"""Watches the mounted Secrets of access credentials. Started by app.py as a task; agent/keeper.py has them read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from virt_core import logs

from virt_launcher.machine.keeper import Keeper

_log = logs.bound("virt_launcher.credentials")

_WITHOUT_INOTIFY = 60.0  # seconds between two readings if inotify is exhausted


async def watch_secrets(keeper: Keeper, changed: Callable[[], None]) -> None:
    """Call `changed` after each change of a Secret, until cancelled. Returns if the machine has no such credentials."""
    await keeper.known.wait()
    machine = keeper.record.machine
    assert machine is not None
    folders = dict.fromkeys(credential.folder for credential in machine.access_credentials)
    if not folders:
        return
    from virt_launcher.folder_watch import FolderWatch

    try:
        with FolderWatch(*folders) as watch:
            changed()  # for what happened before
            while True:
                await watch.changed()
                changed()
    except OSError as error:
        # A node has 128 watches for all launchers, unless fs.inotify.max_user_instances says otherwise.
        _log.warning("reading Secrets every minute because they cannot be watched", reason=str(error))
    while True:
        await asyncio.sleep(_WITHOUT_INOTIFY)
        changed()
