"""Commands in the guest, by its serial console. Used by test_migration_*.py; its ticks are off the console."""

from __future__ import annotations

from tests.integration.launcher.pod import Pod


async def shell(pod: Pod, line: bytes) -> bytes:
    """The first line of the output of a command in the guest."""
    await pod.type(line + b""" | sed "s/^/<""</;s/$/>"">/"\n""")  # what is echoed has not the marks
    return await pod.wait_for_console(b"<<", b">>")
