"""Memory of the client."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.support.patience import PATIENCE

SCRIPT = """
import json, sys
from virt_core.kube import client, lean
first, second = lean.load(), lean.load()
assert first == second
print(json.dumps([name for name in sys.modules if name.startswith("kubernetes_asyncio")]))
"""


def test_no_generated_module_of_the_kubernetes_client_is_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=PATIENCE, check=True)
    loaded = json.loads(done.stdout)
    generated = ("kubernetes_asyncio.client.models.", "kubernetes_asyncio.client.api.")
    assert [name for name in loaded if name.startswith(generated)] == []
    assert "kubernetes_asyncio.client.api_client" in loaded
    assert len(loaded) < 40, loaded
