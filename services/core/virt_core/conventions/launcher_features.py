"""Features in GetInfo of a launcher, which virt-handler asks for before it uses them. Pure.

A handler works with launchers of older and newer releases: these names never change. Protos name them, too.
"""

from __future__ import annotations

ACCESS_CREDENTIALS = "access-credentials"
"""It sets accessCredentials by the guest's agent."""

MIGRATION = "migration"
"""It can be either side of a migration."""

STATISTICS = "statistics"
"""It serves GetStatistics; launchers of 0.1.0 do not."""
