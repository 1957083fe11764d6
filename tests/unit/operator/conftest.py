"""A fake API server and a client of it."""

from __future__ import annotations

from tests.unit.core.conftest import client, server

__all__ = ["client", "server"]
