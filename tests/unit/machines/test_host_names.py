"""Guest and pod have the same host name."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from virt_controller.pod.containers import LauncherSettings
from virt_controller.pod.template import launcher_pod, pod_name
from virt_core.objects.kubevirt import Configuration
from virt_core.validation.refusal import DNS_LABEL
from virt_core.vmi.accepted import accept
from virt_core.vmi.instance import VirtualMachineInstance
from virt_handler.machines.translate.machine import machine
from virt_handler.network.plan import PodNetwork

NONE = Configuration()


@pytest.mark.parametrize(
    ("name", "hostname", "expected"),
    [
        ("first.last003", "", "first"),
        ("demo", "", "demo"),
        ("demo", "other", "other"),
        ("007", "", "007"),
        ("a" * 63, "", "a" * 63),
        ("a" * 62 + "-b", "", "a" * 62),
        ("9" * 253, "", "9" * 63),
        ("a." * 126 + "b", "", "a"),
    ],
)
def test_guest_and_pod_have_one_host_name(name: str, hostname: str, expected: str) -> None:
    spec: dict[str, Any] = {"domain": {"devices": {}, "memory": {"guest": "64Mi"}}, "hostname": hostname}
    meta = {"name": name, "namespace": "ns", "uid": "6a1f0d52-6a7a-4c9b-8d5e-1c2b3a4d5e6f"}
    vmi = msgspec.json.decode(json.dumps({"metadata": meta, "spec": spec}), type=VirtualMachineInstance)
    accepted = accept(vmi.raw_spec, NONE)
    pod = launcher_pod(vmi, accepted, LauncherSettings("launcher", "Always"), NONE, {})
    made = machine(vmi, accepted, PodNetwork(1500, ("10.0.0.1",)))
    assert pod["spec"]["hostname"] == made.interfaces[0].dhcp.hostname == expected
    assert DNS_LABEL.accepts(expected) and DNS_LABEL.accepts(pod_name(vmi).replace(".", "-"))
    assert len(pod_name(vmi)) <= 63
    assert all(len(value) <= 63 for value in pod["metadata"]["labels"].values())
