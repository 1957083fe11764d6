"""Tests whether KVM runs guests on this node, with a program that runs one (kvm_probe.c). Called by app.py.

On some nodes /dev/kvm exists but guests hang. So the program is killed after a few seconds, and left alone if it does
not die. Nothing waits for the result: without it the node is ready for emulated VMs.
"""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

from virt_core import logs

from virt_handler.deviceplugin.plugin import KVM

PROBE = Path("/usr/lib/kubevirt/kvm-probe")
_SECONDS, _DYING_SECONDS = 3.0, 1.0
_REASON_LENGTH = 200
_log = logs.bound("virt_handler.node")


async def runs_guests(probe: Path = PROBE, device: Path = Path(KVM.path)) -> bool:
    """Whether a guest ran and wrote its mark."""
    reason = await _trouble(probe, device)
    _log.info("probing KVM", runs_guests=not reason, reason=reason)
    return not reason


async def _trouble(probe: Path, device: Path) -> str:
    """Why no guest ran; "" if one did."""
    try:
        if not device.exists():  # the kernel module is missing, or was loaded after the container was created
            os.mknod(device, 0o600 | stat.S_IFCHR, KVM.number)
        process = await asyncio.create_subprocess_exec(probe, device, stderr=asyncio.subprocess.PIPE)
    except OSError as error:
        return str(error)
    try:
        async with asyncio.timeout(_SECONDS):
            _, output = await process.communicate()
    except TimeoutError:
        return f"no guest ran to its mark in {_SECONDS:.0f} s{await _end(process)}"
    if process.returncode == 0:
        return ""
    return output[:_REASON_LENGTH].decode(errors="replace").strip() or f"the probe ended with {process.returncode}"


async def _end(process: asyncio.subprocess.Process) -> str:
    process.kill()
    try:
        async with asyncio.timeout(_DYING_SECONDS):
            await process.wait()
    except TimeoutError:
        return f", and process {process.pid} cannot be killed"
    return ""
