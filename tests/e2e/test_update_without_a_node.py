"""An update while a node is dead: it ends on the other nodes, and the node's handler follows when the node is back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.builds import NEXT, by_image_tag, condition, reached
from tests.e2e.cluster import NAMESPACE, condition_of, get, until
from tests.e2e.deaths import dead_node2
from tests.e2e.guests import manifest, running

pytestmark = [pytest.mark.chaos, pytest.mark.usefixtures("back_to_today")]
DEAD = "node2"


@contextmanager
def unreachable_node2() -> Iterator[None]:
    """Dead, and known to be."""
    with dead_node2():
        until(lambda: condition_of(get("node", DEAD), "Ready")["status"] != "True", "the node to be NotReady", 60)
        yield


def handlers() -> dict[str, dict[str, Any]]:
    """virt-handler's pods by node."""
    pods = get("-n", NAMESPACE, "pods", "-l", "kubevirt.io=virt-handler")["items"]
    return {pod["spec"]["nodeName"]: pod for pod in pods}


def is_of_next(pod: dict[str, Any]) -> bool:
    image: str = pod["spec"]["containers"][0]["image"]
    return image.endswith(f":{NEXT.tag}") and condition_of(pod, "Ready").get("status") == "True"


def test_an_update_ends_without_a_dead_node_whose_handler_is_replaced_when_it_is_back() -> None:
    with unreachable_node2():
        by_image_tag(NEXT)
        print(f"updated in {reached(NEXT, 240):.1f} s while {DEAD} was dead: {condition('Available')['message']}")
        found = handlers()
        assert is_of_next(found["node1"]) and not is_of_next(found[DEAD])
        assert f"the old pod on node {DEAD} will be replaced when the node is back" in condition("Available")["message"]
    took = until(lambda: DEAD in (found := handlers()) and is_of_next(found[DEAD]), "the node's new handler", 180)
    print(f"the handler of {DEAD} was replaced {took:.1f} s after the node was started")
    until(lambda: condition("Degraded")["status"] == "False", "the suite to be whole", 60)
    assert DEAD not in condition("Available")["message"]
    with running(manifest("afterwards", node=DEAD)) as (guest,):
        assert guest.phase == "Running"
