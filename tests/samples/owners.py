"""Kinds with a template of a VirtualMachineInstance, as hypothesis makes them: what this release runs, the same with
something odd in it, a few fields of KubeVirt's whole API, junk of any shape. For tests of admission and controllers.
"""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from hypothesis import strategies as st

from tests.samples.unsupported import joined, paths, placed
from tests.samples.vmis import JSON, ODD_TEXT, Draw, Spec, leaves, optional, random_specs, supported

_KEYS = st.sampled_from(
    (
        "app",
        "example.com/tier",
        "logVerbosity",
        "kubevirt.io/nodeName",
        "kubevirt.io/libvirt-log-filters",
        "hooks.kubevirt.io/hookSidecars",
        "descheduler.alpha.kubernetes.io/evict",
        "x" * 64,
        "a b",
        "",
    )
)
_METADATA = optional(
    labels=st.dictionaries(_KEYS, ODD_TEXT | st.just("web"), max_size=3) | JSON,
    annotations=st.dictionaries(_KEYS, ODD_TEXT, max_size=3) | JSON,
    creationTimestamp=st.none(),
    name=ODD_TEXT,
    finalizers=JSON,
)
_ORDINARY = st.fixed_dictionaries(
    {"labels": st.just({"app": "web"})},
    optional={
        "annotations": st.just({"descheduler.alpha.kubernetes.io/evict": "true", "example.com/a": "é"}),
        "creationTimestamp": st.none(),
    },
)


@cache
def _paths(kind: str) -> tuple[str, ...]:
    """Of a kind. What is below a field that is refused as a whole would be most of them."""
    return tuple(path for path in paths(kind) if not path.startswith("dataVolumeTemplates["))


@st.composite
def of_table(draw: Draw, kind: str, beside: Spec) -> Spec:
    """`beside` with a few fields of any kind of the field table's type, of values that its schema admits."""
    value = copy.deepcopy(beside)  # strategies give the same constants to every example
    for path in draw(st.lists(st.sampled_from(_paths(kind)), min_size=1, max_size=4)):
        value = joined(value, placed(kind, path))
    for parent, key in list(leaves(value)):
        if draw(st.integers(0, 5)) == 0:
            parent[key] = draw(_like(parent[key]))
    return value


def _like(value: Any) -> st.SearchStrategy[Any]:
    """Other values of the same type."""
    if isinstance(value, bool):
        return st.booleans()
    return st.integers(-1, 1 << 40) if isinstance(value, int) else ODD_TEXT


def template(spec: st.SearchStrategy[Any] = supported()) -> st.SearchStrategy[Spec]:  # noqa: B008 - strategies are lazy
    """A template that is admitted."""
    return st.fixed_dictionaries({"metadata": _ORDINARY, "spec": spec})


def odd_template() -> st.SearchStrategy[Any]:
    """A template that may be refused."""
    return st.fixed_dictionaries({"spec": random_specs | supported()}, optional={"metadata": _METADATA | JSON}) | JSON


def owners(kind: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Specs of a kind that has a template and these other fields, and whose type in the field table is `kind`."""
    ordinary = st.fixed_dictionaries({"template": template(), **fields})
    odd = st.fixed_dictionaries({"template": odd_template()}, optional={**fields, "unknown": JSON})
    branches = (ordinary, odd, ordinary.flatmap(lambda spec: of_table(kind, spec)), JSON)
    # one_of would draw branches of small values more often.
    return st.sampled_from(range(len(branches))).flatmap(lambda branch: branches[branch])
