"""virt-handler is replaced in waves: the canary first, paused, and brought back if the new one does not work. Of
virt-controller and virt-api there is a single new pod until it is proven.

The next releases with a fault (tests/next_release/faults.py) are built by the tests that need them.
"""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

import pytest

from tests.e2e.builds import NEXT, TODAY, by_manifest, condition, faulty, pull, reached, suite
from tests.e2e.cluster import NAMESPACE, get, kubectl, nodes, until
from tests.e2e.guests import manifest, observed, running, undisturbed
from tests.e2e.killing import victims
from tests.e2e.upgrade_requests import set_strategy, upgrade_strategy
from tests.e2e.watching import History, watching

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("back_to_today")]

LONGEST_WAY_BACK = 120.0  # seconds, from the begin of the wave
LONGEST_TO_BE_READY = 300.0  # seconds that a new pod has (docs/upgrade.md)
RETRIES_WITHIN = 30.0  # seconds in which a second try would show


def handlers() -> dict[str, Any]:
    """virt-handler's pods by node, those that stay."""
    pods = get("-n", NAMESPACE, "pods", "-l", "kubevirt.io=virt-handler")["items"]
    return {pod["spec"]["nodeName"]: pod for pod in pods if "deletionTimestamp" not in pod["metadata"]}


def template() -> str:
    daemon_set = get("-n", NAMESPACE, "daemonset", "virt-handler")
    return json.dumps(daemon_set["spec"]["template"], sort_keys=True)


def stopped_events(since: str) -> list[Any]:
    events = get("-n", NAMESPACE, "events.events.k8s.io")["items"]
    return [
        event
        for event in events
        if event["reason"] == "UpgradeStopped" and event["metadata"]["creationTimestamp"] >= since
    ]


def upgrade() -> Any:
    return suite()["status"].get("upgrade") or {}


def waves_of(history: History) -> list[tuple[int, list[str]]]:
    """Number and nodes of each wave, in order."""
    waves: list[tuple[int, list[str]]] = []
    for change in history.changes:
        state = change.body.get("status", {}).get("upgrade", {}) if change.kind == "KubeVirt" else {}
        if (wave := state.get("wave")) and (wave["number"], wave["nodes"]) not in waves:
            waves.append((wave["number"], wave["nodes"]))
    return waves


def test_the_canary_is_proven_before_the_next_node_and_a_pause_lies_between() -> None:
    pull(NEXT)
    first, second = sorted(set(nodes()))
    with upgrade_strategy(canary=1, waveSize=1, pauseBetweenWaves="10s"), watching() as history:
        by_manifest(NEXT)
        print(f"with a pause of 10 s: {reached(NEXT):.1f} s")
    assert waves_of(history) == [(1, [first]), (2, [second])]
    ready: dict[str, float] = {}
    for pod in history.pods("virt-handler"):
        if pod.ready and pod.tag == NEXT.tag:
            ready.setdefault(pod.body["spec"]["nodeName"], pod.moment)
    assert ready[second] - ready[first] >= 9.0
    assert history.unavailable() == []


def test_a_paused_update_waits_after_its_wave_until_it_is_continued() -> None:
    pull(NEXT)
    before = handlers()
    with upgrade_strategy(paused=True):
        by_manifest(NEXT)
        until(lambda: condition("Progressing").get("reason") == "UpgradePaused", "the pause before the begin", 60)
        assert handlers().keys() == before.keys() and upgrade()["step"] == "Pause"
        set_strategy({"paused": False, "pauseBetweenWaves": "15s"})
        until(lambda: bool((upgrade().get("wave") or {}).get("proven")), "the canary to be proven", 60)
        set_strategy({"paused": True})
        until(lambda: condition("Progressing").get("reason") == "UpgradePaused", "the pause after the canary", 60)
        message = condition("Progressing")["message"]
        print(message)
        assert f"paused by spec.upgradeStrategy.paused since {upgrade()['pausedSince']}" in message
        images = {node: pod["spec"]["containers"][0]["image"] for node, pod in handlers().items()}
        assert sorted(image.endswith(NEXT.tag) for image in images.values()) == [False, True]
        assert condition("Available")["status"] == "True"
        kubectl("-n", NAMESPACE, "delete", "pod", "-l", "kubevirt.io=virt-operator")  # a new leader keeps the pause
        time.sleep(20)
        assert upgrade()["wave"]["number"] == 1
    reached(NEXT)


def test_a_launcher_that_hangs_before_its_wave_is_named_and_does_not_stop_the_update() -> None:
    pull(NEXT)
    first = min(nodes())
    with running(manifest("hangs", node=first), manifest("works", node=first)) as guests, watching() as history:
        (victim,) = victims("launcher", guests[:1])
        os.kill(victim.pid, signal.SIGSTOP)
        try:
            by_manifest(NEXT)
            reached(NEXT)
        finally:
            os.kill(victim.pid, signal.SIGCONT)
    seen = [change.body.get("status", {}) for change in history.changes if change.kind == "KubeVirt"]
    waves = [wave for status in seen if (wave := status.get("upgrade", {}).get("wave"))]
    assert {guest["object"] for wave in waves for guest in wave["silent"]} == {"default/hangs"}
    messages = [condition["message"] for status in seen for condition in status.get("conditions", ())]
    assert any("VirtualMachineInstance default/hangs: its launcher did not answer before" in text for text in messages)


def _images(pod: Any) -> list[str]:
    return [container["image"] for container in pod["spec"]["containers"]]


@pytest.mark.parametrize(
    ("fault", "probe", "says"),
    [
        ("blind", "machines", "does not see"),
        ("slow", "machines", "no answer within 3 s"),
        ("barren", "guest", "after it was scheduled"),
    ],
)
def test_a_handler_that_is_ready_and_does_not_work_goes_back_from_the_canary(fault: str, probe: str, says: str) -> None:
    build = faulty(fault)
    pull(build)
    first, second = sorted(set(nodes()))
    before, of_before = handlers(), template()
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with running(manifest("wave1", node=first), manifest("wave2", node=second)) as guests:
        pids = {guest.name: guest.qemu_pid() for guest in guests}
        with observed(*guests) as ticks:
            by_manifest(build)
            until(lambda: bool(upgrade().get("wave")), "the first wave", 90)
            took = until(
                lambda: upgrade().get("operation") == "Stopped", "the old handler to be back", LONGEST_WAY_BACK
            )
            print(f"{fault}: back {took:.1f} s after the begin of the wave: {condition('Degraded')['message']}")
            check_stopped(build.tag, first, probe, says)
            time.sleep(RETRIES_WITHIN)
            seen = ticks()
        undisturbed(seen, guests, pids)
    assert template() == of_before, "the template byte for byte"
    after = handlers()
    assert after[second]["metadata"]["uid"] == before[second]["metadata"]["uid"], "the other node was not touched"
    assert _images(after[first]) == _images(before[first])
    assert upgrade()["operation"] == "Stopped" and len(stopped_events(since)) == 1
    assert get("-n", NAMESPACE, "vmi", "-l", "kubevirt.io/upgrade-probe")["items"] == []
    assert suite()["status"]["observedKubeVirtVersion"] == TODAY.tag


def check_stopped(tag: str, node: str, probe: str, says: str) -> None:
    """The KubeVirt object says what has stopped where, and why."""
    found, degraded = upgrade()["stopped"], condition("Degraded")
    assert (found["version"], found["object"], found["probe"]) == (tag, f"node {node}", probe)
    assert (degraded["status"], degraded["reason"]) == ("True", "UpgradeStopped")
    assert says in degraded["message"] and f"node {node} failed the probe {probe}" in degraded["message"]
    assert condition("Available")["status"] == "True"


@pytest.mark.parametrize(
    ("fault", "component", "probe", "longest"),
    [
        ("idle", "virt-controller", "reconciles", LONGEST_WAY_BACK),
        ("shy", "virt-controller", "leadership", LONGEST_WAY_BACK),
        ("deaf", "virt-api", "admission", LONGEST_WAY_BACK),
        ("unready", "virt-controller", "Ready", LONGEST_TO_BE_READY + LONGEST_WAY_BACK),
    ],
)
def test_a_controller_or_api_that_does_not_work_goes_back_from_its_first_pod(
    fault: str, component: str, probe: str, longest: float
) -> None:
    build = faulty(fault)
    pull(build)
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with running(manifest("first1")) as guests:
        pids = {guest.name: guest.qemu_pid() for guest in guests}
        with upgrade_strategy(canary=0, waveSize="100%"), observed(*guests) as ticks, watching() as history:
            by_manifest(build)
            until(lambda: bool(of_build(history, component, build.tag)), "the first new pod", 120)
            took = until(lambda: upgrade().get("operation") == "Stopped", "the old pods to be back", longest)
            print(f"{fault}: back {took:.1f} s after the first new pod: {condition('Degraded')['message']}")
            time.sleep(RETRIES_WITHIN)
            seen = ticks()
        undisturbed(seen, guests, pids)
    assert len(of_build(history, component, build.tag)) == 1, "no further pod was replaced"
    found, degraded = upgrade()["stopped"], condition("Degraded")
    assert (found["component"], found["probe"]) == (component, probe)
    assert found["object"] == f"pod {of_build(history, component, build.tag).pop()}"
    assert degraded["reason"] == "UpgradeStopped" and f"failed the probe {probe}" in degraded["message"]
    assert len(stopped_events(since)) == 1
    spec = get("-n", NAMESPACE, "deployment", component)["spec"]
    assert "minReadySeconds" not in spec and spec["template"]["spec"]["containers"][0]["image"].endswith(TODAY.tag)
    assert get("-n", NAMESPACE, "vmi", "-l", "kubevirt.io/upgrade-probe")["items"] == []
    with running(manifest("first2")):
        pass  # the old controller leads again


def of_build(history: History, component: str, tag: str) -> set[str]:
    """Names of the pods of that build."""
    return {pod.name for pod in history.pods(component) if pod.tag == tag}
