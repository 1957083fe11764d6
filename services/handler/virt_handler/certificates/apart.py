"""request.py in a process that lives for a moment: cryptography takes 12 MB that a handler needs twice a day.

Called by renewal.py. Keys pass through pipes only.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec

from virt_handler.certificates.question import Answer, Wanted

_SECONDS = 60.0  # beside busy guests a start takes long
_MODULE = "virt_handler.certificates.request"


class Failed(Exception):
    """The process ended without an answer: try again later."""


async def ask(wanted: Wanted) -> Answer:
    """The answer of a process that is started for it.

    Raises:
        Failed: it gave none.
    """
    optimized = ("-OO",) if sys.flags.optimize else ()  # as this process: there are .pyc files of one level only
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
