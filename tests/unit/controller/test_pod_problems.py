"""Messages about a launcher pod: why it does not start, how it ended."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from virt_controller.pod.observed import LauncherPod, PodSpec
from virt_controller.pod.problems import REASONS, how_it_ended, start_problem, why_taken
from virt_core.objects.event import Event


def pod(**status: Any) -> LauncherPod:
    return msgspec.json.decode(json.dumps({"metadata": {"name": "p"}, "status": status}), type=LauncherPod)


def waiting(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"name": "volumeroot", "image": "registry.test/disk:1", "state": state, **more}


@pytest.mark.parametrize(
    "reason", ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError"]
)
def test_a_container_that_does_not_start_is_named_with_its_image_and_the_kubelets_words(reason: str) -> None:
    running = {"name": "compute", "state": {"running": {}}}
    for statuses in (
        {"initContainerStatuses": [waiting(reason, "not there")]},
        {"containerStatuses": [running, waiting(reason, "not there")]},
    ):
        problem = start_problem(pod(**statuses))
        assert problem is not None
        assert problem.reason == reason
        assert problem.message == "container volumeroot, image registry.test/disk:1: not there"


def test_a_container_in_a_crash_loop_is_reported_with_its_last_message() -> None:
    last = {"terminated": {"exitCode": 3, "reason": "Error", "message": "exec format error\n"}}
    problem = start_problem(pod(initContainerStatuses=[waiting("CrashLoopBackOff", "back-off", lastState=last)]))
    assert problem is not None
    assert problem.message.endswith("back-off; it ended before with exit code 3: exec format error")


def test_an_unknown_kubelet_reason_is_reported_under_our_own() -> None:
    problem = start_problem(pod(containerStatuses=[waiting("FromTheFuture", "words")]))
    assert problem is not None and problem.reason in REASONS and "words" in problem.message


@pytest.mark.parametrize("reason", ["", "ContainerCreating", "PodInitializing"])
def test_a_normal_start_is_no_problem(reason: str) -> None:
    assert start_problem(pod(containerStatuses=[waiting(reason)])) is None


MISSING = Event("FailedMount", 'secret "gone" not found', None, "2026-01-01T00:00:20Z")


def test_the_newest_event_explains_why_a_pod_starts_no_container() -> None:
    older = Event("FailedMount", "older", None, "2026-01-01T00:00:10Z")
    other = Event("Unhealthy", "no matter", "2026-01-01T00:00:30.000000Z")
    stuck = pod(containerStatuses=[waiting("ContainerCreating")])
    problem = start_problem(stuck, (older, MISSING, other))
    assert problem is not None
    assert (problem.reason, problem.message) == ("FailedMount", 'secret "gone" not found')


@pytest.mark.parametrize(
    ("note", "message"),
    [
        (
            'MountVolume.SetUp failed for volume "volume-seed-userdata" : secret "shop" not found',
            'MountVolume.SetUp failed for volume "seed-userdata" : secret "shop" not found',
        ),
        (
            "unmounted volumes=[volume-data volume-volume-b], unattached volumes=[private]: timed out",
            "unmounted volumes=[data volume-b], unattached volumes=[private]: timed out",
        ),
        ("failed for want of a volume-group", "failed for want of a volume-group"),
    ],
)
def test_the_kubelet_s_words_name_the_volumes_of_the_vmi(note: str, message: str) -> None:
    stuck = pod(containerStatuses=[waiting("ContainerCreating")])
    problem = start_problem(stuck, (Event("FailedMount", note, None, "2026-01-01T00:00:20Z"),))
    assert problem is not None and problem.message == message


def test_what_kept_it_is_forgotten_once_a_container_runs() -> None:
    begun = pod(initContainerStatuses=[{"name": "lend", "state": {"running": {}}}])
    assert start_problem(begun, (MISSING,)) is None


def test_a_container_killed_for_want_of_memory_is_the_reason_whatever_else_ended() -> None:
    ended = {"name": "compute", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
    other = {"name": "volumeroot", "state": {"terminated": {"exitCode": 2, "reason": "Error"}}}
    failure = how_it_ended(pod(phase="Failed", initContainerStatuses=[other], containerStatuses=[ended]))
    assert failure.reason == "OOMKilled" and "compute" in failure.message


def test_an_evicted_pod_is_reported_with_the_kubelets_message() -> None:
    failure = how_it_ended(pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory."))
    assert failure.reason == "Evicted" and "low on resource: memory" in failure.message


def test_a_container_that_failed_is_named_with_exit_code_and_message() -> None:
    state = {"terminated": {"exitCode": 1, "reason": "Error", "message": "no /boot/vmlinuz in the image"}}
    failure = how_it_ended(pod(phase="Failed", initContainerStatuses=[{"name": "copy", "state": state}]))
    assert failure.reason == "PodEnded"
    assert "container copy: Error (exit code 1) no /boot/vmlinuz in the image" in failure.message


def test_the_reason_of_a_terminating_pod_is_reported_if_kubernetes_has_it() -> None:
    disrupted = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "evicting"}
    assert why_taken(pod()) == "launcher pod p is being taken away"
    assert why_taken(pod(conditions=[disrupted])).endswith("away: EvictionByEvictionAPI: evicting")


def test_a_pod_that_the_kubelet_ended_is_reported_with_its_events_message() -> None:
    ended = {"name": "compute", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}
    failed = Event("Unhealthy", "Liveness probe failed: connection refused")
    ready = Event("Unhealthy", "Readiness probe failed: connection refused")
    failure = how_it_ended(pod(phase="Succeeded", containerStatuses=[ended]), (ready, failed))
    assert failure.reason == "Unhealthy" and failure.message.endswith("Liveness probe failed: connection refused")
    assert how_it_ended(pod(phase="Succeeded", containerStatuses=[ended]), (ready,)).reason == "PodEnded"
    eviction = Event("Evicted", "usage exceeds the limit", None, "2026-01-01T00:00:20Z")
    failure = how_it_ended(pod(phase="Succeeded", containerStatuses=[ended]), (failed, eviction))
    assert failure.reason == "Evicted" and failure.message.endswith("usage exceeds the limit")
    evicted = pod(phase="Failed", reason="Evicted", message="too much", containerStatuses=[ended])
    assert how_it_ended(evicted, (failed,)).reason == "Evicted"


@pytest.mark.parametrize(("left", "reason"), [(1, "GuestDestroyed"), (60, "PodEnded"), (None, "PodEnded")])
def test_a_guest_that_was_stopped_by_force_is_reported_as_such(left: int | None, reason: str) -> None:
    killed = {"name": "compute", "state": {"terminated": {"exitCode": 137, "reason": "Error"}}}
    ended = pod(phase="Failed", containerStatuses=[killed])
    meta = msgspec.structs.replace(ended.metadata, deletion_grace_period_seconds=left)
    spec = PodSpec("node1", termination_grace_period_seconds=60)
    failure = how_it_ended(msgspec.structs.replace(ended, metadata=meta, spec=spec))
    assert failure.reason == reason
    assert ("stopped by force" in failure.message) is (reason == "GuestDestroyed")
