"""VirtualMachineInstances as they come from the API server."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from virt_core.vmi.instance import VirtualMachineInstance

from tests.unit.handler.demo import NODE, POD_UID, VMI_UID, MakeVmi


@pytest.fixture
def make_vmi() -> MakeVmi:
    """A VMI that is being scheduled to NODE; `spec` is merged into a small domain, `status` into the status."""

    def make(
        *,
        domain: dict[str, Any] | None = None,
        status: dict[str, Any] | None = None,
        spec: dict[str, Any] | None = None,
        **meta: Any,
    ) -> Any:
        stored = {
            "metadata": {"name": "demo", "namespace": "default", "uid": VMI_UID, **meta},
            "spec": {"domain": {"devices": {}, "memory": {"guest": "128Mi"}, **(domain or {})}, **(spec or {})},
            "status": {"phase": "Scheduling", "activePods": {POD_UID: NODE}, "nodeName": NODE, **(status or {})},
        }
        return msgspec.json.decode(msgspec.json.encode(stored), type=VirtualMachineInstance)

    return make
