"""The controller's actions for a VirtualMachineInstance, state by state."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from virt_controller.actions import LookAgain, RecordEvent
from virt_controller.pod.observed import Claim, LauncherPod, PodSpec
from virt_controller.pod.template import pod_name
from virt_controller.vmi.actions import Action, CreatePod, DeletePod, GonePod, PatchVmi
from virt_controller.vmi.observe import PodRefusal
from virt_core.objects.kubevirt import Configuration
from virt_core.testing.patches import PatchFailed, json_patch
from virt_core.vmi.instance import VirtualMachineInstance, VmiPhase

from tests.unit.controller.planning import (
    CLAIMED,
    COMPUTE,
    EMULATION,
    NOW,
    PLANNER,
    SPEC,
    apply,
    changes,
    observed,
    plan,
    pod,
    scheduled,
    vmi,
)


def test_a_new_vmi_gets_a_pod_whose_name_is_always_the_same() -> None:
    first, event = plan(vmi())
    assert isinstance(first, CreatePod)
    assert plan(vmi()) == (first, event)
    assert first.manifest["metadata"]["name"] == pod_name(vmi())
    assert event == RecordEvent("SuccessfulCreate", f"Created virtual machine pod {pod_name(vmi())}")


def test_the_pod_is_admitted_by_the_restricted_pod_security_standard() -> None:
    action, _ = plan(vmi(spec={**SPEC, "domain": {**SPEC["domain"], "firmware": {"kernelBoot": KERNEL_BOOT}}}))
    assert isinstance(action, CreatePod)
    spec = action.manifest["spec"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not spec["automountServiceAccountToken"]
    for container in spec["containers"]:
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert {next(iter(set(volume) - {"name"})) for volume in spec["volumes"]} == {"emptyDir"}


KERNEL_BOOT = {"container": {"image": "guest:1", "kernelPath": "/boot/vmlinuz", "initrdPath": "/boot/initrd"}}


def test_hardware_assistance_is_requested_unless_the_cluster_emulates() -> None:
    emulated, _ = plan(vmi())
    assisted, _ = PLANNER.plan(observed(vmi(), (), Configuration(), NOW))
    assert isinstance(emulated, CreatePod) and isinstance(assisted, CreatePod)
    limits = [action.manifest["spec"]["containers"][0]["resources"]["limits"] for action in (emulated, assisted)]
    assert limits == [
        {"devices.kubevirt.io/tun": "1"},
        {"devices.kubevirt.io/tun": "1", "devices.kubevirt.io/kvm": "1"},
    ]


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ({**SPEC, "utilityVolumes": []}, "utilityVolumes"),
        ({"domain": {"devices": {"gpus": []}, "memory": {"guest": "64Mi"}}}, "gpus"),
        ({"domain": {"devices": {}}}, "spec.domain.memory.guest"),
        ({"domain": {"devices": {}, "memory": {"guest": "64Furlongs"}}}, "64Furlongs"),
        ({"domain": {"devices": {}, "memory": {"guest": "1Gi"}, "cpu": {"cores": -1}}}, "spec.domain.cpu.cores: -1"),
        ({**SPEC, "networks": [{"name": "x", "multus": {"networkName": "y"}}]}, "multus"),
        ({"domain": {"devices": {"interfaces": [{"name": "a", "sriov": {}}]}, "memory": {"guest": "64Mi"}}}, "sriov"),
    ],
)
def test_what_is_not_supported_is_refused_by_name_and_no_pod_is_made(spec: Any, named: str) -> None:
    patch, event = plan(vmi(spec=spec))
    assert isinstance(event, RecordEvent) and event.warning and named in event.message
    after = apply(vmi(spec=spec), patch)["status"]
    assert after["phase"] == "Pending"
    synchronized = next(c for c in after["conditions"] if c["type"] == "Synchronized")
    assert synchronized["status"] == "False" and named in synchronized["message"]
    assert plan(vmi(after, spec=spec)) == ()  # reported once


@pytest.mark.parametrize("admitted", [None, {"phase": "Pending"}], ids=["without the webhook", "with it"])
def test_once_the_pod_has_a_node_one_patch_hands_it_to_the_handler(admitted: dict[str, Any] | None) -> None:
    new = vmi(admitted)
    (action,) = plan(new, pod("node1"))
    after = apply(new, action)
    assert after["status"]["phase"] == "Scheduling"
    assert after["status"]["activePods"] == {"pod-uid": "node1"}
    assert after["metadata"]["labels"] == {"kubevirt.io/nodeName": "node1"}
    assert after["metadata"]["finalizers"] == ["kubevirt.io/foregroundDeleteVirtualMachine"]
    (again,) = plan(vmi(after["status"]), pod("node1"))
    assert isinstance(again, LookAgain)  # should its first container never start


def test_a_pod_that_cannot_be_scheduled_or_pulled_is_reported_once_and_cleared() -> None:
    stuck = {
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes"}]
    }
    patch, event = plan(vmi(), pod(status=stuck))
    assert isinstance(event, RecordEvent) and event.reason == "Unschedulable"
    after = apply(vmi(), patch)["status"]
    assert {c["type"]: c["message"] for c in after["conditions"]} == {"PodScheduled": "0/2 nodes"}
    assert plan(vmi(after), pod(status=stuck)) == ()

    def waiting(reason: str, message: str) -> LauncherPod:
        state = {"waiting": {"reason": reason, "message": message}}
        return pod("node1", {"containerStatuses": [{"name": "compute", "state": state}]})

    current = scheduled()
    patch, event = changes(vmi(current), waiting("ErrImagePull", "no such image"))
    status = apply(vmi(current), patch)["status"]
    assert "no such image" in json.dumps(status["conditions"])
    (patch,) = changes(vmi(status), waiting("ImagePullBackOff", "back-off 20s"))  # which is no news, so no event
    status = apply(vmi(status), patch)["status"]
    assert changes(vmi(status), waiting("ImagePullBackOff", "back-off 10s")) == ()
    (patch,) = changes(vmi(status), waiting("ContainerCreating", ""))
    assert apply(vmi(status), patch)["status"]["conditions"] == []


@pytest.mark.parametrize("reason", ["SchedulingGated", "SchedulerError"])
def test_whatever_kubernetes_says_of_scheduling_is_reported_and_cleared(reason: str) -> None:
    gated = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": reason, "message": "words"}]}
    patch, event = changes(vmi(), pod(status=gated))
    assert isinstance(event, RecordEvent) and event.message == "words"
    (condition,) = (after := apply(vmi(), patch)["status"])["conditions"]
    assert (condition["type"], condition["reason"]) == ("PodScheduled", reason)
    (patch,) = plan(vmi(after), pod("node1"))
    assert [c["type"] for c in apply(vmi(after), patch)["status"]["conditions"]] == ["Ready"]


def test_a_pod_that_no_scheduler_looks_at_is_reported_once_with_the_schedulers_name() -> None:
    (again,) = plan(vmi(), pod())
    assert isinstance(again, LookAgain)
    forgotten = msgspec.structs.replace(
        pod(creationTimestamp="2025-12-31T23:59:00Z"), spec=PodSpec(scheduler_name="second-scheduler")
    )
    patch, event = plan(vmi(), forgotten)
    assert isinstance(event, RecordEvent) and event.reason == "SchedulerNotResponding"
    after = apply(vmi(), patch)["status"]
    (condition,) = after["conditions"]
    assert (condition["type"], condition["status"]) == ("PodScheduled", "False")
    assert "scheduler second-scheduler has not looked at launcher pod virt-launcher-guest" in condition["message"]
    assert plan(vmi(after), forgotten) == ()


def test_a_running_guest_is_the_handlers_business() -> None:
    ready = {"conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [COMPUTE]}
    assert plan(vmi(scheduled("Running")), pod("node1", ready)) == ()


def test_a_pod_missing_from_the_cache_fails_the_vmi_only_after_the_api_server_confirms_it() -> None:
    patch, event = plan(vmi(scheduled("Running")))
    assert isinstance(patch, PatchVmi)
    assert patch.only_if_pod_is_gone == GonePod((pod_name(vmi()),), frozenset({"pod-uid"}))
    assert apply(vmi(scheduled("Running")), patch)["status"]["phase"] == "Failed"
    assert isinstance(event, RecordEvent) and event.warning


def test_a_pod_that_ended_without_its_handlers_word_fails_the_vmi_with_the_exit_code() -> None:
    state = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    ended = pod("node1", {"phase": "Failed", "containerStatuses": [{"name": "compute", "state": state}]})
    patch, event = plan(vmi(scheduled("Running")), ended)
    assert apply(vmi(scheduled("Running")), patch)["status"]["phase"] == "Failed"
    assert isinstance(event, RecordEvent) and "OOMKilled" in event.message and "137" in event.message


def test_a_pod_that_the_kubelet_rejected_is_recreated_and_the_vmi_stays_scheduling() -> None:
    rejected = {"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": "no devices"}
    patch, event = plan(vmi(scheduled()), pod("node1", rejected))
    after = apply(vmi(scheduled()), patch)["status"]
    assert (after["phase"], after["activePods"]) == ("Scheduling", {})
    assert isinstance(event, RecordEvent) and "no devices" in event.message
    (later,) = plan(vmi(after), pod("node1", rejected))
    assert isinstance(later, LookAgain) and 0 < later.seconds <= 1
    (delete,) = plan(vmi(after), pod("node1", rejected, creationTimestamp="2025-12-31T23:00:00Z"))
    assert delete == DeletePod(pod_name(vmi()), "pod-uid")
    create, _ = plan(vmi(after))
    assert isinstance(create, CreatePod)


def beside(name: str, reason: str, code: int, message: str = "") -> LauncherPod:
    """A pod whose launcher runs, and in which another container has ended."""
    state = {"terminated": {"exitCode": code, "reason": reason, "message": message}}
    launcher = {"name": "compute", "state": {"running": {}}}
    return pod("node1", {"phase": "Running", "containerStatuses": [launcher, {"name": name, "state": state}]})


def test_a_guest_without_its_kernel_fails_with_the_containers_words_and_its_launcher_goes() -> None:
    message = "boot-files: /boot/nothing: No such file or directory"
    broken = beside("kernel-boot", "Error", 1, message)
    patch, event, delete = plan(vmi(scheduled()), broken)
    assert apply(vmi(scheduled()), patch)["status"]["phase"] == "Failed"
    assert isinstance(event, RecordEvent) and event.reason == "PodEnded"
    assert event.message.endswith(f"container kernel-boot: Error (exit code 1) {message}")
    assert delete == DeletePod(pod_name(vmi()), "pod-uid")
    assert plan(vmi(scheduled("Running")), broken) == (), "a guest that runs needs it no longer"


def test_a_pod_with_a_container_that_could_not_start_is_recreated() -> None:
    """Its program was not installed: the launcher's image was pulled later than the container's."""
    message = "exec: /var/run/kubevirt/helpers/attendant: no such file or directory"
    patch, event = plan(vmi(scheduled()), beside("volumeroot", "StartError", 128, message))
    after = apply(vmi(scheduled()), patch)["status"]
    assert (after["phase"], after["activePods"]) == ("Scheduling", {})
    assert isinstance(event, RecordEvent) and message in event.message


@pytest.mark.parametrize(("name", "code"), [("guest-console-log", 1), ("kernel-boot", 0), ("istio-proxy", 1)])
def test_a_guest_starts_without_its_log_and_a_pod_that_ends_is_waited_for(name: str, code: int) -> None:
    assert plan(vmi(scheduled()), beside(name, "Error", code)) == ()


def test_a_container_that_a_webhook_has_added_and_that_cannot_start_costs_no_guest_its_pod() -> None:
    assert plan(vmi(scheduled()), beside("istio-proxy", "StartError", 128)) == ()


def test_a_final_vmi_is_left_alone() -> None:
    assert plan(vmi(scheduled("Succeeded"))) == ()
    assert plan(vmi(scheduled("Failed")), pod("node1", {"phase": "Failed"})) == ()


def test_the_first_status_does_not_undo_what_was_written_since_the_cache_saw_none() -> None:
    """The handler's "Running" may be there already, while this replica's watch is behind."""
    seen = vmi(resourceVersion="7")
    (action,) = plan(seen, pod(node="node1"))
    assert apply(seen, action)["status"]["phase"] == "Scheduling"
    assert isinstance(action, PatchVmi)
    assert {"op": "test", "path": "/metadata/resourceVersion", "value": "7"} in action.operations
    with pytest.raises(AssertionError, match="resourceVersion"):
        apply(vmi({"phase": "Running"}, resourceVersion="8"), action)


@pytest.mark.parametrize(("claim", "words"), [(None, "does not exist"), ({"status": {"phase": "Lost"}}, "lost")])
def test_an_unusable_claim_is_named_and_read_again(claim: Any, words: str) -> None:
    found = msgspec.convert(claim, Claim) if claim is not None else None
    subject = vmi(spec=CLAIMED)
    patch, event, again = PLANNER.plan(observed(subject, (), EMULATION, NOW, {"data": found}))
    after = apply(subject, patch)["status"]
    assert after["phase"] == "Pending"
    (condition,) = [condition for condition in after["conditions"] if condition["type"] == "Synchronized"]
    assert condition["reason"] == "FailedPvcNotFound"
    assert "data" in condition["message"] and words in condition["message"]
    assert isinstance(event, RecordEvent) and isinstance(again, LookAgain)
    subject = vmi(spec=CLAIMED, status=after)
    assert PLANNER.plan(observed(subject, (), EMULATION, NOW, {"data": found})) == (again,)


def test_what_a_claim_is_goes_from_the_pod_into_the_status_when_the_pod_has_a_node() -> None:
    claim = msgspec.convert({"spec": {"volumeMode": "Block"}, "status": {"phase": "Bound"}}, Claim)
    subject = vmi(spec=CLAIMED)
    create, _ = PLANNER.plan(observed(subject, (), EMULATION, NOW, {"data": claim}))
    assert isinstance(create, CreatePod)
    annotations = create.manifest["metadata"]["annotations"]
    (patch,) = plan(subject, pod(node="node1", annotations=annotations))
    (volume,) = apply(subject, patch)["status"]["volumeStatus"]
    assert volume["name"] == "root"
    assert volume["persistentVolumeClaimInfo"]["volumeMode"] == "Block"


def test_a_claim_without_a_volume_is_in_the_status_until_the_pod_has_a_node() -> None:
    claim = msgspec.convert({"spec": {"volumeMode": "Block"}, "status": {"phase": "Pending"}}, Claim)
    subject = vmi(spec=CLAIMED)
    patch, create, _ = PLANNER.plan(observed(subject, (), EMULATION, NOW, {"data": claim}))
    assert isinstance(create, CreatePod)
    after = apply(subject, patch)["status"]
    (volume,) = after["volumeStatus"]
    assert (volume["name"], volume["phase"]) == ("root", "Pending")
    assert "PersistentVolumeClaim data" in volume["message"]
    subject, annotations = vmi(after, spec=CLAIMED), create.manifest["metadata"]["annotations"]
    assert changes(subject, pod(annotations=annotations)) == ()
    (patch,) = plan(subject, pod(node="node1", annotations=annotations))
    (volume,) = apply(subject, patch)["status"]["volumeStatus"]
    assert "phase" not in volume


QUOTA = 'pods "virt-launcher-guest" is forbidden: exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1'


def refused(subject: VirtualMachineInstance, message: str = QUOTA, ago: float = 0) -> tuple[Action, ...]:
    """The plan `ago` seconds after the API server has refused the pod."""
    refusal = PodRefusal(message, NOW - timedelta(seconds=ago))
    return PLANNER.plan(observed(subject, (), EMULATION, NOW, refusal=refusal))


def unsynchronized(status: dict[str, Any]) -> dict[str, Any]:
    (condition,) = [condition for condition in status["conditions"] if condition["type"] == "Synchronized"]
    return dict(condition)


def test_a_refused_pod_is_reported_with_the_api_servers_message_and_a_single_event() -> None:
    subject = vmi({"phase": "Pending"})
    patch, event, again = refused(subject)
    after = apply(subject, patch)["status"]
    assert after["phase"] == "Pending"
    assert (unsynchronized(after)["status"], unsynchronized(after)["reason"]) == ("False", "FailedCreate")
    assert QUOTA in unsynchronized(after)["message"]
    assert isinstance(event, RecordEvent) and event.warning and QUOTA in event.message
    assert isinstance(again, LookAgain)
    assert refused(vmi(after)) == (again,)  # the same words are no news
    patch, again = refused(vmi(after), "violates PodSecurity")  # others are, but no second event
    assert "violates PodSecurity" in unsynchronized(apply(vmi(after), patch)["status"])["message"]


def test_the_api_servers_message_about_a_refused_pod_is_bounded() -> None:
    patch, event, _ = refused(vmi({"phase": "Pending"}), "no " * 100_000)
    message = unsynchronized(apply(vmi({"phase": "Pending"}), patch)["status"])["message"]
    assert len(message) == 1024
    assert isinstance(event, RecordEvent) and event.message == message


@pytest.mark.parametrize(("seconds", "wait"), [(0, 2), (1, 2), (10, 10), (60, 60), (86_400, 60)])
def test_a_refused_pod_is_retried_with_growing_delays_and_never_early(seconds: int, wait: int) -> None:
    since = (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {"type": "Synchronized", "status": "False", "reason": "FailedCreate", "lastTransitionTime": since}
    pending = vmi({"phase": "Pending", "conditions": [condition]})
    *_, again = refused(pending)
    assert again == LookAgain(wait)
    # Some seconds later the same refusal is as many seconds nearer to its end, whatever woke the reconciler.
    just_before = refused(vmi({"phase": "Pending"}), ago=1.5)
    assert just_before[-1] == LookAgain(0.5)
    create, _ = refused(vmi({"phase": "Pending"}), ago=2)
    assert isinstance(create, CreatePod)


def test_a_guest_whose_first_pod_was_taken_back_stays_scheduling_when_the_next_is_refused() -> None:
    subject = vmi({"phase": "Scheduling", "activePods": {}})
    patch, *_ = refused(subject)
    assert apply(subject, patch)["status"]["phase"] == "Scheduling"


@pytest.mark.parametrize("node", ["", "node1"])
def test_a_pod_that_was_admitted_at_last_takes_the_refusal_back(node: str) -> None:
    subject = vmi({"phase": "Pending"})
    patch, *_ = refused(subject)
    reported = vmi(apply(subject, patch)["status"])
    (patch,) = changes(reported, pod(node))
    assert not [
        condition for condition in apply(reported, patch)["status"]["conditions"] if condition["type"] == "Synchronized"
    ]
    stuck = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}
    patch, _ = plan(reported, pod(status=stuck))
    reasons = {condition["reason"] for condition in apply(reported, patch)["status"]["conditions"]}
    assert reasons == {"GuestNotRunning", "Unschedulable"}


def test_a_vmi_in_a_phase_of_another_release_is_left_alone() -> None:
    for phase in ("MigrationPreparing", "Unknown"):
        subject = vmi({"phase": phase, "activePods": {"other": "node1"}})
        assert subject.status.phase is VmiPhase.UNKNOWN
        assert plan(subject) == plan(subject, pod("node1")) == ()


def test_a_status_that_does_not_decode_is_left_alone() -> None:
    subject = vmi({"phase": "Running", "activePods": ["no mapping"]})
    assert plan(subject) == ()


def test_labels_and_finalizers_that_others_add_during_the_hand_over_are_kept() -> None:
    subject = vmi({"phase": "Pending"}, resourceVersion="5")
    (patch,) = changes(subject, pod("node1"))
    assert isinstance(patch, PatchVmi)
    meanwhile = {
        "metadata": {"uid": "vmi-uid", "resourceVersion": "6", "labels": {"app": "shop"}, "finalizers": ["backup"]},
        "status": {"phase": "Pending"},
    }
    with pytest.raises(PatchFailed):
        json_patch(meanwhile, list(patch.operations))


def test_a_lun_on_a_file_system_is_refused_when_the_claim_is_known() -> None:
    spec = {
        "domain": {"devices": {"disks": [{"name": "v", "lun": {}}]}, "memory": {"guest": "64Mi"}},
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "claim"}}],
    }
    files, device = (msgspec.convert({"spec": {"volumeMode": mode}}, Claim) for mode in ("Filesystem", "Block"))
    _, event = PLANNER.plan(observed(vmi(spec=spec), (), EMULATION, NOW, {"claim": files}))
    assert isinstance(event, RecordEvent) and event.reason == "UnsupportedSpec"
    assert "spec.domain.devices.disks[0].lun: 'claim' is not allowed" in event.message
    create, _ = PLANNER.plan(observed(vmi(spec=spec), (), EMULATION, NOW, {"claim": device}))
    assert isinstance(create, CreatePod)
