"""The pod of a guest: fields of the spec, image, memory, probes. See also test_conditions.py."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cluster import get, until, wait
from tests.e2e.guest_shell import Shell
from tests.e2e.guests import TICK_PORT, Guest, created, manifest, running

pytestmark = pytest.mark.parallel


def conditions_of(guest: Guest) -> str:
    """All conditions that are not True, as kubectl describe shows them."""
    conditions = get("vmi", guest.name).get("status", {}).get("conditions", [])
    return "\n".join(
        f"{condition['type']} {condition.get('reason')}: {condition.get('message')}"
        for condition in conditions
        if condition["status"] != "True"
    )


def test_an_image_that_cannot_be_pulled_is_named() -> None:
    body = manifest("unpulled")
    body["spec"]["domain"]["firmware"]["kernelBoot"]["container"]["image"] = f"{os.environ['REGISTRY']}/absent:1"
    with created(body) as (guest,):
        until(lambda: "absent:1" in conditions_of(guest), "the image to be named")
        print(conditions_of(guest))
        assert "ImagePull" in conditions_of(guest)
        assert guest.phase in ("Pending", "Scheduling")


def test_annotations_of_a_vmi_are_on_its_pod() -> None:
    body = manifest("annotated")
    own = {
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "true",
        "sidecar.istio.io/inject": "false",
        "example.com/id": "123",
    }
    body["metadata"]["annotations"] = own
    with running(body) as (guest,):
        found = guest.pod["metadata"]["annotations"]
        assert own.items() <= found.items()
        assert not [key for key in found if key.startswith("kubectl.kubernetes.io/")]  # kubectl apply's, on the VMI


def test_fields_of_the_spec_for_the_pod_are_in_the_pod() -> None:
    body = manifest("placed")
    term = {"matchExpressions": [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}
    spread = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
    body["spec"] |= {
        "affinity": affinity,
        "tolerations": [{"key": "colour", "operator": "Exists", "effect": "NoSchedule"}],
        "topologySpreadConstraints": [{**spread, "labelSelector": {"matchLabels": {"app": "placed"}}}],
        "hostname": "myhost",
        "subdomain": "mydomain",
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["192.0.2.53"], "searches": ["example.test"]},
        "nodeSelector": {"kubernetes.io/os": "linux"},
    }
    body["spec"]["domain"]["resources"] = {"requests": {"cpu": "50m"}, "limits": {"cpu": "2"}}
    body["metadata"]["labels"] = {"app": "placed"}
    with created(body) as (guest,):
        until(lambda: bool(get("pods", "-l", "app=placed")["items"]), "its pod")
        (pod,) = get("pods", "-l", "app=placed")["items"]
        spec: dict[str, Any] = pod["spec"]
        assert term in _terms(spec["affinity"])
        assert body["spec"]["tolerations"][0] in spec["tolerations"]
        assert spec["topologySpreadConstraints"] == body["spec"]["topologySpreadConstraints"]
        for field in ("hostname", "subdomain", "dnsPolicy", "dnsConfig"):
            assert spec[field] == body["spec"][field]
        assert spec["nodeSelector"]["kubernetes.io/os"] == "linux"
        compute = next(container for container in spec["containers"] if container["name"] == "compute")
        assert compute["resources"]["requests"]["cpu"] == "50m"
        assert compute["resources"]["limits"]["cpu"] == "2"
        wait("vmi", guest.name, "jsonpath={.status.phase}=Running")


def _terms(affinity: dict[str, Any]) -> list[dict[str, Any]]:
    required = affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    terms: list[dict[str, Any]] = required["nodeSelectorTerms"]
    return [{"matchExpressions": term["matchExpressions"]} for term in terms]


async def test_a_guest_that_outgrows_its_pods_memory_fails_alone() -> None:
    # Twice as much as its pod may have of files in memory, which the kernel gives up first.
    with running(manifest("starved", memory="512Mi"), manifest("fed")) as (starved, fed):
        async with Shell.of(starved) as shell:  # what it touches while it boots, it has touched
            limit_memory(starved.qemu_pid(), 4 << 20)
            await shell.type("dd if=/dev/zero of=/tmp/more bs=1M count=240")
            until(lambda: starved.phase == "Failed", "the guest to be Failed")
        print(starved.vmi["status"].get("reason"), conditions_of(starved))
        assert starved.vmi["status"]["reason"] in ("HypervisorCrashed", "OOMKilled")
        assert fed.phase == "Running"


def limit_memory(pid: int, more: int) -> None:
    """What a memory limit does, soon: QEMU's cgroup may grow by `more` bytes, then the kernel kills in it."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            folder = Path("/sys/fs/cgroup") / controllers / path.lstrip("/")
            used, limit = (
                ("memory.usage_in_bytes", "memory.limit_in_bytes") if controllers else ("memory.current", "memory.max")
            )
            if (folder / limit).exists():
                (folder / limit).write_text(str(int((folder / used).read_text()) + more))
                return
    raise AssertionError(f"no memory controller of {pid}")


def test_readiness_is_the_probes_and_a_guest_that_fails_its_liveness_probe_is_failed() -> None:
    ready, dead = manifest("probed"), manifest("unlively")
    probe = {"periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 2}
    ready["spec"]["readinessProbe"] = {"tcpSocket": {"port": TICK_PORT}, "initialDelaySeconds": 1, **probe}
    # Nothing in this guest speaks HTTP.
    dead["spec"]["livenessProbe"] = {"httpGet": {"port": 80}, "initialDelaySeconds": 1, **probe}
    with running(ready) as (probed,), created(dead) as (unlively,):  # which may have failed before it is seen to run
        until(lambda: probed.condition("Ready").get("status") == "True", "the probe to succeed")
        until(lambda: unlively.phase == "Failed", "the guest that does not answer to be Failed")
        until(lambda: "Liveness probe failed" in conditions_of(unlively), "the probe to be named")
        print(unlively.vmi["status"].get("reason"), conditions_of(unlively))
        assert probed.phase == "Running"
