"""What a guest that never migrates pays for migration, and how a call loads it."""

from __future__ import annotations

import subprocess
import sys

_LOADED = """
import sys
from virt_core.rpc import lean
lean.load()
from virt_launcher import app
print([name for name in sys.modules if "migration" in name])
"""


def test_a_launcher_without_a_migration_loads_nothing_of_it() -> None:
    ended = subprocess.run([sys.executable, "-c", _LOADED], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "['virt_launcher.migration', 'virt_launcher.migration.on_demand']"
