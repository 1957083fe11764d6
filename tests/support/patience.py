"""How long a test waits for what must come. A guard against a test that hangs, not a measure: it is long, for a machine
that is busy with something else, and for emulated guests."""

from __future__ import annotations

PATIENCE = 180.0  # seconds
