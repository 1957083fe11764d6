"""Responses of a guest agent, honest or not. The honest ones are from Debian's qemu-ga 7.2 and 10.0."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubevirt.launcher.v1 import guest_pb2, launcher_pb2
from virt_launcher.agent import replies
from virt_launcher.errors import AgentRefused

OSINFO = {
    "name": "Debian GNU/Linux",
    "kernel-release": "6.12.41+deb13-cloud-amd64",
    "version": "13 (trixie)",
    "pretty-name": "Debian GNU/Linux 13 (trixie)",
    "version-id": "13",
    "kernel-version": "#1 SMP PREEMPT_DYNAMIC Debian 6.12.41-1 (2025-08-12)",
    "machine": "x86_64",
    "id": "debian",
}
INTERFACES: list[dict[str, Any]] = [
    {
        "name": "lo",
        "ip-addresses": [{"ip-address-type": "ipv4", "ip-address": "127.0.0.1", "prefix": 8}],
        "statistics": {"tx-packets": 0},
        "hardware-address": "00:00:00:00:00:00",
    },
    {
        "name": "enp1s0",
        "ip-addresses": [
            {"ip-address-type": "ipv4", "ip-address": "10.0.2.2", "prefix": 24},
            {"ip-address-type": "ipv6", "ip-address": "fe80::5054:ff:fe00:1", "prefix": 64},
        ],
        "hardware-address": "52:54:00:00:00:01",
    },
    {"name": "sit0", "hardware-address": "0.0.0.0"},
]


def test_operating_system() -> None:
    assert replies.operating_system(OSINFO) == guest_pb2.GuestOs(
        id="debian",
        name="Debian GNU/Linux",
        pretty_name="Debian GNU/Linux 13 (trixie)",
        version="13 (trixie)",
        version_id="13",
        kernel_release="6.12.41+deb13-cloud-amd64",
        kernel_version="#1 SMP PREEMPT_DYNAMIC Debian 6.12.41-1 (2025-08-12)",
        machine="x86_64",
    )


def test_interfaces_are_the_guests_cards() -> None:
    expected = guest_pb2.GuestInterface(
        name="enp1s0", mac_address="52:54:00:00:00:01", addresses=["10.0.2.2", "fe80::5054:ff:fe00:1"]
    )
    assert replies.interfaces(INTERFACES) == [expected]


def test_version_and_commands() -> None:
    info = {
        "version": "7.2.17",
        "supported_commands": [
            {"name": "guest-ping", "enabled": True, "success-response": True},
            {"name": "guest-exec", "enabled": False, "success-response": True},
        ],
    }
    assert replies.version(info) == "7.2.17"
    assert [(command.name, command.enabled) for command in replies.commands(info)] == [
        ("guest-ping", True),
        ("guest-exec", False),
    ]


def test_details() -> None:
    assert replies.host_name({"host-name": "demo"}) == "demo"
    assert (replies.frozen("frozen"), replies.frozen("thawed"), replies.frozen(None)) == (True, False, False)
    assert replies.timezone({"offset": -3600, "zone": "CVT"}) == "CVT, -3600"
    assert replies.users([{"login-time": 1.5e9, "user": "debian"}]) == [
        guest_pb2.GuestUser(name="debian", login_time=1.5e9)
    ]
    filesystem = {
        "name": "vda1",
        "total-bytes": 100,
        "mountpoint": "/",
        "disk": [{"serial": "s", "bus-type": "virtio", "bus": 0, "pci-controller": {"bus": 4}}],
        "used-bytes": 50,
        "type": "ext4",
    }
    assert replies.filesystems([filesystem]) == [
        guest_pb2.GuestFilesystem(
            name="vda1",
            mount_point="/",
            type="ext4",
            used_bytes=50,
            total_bytes=100,
            disks=[guest_pb2.GuestDisk(bus_type="virtio", serial="s")],
        )
    ]


@pytest.mark.parametrize("reply", ["", "{", "[]", "{}", '{"error": {}}', "[" * 100_000, '"' + "x" * (1 << 20) + '"'])
def test_what_is_no_reply_is_refused(reply: str) -> None:
    with pytest.raises(AgentRefused):
        replies.returned(reply)


def test_sizes_and_counts_are_bounded() -> None:
    many: list[Any] = [{**INTERFACES[1], "ip-addresses": INTERFACES[1]["ip-addresses"] * 1000}] * 1000
    found = replies.interfaces(many)
    assert (len(found), len(found[0].addresses)) == (32, 16)
    assert len(replies.users([{"user": "u"}] * 1000)) == 64
    assert len(replies.filesystems([{"disk": [{}] * 1000}] * 1000)) == 128
    assert len(replies.filesystems([{"disk": [{}] * 1000}])[0].disks) == 16
    assert len(replies.commands({"supported_commands": [{"name": "a"}] * 1000})) == 256
    assert replies.host_name({"host-name": "h" * 1000}) == "h" * 256


def test_lies_count_as_absent() -> None:
    assert replies.host_name({"host-name": "a\x1b[2J\nb\ud800"}) == "a[2Jb"
    liar = {"name": "x", "hardware-address": "52:54:00:00:00:01", "ip-addresses": [{"ip-address": "1.2.3.4; rm"}]}
    assert list(replies.interfaces([liar])[0].addresses) == []
    assert replies.interfaces([{"name": "x", "hardware-address": "<mac>"}]) == []
    assert replies.commands({"supported_commands": [{"name": "guest ping"}]}) == []
    assert replies.filesystems([{"used-bytes": -1, "total-bytes": 2**70}]) == [guest_pb2.GuestFilesystem()]
    assert replies.users([{"login-time": float("nan")}])[0].login_time == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["name", "version", "ip-addresses", "hardware-address", "disk", "login-time", "offset"])
            | st.text(),
            inner,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_no_answer_breaks_anything(answer: Any) -> None:
    returned = replies.returned(json.dumps({"return": answer}))
    details = launcher_pb2.GetGuestDetailsResponse(
        agent=guest_pb2.GuestAgent(
            version=replies.version(returned),
            hostname=replies.host_name(returned),
            os=replies.operating_system(returned),
            interfaces=replies.interfaces(returned),
            filesystems_frozen=replies.frozen(returned),
        ),
        timezone=replies.timezone(returned),
        users=replies.users(returned),
        filesystems=replies.filesystems(returned),
        commands=replies.commands(returned),
    )
    assert launcher_pb2.GetGuestDetailsResponse.FromString(details.SerializeToString()) == details
