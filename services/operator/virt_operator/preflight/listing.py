"""Lists of the API server, page by page, decoded as far as a type has fields. Called by read.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from virt_core.kube.client import KubeClient
from virt_core.kube.errors import NotFound
from virt_core.kube.messages import decoded, read_list
from virt_core.kube.resource import Resource

_PAGE = 500  # objects
_DEADLINE = 30.0  # seconds for a page
T = TypeVar("T")


@dataclass(slots=True)
class Listing(Generic[T]):
    """The objects, and names of those that do not decode."""

    items: list[T] = field(default_factory=list)
    undecodable: list[str] = field(default_factory=list)


async def listed(
    client: KubeClient,
    resource: Resource,
    kind: type[T],
    namespace: str | None = None,
    *,
    labels: str = "",
    fields: str = "",
) -> Listing[T]:
    """All objects that match; none of a kind that is not served.

    Raises:
        KubeError: the API server refuses or does not answer.
    """
    found = Listing[T]()
    query = {"labelSelector": labels, "fieldSelector": fields, "limit": str(_PAGE)}
    query = {key: value for key, value in query.items() if value}
    following = ""
    while True:
        more = {"continue": following} if following else {}
        try:
            async with client.stream(resource.path(namespace), {**query, **more}, _DEADLINE) as body:
                page = read_list(await body.read())
        except NotFound:
            return found
        items, others = decoded(page.items, kind)
        found.items += items
        found.undecodable += ["/".join(filter(None, key)) if key is not None else "unknown" for key, _ in others]
        following = page.metadata.following
        if not following:
            return found
