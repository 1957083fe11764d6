"""The plan of an upgrade on a real cluster: clean, with seeded defects, and what it writes. Serial: another test's
guest that cannot move would be found."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from tests.e2e.admin import administrator
from tests.e2e.builds import NEXT, TODAY, Build, reached, renamed, suite
from tests.e2e.cluster import NAMESPACE, apply, get, kubectl, nodes, until, wait
from tests.e2e.guests import manifest, running
from tests.e2e.planning import left_behind, plan, severe, strange_writes
from tests.e2e.virtual_machines import existing, vm_manifest

LONGEST = 180.0  # seconds, on a busy machine
TAG = "planned"


@pytest.fixture(scope="module", autouse=True)
def certified(suite: None) -> None:
    administrator()  # without a client certificate virtadm refuses


@pytest.fixture(scope="module")
def target(certified: None) -> Build:
    """This build under another tag: everything of it is as the installed one."""
    image = get("-n", NAMESPACE, "deployment", "virt-operator")["spec"]["template"]["spec"]["containers"][0]["image"]
    return renamed(TODAY, TAG, image.rpartition("/")[0])


@contextmanager
def moving_guests() -> Iterator[None]:
    """Meanwhile the suite would move guests after an upgrade. None is outdated now."""
    set_methods(["LiveMigrate"])
    try:
        yield
    finally:
        set_methods(None)


def set_methods(methods: list[str] | None) -> None:
    strategy = {"workloadUpdateMethods": methods} if methods else None
    patch = json.dumps({"spec": {"workloadUpdateStrategy": strategy}})
    kubectl("-n", NAMESPACE, "patch", "kv", "kubevirt", "--type=merge", "-p", patch)


def settled() -> None:
    """virt-operator has nothing more to write: what the tests before have broken is whole, the spec is processed."""
    reached(TODAY)

    def processed() -> bool:
        body = suite()
        return bool(body["status"]["observedGeneration"] == body["metadata"]["generation"])

    until(processed, "the spec to be processed")


def test_a_clean_cluster_has_nothing_in_the_way_and_nothing_is_written_but_probes(target: Build) -> None:
    with moving_guests(), running(manifest("planned-1"), manifest("planned-2")):
        for name in ("planned-1", "planned-2"):
            wait("vmi", name, "condition=LiveMigratable")
        settled()
        moment, began = datetime.now(UTC), time.monotonic()
        status, found = plan(target.tag)
        seconds, ended = time.monotonic() - began, datetime.now(UTC)
    print(f"{seconds:.1f} s, {len(found['findings'])} findings, the change is estimated at {found['seconds']:.0f} s")
    assert (status, severe(found)) == (0, set())
    assert (found["operation"], found["probed"]) == ("Update", True)
    reasons = {(finding["reason"], finding["name"]) for finding in found["findings"]}
    assert {("WillMigrate", "planned-1"), ("WillMigrate", "planned-2")} <= reasons
    assert {("HandlerReplaced", node) for node in nodes()} <= reasons
    assert seconds <= LONGEST
    until(lambda: left_behind() == [], "nothing to be left")
    assert strange_writes(moment, ended) == []


def test_what_is_installed_needs_no_change() -> None:
    status, found = plan(TODAY.tag)
    assert (status, found["operation"], found["probed"]) == (0, "None", False)


def test_an_image_that_is_missing_is_named_with_what_the_kubelet_says() -> None:
    status, found = plan("no-such-tag")
    missing = [finding for finding in found["findings"] if finding["reason"] == "ImageMissing"]
    assert status == 2
    assert {finding["name"].rpartition("/")[2] for finding in missing} >= {
        "virt-operator:no-such-tag",
        "virt-launcher:no-such-tag",
    }
    assert all("not found" in finding["message"] for finding in missing), missing
    until(lambda: left_behind() == [], "nothing to be left")


def test_a_permission_that_the_next_release_needs_is_named() -> None:
    status, found = plan(NEXT.tag)
    assert status == 2
    assert ("PermissionMissing", "ServiceAccount", "kubevirt-operator") in severe(found)


def test_a_machine_type_that_the_targets_qemu_does_not_know_is_named_for_a_stopped_vm(target: Build) -> None:
    """An unknown CPU is not admitted by a cluster without KVM."""
    body = vm_manifest("planned-stopped", "Halted")
    domain = body["spec"]["template"]["spec"]["domain"]
    domain["machine"] = {"type": "pc-q35-99.0"}
    with existing(body):
        status, found = plan(target.tag)
    assert status == 2
    assert severe(found) == {("MachineTypeGone", "VirtualMachine", "planned-stopped")}


def test_a_guest_without_room_elsewhere_is_named(target: Build) -> None:
    here, there = nodes()[:2]
    with moving_guests(), running(manifest("planned-alone", node=here)):
        wait("vmi", "planned-alone", "condition=LiveMigratable")
        status, found = plan(target.tag, "--offline")  # its node selector names one node
        assert status == 2 and ("NoRoom", "VirtualMachineInstance", "planned-alone") in severe(found)
    with moving_guests(), running(manifest("planned-cordoned")) as (only,):
        wait("vmi", "planned-cordoned", "condition=LiveMigratable")
        other = there if only.vmi["status"]["nodeName"] == here else here
        kubectl("cordon", other)
        try:
            status, found = plan(target.tag, "--offline")
        finally:
            kubectl("uncordon", other)
    assert status == 2 and severe(found) == {("NoRoom", "VirtualMachineInstance", "planned-cordoned")}


def test_a_guest_that_cannot_move_blocks_only_if_it_would_be_moved(target: Build) -> None:
    body = manifest("planned-fixed")
    body["spec"]["domain"]["devices"]["interfaces"] = [{"name": "default", "bridge": {}}]
    body["spec"]["networks"] = [{"name": "default", "pod": {}}]
    with running(body):
        wait("vmi", "planned-fixed", "condition=LiveMigratable=False")
        assert plan(target.tag, "--offline")[0] == 0
        with moving_guests():
            status, found = plan(target.tag, "--offline")
    assert status == 2 and severe(found) == {("NotMigratable", "VirtualMachineInstance", "planned-fixed")}


def test_a_webhook_of_others_that_nobody_answers_is_named(target: Build) -> None:
    # Only creations of budgets are reviewed, of which there are none meanwhile.
    rules = [
        {
            "apiGroups": ["policy"],
            "apiVersions": ["v1"],
            "resources": ["poddisruptionbudgets"],
            "operations": ["CREATE"],
        }
    ]
    webhook = {
        "name": "nobody.example.com",
        "clientConfig": {"service": {"namespace": "default", "name": "nobody"}},
        "rules": rules,
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "failurePolicy": "Fail",
    }
    kind = "ValidatingWebhookConfiguration"
    metadata = {"name": "planned-nobody"}
    apply({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": metadata, "webhooks": [webhook]})
    try:
        status, found = plan(target.tag, "--offline")
    finally:
        kubectl("delete", kind.lower(), "planned-nobody")
    assert status == 2 and severe(found) == {("WebhookInTheWay", kind, "planned-nobody")}
