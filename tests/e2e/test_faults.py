"""Guests and their reported status when the cluster itself fails: a node dies and comes back, the API server is down,
etcd is compacted, a disk is full. `make chaos`; they disturb every other test on the cluster.
"""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from localcluster import control_plane

from tests.e2e import claims
from tests.e2e.cluster import NAMESPACE, Process, apply, get, in_node, kubectl, nodes, process, until, wait
from tests.e2e.deaths import dead_api_server, dead_node2
from tests.e2e.guest_shell import Shell, disk
from tests.e2e.guests import Guest, disk_manifest, manifest, observed, running, undisturbed
from tests.e2e.virtual_machines import another_guest_runs, existing, has, vm_manifest

pytestmark = pytest.mark.chaos

REPORTED_WITHIN = 60.0  # seconds in which an unreachable node must be reported in its VMIs' conditions
SILENT = 300.0  # seconds since a heartbeat of a handler, after which it is called unresponsive
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"
AWAY = 60.0  # seconds without an API server
KUBELET_WATCHES = 180.0  # seconds after the death of an API server until kubelets watch pods again; 52 to 100 were seen


@pytest.fixture(autouse=True)
def after_the_fault_before() -> None:
    """What the fault before has left is over."""
    wait_for_every_replica()


def wait_for_every_replica() -> None:
    """The suite is whole again."""
    wait("kv", "kubevirt", "condition=Available", namespace=NAMESPACE, seconds=120)
    for workload in ("daemonset/virt-handler", "deployment/virt-api", "deployment/virt-controller"):
        until(partial(replicas_ready, workload), f"every replica of {workload}", 180)


def ready(name: str) -> dict[str, Any]:
    """The VMI's Ready condition."""
    return Guest(name).condition("Ready")


@contextmanager
def two_guests(*, tolerant: bool = False) -> Iterator[tuple[list[Guest], dict[str, int]]]:
    """One on each node, and the PIDs of their QEMUs. `tolerant`: Kubernetes does not evict them from a node that was
    not ready; in the local cluster it does so after 5 s, and kubelets are slow to come back to a restarted API server.
    """
    bodies = [manifest(f"fault{number}", node=name) for number, name in enumerate(nodes(), 1)]
    for body in bodies if tolerant else ():
        body["spec"]["tolerations"] = [{"operator": "Exists", "effect": "NoExecute"}]
    with running(*bodies) as guests:
        yield guests, {guest.name: guest.qemu_pid() for guest in guests}


def test_a_dead_node_is_reported_and_only_its_guests_end_when_their_pods_are_gone() -> None:
    doomed, spared = manifest("doomed", node="node2"), manifest("spared", node="node1")
    with running(doomed, spared) as (lost, kept), observed(kept) as ticks:
        pids = {kept.name: kept.qemu_pid()}
        old = lost.pod["metadata"]["uid"]
        with dead_node2():
            took = until(
                lambda: ready("doomed").get("status") == "False", "Ready to become False", REPORTED_WITHIN, 0.5
            )
            print(f"reported after {took:.1f} s: {ready('doomed')}")
            assert "node2" in ready("doomed")["message"]
            assert lost.phase == "Running", "nobody knows yet whether the guest has ended"
            assert lost.pod["metadata"]["uid"] == old, "never two pods of one guest"
        took = until(lambda: lost.phase == "Failed", "the guest of the dead node to become Failed", 120, 0.5)
        print(f"Failed {took:.1f} s after the node came back: {get('vmi', 'doomed')['status'].get('reason')}")
        undisturbed(ticks(), [kept], pids)
    wait_for_every_replica()
    with running(manifest("afterwards", node="node2")) as (again,):
        assert again.phase == "Running"


def test_a_kubelet_that_is_silent_for_a_while_ends_no_guest_and_ready_comes_back() -> None:
    with two_guests() as (guests, pids), observed(*guests) as ticks:
        silent = guests[1]
        pod = silent.pod["metadata"]["uid"]
        in_node(2, "pkill", "-STOP", "-f", "kubelet --config")
        try:
            took = until(
                lambda: ready(silent.name).get("reason") == "NodeUnreachable", "the word", REPORTED_WITHIN, 0.5
            )
            print(f"reported after {took:.1f} s: {ready(silent.name)['message']}")
            assert silent.phase == "Running" and ready(guests[0].name)["status"] == "True"
        finally:
            in_node(2, "pkill", "-CONT", "-f", "kubelet --config")
        took = until(lambda: ready(silent.name).get("status") == "True", "the guest to be Ready again", 60, 0.5)
        print(f"Ready again {took:.1f} s after the kubelet was")
        assert silent.pod["metadata"]["uid"] == pod
        undisturbed(ticks(), guests, pids)


def test_a_deleted_node_fails_its_guests() -> None:
    with running(manifest("orphan", node="node2")) as (guest,):
        with dead_node2():
            until(lambda: ready("orphan").get("status") == "False", "Ready to become False", REPORTED_WITHIN, 0.5)
            kubectl("delete", "node", "node2")
            until(lambda: guest.phase == "Failed", "the guest of the deleted node to become Failed", 60, 0.5)
            print(get("vmi", "orphan")["status"].get("reason"), ready("orphan"))
        until(lambda: "node/node2" in kubectl("get", "nodes", "-o", "name").split(), "the node to register again")
        wait("node", "node2", "condition=Ready", seconds=60)


def test_a_silent_node_that_is_declared_out_of_service_fails_its_guests_and_not_before() -> None:
    with running(manifest("lost", node="node2")) as (guest,):
        with dead_node2(), taint_taken_off("node2"):
            until(lambda: ready("lost").get("reason") == "NodeUnreachable", "the word", REPORTED_WITHIN, 0.5)
            assert guest.phase == "Running", "nothing shows that the guest is gone"
            kubectl("taint", "node", "node2", OUT_OF_SERVICE)
            took = until(lambda: guest.phase == "Failed", "the guest to become Failed", 30, 0.5)
            status = get("vmi", "lost")["status"]
            print(f"Failed {took:.1f} s after the taint: {status.get('reason')}: {ready('lost').get('message')}")
            assert status["reason"] == "NodeOutOfService"
            assert "node2" in ready("lost")["message"]
        wait("node", "node2", "condition=Ready", seconds=90)


@contextmanager
def taint_taken_off(name: str) -> Iterator[None]:
    """Whatever happens, the node is in service afterwards."""
    try:
        yield
    finally:
        kubectl("taint", "node", name, f"{OUT_OF_SERVICE}-", check=False)


def test_a_silent_handler_gets_no_machines_and_its_guest_ticks_until_it_is_back() -> None:
    with two_guests() as (guests, pids), observed(*guests) as ticks:
        mute = guests[1]
        with stopped(handler("node2")):
            # virt-controller goes by its own clock, so the last heartbeat cannot be dated back.
            last = get("node", "node2")["metadata"]["annotations"]["kubevirt.io/heartbeat"]
            took = until(lambda: ready(mute.name).get("reason") == "HandlerUnresponsive", "the word", SILENT + 20, 2)
            print(f"reported after {took:.1f} s: {ready(mute.name)['message']}")
            assert last in ready(mute.name)["message"]
            assert (mute.phase, ready(guests[0].name)["status"]) == ("Running", "True")
            until(lambda: schedulable("node2") == "false", "the node to take no machines", 10)
            before = ticks()[mute.name].count
            until(lambda: ticks()[mute.name].count > before, "the guest's next tick", 10)
        took = until(lambda: ready(mute.name).get("status") == "True", "the guest to be Ready again", 90, 0.5)
        print(f"Ready again {took:.1f} s after the handler went on")
        assert schedulable("node2") == "true"
        undisturbed(ticks(), guests, pids)


def test_a_machine_whose_handler_is_silent_has_another_guest_soon_after_its_pod_was_killed() -> None:
    with existing(vm_manifest("without-handler")) as name:
        has(name, "Running")
        guest = Guest(name)
        first, where = guest.vmi, guest.pod["spec"]["nodeName"]
        with stopped(handler(where)):
            kubectl("label", "node", where, "kubevirt.io/schedulable=false", "--overwrite")  # as after five minutes
            began = time.monotonic()
            kubectl("delete", "pod", guest.pod["metadata"]["name"], "--grace-period=0", "--force")
            another_guest_runs(name, first["metadata"]["uid"])
            took = time.monotonic() - began
            print(f"another guest runs after {took:.1f} s")
            assert took < 30 and guest.pod["spec"]["nodeName"] != where


def handler(name: str) -> Process:
    """The handler's process on that node."""
    pods = get("-n", NAMESPACE, "pods", "-l", "kubevirt.io=virt-handler", "--field-selector", f"spec.nodeName={name}")
    (pod,) = pods["items"]
    found = process(pod["metadata"]["uid"], "virt_handler")
    assert found is not None
    return found


@contextmanager
def stopped(victim: Process) -> Iterator[None]:
    """Silent, but not dead: nothing replaces it."""
    os.kill(victim.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(victim.pid, signal.SIGCONT)


def schedulable(name: str) -> str:
    """Whether new machines may come to the node."""
    return str(get("node", name)["metadata"]["labels"].get("kubevirt.io/schedulable"))


def test_guests_tick_while_the_api_server_is_away_and_nothing_is_lost() -> None:
    with two_guests(tolerant=True) as (guests, pids), observed(*guests) as ticks:
        apply(manifest("deleted-before"))
        wait("vmi", "deleted-before", "jsonpath={.status.phase}=Running", seconds=60)
        kubectl("delete", "vmi", "deleted-before", "--wait=false")
        with dead_api_server():
            time.sleep(AWAY)  # the fault itself
        until(lambda: "deleted-before" not in kubectl("get", "vmi", "-o", "name"), "the deletion", KUBELET_WATCHES)
        wait_for_every_replica()
        with running(manifest("afterwards")) as (again,):
            assert again.phase == "Running"
        wait("kv", "kubevirt", "condition=Available", namespace=NAMESPACE, seconds=120)
        assert guests[1].phase == "Running"
        undisturbed(ticks(), guests, pids)


def test_watches_restart_after_a_compaction_of_etcd() -> None:
    with two_guests(tolerant=True) as (guests, pids), observed(*guests) as ticks:
        # Writes, so that there is a past; then etcd forgets it while the API server is cut off from its own watches.
        for number in range(20):
            kubectl("label", "vmi", guests[0].name, f"compaction={number}", "--overwrite")
        revision = int(etcd("/v3/maintenance/status", {})["header"]["revision"])
        etcd("/v3/kv/compaction", {"revision": revision, "physical": True})
        with dead_api_server():
            pass  # its next cache of watched objects begins after the compaction: clients get 410
        wait_for_every_replica()
        afterwards = manifest("afterwards")
        afterwards["spec"]["tolerations"] = [{"operator": "Exists", "effect": "NoExecute"}]
        with running(afterwards, seconds=KUBELET_WATCHES) as (again,):
            assert again.phase == "Running"
        undisturbed(ticks(), guests, pids)


async def test_a_guest_on_a_full_disk_is_stopped_until_there_is_space_and_loses_nothing(tmp_path: Path) -> None:
    """What somebody else fills is a small file system of the test's own, behind a claim that promises more than is left
    then. Overlays and empty disks are files of the node's in the same way, and the launcher's path is the same.
    """
    here, volumes = claims.node_name(), {"data": {"persistentVolumeClaim": {"claimName": "full"}}}
    size, room = 12 << 20, 4 << 20  # of what the guest writes, and left for it
    with (
        claims.loop_device(tmp_path / "small.img", 24 << 20) as device,
        claims.file_system_of_node("guest-full", device) as folder,
        claims.claim("full", folder, "Filesystem", "16Mi"),
    ):
        writes, beside = disk_manifest("writes", volumes, node=here), manifest("beside", node=here)
        with running(writes, beside) as (guest, other), observed(other) as ticks:
            pids = {machine.name: machine.qemu_pid() for machine in (guest, other)}
            async with Shell.of(guest) as shell:
                boot = await shell.boot_id()
                await shell.run(f"dd if=/dev/urandom of=/tmp/data bs=64k count={size >> 16} 2>/dev/null")
                digest = (await shell.run("sha256sum </tmp/data")).split()[0]
                free = int(claims.in_node("df", "--output=avail", "-B1", folder).split()[1])
                claims.in_node("fallocate", "-l", str(free - room), f"{folder}/of-others")
                await shell.type(f"dd if=/tmp/data of={disk('data')} bs=64k conv=fsync && echo writ''ten")
                until(lambda: guest.paused, "the guest to be reported stopped", 60)
                paused = guest.condition("Paused")
                print(f"{paused['reason']}: {paused['message']}")
                assert (paused["reason"], guest.phase) == ("PausedIOError", "Running")
                assert "disk data: there is no space left" in paused["message"]
                assert b"written" not in shell.seen
                claims.in_node("rm", f"{folder}/of-others")
                guest.command("unpause")
                await shell.expect(b"written", 60)
                until(lambda: not guest.paused, "the guest to be reported running")
                assert await shell.boot_id() == boot
                again = f"dd if={disk('data')} bs=64k count={size >> 16} 2>/dev/null | sha256sum"
                assert (await shell.run(f"echo 3 >/proc/sys/vm/drop_caches; {again}")).split()[0] == digest
            assert guest.qemu_pid() == pids[guest.name]
            undisturbed(ticks(), [other], pids)
        written = claims.in_node("sh", "-c", f"head -c {size} {folder}/disk.img | sha256sum")
        assert written.split()[0] == digest


def etcd(path: str, body: dict[str, Any]) -> Any:
    """A call of etcd's JSON gateway."""
    request = urllib.request.Request(f"{control_plane.ETCD}{path}", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def replicas_ready(workload: str) -> bool:
    """Whether as many of its pods are ready as there should be."""
    status = get("-n", NAMESPACE, workload)["status"]
    wanted = status.get("desiredNumberScheduled", status.get("replicas"))
    return wanted == status.get("numberReady", status.get("readyReplicas", 0))
