"""Runs request.py in a short-lived process, because a handler needs cryptography's 12 MB only twice a day.

Called by renewal.py. Keys pass through pipes only.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec

from virt_handler.certificates.question import Answer, Wanted

_SECONDS = 60.0  # starting a process is slow on a node with busy guests
_MODULE = "virt_handler.certificates.request"


class Failed(Exception):
    """The process ended without a result: retry later."""


async def ask(wanted: Wanted) -> Answer:
    """Start a process and return its answer.

    Raises:
        Failed: the process returned no answer.
    """
    optimized = ("-OO",) if sys.flags.optimize else ()  # like this process: the image has .pyc files of one level only
    command = (sys.executable, "-B", *optimized, "-m", _MODULE)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    try:
        async with asyncio.timeout(_SECONDS):
            output, _ = await process.communicate(msgspec.json.encode(wanted))
    except TimeoutError as error:
        raise Failed(f"no answer in {_SECONDS:.0f} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise Failed(f"the process ended with status {process.returncode}")
    return msgspec.json.decode(output, type=Answer)
