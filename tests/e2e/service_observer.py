"""Asks a guest through its Service by a new connection every 100 ms and writes each answer behind its time.

Runs in a pod of its own (migrations.py). Argument: the Service's name.
"""

import asyncio
import sys
import time

TICK_PORT = 7777  # tests/guest-image
INTERVAL, PATIENCE = 0.1, 1.0  # seconds


async def ask(host: str) -> None:
    """One question; silence and errors write nothing."""
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(host, TICK_PORT)
            line = await reader.readline()
            writer.close()
    except (OSError, TimeoutError):
        return
    if line:
        print(f"{time.time():.3f} {line.decode().strip()}", flush=True)


async def main() -> None:
    """Ask for ever; a slow answer delays no other question."""
    asked: set[asyncio.Task[None]] = set()
    while True:
        task = asyncio.create_task(ask(sys.argv[1]), name="question")
        asked.add(task)
        task.add_done_callback(asked.discard)
        await asyncio.sleep(INTERVAL)


asyncio.run(main())
