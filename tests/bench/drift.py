"""A drift pass of virt-operator over a large cluster: its judges alone, without one. `python -m tests.bench drift`.

virt-operator watches no guests, so what grows with them is what it sees of their nodes: the node and the pod of its
virt-handler. Each pass compares every object of the suite with its desired state; in the second case somebody has
changed one of them.
"""

from __future__ import annotations

import time
from dataclasses import replace

import msgspec
from virt_core.conventions import components
from virt_operator.change.plan import plan
from virt_operator.reconcile.status import status_of
from virt_operator.strategy.ref import Ref
from virt_operator.suite.actions import Replace
from virt_operator.suite.observed import Observed

from tests.bench.installed_suite import OPERATOR, SUITE, installed

NODES = (100, 1000, 8000)
"""8,000 guests are on 100 nodes in the bench of thousands of machines, and on 8,000 in KubeVirt's."""

_CHANGED = Ref("Deployment", "kubevirt", components.API)
_PASSES = 5


def drift(nodes: tuple[int, ...] = NODES) -> dict[str, dict[str, float]]:
    """Milliseconds of a pass by number of nodes, at rest and with one object changed."""
    found, objects = {}, 0
    _pass(installed(1), repairs=0)  # the first one of a process is slower
    for count in nodes:
        at_rest = installed(count)
        changed, objects = _scaled(at_rest), len(at_rest.owned)
        found[f"{count} nodes"] = {
            "at rest, slowest of 5, ms": max(_pass(at_rest, repairs=0) for _ in range(_PASSES)),
            "one object changed, slowest, ms": max(_pass(changed, repairs=1) for _ in range(_PASSES)),
        }
    print(f"a drift pass of virt-operator over {objects} objects of the suite")
    for name, values in found.items():
        print(f"  {name:12}" + "  ".join(f"{what} {value:8.1f}" for what, value in values.items()))
    return found


def _pass(observed: Observed, *, repairs: int) -> float:
    began = time.process_time()  # others on this machine do not count
    decided = plan(observed, OPERATOR)
    status_of(SUITE, observed, decided, OPERATOR, None)
    took = time.process_time() - began
    found = [action for action in decided.actions if isinstance(action, Replace)]
    if len(found) != repairs or len(decided.actions) != repairs:
        raise RuntimeError(f"a pass with {repairs} repairs has {decided.actions}, and waits for {decided.waits}")
    return round(took * 1000, 1)


def _scaled(observed: Observed) -> Observed:
    """Somebody has scaled virt-api."""
    live = observed.owned[_CHANGED]
    spec = {**msgspec.json.decode(live.spec), "replicas": 7}
    changed = msgspec.structs.replace(live, spec=msgspec.Raw(msgspec.json.encode(spec)))
    return replace(observed, owned={**observed.owned, _CHANGED: changed})
