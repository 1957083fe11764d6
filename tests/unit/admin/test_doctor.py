"""doctor names what one VM in a seeded state waits for, the object and since when."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from virt_admin.doctor.case import Case
from virt_admin.doctor.examine import text
from virt_admin.doctor.finding import exit_code
from virt_admin.doctor.machine import diagnose
from virt_admin.screen.text import clean_line
from virt_admin.suite.objects import Pod
from virt_core.objects.meta import rfc3339

from .bodies import NODES, NOW, Body, ago, components, condition, decoded, lease, node
from .cases import case, launcher, migration, unscheduled, vm, vmi, waiting

WELL = components()


def without(component: str) -> list[Body]:
    return [body for body in WELL["pods"] if body["metadata"]["labels"]["kubevirt.io"] != component]


def full_quota() -> Body:
    return {
        "metadata": {"name": "few", "namespace": "default"},
        "status": {"hard": {"pods": "1"}, "used": {"pods": "1"}},
    }


def tainted(name: str) -> Body:
    return node(name, taints=[{"key": "gpu", "value": "yes", "effect": "NoSchedule"}])


def sized(name: str, cpu: str, memory: str) -> Body:
    found = node(name)
    found["status"]["allocatable"] |= {"cpu": cpu, "memory": memory}
    return found


def requesting(**requests: str) -> Body:
    pod = launcher()
    pod["spec"]["containers"][0]["resources"]["requests"] = requests
    return pod


DOWN = condition("Ready", "Unknown", "", "Kubelet stopped posting", minutes=7)
IN_A_MINUTE = rfc3339(NOW + timedelta(minutes=1))
NO_TYPE = condition("Failure", "True", "FailedCreate", "no type")
CRASHED = condition("Ready", "False", "VMINotExists", "VMI does not exist, its last start has failed: no kernel")
SYNCHRONIZED = ("Synchronized", "False")
STARTING: list[tuple[str, Case, int, str]] = [
    ("halted", case(vm("Halted")), 0, "its run strategy is Halted"),
    ("manual", case(vm("Manual")), 0, "its run strategy Manual does not start it by itself"),
    ("strategy of another release", case(vm("Sometimes")), 2, "run strategy Sometimes is not known"),
    ("not created", case(vm()), 1, "has not created its VirtualMachineInstance yet"),
    ("no controller", case(vm(), leases=[]), 2, "no pod of virt-controller leads"),
    (
        "failure",
        case(vm("Always", NO_TYPE)),
        2,
        "FailedCreate: no type",
    ),
    (
        "crash loop",
        case(vm(startFailure={"consecutiveFailCount": 3, "retryAfterTimestamp": IN_A_MINUTE})),
        2,
        "ended 3 times before it ever ran, the next start is at 2026-01-31T10:01:00Z",
    ),
    (
        "reason of a crash loop",
        case(vm("Always", CRASHED, startFailure={"consecutiveFailCount": 3})),
        2,
        "ended 3 times before it ever ran: VMI does not exist, its last start has failed: no kernel",
    ),
    (
        "quota",
        case(None, vmi("Pending", condition(*SYNCHRONIZED, "FailedCreate", "exceeded quota")), quotas=(full_quota(),)),
        2,
        "quota few is used up: pods 1 of 1",
    ),
    ("no claim", case(None, vmi("Pending"), claim_names=("disk",)), 2, "claim disk does not exist"),
    (
        "claim without a volume",
        case(
            None,
            vmi("Pending"),
            claim_names=("disk",),
            claims=({"metadata": {"name": "disk"}, "status": {"phase": "Pending"}},),
        ),
        1,
        "claim disk has no volume yet: Pending",
    ),
    ("no pod yet", case(None, vmi("Pending")), 1, "has not created its launcher pod yet"),
    ("no node", case(None, vmi("Scheduling"), pods=(launcher("", unscheduled()),)), 2, "0/2 nodes are available"),
    (
        "all nodes cordoned",
        case(
            None,
            vmi("Scheduling"),
            pods=(launcher("", unscheduled()),),
            nodes=[node("node1", unschedulable=True), node("node2", labels={"kubevirt.io/schedulable": "false"})],
        ),
        2,
        "node node1: it is cordoned, node node2: its virt-handler does not offer it",
    ),
    (
        "no KVM",
        case(None, vmi("Scheduling"), pods=(launcher("", unscheduled()),), nodes=[node(name, kvm=0) for name in NODES]),
        2,
        "no node offers KVM: enable virtualization",
    ),
    (
        "all nodes tainted, and the scheduler does not say so",
        case(None, vmi("Scheduling"), pods=(launcher(),), nodes=[tainted("node1"), tainted("node2")]),
        1,
        "node node1: it has the taint gpu=yes:NoSchedule, which the pod does not tolerate, node node2: it has ",
    ),
    (
        "too large for each node",
        case(
            None, vmi("Scheduling"), pods=(requesting(cpu="6", memory="64Gi"),), nodes=[sized("node1", "5900m", "32Gi")]
        ),
        1,
        "node node1: it has cpu 5900m for pods, and the pod requests 6, it has memory 32Gi for pods, and",
    ),
    ("no scheduler", case(None, vmi("Scheduling"), pods=(launcher(),)), 1, "the scheduler has not chosen a node"),
    (
        "image",
        case(None, vmi("Scheduling"), pods=(launcher("node1", **waiting("ImagePullBackOff", "not found")),)),
        2,
        "image r/virt-launcher:v1: ImagePullBackOff: not found",
    ),
    (
        "node down",
        case(
            None,
            vmi("Scheduled", node="node1"),
            pods=(launcher("node1"),),
            nodes=[
                node("node1", DOWN),
                node("node2"),
            ],
        ),
        2,
        f"Node node1, since {ago(minutes=7)}",
    ),
    (
        "handler starts it",
        case(None, vmi("Scheduled", node="node1"), pods=(launcher("node1"),)),
        1,
        "virt-handler on node node1 starts the guest",
    ),
    ("failed", case(None, vmi("Failed", condition("Ready", "False", "Evicted", "disk full"))), 2, "Evicted: disk full"),
    ("phase of another release", case(None, vmi("Dreaming")), 2, "its phase Dreaming is not known"),
]
RUNNING: list[tuple[str, Case, int, str]] = [
    ("all well", case(vm(), vmi("Running", condition("Ready", "True"), node="node1")), 0, ""),
    (
        "paused by an error",
        case(None, vmi("Running", condition("Paused", "True", "PausedIOError", "disk root", minutes=6), node="node1")),
        2,
        "make room on the storage",
    ),
    (
        "silent handler",
        case(None, vmi("Running", condition("Ready", "False", "HandlerUnresponsive", "since x"), node="node1")),
        2,
        "it runs and is not Ready: HandlerUnresponsive",
    ),
    ("cannot move", case(None, vmi("Running", condition("LiveMigratable", "False", "Shared", "x"))), 0, "Shared: x"),
    (
        "drain blocked",
        case(None, vmi("Running", condition("EvacuationBlocked", "True", "NotLiveMigratable", "why", minutes=8))),
        2,
        "it should leave its node and does not: NotLiveMigratable: why",
    ),
    (
        "outdated",
        case(None, vmi("Running", labels={"kubevirt.io/outdatedLauncherImage": ""})),
        0,
        "workloadUpdateStrategy lists no method",
    ),
    (
        "migration waits",
        case(
            None,
            vmi("Running"),
            migrations=(migration("Pending", condition("Waiting", "True", "ParallelMigrations", "5 run", minutes=1)),),
        ),
        1,
        "migration m does not go on: 5 run",
    ),
    (
        "migration stalled",
        case(None, vmi("Running"), migrations=(migration("Running", condition("Stalled", "True", "", "no progress")),)),
        2,
        "migration m does not go on: no progress",
    ),
    (
        "target without a node",
        case(
            None,
            vmi("Running"),
            migrations=(migration("Scheduling"),),
            pods=(launcher("", unscheduled("no room"), labels={"kubevirt.io/migrationJobUID": "uid-m"}),),
        ),
        2,
        "the target pod of migration m does not start: Unschedulable: no room",
    ),
    (
        "migration failed",
        case(None, vmi("Running"), migrations=(migration("Failed", failureReason="too slow"),)),
        0,
        "its last migration failed: too slow",
    ),
]
STOPPING: list[tuple[str, Case, int, str]] = [
    (
        "machine waits",
        case(vm(deleted=True), vmi("Running", deleted=True)),
        1,
        "when its VirtualMachineInstance has",
    ),
    ("machine alone", case(vm(deleted=True)), 1, "virt-controller has to remove its finalizer"),
    (
        "grace period",
        case(None, vmi("Running", deleted=True), pods=(launcher("node1", deleted=IN_A_MINUTE),)),
        1,
        "the guest shuts down, its pod is killed at 2026-01-31T10:01:00Z",
    ),
    (
        "kubelet",
        case(None, vmi("Running", deleted=True), pods=(launcher("node1", deleted=ago(minutes=5)),)),
        2,
        "the kubelet has not ended the launcher pod although its grace period is over",
    ),
    (
        "finalizer of others",
        case(None, vmi("Running", deleted=True, finalizers=("example.com/keep",))),
        2,
        "kept by finalizers of others: example.com/keep",
    ),
]


@pytest.mark.parametrize(
    ("found", "code", "sentence"),
    [row[1:] for row in (*STARTING, *RUNNING, *STOPPING)],
    ids=[row[0] for row in (*STARTING, *RUNNING, *STOPPING)],
)
def test_a_seeded_state_is_explained(found: Case, code: int, sentence: str) -> None:
    findings = diagnose(found)
    shown = "\n".join(text(findings))
    assert sentence in shown, shown
    assert exit_code(findings) == code, shown


@pytest.mark.parametrize(
    ("pods", "sentence"),
    [
        (without("virt-handler"), "node node1 has no virt-handler"),
        (
            [*without("virt-handler"), {**WELL["pods"][3], "status": {}}],
            "virt-handler on node node1 is not ready: it does not answer its probe",
        ),
    ],
)
def test_a_missing_handler_is_named_where_a_guest_waits_for_it(pods: list[Any], sentence: str) -> None:
    seeded = case(None, vmi("Scheduled", node="node1"), pods=(launcher("node1"),))
    broken = replace(seeded, suite=replace(seeded.suite, pods=tuple(decoded(body, Pod) for body in pods)))
    assert sentence in "\n".join(text(diagnose(broken)))


def test_warnings_of_the_last_hour_come_with_a_problem_only() -> None:
    event: Body = {"metadata": {"name": "e", "namespace": "default"}, "reason": "FailedMount", "note": "no \x1b[31mkey"}
    recent = {**event, "deprecatedLastTimestamp": ago(minutes=2)}
    old = {**event, "note": "old", "eventTime": ago(hours=2)}
    shown = list(map(clean_line, text(diagnose(case(None, vmi("Pending"), events=(recent, old))))))
    assert "note: event FailedMount: no \\u{1b}[31mkey" in shown
    assert not any("old" in line for line in shown)
    assert diagnose(case(vm("Halted"), events=(recent,)))[-1].what.startswith("it is not supposed to run")


def test_a_leader_that_is_silent_comes_first() -> None:
    silent = [lease("virt-controller", renewed=NOW - timedelta(minutes=3))]
    first = diagnose(case(vm(), leases=silent))[0]
    assert first.what.startswith("virt-controller's leader virt-controller-0 has not renewed its Lease")
    assert (first.since, first.kind) == (ago(minutes=3), "problem")


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "gpu", "operator": "Exists"}, True),
        ({"key": "gpu", "value": "yes", "effect": "NoSchedule"}, True),
        ({"key": "gpu", "operator": "Equal", "value": "yes"}, True),
        ({"key": "gpu", "value": "no"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({"key": "gpu", "operator": "Exists", "effect": "NoExecute"}, False),
    ],
)
def test_a_taint_keeps_only_those_pods_away_that_do_not_tolerate_it(toleration: Body, *, tolerated: bool) -> None:
    pod = launcher()
    pod["spec"]["tolerations"] = [toleration]
    shown = "\n".join(text(diagnose(case(None, vmi("Scheduling"), pods=(pod,), nodes=[tainted("node1")]))))
    assert ("does not tolerate" in shown) is not tolerated


def test_a_node_is_not_too_small_for_what_fits_or_is_not_known() -> None:
    nodes = [sized("node1", "6", "64Gi"), node("node2"), sized("node2", "many", "64Gi")]
    shown = text(diagnose(case(None, vmi("Scheduling"), pods=(requesting(cpu="6", memory="64Gi"),), nodes=nodes)))
    assert "requests" not in "\n".join(shown)
