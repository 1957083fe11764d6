"""What an administrator may request of a suite, and where its way back must lead: docs/upgrade.md in a few lines. Pure.

For tests that change releases at random, on a fake cluster and on a real one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class ReleasesInTurn(Generic[T]):
    """Of a suite in which nothing is in progress at first. The feature level rises with each release."""

    releases: tuple[T, ...]
    """From the oldest to the newest."""

    installed: T
    oldest: T
    """The one that the way back leads to, or what is installed if it is final."""

    requested: T
    paused: bool = False
    in_progress: bool = False
    """Something is requested that nobody has waited for."""

    @property
    def way_back(self) -> T | None:
        """Where it leads when nothing is in progress; None: what is installed is final."""
        return None if self.oldest == self.installed else self.oldest

    def older(self) -> list[T]:
        """What may be requested of what is older than the last request."""
        return list(self.releases[self._place(self.oldest) : self._place(self.requested)])

    def newer(self) -> list[T]:
        """What may be requested of what is newer than the last request."""
        return list(self.releases[self._place(self.requested) + 1 :])

    def may_finalize(self) -> bool:
        """Whether there is a way back to end."""
        at_rest = not (self.paused or self.in_progress) and self.requested == self.installed
        return at_rest and self.way_back is not None

    def request(self, release: T) -> None:
        """The suite is to be of it."""
        self.requested, self.in_progress = release, True

    def settle(self) -> None:
        """Everything has come to rest; what is paused may be halfway."""
        self.in_progress = False
        if not self.paused:
            self.installed = self.requested

    def finalize(self) -> T:
        """There is no way back to what is returned."""
        before, self.oldest = self.oldest, self.installed
        return before

    def _place(self, release: T) -> int:
        return self.releases.index(release)
