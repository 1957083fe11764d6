"""The methods of admin/v1 that change the suite. Each is a command of virtadm and a request of its page. Pure.

Used by the command line and the page, which load the contract only when they call it.
"""

from __future__ import annotations

UPGRADE, PAUSE, RESUME, ROLLBACK, FINALIZE = "Upgrade", "Pause", "Resume", "Rollback", "Finalize"
BY_COMMAND = {method.lower(): method for method in (UPGRADE, PAUSE, RESUME, ROLLBACK, FINALIZE)}
"""The methods by the names of virtadm's commands."""
