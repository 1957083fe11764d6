"""The client on the event loop that services run on; the other unit tests have asyncio's own."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from virt_core.kube.resource import CONFIG_MAPS
from virt_core.testing.api_server import FakeApiServer

from tests.support.patience import PATIENCE

SCRIPT = Path(__file__).with_name("closed_descriptor.py")


async def test_a_connection_whose_descriptor_was_closed_is_lost_and_the_next_request_succeeds(
    server: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put(CONFIG_MAPS.path("ns"), {"metadata": {"name": "a"}})
    monkeypatch.setenv("KUBECONFIG", str(server.write_kubeconfig(tmp_path / "kubeconfig")))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPT),
        str(server.port),
        str(PATIENCE),
        env={**os.environ, "PYTHONOPTIMIZE": ""},  # the script checks by asserts, which pytest does not rewrite
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(2 * PATIENCE):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert b"the watch ended" in output
