"""The identity of this process, returned by GetInfo. Created once in each service's app.py."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from kubevirt.info.v1 import info_pb2

from virt_core.release import FEATURE_LEVEL, RELEASE


@dataclass(frozen=True, slots=True)
class Identity:
    """The response to GetInfo. `instance_id` is new for each process, so a peer notices a restart."""

    component: info_pb2.Component.ValueType
    contracts: tuple[str, ...]
    features: frozenset[str] = frozenset()
    release: str = RELEASE
    feature_level: int = FEATURE_LEVEL
    instance_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @classmethod
    def for_process(
        cls, component: info_pb2.Component.ValueType, contracts: tuple[str, ...], features: frozenset[str] = frozenset()
    ) -> Identity:
        """The identity of the running process, serving `contracts` (proto packages)."""
        return cls(component, contracts, features)

    def to_message(self, trust_bundle_sha256: str = "") -> info_pb2.GetInfoResponse:
        """The response to GetInfo."""
        return info_pb2.GetInfoResponse(
            component=self.component,
            release=self.release,
            instance_id=self.instance_id,
            feature_level=self.feature_level,
            contracts=self.contracts,
            features=sorted(self.features),
            trust_bundle_sha256=trust_bundle_sha256,
        )
