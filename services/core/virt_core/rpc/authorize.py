"""Authorization by the component that a client certificate names. Checked before each method served over TCP.

The suite's CA signs only for the suite's components (operator's certificates), so the common name is the identity. A
port that trusts further CAs (virt-operator's) has its own rule.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from virt_core.conventions.labels import COMMON_NAME_PREFIX
from virt_core.rpc.errors import Denied
from virt_core.rpc.server import Rule


def require_component(context: Any, allowed: Set[str]) -> str:
    """The calling component ("virt-api"), if it is one of `allowed`.

    Raises:
        Denied: there is no client certificate, or it names another component.
    """
    names: list[str] = [name.decode() for name in context.auth_context().get("x509_common_name", ())]
    for name in names:
        component = name.removeprefix(COMMON_NAME_PREFIX)
        if component != name and component in allowed:
            return component
    raise Denied(f"{names or 'a caller without certificate'} may not call this, only {sorted(allowed)}")


def allow(*components: str) -> Rule:
    """A rule that allows these components."""
    names = frozenset(components)

    async def rule(context: Any) -> None:
        require_component(context, names)

    return rule


async def anyone(context: Any) -> None:
    """A rule that allows every caller with a certificate that the handshake has verified."""
    if not context.auth_context().get("x509_pem_cert"):
        raise Denied("a caller without certificate may not call this")
