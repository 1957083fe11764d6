"""The small guest's shell, which other tests use: the guest's announcements are not part of a command's output."""

from __future__ import annotations

import pytest

from tests.e2e.guest_shell import Shell
from tests.e2e.guests import manifest, running

pytestmark = pytest.mark.parallel


async def test_announcements_of_a_guest_are_removed_from_its_output() -> None:
    echo = "echo 'guest-demo: lease 10.0.2.2/24' >/dev/console"
    with running(manifest("shell")) as (guest,):
        async with Shell.of(guest) as shell:
            answer = await shell.run(f"printf bl; {echo}; echo ue; {echo}; echo green; printf red; {echo}")
        assert answer == "blue\ngreen\nred"
