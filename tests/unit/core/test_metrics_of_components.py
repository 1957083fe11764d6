"""What every component shows of itself."""

from __future__ import annotations

import pytest
from virt_core.metrics.component import component
from virt_core.metrics.exposition import text
from virt_core.metrics.families import histogram
from virt_core.metrics.histogram import Histogram


@pytest.mark.parametrize("name", ["api", "handler"])
def test_a_component_without_a_leader_shows_release_and_readiness(name: str) -> None:
    found = {family.name: family.samples for family in component(f"virt-{name}", ready=True, release="0.2.0")}
    assert found.keys() == {"kubevirt_info", f"kubevirt_virt_{name}_ready_status"}
    (info,) = found["kubevirt_info"]
    assert (info.labels["kubeversion"], info.value) == ("v0.2.0", 1) and info.labels.keys() >= {"goversion"}
    (ready,) = found[f"kubevirt_virt_{name}_ready_status"]
    assert (ready.labels, ready.value) == ({}, 1)


@pytest.mark.parametrize("name", ["controller", "operator"])
def test_a_standby_is_ready_and_does_not_lead(name: str) -> None:
    found = {
        family.name: (family.type, family.samples[0].value)
        for family in component(f"virt-{name}", ready=True, leading=False)
    }
    assert found[f"kubevirt_virt_{name}_ready_status"] == ("gauge", 1)
    assert found[f"kubevirt_virt_{name}_leading_status"] == ("gauge", 0)


def test_a_histogram_counts_what_is_at_most_each_bound() -> None:
    observed = Histogram(("verb",), (0.1, 1.0))
    for value in (-1.0, 0.1, 0.5, 7.0):
        observed.observe(("get",), value)
    assert text([histogram("virt_took_seconds", "Took.", observed)]).decode().splitlines() == [
        "# HELP virt_took_seconds Took.",
        "# TYPE virt_took_seconds histogram",
        'virt_took_seconds_bucket{le="0.1",verb="get"} 2.0',
        'virt_took_seconds_bucket{le="1.0",verb="get"} 3.0',
        'virt_took_seconds_bucket{le="+Inf",verb="get"} 4.0',
        'virt_took_seconds_count{verb="get"} 4.0',
        'virt_took_seconds_sum{verb="get"} 7.6',
    ]
