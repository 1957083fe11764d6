"""The collection or object that a request's path names. Pure; used by store.py, api_server.py and tests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A collection, for example root "/api/v1" and plural "pods", or an object in it."""

    root: str
    plural: str
    namespace: str = ""
    """Empty for cluster-scoped objects, and for a collection over all namespaces."""
    name: str = ""

    @classmethod
    def parse(cls, path: str) -> Place:
        """The place that a URL path names; subresources are the object itself."""
        root, namespace, rest = _split(path)
        return cls(root, rest[0], namespace, rest[1] if len(rest) > 1 else "")

    @property
    def group(self) -> str:
        """The API group, empty for the core group."""
        return self.root.split("/")[2] if self.root.startswith("/apis/") else ""

    @property
    def version(self) -> str:
        """The version of the group, for example "v1"."""
        return self.root.rsplit("/", 1)[1]

    @property
    def api_version(self) -> str:
        """ "v1" or "apps/v1"."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def holds(self, other: Place) -> bool:
        """Whether the object `other` is in this collection."""
        same = (self.root, self.plural) == (other.root, other.plural)
        return same and self.namespace in ("", other.namespace)


def subresource_of(path: str) -> str:
    """The subresource that a URL path names, for example "status"; empty for the object itself."""
    _, _, rest = _split(path)
    return "/".join(rest[2:])


def _split(path: str) -> tuple[str, str, list[str]]:
    parts = path.strip("/").split("/")
    size = 2 if parts[0] == "api" else 3
    root, rest = "/" + "/".join(parts[:size]), parts[size:]
    if len(rest) > 2 and rest[0] == "namespaces" and rest[2] not in ("status", "finalize"):
        return root, rest[1], rest[2:]
    return root, "", rest
