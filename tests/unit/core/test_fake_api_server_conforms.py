"""The fake API server behaves as the real one does, by the suite that tests/e2e runs against the real one."""

from __future__ import annotations

import pytest
from virt_core.kube.client import KubeClient
from virt_core.testing.conformance import CHECKS
from virt_core.testing.conformance.calls import Check


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_conforms(check: Check, client: KubeClient) -> None:
    await check(client, "ns")
