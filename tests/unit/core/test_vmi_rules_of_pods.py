"""Interfaces, devices, probes and scheduling that are refused: by field, value and what is allowed."""

from __future__ import annotations

import pytest

from tests.unit.core.spec_changes import (
    Change,
    assert_refused,
    cidr,
    devices,
    interface,
    probe,
)

# Each refused alone: the change, the field, and words of the message.
REFUSED: list[tuple[Change, str, str]] = [
    (devices(interfaces=[{"name": "default"}]), "domain.devices.interfaces[0]", "either masquerade: {} or bridge: {}"),
    (interface(bridge={}), "domain.devices.interfaces[0]", "'masquerade and bridge'"),
    (interface(model="igb"), "domain.devices.interfaces[0].model", "virtio or e1000"),
    (interface(state="absent"), "domain.devices.interfaces[0].state", "up or down"),
    (interface(acpiIndex=16384), "domain.devices.interfaces[0].acpiIndex", "0 to 16383"),
    (interface(macAddress="01:00:00:00:00:01"), "domain.devices.interfaces[0].macAddress", "a unicast address"),
    (interface(macAddress="00:00:00:00:00:00"), "domain.devices.interfaces[0].macAddress", "a unicast address"),
    (interface(macAddress="02:00"), "domain.devices.interfaces[0].macAddress", "a unicast address"),
    (interface(ports=[{"port": 0}]), "domain.devices.interfaces[0].ports[0].port", "1 to 65535"),
    (
        interface(ports=[{"port": 1}, {"port": 1}]),
        "domain.devices.interfaces[0].ports[1].port",
        "one that no other has",
    ),
    (
        interface(ports=[{"port": 1, "protocol": "SCTP"}]),
        "domain.devices.interfaces[0].ports[0].protocol",
        "TCP or UDP",
    ),
    (interface(ports=[{"port": 1, "name": "A b"}]), "domain.devices.interfaces[0].ports[0].name", "1 to 15 of a-z"),
    (cidr("10.0.2.0/31"), "networks[0].pod.vmNetworkCIDR", "8 to 30 bits"),
    (cidr("8.8.8.0/24"), "networks[0].pod.vmNetworkCIDR", "a private IPv4 network"),
    (cidr("10.0.2.0/24", bridge={}), "networks[0].pod.vmNetworkCIDR", "a bridged guest has the pod's address"),
    (devices(inputs=[{"name": "k", "type": "keyboard"}]), "domain.devices.inputs[0].type", "use tablet"),
    (devices(inputs=[{"name": "k", "type": "tablet", "bus": "ps2"}]), "domain.devices.inputs[0].bus", "usb or virtio"),
    (devices(watchdog={"name": "w"}), "domain.devices.watchdog", "i6300esb: {}"),
    (
        devices(watchdog={"name": "w", "i6300esb": {"action": "none"}}),
        "domain.devices.watchdog.i6300esb.action",
        "reset",
    ),
    (devices(tpm={}), "domain.devices.tpm.enabled", "use false: this release has no TPM"),
    (devices(video={"type": "cirrus"}), "domain.devices.video.type", "vga or bochs"),
    (
        devices(video={"type": "vga"}, autoattachGraphicsDevice=False),
        "domain.devices.video",
        "autoattachGraphicsDevice",
    ),
    ({"architecture": "arm64"}, "architecture", "'arm64' is not allowed, use amd64"),
    ({"terminationGracePeriodSeconds": -1}, "terminationGracePeriodSeconds", "0 or more"),
    ({"hostname": "a.b"}, "hostname", "a DNS label"),
    ({"subdomain": "-"}, "subdomain", "a DNS label"),
    ({"priorityClassName": "A"}, "priorityClassName", "a name of 253"),
    ({"startStrategy": "Running"}, "startStrategy", "use Paused"),
    ({"evictionStrategy": "Move"}, "evictionStrategy", "None or LiveMigrate or LiveMigrateIfPossible or External"),
    ({"dnsPolicy": "Mine"}, "dnsPolicy", "ClusterFirst or"),
    ({"dnsPolicy": "None"}, "dnsConfig.nameservers", "at least one"),
    ({"nodeSelector": {"a b": ""}}, "nodeSelector", "a qualified name"),
    ({"nodeSelector": {"a": "b c"}}, "nodeSelector.a", "a label's value"),
    (
        probe(),
        "readinessProbe",
        "'nothing' is not allowed, use exactly one of exec, httpGet, tcpSocket, guestAgentPing",
    ),
    (probe(guestAgentPing={}, tcpSocket={"port": 1}), "readinessProbe", "'tcpSocket and guestAgentPing'"),
    (probe(guestAgentPing={}, periodSeconds=-1), "readinessProbe.periodSeconds", "-1"),
    (probe(tcpSocket={"port": 65536}), "readinessProbe.tcpSocket.port", "1 to 65535"),
    (probe(tcpSocket={"port": "http"}), "readinessProbe.tcpSocket.port", "the name of an interface's port"),
    (probe(exec={"command": []}), "readinessProbe.exec", "command: 1 to 64 strings"),
    (
        {**devices(autoattachPodInterface=False), **probe(tcpSocket={"port": 1})},
        "readinessProbe.tcpSocket",
        "an interface",
    ),
    ({"livenessProbe": {"guestAgentPing": {}, "successThreshold": 2}}, "livenessProbe.successThreshold", "use 1"),
    ({"livenessProbe": {"guestAgentPing": {}}, "startStrategy": "Paused"}, "livenessProbe", "startStrategy: Paused"),
]


@pytest.mark.parametrize(("change", "field", "words"), REFUSED, ids=[f"{at}: {words}" for _, at, words in REFUSED])
def test_what_the_pod_cannot_offer_is_refused_by_field_and_value(change: Change, field: str, words: str) -> None:
    assert_refused(change, field, words)
