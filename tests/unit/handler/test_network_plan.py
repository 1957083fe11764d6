"""The network plan follows from the pod's card and the spec's interface."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest
from virt_core.objects.kubevirt import Configuration
from virt_core.vmi.accepted import AcceptedSpec, accept
from virt_handler.network import remembered
from virt_handler.network.plan import NetworkPlan, PodNetwork, Route, network_plan, other_mac
from virt_handler.network.rules import DepartedGuest, IncomingMigration

POD = PodNetwork(1400, ("10.244.0.5",), 24, "0a:58:0a:f4:00:05", (Route("0.0.0.0/0", "10.244.0.1"),))


def spec(interface: dict[str, Any] | None = None, pod: dict[str, Any] | None = None) -> AcceptedSpec:
    interfaces = [{"name": "default", **(interface or {"masquerade": {}})}]
    networks = [{"name": "default", "pod": pod or {}}]
    domain = {"devices": {"interfaces": interfaces}, "memory": {"guest": "64Mi"}}
    return accept({"domain": domain, "networks": networks}, Configuration())


def planned(*arguments: Any, **options: Any) -> NetworkPlan:
    plan = network_plan(POD, spec(*arguments, **options), queues=False)
    assert plan is not None
    return plan


def test_mtu_is_the_pods_and_rules_replace_only_our_table() -> None:
    plan = planned()
    assert (plan.mtu, plan.tap, plan.bridge, plan.owner, str(plan.router)) == (
        1400,
        "tap0",
        "k6t-eth0",
        107,
        "10.0.2.1/24",
    )
    assert plan.ruleset.startswith("table ip kubevirt\ndelete table ip kubevirt\ntable ip kubevirt {")
    assert "flush ruleset" not in plan.ruleset
    assert plan.uplink is None


def test_all_that_arrives_is_the_guests_unless_ports_are_named() -> None:
    assert 'iifname "eth0" dnat to 10.0.2.2' in planned().ruleset
    ports = [{"port": 80}, {"port": 53, "protocol": "UDP"}]
    ruleset = planned({"masquerade": {}, "ports": ports}).ruleset
    assert 'iifname "eth0" tcp dport 80 dnat to 10.0.2.2' in ruleset
    assert 'iifname "eth0" udp dport 53 dnat to 10.0.2.2' in ruleset
    assert 'iifname "eth0" dnat' not in ruleset


def test_only_the_source_of_a_migration_reaches_the_launcher_behind_a_masquerade() -> None:
    ports = [{"port": 49152}]
    for interface in ({"masquerade": {}}, {"masquerade": {}, "ports": ports}):
        incoming = IncomingMigration(IPv4Address("10.244.1.9"))
        arriving = network_plan(POD, spec(interface), queues=False, moving=incoming)
        plain = network_plan(POD, spec(interface), queues=False)
        assert arriving is not None and plain is not None
        rule = 'iifname "eth0" ip saddr 10.244.1.9 tcp dport { 16514, 49152, 49153 } return'
        assert rule in arriving.ruleset and "10.244.1.9" not in plain.ruleset
        assert arriving.ruleset.index(rule) < arriving.ruleset.index("dnat to")
        assert arriving.ruleset.replace(f"    {rule}\n", "") == plain.ruleset
        assert replace(arriving, ruleset="") == replace(plain, ruleset="")


def test_what_arrives_for_a_guest_that_has_left_goes_on_to_its_new_pod_by_the_same_ports() -> None:
    departed = DepartedGuest(IPv4Address("10.244.2.9"))
    for ports, rule in (([], 'iifname "eth0" dnat to'), ([{"port": 80}], 'iifname "eth0" tcp dport 80 dnat to')):
        interface = {"masquerade": {}, "ports": ports}
        left = network_plan(POD, spec(interface), queues=False, moving=departed)
        plain = network_plan(POD, spec(interface), queues=False)
        assert left is not None and plain is not None
        assert f"{rule} 10.244.2.9" in left.ruleset and f"{rule} 10.0.2.2" in plain.ruleset
        assert "10.0.2.2" not in left.ruleset and left.ruleset.count(" dnat to ") == 1
        assert replace(left, ruleset="") == replace(plain, ruleset="")


def test_the_network_between_pod_and_guest_may_be_another() -> None:
    plan = planned(pod={"vmNetworkCIDR": "192.168.7.0/28"})
    assert str(plan.router) == "192.168.7.1/28"
    assert "dnat to 192.168.7.2" in plan.ruleset


def test_a_bridged_guest_takes_the_pods_place_and_no_rule_is_left() -> None:
    plan = planned({"bridge": {}})
    assert plan.uplink is not None
    assert plan.uplink.remembered == POD
    assert plan.uplink.mac == other_mac(POD.mac) != POD.mac
    assert int(plan.uplink.mac[:2], 16) & 0b11 == 0b10  # locally administered, unicast
    assert "chain" not in plan.ruleset


def test_without_an_interface_nothing_is_made() -> None:
    none = accept(
        {"domain": {"devices": {"autoattachPodInterface": False}, "memory": {"guest": "64Mi"}}}, Configuration()
    )
    assert network_plan(POD, none, queues=False) is None


@pytest.mark.parametrize("pod", [POD, PodNetwork(1500, (), mac="aa:bb:cc:dd:ee:ff")])
def test_what_is_remembered_is_what_was_there(pod: PodNetwork) -> None:
    assert remembered.read(remembered.write(pod)) == pod


@pytest.mark.parametrize("text", [None, "", "something else", "kubevirt x", "kubevirt m 1500 not-an-address/24"])
def test_what_somebody_else_wrote_is_not_taken_for_ours(text: str | None) -> None:
    assert remembered.read(text) is None


def test_too_many_routes_are_reported() -> None:
    many = PodNetwork(1500, ("10.0.0.1",), 24, POD.mac, tuple(Route(f"10.{n}.0.0/16", "10.0.0.2") for n in range(20)))
    with pytest.raises(remembered.DoesNotFit, match="20 routes"):
        remembered.write(many)
