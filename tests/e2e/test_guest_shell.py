"""The small guest's shell, by which other tests ask: what the guest says of itself is no part of an answer."""

from __future__ import annotations

import pytest

from tests.e2e.guest_shell import Shell
from tests.e2e.guests import manifest, running

pytestmark = pytest.mark.parallel


async def test_what_a_guest_says_of_itself_is_taken_out_wherever_it_comes() -> None:
    echo = "echo 'guest-demo: lease 10.0.2.2/24' >/dev/console"
    with running(manifest("shell")) as (guest,):
        async with Shell.of(guest) as shell:
            answer = await shell.run(f"printf bl; {echo}; echo ue; {echo}; echo green; printf red; {echo}")
        assert answer == "blue\ngreen\nred"
