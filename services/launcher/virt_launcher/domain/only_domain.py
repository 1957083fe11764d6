"""Finding the domain of this launcher's libvirtd: the only one, whatever its name is. Called by guest.py,
guest_agent.py and migration/calls.py.

One pod has one libvirtd and one domain. A launcher of an older release named it differently, and virt-probe knows no
machine.
"""

from __future__ import annotations

from typing import Any

from virt_launcher.errors import HypervisorRefused


def require_domain(connection: Any) -> Any:
    """The domain. Raises HypervisorRefused: none is defined."""
    domain = find_domain(connection)
    if domain is None:
        raise HypervisorRefused("libvirt has no domain")
    return domain


def find_domain(connection: Any) -> Any | None:
    """The domain, or None if none is defined."""
    domains = connection.listAllDomains(0)
    return domains[0] if domains else None
