"""A part of the bench that ends by itself ends the bench, with its name."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.bench.scale.parts import Parts


async def test_a_part_that_ends_by_itself_is_named(tmp_path: Path) -> None:
    with Parts.running(tmp_path) as parts:
        parts.start("kwok", ["sh", "-c", "exit 3"])
        with pytest.raises(RuntimeError, match=r"kwok has ended with status 3, see .*/kwok\.log"):
            await parts.end()


async def test_a_part_that_is_killed_by_the_bench_is_not(tmp_path: Path) -> None:
    with Parts.running(tmp_path) as parts:
        parts.start("virt-controller", ["sleep", "inf"])
        parts.kill("virt-controller")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await parts.end()
