"""Admission of VirtualMachineInstances by virt-api's webhooks, for kubectl and controllers."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import KubeError
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCES
from virt_core.objects.kubevirt import Configuration
from virt_core.vmi.defaults import defaulted

from tests.e2e.cluster import NAMESPACE, get, kubectl, until, wait
from tests.e2e.guests import Guest, manifest, running

RATE = 10  # creations a second
AFTER = 3.0  # seconds that are still asked after the last old replica is gone
CONFIGURATIONS = ("mutatingwebhookconfiguration/virt-api-mutator", "validatingwebhookconfiguration/virt-api-validator")
SMALL = {"domain": {"memory": {"guest": "64Mi"}, "devices": {}}}


def vmi(name: str, spec: Any = SMALL, version: str = "v1") -> dict[str, Any]:
    """A VirtualMachineInstance."""
    metadata = {"name": name, "namespace": "default"}
    return {
        "apiVersion": f"kubevirt.io/{version}",
        "kind": "VirtualMachineInstance",
        "metadata": metadata,
        "spec": spec,
    }


def create(body: dict[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
    """As a controller or a GitOps tool writes: nobody validates but the API server's admission."""
    command = ["kubectl", "create", "--validate=false", "--dry-run=server", "-o", "json", *arguments, "-f", "-"]
    return subprocess.run(command, input=json.dumps(body), capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture(scope="module")
def guest(suite: None) -> Iterator[Guest]:
    """One that runs."""
    with running(manifest("admitted")) as (guest,):
        yield guest


@pytest.mark.parallel
@pytest.mark.parametrize("version", ["v1", "v1alpha3"])
def test_kubevirts_defaults_are_stored(version: str) -> None:
    stored = json.loads(create(vmi("new", version=version)).stdout)
    configuration = get("-n", NAMESPACE, "kv", "kubevirt")["spec"].get("configuration", {})
    assert stored["spec"]["domain"]["machine"]["type"] == configuration.get("machineType", "q35")
    assert stored["spec"]["domain"]["cpu"] == {"sockets": 1, "cores": 1, "threads": 1}
    assert stored["spec"]["domain"]["devices"]["interfaces"] == [{"name": "default", "masquerade": {}}]
    assert stored["spec"]["networks"] == [{"name": "default", "pod": {}}]
    assert stored["spec"] == defaulted(vmi("new"), Configuration())["spec"]


@pytest.mark.parallel
def test_a_status_that_comes_with_a_new_object_is_dropped_with_a_warning() -> None:
    done = create(vmi("new") | {"status": {"phase": "Running", "nodeName": "elsewhere"}})
    assert "Warning: status: is written by KubeVirt itself" in done.stderr
    status = json.loads(done.stdout)["status"]
    assert (status["phase"], sorted(status)) == ("Pending", ["conditions", "phase", "phaseTransitionTimestamps"])
    assert [(condition["type"], condition["status"]) for condition in status["conditions"]] == [("Ready", "False")]


@pytest.mark.parallel
@pytest.mark.parametrize("version", ["v1", "v1alpha3"])
def test_what_cannot_be_run_is_refused_by_field_value_and_what_is_allowed_all_at_once(version: str) -> None:
    domain = {"memory": {"guest": "64Mi"}, "machine": {"type": "pc-i440fx"}, "devices": {"disks": [{"name": "absent"}]}}
    done = create(vmi("refused", {"domain": domain}, version))
    words = ('VirtualMachineInstance "refused" is invalid', "spec.domain.machine.type", "'pc-i440fx'", "pc-q35-7.2")
    assert all(word in done.stderr for word in (*words, "spec.domain.devices.disks[0]")), done.stderr
    devices = {"gpus": [{"name": "g", "deviceName": "d"}], "usbs": [1]}
    done = create(vmi("refused", {"domain": {"memory": {"guest": "64Mi"}, "devices": devices}}, version))
    assert "spec.domain.devices.gpus" in done.stderr
    print(done.stderr)


@pytest.mark.parallel
def test_unknown_fields_and_bad_values_of_a_windows_guest_are_named_in_one_answer() -> None:
    domain = {
        "memory": {"guest": "512Mi"},
        "features": {"hyperv": {"relaxed": {}}, "smm": {}},
        "firmware": {"bootloader": {"efi": {"secureBoot": True}}},
        "devices": {"tpm": {}},
    }
    done = create(vmi("refused", {"domain": domain}))
    for path in ("features.hyperv", "firmware.bootloader.efi.secureBoot", "devices.tpm"):
        assert f"spec.domain.{path}" in done.stderr, done.stderr


@pytest.mark.parallel
def test_memory_with_which_uefi_crashes_is_refused() -> None:
    firmware = {"bootloader": {"efi": {"secureBoot": False}}}
    domain = {"devices": {}, "memory": {"guest": "128Mi"}, "firmware": firmware}
    done = create(vmi("refused", {"domain": domain}))
    print(done.stderr)
    assert "spec.domain.memory.guest: '128Mi' is not allowed, use at least 160Mi with UEFI" in done.stderr


@pytest.mark.parallel
def test_a_cpu_feature_that_the_emulator_has_not_is_refused() -> None:
    if not get("-n", NAMESPACE, "kubevirt", "kubevirt")["spec"]["configuration"]["developerConfiguration"][
        "useEmulation"
    ]:
        pytest.skip("the cluster has KVM")
    cpu = {"model": "Nehalem", "features": [{"name": "vmx", "policy": "require"}]}
    done = create(vmi("refused", {"domain": {"devices": {}, "memory": {"guest": "128Mi"}, "cpu": cpu}}))
    assert "spec.domain.cpu.features[0].name: 'vmx' is not allowed" in done.stderr, done.stderr


@pytest.mark.parallel
def test_a_spec_is_not_changed_and_a_status_not_edited(guest: Guest) -> None:
    before = guest.vmi
    for patch, field in (
        ({"spec": {"domain": {"memory": {"guest": "1Gi"}}}}, "spec.domain.memory.guest"),
        ({"spec": {"terminationGracePeriodSeconds": 7}}, "spec.terminationGracePeriodSeconds"),
        ({"status": {"phase": "Failed"}}, "status"),
        ({"metadata": {"labels": {"kubevirt.io/nodeName": "elsewhere"}}}, "metadata.labels.kubevirt.io/nodeName"),
    ):
        with pytest.raises(AssertionError, match=re.escape(f"{field}: ")):
            kubectl("patch", "vmi", guest.name, "--type=merge", "-p", json.dumps(patch))
    kubectl("label", "vmi", guest.name, "team=blue")
    kubectl("apply", "-f", "-", stdin=json.dumps(manifest("admitted")))  # the manifest names none of the defaults
    after = guest.vmi
    # What is reported of a guest that has just begun to run, that it is ready for example, comes by and by.
    assert (after["spec"], after["status"]["phase"]) == (before["spec"], "Running")
    assert after["metadata"]["labels"]["team"] == "blue"


@pytest.mark.parallel
def test_a_reserved_label_is_not_created() -> None:
    body = vmi("refused")
    body["metadata"]["labels"] = {"kubevirt.io/nodeName": "node1"}
    assert "metadata.labels.kubevirt.io/nodeName: is reserved" in create(body).stderr


async def test_a_rolling_restart_of_virt_api_refuses_no_creation() -> None:
    """Ten a second, each a dry run, which goes through both webhooks, while every replica is replaced."""
    failures: list[str] = []
    slowest, creations = 0.0, 0

    async def one(client: KubeClient) -> None:
        nonlocal slowest
        began = time.monotonic()
        try:
            stored = await client.create(VIRTUAL_MACHINE_INSTANCES, "default", vmi("new"), dry_run=True)
            assert stored["spec"]["domain"]["machine"]
        except (KubeError, AssertionError) as error:
            failures.append(f"{time.monotonic() - started:.1f} s: {error}")
        slowest = max(slowest, time.monotonic() - began)

    old = get("-n", NAMESPACE, "pods", "-l", "kubevirt.io=virt-api")["items"]
    before = {pod["metadata"]["uid"] for pod in old}
    kubectl("-n", NAMESPACE, "rollout", "restart", "deployment", "virt-api")
    started = time.monotonic()
    rolled = asyncio.ensure_future(_rolled([pod["metadata"]["name"] for pod in old]))
    async with KubeClient.connect("admission-test") as client, asyncio.TaskGroup() as group:
        ends = None
        while ends is None or time.monotonic() < ends:
            if rolled.done() and ends is None:
                ends = time.monotonic() + AFTER
                print(f"rolled after {time.monotonic() - started:.1f} s, {creations} asked")
            group.create_task(one(client))
            creations += 1
            await asyncio.sleep(1 / RATE)
    rolled.result()
    pods = get("-n", NAMESPACE, "pods", "-l", "kubevirt.io=virt-api")["items"]
    assert len(pods) == len(before) and not before & {pod["metadata"]["uid"] for pod in pods}
    print(f"{creations} creations, {len(failures)} failed, the slowest took {slowest:.2f} s")
    assert failures == []


async def _rolled(old: list[str]) -> None:
    """Every replica is new, and the last old one has drained and is gone."""
    deployment = ("rollout", "status", "deployment", "virt-api", "--timeout=180s")
    pods = ("wait", "pod", *old, "--for=delete", "--timeout=180s")
    for arguments in (deployment, pods):
        await asyncio.to_thread(kubectl, "-n", NAMESPACE, *arguments)


def test_what_comes_in_while_the_webhooks_are_away_is_refused_by_the_controller() -> None:
    scale = ("-n", NAMESPACE, "scale", "deployment", "virt-operator")
    kubectl(*scale, "--replicas=0")
    try:
        kubectl("-n", NAMESPACE, "wait", "pod", "-l", "kubevirt.io=virt-operator", "--for=delete", "--timeout=180s")
        kubectl("delete", *CONFIGURATIONS)
        devices = {"gpus": [{"name": "g", "deviceName": "d"}]}
        body = vmi("unasked", {"domain": {"memory": {"guest": "64Mi"}, "devices": devices}})
        until(lambda: _created(body), "the API server to forget the webhooks", every=0.5)
        wait("vmi", "unasked", "jsonpath={.status.phase}=Pending")
        until(lambda: "UnsupportedSpec" in kubectl("describe", "vmi", "unasked"), "the refusal")
        assert "spec.domain.devices.gpus" in kubectl("describe", "vmi", "unasked")
        uid = get("vmi", "unasked")["metadata"]["uid"]
        assert get("pods", "-l", f"kubevirt.io/created-by={uid}")["items"] == []
    finally:
        kubectl(*scale, "--replicas=2")
        until(lambda: kubectl("get", *CONFIGURATIONS, "-o", "name", check=False).count("/") == 2, "the webhooks")
        # What is stored may be changed and deleted though it would not be admitted any more.
        kubectl("label", "vmi", "unasked", "team=blue")
        kubectl("delete", "vmi", "unasked", "--ignore-not-found", "--wait", "--timeout=180s")
        wait("kv", "kubevirt", "condition=Available", namespace=NAMESPACE)
        # Available is as an operator left it that is gone: the next test needs one that answers.
        until(_operator_answers, "the operator's webhook")


_CHANGES_NOTHING = ("--type=merge", "-p", '{"spec":{}}', "--dry-run=server")


def _operator_answers() -> bool:
    return "patched" in kubectl("-n", NAMESPACE, "patch", "kv", "kubevirt", *_CHANGES_NOTHING, check=False)


def _created(body: dict[str, Any]) -> bool:
    command = ["kubectl", "create", "--validate=false", "-f", "-"]
    done = subprocess.run(command, input=json.dumps(body), capture_output=True, text=True, timeout=240, check=False)
    return done.returncode == 0
