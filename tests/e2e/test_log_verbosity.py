"""Log verbosity changes as in KubeVirt's manual, without restarts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.cluster import NAMESPACE, get, kubectl, nodes, until
from tests.e2e.guests import manifest, running

COMPONENTS = {"virt-api": "virtAPI", "virt-controller": "virtController", "virt-operator": "virtOperator"}
DETAIL = '"level": "debug"'


def log(pod: str, since: str = "6s", container: str = "") -> str:
    chosen = ("-c", container) if container else ()
    return kubectl("-n", NAMESPACE, "logs", pod, f"--since={since}", *chosen)


def pods() -> dict[str, tuple[str, str]]:
    """UID and restarts of the suite's pods."""
    return {
        pod["metadata"]["name"]: (pod["metadata"]["uid"], str(pod["status"]["containerStatuses"][0]["restartCount"]))
        for pod in get("pods", "-n", NAMESPACE, "-l", "kubevirt.io")["items"]
        if not pod["metadata"]["name"].startswith("virt-operator-strategy")
    }


@contextmanager
def verbosity(**numbers: object) -> Iterator[None]:
    def patched(value: object) -> None:
        patch = {"spec": {"configuration": {"developerConfiguration": {"logVerbosity": value}}}}
        kubectl("-n", NAMESPACE, "patch", "kv", "kubevirt", "--type=merge", "-p", json.dumps(patch))

    patched(numbers)
    try:
        yield
    finally:
        patched(None)


def test_components_log_their_requests_when_the_kubevirt_object_asks_and_none_restarts(suite: None) -> None:
    before = pods()
    first, second = nodes()
    handlers = {
        pod["spec"]["nodeName"]: pod["metadata"]["name"]
        for pod in get("pods", "-n", NAMESPACE, "-l", "kubevirt.io=virt-handler")["items"]
    }
    numbers = {**dict.fromkeys(COMPONENTS.values(), 4), "nodeVerbosity": {first: 4}}
    with verbosity(**numbers), running(manifest("verbose-suite", node=first)) as (guest,):
        guest.command("pause")  # which virt-api asks the API server about
        until(lambda: DETAIL in log(handlers[first], "300s"), "the handler to say more")
        assert DETAIL not in log(handlers[second], "60s") or first == second
        for component in COMPONENTS:
            until(lambda name=component: says_more(name, before), f"{component} to say more")  # type: ignore[misc]
        assert guest.phase == "Running"
    until(lambda: DETAIL not in log(handlers[first], "3s"), "the handler to log as before")
    assert pods() == before


def says_more(component: str, pods: Iterable[str]) -> bool:
    """Whether a replica does; the leader has more to say."""
    return any(DETAIL in log(pod, "300s") for pod in pods if pod.startswith(f"{component}-"))


@pytest.mark.parallel
def test_a_vms_labels_and_annotation_make_its_launcher_and_libvirtd_say_more(suite: None) -> None:
    plain, labelled, filtered = (manifest(name) for name in ("log-plain", "log-labelled", "log-filtered"))
    labelled["metadata"]["labels"] = {"debugLogs": "true", "logVerbosity": "4"}
    filtered["metadata"]["annotations"] = {"kubevirt.io/libvirt-log-filters": "1:qemu.qemu_process"}
    with running(plain, labelled, filtered) as guests:
        pods = [guest.pod["metadata"]["name"] for guest in guests]
        for pod in pods[1:]:  # the kubelet has a line of a log a moment after it is written
            until(lambda pod=pod: "qemuProcessStart" in log_of(pod), f"the log of {pod}")  # type: ignore[misc]
        logs = [log_of(pod) for pod in pods]
    debug, call = ": debug : ", '"msg": "calling libvirt"'
    assert [debug in lines for lines in logs] == [False, True, True]
    assert [call in lines for lines in logs] == [False, True, False]
    assert ["qemuProcessStart" in lines for lines in logs] == [False, True, True]
    assert "virConfGetValue" not in logs[2]  # what else libvirtd does


def log_of(pod: str) -> str:
    """Of a launcher."""
    return kubectl("logs", pod, "-c", "compute")
