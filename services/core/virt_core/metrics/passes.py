"""How often each VirtualMachineInstance has been reconciled. Kept by virt-controller and virt-handler, shown by their
metrics; a guest that is gone is forgotten."""

from __future__ import annotations

from collections.abc import Iterator

Key = tuple[str, str]
"""Namespace and name."""

SYNC_TOTAL = "kubevirt_vmi_sync_total"
SYNC_ABOUT = "Total number of times a VirtualMachineInstance has been synced."


class Passes:
    """Numbers by object."""

    def __init__(self) -> None:
        self._counts: dict[Key, int] = {}

    def count(self, key: Key) -> None:
        """A pass over the object begins."""
        self._counts[key] = self._counts.get(key, 0) + 1

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self._counts.pop(key, None)

    def __iter__(self) -> Iterator[tuple[dict[str, str], float]]:
        """Labels and number of each."""
        counts = list(self._counts.items())
        return iter([({"namespace": namespace, "name": name}, float(count)) for (namespace, name), count in counts])
