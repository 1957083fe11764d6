"""Base types for strict decoding, which refuses unknown fields. Used by vmi/spec/*.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import msgspec


class Strict(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A part of a spec. It names every supported field; other fields are refused."""

    instead: ClassVar[Mapping[str, str]] = {}
    """What to do without a field of KubeVirt's that is not supported, by the field's name."""


class Empty(Strict, frozen=True):
    """An option that is selected by its presence, e.g. `masquerade: {}`."""


class Switch(Strict, frozen=True):
    """KubeVirt's FeatureState: on if it is present, unless `enabled` is false."""

    enabled: bool | None = None

    @property
    def on(self) -> bool:
        """Whether the feature is enabled."""
        return self.enabled is not False


class Off(Strict, frozen=True):
    """A feature that this release does not support: only `enabled: false` is accepted."""

    enabled: bool | None = None
