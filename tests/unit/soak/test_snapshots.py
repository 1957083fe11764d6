"""What a snapshot takes for the same, and which differences it names: tests/support/snapshots.py."""

from __future__ import annotations

import pytest

from tests.support.snapshots import Snapshot, alike, leaked

UID, OTHER = "3f0a1c1e-7a61-4ad5-8b6f-0d7f6c1d2e3f", "9b2d4c5e-1111-4222-8333-444455556666"
ID = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"/var/lib/kubelet/pods/{UID}/volumes/x tmpfs", "/var/lib/kubelet/pods/UID/volumes/x tmpfs"),
        (f"memory/node1/kubepods/besteffort/pod{UID}", "memory/node1/kubepods/besteffort/podUID"),
        (f"node1/kubepods-pod{UID.replace('-', '_')}.slice", "node1/kubepods-podUID.slice"),
        (f"containerd-shim-runc-v2 -id {ID} -address /run/containerd/s", None),
        ("Pod kubevirt/virt-controller-6d4cf56db9-x7k2p", "Pod kubevirt/virt-controller-*"),
        ("ReplicaSet kubevirt/virt-controller-6d4cf56db9", "ReplicaSet kubevirt/virt-controller-*"),
        ("Pod kubevirt/virt-handler-x7k2p", "Pod kubevirt/virt-handler-*"),
        ("ControllerRevision kubevirt/virt-handler-5b7c9d8f6d", "ControllerRevision kubevirt/virt-handler-*"),
        ("ip saddr 10.244.1.17 counter packets 17 bytes 1020 jump KUBE-MARK-MASQ", None),
        ("chain KUBE-SEP-ABCDEFGHIJ234567 {", "chain KUBE-SEP {"),
        ("DNAT to 10.244.1.17:8443", "DNAT to ADDRESS"),
        ("veth1a2b3c4d", "veth"),
        (f"/run/netns/cni-{UID}", "/run/netns/cni-UID"),
        ("containers/virt-api/e8383d06", "containers/virt-api/LAST_WORDS"),
        ("io/413328396", "io/NUMBER"),
        ("volumes/certs/..2026_12_01_02_41_07.1234567890/tls.crt", "volumes/certs/..MOMENT/tls.crt"),
    ],
)
def test_what_another_pod_has_otherwise_is_left_out(text: str, expected: str | None) -> None:
    found = alike(text)
    assert expected is None or found == expected
    assert UID not in found and ID not in found and "10.244" not in found and "17" not in found.replace("17 MiB", "")


@pytest.mark.parametrize(
    "name",
    [
        "Secret kubevirt/kubevirt-virt-api-certs",
        "ConfigMap kubevirt/kubevirt-ca",
        "Deployment kubevirt/virt-operator",
        "Lease kubevirt/virt-controller",
        "ClusterRole kubevirt-controller",
        "/var/lib/kubelet/device-plugins/kubevirt-vhost-net.sock",
        "/usr/lib/kubevirt/supervisor launcher",
        "tap0",
        "br-k8s",
    ],
)
def test_a_name_that_somebody_has_chosen_stays(name: str) -> None:
    assert alike(name) == name


def test_a_pod_that_was_replaced_is_no_difference() -> None:
    before = Snapshot.of({"cgroups": [f"kubepods/pod{UID}"], "objects": ["Pod kubevirt/virt-handler-x7k2p"]})
    after = Snapshot.of({"cgroups": [f"kubepods/pod{OTHER}"], "objects": ["Pod kubevirt/virt-handler-b8d2w"]})
    assert after.since(before) == []


def test_each_difference_is_named_with_its_number() -> None:
    before = Snapshot.of({"mounts": [f"/pods/{UID}"], "links": ["lo", "eth0"]})
    after = Snapshot.of(
        {"mounts": [f"/pods/{UID}", f"/pods/{OTHER}", f"/pods/{OTHER}"], "links": ["lo"], "taps": ["t"]}
    )
    differences = after.since(before)
    assert differences == ["links: -1 eth0", "mounts: +2 /pods/UID", "taps: +1 t"]
    assert leaked(differences) == ["mounts: +2 /pods/UID", "taps: +1 t"]


def test_things_of_a_kind_are_counted() -> None:
    snapshot = Snapshot.of({"mounts": [f"/pods/{UID}", f"/pods/{OTHER}", "/"]})
    assert (snapshot.count("mounts"), snapshot.count("links")) == (3, 0)
