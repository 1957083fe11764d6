"""The network plan follows the pod's card."""

from __future__ import annotations

from virt_handler.network.plan import PodNetwork, network_plan


def test_mtu_is_the_pods_and_rules_replace_only_our_table() -> None:
    plan = network_plan(PodNetwork(1400, ("10.244.0.5",)))
    assert (plan.mtu, plan.tap, plan.bridge, plan.owner, str(plan.router)) == (
        1400,
        "tap0",
        "k6t-eth0",
        107,
        "10.0.2.1/24",
    )
    assert plan.ruleset.startswith("table ip kubevirt\ndelete table ip kubevirt\ntable ip kubevirt {")
    assert "flush ruleset" not in plan.ruleset
