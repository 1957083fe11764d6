"""What happens to each guest, and what stands in its way. Pure.

No step of a change touches a guest. When the change is complete, virt-controller replaces the launchers of running
guests by the methods of workloadUpdateStrategy; what it could not do is found here before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from virt_core.conventions.conditions import LIVE_MIGRATABLE
from virt_core.conventions.labels import CREATED_BY
from virt_core.conventions.migration import NEVER, WORKLOAD_UPDATE_POLICY
from virt_core.conventions.releases import OLDEST_LAUNCHER, minors_behind
from virt_core.objects.meta import Condition, condition_of
from virt_core.vmi.launcher_release import launcher_image

from virt_operator.preflight import estimates
from virt_operator.preflight.finding import Finding, Step, Subject, blocking, info, warning
from virt_operator.preflight.hardware import unknown_hardware
from virt_operator.preflight.kinds import Guest, Machine, Pod
from virt_operator.preflight.observed import Cluster, Target
from virt_operator.preflight.pins import Pin, pin_of_guest, pin_of_machine, pinned, refused_pin
from virt_operator.preflight.room import Room, needs
from virt_operator.suite.hypervisor import Hypervisor

LIVE_MIGRATE, EVICT = "LiveMigrate", "Evict"

_RUNNING, _FINAL = "Running", ("Succeeded", "Failed")
_SHARED = "ReadWriteMany"
_LEAVE = f"or leave it as it is with the annotation {WORKLOAD_UPDATE_POLICY}: {NEVER} on the VM's template"


@dataclass(frozen=True, slots=True)
class _Plans:
    """What is the same for every guest."""

    target: Target
    image: str
    methods: Sequence[str]
    room: Room
    pods: Mapping[str, Sequence[Pod]]
    """The launcher pods by the UID of their guest."""

    defaults: Mapping[str, str]
    """The launcher that a namespace asks for."""

    @property
    def release(self) -> str:
        """The target's; "" if it is not known."""
        return self.target.strategy.release if self.target.strategy is not None else ""


def judge_guests(cluster: Cluster, target: Target, image: str) -> Iterator[Finding]:
    """A finding for each guest at least, and for each VM that is stopped. `image` is the target's launcher's."""
    room = Room(cluster.nodes, cluster.pods)
    plans = _Plans(target, image, _methods(cluster), room, _launchers(cluster), cluster.launcher_defaults)
    running = set()
    for guest in cluster.guests:
        if guest.status.phase in _FINAL:
            continue
        running.add(guest.key)
        yield from _guest(guest, plans)
    for machine in cluster.machines:
        if (machine.metadata.namespace, machine.metadata.name) not in running:
            yield from _stopped(machine, plans)


def judge_hardware(cluster: Cluster, target: Target) -> Iterator[Finding]:
    """What guests that run, and VMs that do not, have of hardware that the target does not know."""
    if target.hypervisor is None:
        return
    present = [guest for guest in cluster.guests if guest.status.phase not in _FINAL]
    for guest in present:
        yield from _lacking(guest, target.hypervisor)
    running = {guest.key for guest in present}
    for machine in cluster.machines:
        if (machine.metadata.namespace, machine.metadata.name) not in running:
            yield from _lacking_at_start(machine, target.hypervisor)


def _lacking(guest: Guest, hypervisor: Hypervisor) -> Iterator[Finding]:
    domain, subject = guest.spec.domain, Subject("VirtualMachineInstance", *guest.key)
    yield from unknown_hardware(subject, domain, guest.status.machine.type or domain.machine.type, hypervisor)


def _lacking_at_start(machine: Machine, hypervisor: Hypervisor) -> Iterator[Finding]:
    meta, domain = machine.metadata, machine.spec.template.spec.domain
    subject = Subject("VirtualMachine", meta.namespace, meta.name)
    yield from unknown_hardware(subject, domain, domain.machine.type, hypervisor)


def _methods(cluster: Cluster) -> Sequence[str]:
    spec = cluster.suite.spec if cluster.suite is not None else {}
    return (spec.get("workloadUpdateStrategy") or {}).get("workloadUpdateMethods") or ()


def _launchers(cluster: Cluster) -> dict[str, list[Pod]]:
    found: dict[str, list[Pod]] = {}
    for pod in cluster.pods:
        uid = pod.metadata.labels.get(CREATED_BY)
        if uid and pod.status.phase not in _FINAL:
            found.setdefault(uid, []).append(pod)
    return found


def _guest(guest: Guest, plans: _Plans) -> Iterator[Finding]:
    subject = Subject("VirtualMachineInstance", *guest.key)
    pin = pin_of_guest(guest, plans.defaults, plans.release)
    problems = list(_incompatible(subject, guest, pin, plans))
    problems += _movement(subject, guest, pin, plans)
    yield from problems or (_fate(subject, guest, pin, plans),)


def _incompatible(subject: Subject, guest: Guest, pin: Pin | None, plans: _Plans) -> Iterator[Finding]:
    hypervisor, release = plans.target.hypervisor, plans.release
    if hypervisor is not None and not _has_older_hypervisor(pin):
        yield from _lacking(guest, hypervisor)
    tag = guest.status.launcher_container_image_version.rpartition(":")[2]
    behind = minors_behind(tag, release)
    if behind is not None and behind > OLDEST_LAUNCHER:
        yield blocking(
            subject,
            "LauncherTooOld",
            f"its launcher is of {tag}, {behind} releases before {release}, which works with launchers of "
            f"{OLDEST_LAUNCHER} releases before it at most: restart or migrate the guest first",
        )
    if pin is not None and pin.is_refused:
        yield refused_pin(subject, pin)


def _has_older_hypervisor(pin: Pin | None) -> bool:
    """Whether the target runs the guest in an older release's QEMU."""
    return pin is not None and not pin.is_refused and pin.is_older


def _is_replaced(guest: Guest, pin: Pin | None, plans: _Plans) -> bool:
    """Whether workloadUpdateStrategy replaces its launcher after the change."""
    if pin is not None and pin.is_refused:
        return False
    kept = guest.metadata.annotations.get(WORKLOAD_UPDATE_POLICY)
    wanted = launcher_image(plans.image, pin.tag) if pin is not None else plans.image
    outdated = guest.status.launcher_container_image_version != wanted
    return bool(plans.methods) and outdated and not kept and guest.status.phase == _RUNNING


def _migratable(guest: Guest, plans: _Plans) -> Condition | None:
    """The condition LiveMigratable, if guests are migrated at all."""
    return condition_of(guest.status.conditions, LIVE_MIGRATABLE) if LIVE_MIGRATE in plans.methods else None


def _movement(subject: Subject, guest: Guest, pin: Pin | None, plans: _Plans) -> Iterator[Finding]:
    """What keeps its launcher from being replaced as virt-controller's workload_update/plan.py would."""
    if not _is_replaced(guest, pin, plans) or LIVE_MIGRATE not in plans.methods:
        return
    migratable = _migratable(guest, plans)
    if migratable is None:
        yield warning(subject, "NotYetKnown", "its virt-handler has not said yet whether the guest can be moved")
    elif migratable.status != "True":
        if EVICT not in plans.methods or guest.spec.eviction_strategy == LIVE_MIGRATE:
            yield _cannot_move(subject, guest, migratable)
    elif pods := plans.pods.get(guest.metadata.uid):
        why = plans.room.for_another(pods[0], needs(pods[0]), beside=guest.status.node_name)
        if why is not None:
            yield blocking(
                subject,
                "NoRoom",
                f"no other node than {guest.status.node_name} has room for the pod that it moves to: {why}; free "
                f"resources, add a node, {_LEAVE}",
            )


def _cannot_move(subject: Subject, guest: Guest, migratable: Condition) -> Finding:
    infos = (volume.persistent_volume_claim_info for volume in guest.status.volume_status)
    unshared = [claim for claim in infos if claim is not None and _SHARED not in claim.access_modes]
    helps = f"add the method {EVICT}, {_LEAVE}"
    if guest.spec.eviction_strategy == LIVE_MIGRATE:  # it forbids an eviction
        helps = _LEAVE.removeprefix("or ")
    if unshared:
        claims = ", ".join(f"{claim.claim_name} ({', '.join(claim.access_modes)})" for claim in unshared)
        message = f"the guest cannot move, because claims cannot be shared by two nodes: {claims}; use {_SHARED}, "
        return blocking(subject, "ClaimNotShared", message + helps)
    reason = f"{migratable.reason}: {migratable.message}"
    message = f"workloadUpdateStrategy moves the guest, which cannot be moved: {reason}; {helps}"
    return blocking(subject, "NotMigratable", message)


def _fate(subject: Subject, guest: Guest, pin: Pin | None, plans: _Plans) -> Finding:
    """What will be done to a guest without problems."""
    if not _is_replaced(guest, pin, plans):
        if pin is not None:
            return pinned(subject, pin, "runs on; new starts and moves have")
        return info(subject, "KeepsLauncher", "runs on with its launcher until it is restarted or migrated")
    migratable = _migratable(guest, plans)
    if migratable is not None and migratable.status == "True":
        pods = plans.pods.get(guest.metadata.uid) or ()
        memory = max((needs(pod).get("memory", 0) / 1000 for pod in pods), default=0.0)
        step = Step("migrate to a launcher of the target", estimates.migration(memory))
        return info(subject, "WillMigrate", "runs on during the change, then moves to the target's launcher", step)
    step = Step("evict and start with a launcher of the target", estimates.RESTART)
    return info(subject, "WillRestart", "runs on during the change, then is evicted and starts again", step)


def _stopped(machine: Machine, plans: _Plans) -> Iterator[Finding]:
    meta, hypervisor = machine.metadata, plans.target.hypervisor
    subject = Subject("VirtualMachine", meta.namespace, meta.name)
    pin = pin_of_machine(machine, plans.defaults, plans.release)
    if pin is not None:
        yield refused_pin(subject, pin) if pin.is_refused else pinned(subject, pin, "has no guest now; starts with")
    found = []
    if hypervisor is not None and not _has_older_hypervisor(pin):
        found = list(_lacking_at_start(machine, hypervisor))
    yield from found
    if pin is None and not found:
        yield info(subject, "StartsOnTarget", "has no guest now; the next start has a launcher of the target")
