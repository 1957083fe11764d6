"""Joins guests' tick ports for ever and writes each line behind the time of its arrival.

Runs in a pod of its own (guests.py): nothing of the suite is between it and the guests. Arguments: name=address.
"""

import asyncio
import sys
import time

TICK_PORT = 7777  # tests/guest-image


async def follow(name: str, host: str) -> None:
    """Follow one guest; after a broken connection say so and join again."""
    while True:
        try:
            reader, writer = await asyncio.open_connection(host, TICK_PORT)
            print(f"{time.time():.3f} {name} connected", flush=True)
            while line := await reader.readline():
                print(f"{time.time():.3f} {name} {line.decode().strip()}", flush=True)
            writer.close()
        except OSError as error:
            print(f"{time.time():.3f} {name} broken {error}", flush=True)
        await asyncio.sleep(0.2)


async def main() -> None:
    """Follow all."""
    await asyncio.gather(*(follow(*argument.split("=")) for argument in sys.argv[1:]))


asyncio.run(main())
