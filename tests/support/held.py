"""What the parts of a process hold: the entries of each mapping, set and list, however deep, by class and attribute.

For tests that something which has come and gone leaves nothing: memory grows with entries, and one of them is seen here
long before a process is larger.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterable

SHARED = ("virt_core.kube.queue", "virt_core.kube.reflector", "virt_core.metrics", "virt_core.vmi.accepted")
"""Modules whose objects keep something for every process that has them."""

_CONTAINERS = (dict, set, frozenset, list, tuple)


def entries(parts: Iterable[object], modules: tuple[str, ...]) -> Counter[str]:
    """Of the parts, and of objects that they refer to whose class is of one of the modules, by prefix."""
    gc.collect()
    found: Counter[str] = Counter()
    seen: set[int] = set()
    for part in parts:
        _count(part, type(part).__name__, modules, found, seen)
    return found


def _count(thing: object, where: str, modules: tuple[str, ...], found: Counter[str], seen: set[int]) -> None:
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, _CONTAINERS):
        found[where] += len(thing)
        for value in thing.values() if isinstance(thing, dict) else thing:
            _count(value, where, modules, found, seen)
    elif type(thing).__module__.startswith(modules):
        slots = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
        for name in (*getattr(thing, "__dict__", {}), *slots):
            _count(getattr(thing, name, None), f"{type(thing).__name__}.{name}", modules, found, seen)
