"""The base of everything that is read strictly: what a type does not name is refused. Used by vmi/spec/*.py."""

from __future__ import annotations

import msgspec


class Strict(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A part of a spec of which every supported field is named, and no other is accepted."""


class Empty(Strict, frozen=True):
    """Chosen by being there, for example `masquerade: {}`."""


class Switch(Strict, frozen=True):
    """KubeVirt's FeatureState: on if it is there, unless it says no."""

    enabled: bool | None = None

    @property
    def on(self) -> bool:
        """Whether the feature is wanted."""
        return self.enabled is not False


class Off(Strict, frozen=True):
    """A feature that this release has not: it may be named only to be switched off."""

    enabled: bool | None = None
