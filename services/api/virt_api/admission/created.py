"""How many VirtualMachines were admitted for creation, for Prometheus. Counted by webhooks.py in its threads."""

from __future__ import annotations

import threading
from collections import Counter


class CreatedMachines:
    """Of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def count(self, namespace: str) -> None:
        """One may be created in the namespace."""
        with self._lock:
            self._counts[namespace] += 1

    @property
    def by_namespace(self) -> dict[str, int]:
        """The numbers now."""
        with self._lock:
            return dict(self._counts)
