"""Pictures of a guest whose QEMU hangs: whoever asks for them, the machine is observed and ended all the same."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from virt_launcher.domain import guest
from virt_launcher.domain.host import Host
from virt_launcher.errors import HypervisorUnavailable
from virt_launcher.screenshot import Screenshots
from virt_launcher.settings import Settings

from tests.support.patience import PATIENCE

CALLER_LEAVES = 0.05  # seconds


def test_a_qemu_that_gives_no_picture_holds_up_nothing_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()

    def hang(_connection: Any, _path: str, in_call: AbstractContextManager[None]) -> None:
        with in_call:
            answers.wait()

    async def observed() -> str:
        host = Host("qemu:///session?socket=/there-is-no-such-socket")  # it never connects by itself
        host._connection = object()
        screenshots = Screenshots(Settings(state_folder=tmp_path), host)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(CALLER_LEAVES):
                await screenshots.take()
        for _ in range(10):
            with pytest.raises(HypervisorUnavailable, match="has not given the last picture yet"):
                await screenshots.take()
        # As many calls as may hang besides, and one of the machine.
        others = [asyncio.create_task(host.call(lambda _: answers.wait(), timeout=PATIENCE)) for _ in range(2)]
        await asyncio.sleep(0)  # these come first
        found = await host.call(lambda _: "observed", timeout=PATIENCE)
        answers.set()
        await asyncio.gather(*others)
        return found

    monkeypatch.setattr(guest, "take_screenshot", hang)
    try:
        assert asyncio.run(observed()) == "observed"
    finally:
        answers.set()
