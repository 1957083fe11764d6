"""A pod's network namespace with a card, made and removed by ``ip``."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.handler.pod import MTU, Pod, ip


@pytest.fixture
def pod() -> Iterator[Pod]:
    """A namespace with eth0 10.99.0.2/24, whose other end is 10.99.0.1 in a second namespace."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    name = f"kv-{uuid.uuid4().hex[:8]}"
    outside = f"{name}-out"
    try:
        ip("netns", "add", name)
        ip("netns", "add", outside)
        ip("-n", name, "link", "add", "eth0", "mtu", str(MTU), "type", "veth", "peer", "name", "eth0", "netns", outside)
        for namespace, address in ((name, "10.99.0.2/24"), (outside, "10.99.0.1/24")):
            ip("-n", namespace, "address", "add", address, "dev", "eth0")
            ip("-n", namespace, "link", "set", "eth0", "up")
            ip("-n", namespace, "link", "set", "lo", "up")
        descriptor = os.open(Path("/run/netns", name), os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield Pod(name, outside, descriptor)
        finally:
            os.close(descriptor)
    finally:
        for namespace in (name, outside):
            subprocess.run(["ip", "netns", "delete", namespace], check=False, capture_output=True)
