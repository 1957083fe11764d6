"""Counts of a client's requests to the API server, by what they are about and not by name. Kept by kube/client.py.
Pure.
"""

from __future__ import annotations

from collections import Counter

from virt_core.metrics.histogram import Histogram

FAILED = "<error>"
"""The code of a request without an answer, client-go's word."""

_BOUNDS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0)
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class Requests:
    """Of one process."""

    def __init__(self, host: str) -> None:
        self._host = host.partition("://")[2]
        self.total: Counter[tuple[str, str, str, str, str]] = Counter()
        """By code, method, host, resource and verb."""

        self.took = Histogram(("verb", "url"), _BOUNDS)
        """Seconds by method and kind of path; not of watches and other streams."""

    def count(self, method: str, path: str, code: int | str, seconds: float | None = None, verb: str = "") -> None:
        """A request was answered with `code`. `verb` is for those that the method does not tell: a watch."""
        kind, resource, named = kind_of_path(path)
        verb = verb or _VERBS.get(method, "get" if named else "list")
        self.total[str(code), method, self._host, resource, verb] += 1
        if seconds is not None:
            self.took.observe((method, kind), seconds)


def kind_of_path(path: str) -> tuple[str, str, bool]:
    """The path with placeholders for names, its resource with subresource, and whether it names an object.

    "/api/v1/namespaces/shop/pods/web/eviction": ("/api/v1/namespaces/{namespace}/pods/{name}/eviction",
    "pods/eviction", True).
    """
    parts = path.split("/")
    first = {"api": 3, "apis": 4}.get(parts[1] if len(parts) > 1 else "")
    if first is None or len(parts) <= first:
        return path, "", True  # discovery, version, health
    if parts[first] == "namespaces" and len(parts) > first + 2:
        parts[first + 1] = "{namespace}"
        first += 2
    resource, named = parts[first], len(parts) > first + 1
    if named:
        parts[first + 1] = "{name}"
    if len(parts) > first + 2:
        resource = f"{resource}/{parts[first + 2]}"
    return "/".join(parts), resource, named
