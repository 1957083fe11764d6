"""From a request's body to the launcher's command, and from the agent's report to KubeVirt's documents."""

from __future__ import annotations

import pytest
from kubevirt.launcher.v1 import guest_pb2, launcher_pb2
from virt_api.errors import BadRequest
from virt_api.subresources.call import Call, parse_call
from virt_api.subresources.command_options import command_of, options_of
from virt_api.subresources.guest_documents import document_of
from virt_api.subresources.streams import port_of
from virt_core.conventions.subresources import COMMANDS

KINDS = {
    "freeze": "freeze",
    "pause": "pause",
    "reset": "reset",
    "softreboot": "soft_reboot",
    "unfreeze": "unfreeze",
    "unpause": "unpause",
}


@pytest.mark.parametrize("body", [b"", b"{}", b'{"dryRun": null, "kind": "PauseOptions"}'])
@pytest.mark.parametrize("subresource", COMMANDS)
def test_each_command_is_the_launchers_and_its_body_optional(subresource: str, body: bytes) -> None:
    options = options_of(subresource, body)
    assert not options.dry
    assert command_of(subresource, options).WhichOneof("command") == KINDS[subresource]


@pytest.mark.parametrize(
    ("body", "seconds"), [(b"", 0), (b'{"unfreezeTimeout": "5m0s"}', 300), (b'{"unfreezeTimeout": "1.5s"}', 1.5)]
)
def test_a_freeze_records_when_it_ends(body: bytes, seconds: float) -> None:
    freeze = command_of("freeze", options_of("freeze", body)).freeze
    assert freeze.unfreeze_after.ToTimedelta().total_seconds() == seconds


def test_a_dry_run_is_known() -> None:
    assert options_of("pause", b'{"dryRun": ["All"]}').dry


@pytest.mark.parametrize(
    ("subresource", "body", "words"),
    [
        ("pause", b'{"unfreezeTimeout": "5m"}', "unfreezeTimeout"),
        ("pause", b'{"dryRun": ["Some"]}', "dryRun: 'Some' is not allowed, use All"),
        ("pause", b"[", "not understood"),
        ("pause", b"[" * 100_000, "not understood"),
        ("freeze", b'{"unfreezeTimeout": 5}', "unfreezeTimeout"),
        ("freeze", b'{"unfreezeTimeout": "5 minutes"}', "unfreezeTimeout: '5 minutes' is not allowed, use a duration"),
        ("freeze", b'{"unfreezeTimeout": "-5m"}', "unfreezeTimeout"),
        ("freeze", b'{"unfreezeTimeout": "90m"}', "1h0m0s at most"),
    ],
)
def test_a_body_that_cannot_be_followed_is_refused_by_name(subresource: str, body: bytes, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        command_of(subresource, options_of(subresource, body))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("0", "port: '0' is not allowed, use 1 to 65535"),
        ("65536", "port"),
        ("１２", "port"),
        ("9" * 5000, "port"),
        ("ssh", "port"),
        ("53/udp", "protocol: 'udp' is not supported by this release, use tcp"),
        ("22/tcp/x", "protocol"),
    ],
)
def test_only_tcp_ports_are_forwarded(arguments: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        port_of(_forwarding(arguments))


def test_a_ports_protocol_may_be_left_out() -> None:
    assert port_of(_forwarding("22")) == port_of(_forwarding("22/tcp")) == 22


def _forwarding(arguments: str) -> Call:
    rest = f"portforward/{arguments}"
    return parse_call("GET", version="v1", namespace="ns", resource="virtualmachineinstances", name="vm", rest=rest)


DETAILS = launcher_pb2.GetGuestDetailsResponse(
    agent=guest_pb2.GuestAgent(
        version="9.2",
        hostname="box",
        os=guest_pb2.GuestOs(id="debian", name="Debian GNU/Linux", version_id="13", kernel_release="6.12"),
        filesystems_frozen=True,
    ),
    timezone="CET, 3600",
    users=[guest_pb2.GuestUser(name="debian", login_time=1.5)],
    filesystems=[
        guest_pb2.GuestFilesystem(
            name="vda1",
            mount_point="/",
            type="ext4",
            used_bytes=1 << 40,
            total_bytes=1 << 41,
            disks=[guest_pb2.GuestDisk(bus_type="virtio", serial="s1"), guest_pb2.GuestDisk(bus_type="sata")],
        )
    ],
    commands=[guest_pb2.GuestAgentCommand(name="guest-ping", enabled=True)],
)
FILESYSTEM = {
    "diskName": "vda1",
    "mountPoint": "/",
    "fileSystemType": "ext4",
    "usedBytes": 1 << 40,
    "totalBytes": 1 << 41,
    "disk": [{"serial": "s1", "busType": "virtio"}, {"busType": "sata"}],
}


def test_reports_of_the_agent_have_kubevirts_fields() -> None:
    assert document_of("guestosinfo", DETAILS) == {
        "guestAgentVersion": "9.2",
        "supportedCommands": [{"name": "guest-ping", "enabled": True}],
        "hostname": "box",
        "os": {"id": "debian", "name": "Debian GNU/Linux", "versionId": "13", "kernelRelease": "6.12"},
        "timezone": "CET, 3600",
        "userList": [{"userName": "debian", "loginTime": 1.5}],
        "fsInfo": {"disks": [FILESYSTEM]},
        "fsFreezeStatus": "frozen",
    }
    assert document_of("userlist", DETAILS) == {
        "metadata": {},
        "items": [{"userName": "debian", "loginTime": 1.5}],
    }
    assert document_of("filesystemlist", DETAILS) == {"metadata": {}, "items": [FILESYSTEM]}


def test_lists_are_present_although_the_agent_reported_nothing() -> None:
    nothing = launcher_pb2.GetGuestDetailsResponse()
    assert document_of("guestosinfo", nothing) == {"fsFreezeStatus": "thawed", "fsInfo": {"disks": []}}
    assert document_of("userlist", nothing) == document_of("filesystemlist", nothing) == {"metadata": {}, "items": []}
