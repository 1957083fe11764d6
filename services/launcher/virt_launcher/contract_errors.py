"""The launcher's errors as the contract launcher/v1 has them. Used by the servicers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from virt_core.rpc.errors import Refused, Unavailable

from virt_launcher.errors import (
    AgentRefused,
    AgentUnavailable,
    CommandRefused,
    HypervisorRefused,
    HypervisorUnavailable,
    UnusableDisk,
)


@contextlib.asynccontextmanager
async def as_contract_says() -> AsyncIterator[None]:
    """Translate the errors of a call."""
    try:
        yield
    except CommandRefused as error:
        raise Refused(str(error), reason=error.reason) from error
    except UnusableDisk as error:
        raise Refused(str(error), reason="UNUSABLE_DISK") from error
    except AgentUnavailable as error:
        raise Refused(f"no guest agent answers: {error}", reason="NO_GUEST_AGENT") from error
    except AgentRefused as error:
        raise Refused(f"the guest agent refuses: {error}", reason="AGENT_REFUSED") from error
    except HypervisorRefused as error:
        raise Refused(str(error), reason="HYPERVISOR_REFUSED") from error
    except HypervisorUnavailable as error:
        raise Unavailable(str(error)) from error
