"""How long a test waits for what must come. A guard against a test that hangs, not a measure: it is long, for a machine
that is busy with something else."""

from __future__ import annotations

PATIENCE = 60.0  # seconds
