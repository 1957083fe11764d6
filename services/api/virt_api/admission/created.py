"""How many VirtualMachines were admitted for creation, for Prometheus. Counted by webhooks.py in its threads.

Whoever reaches the webhooks may send a review of any namespace: what is no name is not counted, and there is an end.
"""

from __future__ import annotations

import threading
from collections import Counter

from virt_core.validation.refusal import DNS_LABEL

_MOST = 10_000  # namespaces, as many as Kubernetes is tested with


class CreatedMachines:
    """Of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def count(self, namespace: str) -> None:
        """One may be created in the namespace."""
        if not DNS_LABEL.accepts(namespace):
            return
        with self._lock:
            if namespace in self._counts or len(self._counts) < _MOST:
                self._counts[namespace] += 1

    @property
    def by_namespace(self) -> dict[str, int]:
        """The numbers now."""
        with self._lock:
            return dict(self._counts)
