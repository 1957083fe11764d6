"""Modules that a handler does not keep in memory: 12 MB of cryptography, and most of pyroute2 (test_netlink.py)."""

from __future__ import annotations

import subprocess
import sys

import pytest
from virt_handler.certificates import apart
from virt_handler.certificates.question import Wanted

from tests.support.patience import PATIENCE


def test_the_handler_starts_without_cryptography_and_pyroute2() -> None:
    script = "import sys, virt_handler.app; assert not {'cryptography', 'pyroute2'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=PATIENCE)


async def test_a_process_without_an_answer_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "_MODULE", "virt_handler.no_such_module")
    with pytest.raises(apart.Failed, match="status 1"):
        await apart.ask(Wanted(names=("node1",)))


async def test_a_leaf_that_cannot_be_read_is_due_at_once() -> None:
    assert (await apart.ask(Wanted(leaf=b"no certificate"))).due is None
