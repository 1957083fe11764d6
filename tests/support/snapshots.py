"""What a cluster and its nodes have at two moments, compared without what is another with each pod. Pure.

A snapshot has for each kind of thing (mounts of node1, objects) the text of each, as cluster_snapshot.py of the
end-to-end tests reads them. A pod that was replaced has other UIDs, container IDs, addresses: without them its things
are those of its predecessor, and only their number tells of a leak.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_SUFFIX = "[bcdfghjklmnpqrstvwxz2456789]"  # letters of Kubernetes' generated names

# In this order: what is longer first.
_ALIKE: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), word)
    for pattern, word in (
        (r"[0-9a-f]{8}([-_])[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}\b", "UID"),
        (r"\b[0-9a-f]{64}\b", "ID"),
        (r"\b[0-9a-f]{32}\b", "HASH"),
        (r"\bcounter packets \d+ bytes \d+", "counter"),
        (r"\bKUBE-(SEP|SVC|EXT|FW)-[A-Z0-9]{16}\b", r"KUBE-\1"),
        (r"\b\d{1,3}(\.\d{1,3}){3}(/\d+)?(:\d+)?\b", "ADDRESS"),
        (r"\bveth[0-9a-f]{6,}(@\w+)?", "veth"),
        (rf"-{_SUFFIX}{{6,10}}-{_SUFFIX}{{5}}\b", "-*"),  # a Deployment's pod
        (rf"-(?=[a-z]*\d|{_SUFFIX}{{10}}\b){_SUFFIX}{{8,10}}\b", "-*"),  # its ReplicaSet, a ControllerRevision
        (rf"-{_SUFFIX}{{5}}\b", "-*"),  # a DaemonSet's pod, an EndpointSlice
        (r"\.\.\d{4}(_\d\d){5}\.\d+", "..MOMENT"),  # an atomic writer's folder
        (r"/[0-9a-f]{8}$", "/LAST_WORDS"),  # the kubelet's file for a container's message
        (r"\b\d{6,}\b", "NUMBER"),
    )
)


def alike(text: str) -> str:
    """The text without what another pod has otherwise."""
    for pattern, word in _ALIKE:
        text = pattern.sub(word, text)
    return text


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How many there are of each thing, by kind of thing."""

    things: dict[str, Counter[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, texts: Mapping[str, Iterable[str]]) -> Snapshot:
        """From what was read."""
        return cls({kind: Counter(map(alike, lines)) for kind, lines in texts.items()})

    def count(self, kind: str) -> int:
        """Of all things of a kind."""
        return self.things.get(kind, Counter()).total()

    def since(self, before: Snapshot) -> list[str]:
        """What is there and was not, or more of it; and what has gone, which somebody may miss."""
        found = []
        for kind in sorted(self.things.keys() | before.things.keys()):
            then, now = before.things.get(kind, Counter()), self.things.get(kind, Counter())
            found += [f"{kind}: {now[thing] - then[thing]:+d} {thing}" for thing in sorted((now - then) | (then - now))]
        return found


def leaked(differences: Iterable[str]) -> list[str]:
    """Of these what there is more of."""
    return [difference for difference in differences if ": +" in difference]
