"""Lists of the API server: an object that does not decode affects no other, and is named as far as possible."""

from __future__ import annotations

import msgspec
from virt_core.kube.messages import decoded, read_list
from virt_core.objects.meta import ObjectMeta


class Thing(msgspec.Struct):
    metadata: ObjectMeta
    size: int = 0


def test_what_does_not_decode_is_named_by_its_key_and_the_rest_is_there() -> None:
    text = b"""{"metadata": {"resourceVersion": "7", "continue": "more"}, "items": [
        {"metadata": {"name": "a", "namespace": "ns"}, "size": 1},
        {"metadata": {"name": "b", "namespace": "ns"}, "size": "big"},
        {"metadata": {"name": "c"}, "size": []},
        {"metadata": 5},
        {"metadata": {"name": "d"}}]}"""
    page = read_list(text)
    assert (page.metadata.resource_version, page.metadata.following) == ("7", "more")
    found, others = decoded(page.items, Thing)
    assert [thing.metadata.name for thing in found] == ["a", "d"]
    assert [key for key, _ in others] == [("ns", "b"), ("", "c"), None]
    assert "Expected `int`, got `str`" in others[0][1]
