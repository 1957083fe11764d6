"""Connects caches, plan and executor for VirtualMachines. Created and run by app.py.

VirtualMachines depend on VirtualMachineInstances, never the other way round: the two share a name, so every change of a
VirtualMachineInstance is a reason to look at the VirtualMachine of its key. Besides the caches it reads from the API
server what a running guest was started with, only after its VirtualMachine has changed; a VirtualMachine before it
starts or adopts; and the guest that is to stop, if the cache may not know it yet.
"""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
from virt_core import logs
from virt_core.conventions import labels
from virt_core.instancetype.matcher import Chosen, Role, matcher_of, resource_of
from virt_core.instancetype.matcher import revision_of as kept_revision_of
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import Conflict, NotFound
from virt_core.kube.events import EventRecorder
from virt_core.kube.reflector import Key
from virt_core.kube.resource import CONTROLLER_REVISIONS, VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES
from virt_core.objects.kubevirt import Configuration
from virt_core.vm.virtual_machine import VirtualMachine, VirtualMachineSpec
from virt_core.vmi.instance import VirtualMachineInstance

from virt_controller.caches import Caches
from virt_controller.controller import Controller, Refusals
from virt_controller.execution import Refused
from virt_controller.failure import Failure
from virt_controller.vm.execute import DeletionRefused, Executor
from virt_controller.vm.instancetype import applied, kept_at_start, with_chosen
from virt_controller.vm.observe import Changes, Choice, Observed, has_ended
from virt_controller.vm.plan import FAILED_DELETE, needs_objects, needs_revision, plan, refused, release
from virt_controller.vm.restart_required import changes_of
from virt_controller.vm.revisions import KeptObjects
from virt_controller.vm.start import revision_of

_WORKERS = 20  # VirtualMachines that are reconciled in parallel
# UID and generation of the VirtualMachine, UID and revision of its instance, then revisions of its objects
_Compared = tuple[str | int, ...]


class _Data(msgspec.Struct, frozen=True):
    spec: VirtualMachineSpec


class _Revision(msgspec.Struct, frozen=True):
    data: _Data


class VmReconciler:
    """Every VirtualMachine of the cluster."""

    def __init__(self, client: KubeClient, caches: Caches, events: EventRecorder) -> None:
        self._client = client
        self._caches = caches
        self._controller = Controller("vm", caches, workers=_WORKERS)
        self._executor = Executor(client, events, caches.vms.wrote, caches.vmis.wrote)
        self._failures: Refusals[Failure] = Refusals()
        self._changes: dict[Key, tuple[_Compared, Changes | None]] = {}
        self._kept = KeptObjects(client)
        self._followed = self._configuration
        self._log = logs.bound("virt_controller.vm.reconcile")
        caches.vms.subscribe(self._controller.enqueue)
        caches.vmis.subscribe(self._instance_changed)
        caches.instancetypes.subscribe(self._controller.enqueue)
        caches.configuration.subscribe(self._configuration_changed)

    async def work(self) -> None:
        """Reconcile until cancelled, starting when every cache is complete."""
        await self._controller.work(self.reconcile, self._first)

    def _first(self) -> list[Key]:
        held = [vmi.key for vmi in self._caches.vmis if labels.VM_FINALIZER in vmi.metadata.finalizers]
        return [*(vm.key for vm in self._caches.vms), *held]

    async def reconcile(self, key: Key) -> float | None:
        """A pass: observe, plan, execute. Returns the seconds after which to reconcile again, or None."""
        vm = self._caches.vms.get(key)
        if vm is None:
            self._failures.forget(key)
            self._changes.pop(key, None)
            self._executor.forget(key)
            self._caches.instancetypes.forget(key)
            await self._release_orphan(key)
            return None
        observed = await self._observe(vm)
        if observed is None:
            return None
        try:
            return await self._executor.execute(vm, plan(observed))
        except DeletionRefused as error:
            self._failures.remember(key, _version(vm), Failure(FAILED_DELETE, str(error), datetime.now(UTC)))
            return 0.0  # the next pass reports it
        except Refused as error:
            failure = Failure("FailedCreate", str(error), datetime.now(UTC))
            self._failures.remember(key, _version(vm), failure)
            current = self._caches.vms.get(key)  # the plan may have written its status
            if current is not None and _version(current) == _version(vm):
                observed = replace(observed, vm=current, status=current.status)
            return await self._executor.execute(vm, refused(replace(observed, failure=failure)))

    async def _observe(self, vm: VirtualMachine) -> Observed | None:
        key = vm.key
        try:
            spec = vm.spec
        except msgspec.ValidationError as error:
            if vm.metadata.deletion_timestamp is None:
                self._log.error("leaving out a VirtualMachine that cannot be read", key=key, reason=str(error))
                return None
            spec = VirtualMachineSpec()  # a deletion does not depend on it
        now, jitter = datetime.now(UTC), random.random()  # noqa: S311 - spreads load, decides nothing
        vmi, choices = self._caches.vmis.get(key), self._choices(vm, spec)
        observed = Observed(vm, spec, vm.status, vmi, now, jitter, self._configuration, choices=choices)
        await self._confirm_stopped(observed)
        if choices and needs_objects(observed):
            choices = tuple([await self._read(key[0], choice) for choice in choices])
            observed = replace(observed, choices=choices)
        if (own := observed.own) is not None:
            known = self._failures.get(key, _version(vm))
            if own.metadata.deletion_timestamp is not None or (known is not None and known.reason != FAILED_DELETE):
                self._failures.forget(key)
            if needs_revision(observed):
                observed = replace(observed, changes=await self._changes_of(observed, own))
        return replace(observed, failure=self._failures.get(key, _version(vm)))

    async def _confirm_stopped(self, observed: Observed) -> None:
        """A requested stop is done when its VirtualMachineInstance is gone. If the cache may be older than the request,
        it may not know the VirtualMachineInstance yet: then it is read.

        Raises:
            Conflict: it is there.
        """
        vm, own, requests = observed.vm, observed.own, observed.status.state_change_requests
        if not requests or requests[0].action != "Stop" or (own is not None and requests[0].stops(own.metadata.uid)):
            return
        if self._caches.vmis.has_seen(vm.metadata.resource_version):
            return
        try:
            found = await self._client.get(VIRTUAL_MACHINE_INSTANCES, *vm.key)
        except NotFound:
            return
        if requests[0].stops(found["metadata"]["uid"]):
            raise Conflict(409, f"VirtualMachineInstance {vm.metadata.name} is there: the cache is behind")

    def _choices(self, vm: VirtualMachine, spec: VirtualMachineSpec) -> tuple[Choice, ...]:
        """What the VirtualMachine names. If there is no such object, the cache reports it when it appears."""
        named = {Role.INSTANCETYPE.value: spec.instancetype, Role.PREFERENCE.value: spec.preference}
        body = {"spec": named, "status": vm.raw_status}
        self._caches.instancetypes.forget(vm.key)
        choices = []
        for role in Role:
            matcher = matcher_of(body, role)
            if matcher is None or vm.metadata.deletion_timestamp is not None:
                continue
            resource, revision = resource_of(role, matcher), kept_revision_of(body, role, matcher)
            stored = None
            if resource is not None and not revision:
                stored = self._caches.instancetypes.find(resource, matcher.name, vm.key)
            choices.append(Choice(role, matcher, resource, stored, revision))
        return tuple(choices)

    async def _read(self, namespace: str, choice: Choice) -> Choice:
        if not choice.revision:
            return choice
        name = "" if choice.matcher.revision_name else choice.matcher.name
        return replace(choice, kept=await self._kept.read(namespace, choice.revision, name), was_read=True)

    async def _changes_of(self, observed: Observed, vmi: VirtualMachineInstance) -> Changes | None:
        """What has changed since the start. Only the result is remembered: revisions of all guests are too large."""
        vm, choices = observed.vm, observed.choices
        if any(choice.body is None for choice in choices):
            return None
        compared: _Compared = (
            *_version(vm),
            vmi.metadata.uid,
            revision_of(vmi),
            *(choice.revision for choice in choices),
        )
        known, changes = self._changes.get(vm.key, (None, None))
        if known != compared:
            changes = await self._compared(observed, vmi)
            self._changes[vm.key] = compared, changes
        return changes

    async def _compared(self, observed: Observed, vmi: VirtualMachineInstance) -> Changes | None:
        namespace = observed.vm.metadata.namespace
        started = await self._revision(namespace, revision_of(vmi))
        if started is None:
            return None
        kept = {role: await self._kept.read(namespace, name) for role, name in kept_at_start(started).items() if name}
        if None in kept.values():
            return None
        chosen = Chosen(kept.get(Role.INSTANCETYPE), kept.get(Role.PREFERENCE))
        return changes_of(with_chosen(started, chosen).template, applied(observed).template, vmi)

    async def _revision(self, namespace: str, name: str) -> VirtualMachineSpec | None:
        """The spec in a ControllerRevision, which never changes; None: it is gone or is none of ours."""
        try:
            found = await self._client.get(CONTROLLER_REVISIONS, namespace, name)
            return msgspec.json.decode(msgspec.json.encode(found), type=_Revision).data.spec
        except (NotFound, msgspec.ValidationError):
            return None

    async def _release_orphan(self, key: Key) -> None:
        """Release a VirtualMachineInstance that ended after its VirtualMachine: nobody else takes the finalizer off."""
        vmi = self._caches.vmis.get(key)
        if vmi is None or labels.VM_FINALIZER not in vmi.metadata.finalizers or not has_ended(vmi):
            return
        try:
            await self._client.get(VIRTUAL_MACHINES, *key)
        except NotFound:
            await self._take_finalizer_off(vmi)

    async def _take_finalizer_off(self, vmi: VirtualMachineInstance) -> None:
        self._log.info("releasing a virtual machine instance without virtual machine", key=vmi.key)
        operations = release(vmi).operations
        try:
            await self._client.json_patch(VIRTUAL_MACHINE_INSTANCES, *vmi.key, operations)
        except NotFound:
            pass

    @property
    def _configuration(self) -> Configuration:
        return self._caches.configuration.current or Configuration()

    def _configuration_changed(self) -> None:
        """Another rollout strategy: what waited for a restart may be updated live now. Another policy: templates may
        get what their instance types say."""
        before, self._followed = self._followed, self._configuration
        if before.updates_live != self._followed.updates_live:
            for key in self._changes:
                self._controller.enqueue(key)
        if before.instancetype != self._followed.instancetype:
            for vm in self._caches.vms:
                self._controller.enqueue(vm.key)

    def _instance_changed(self, key: Key) -> None:
        vmi = self._caches.vmis.get(key)
        if self._caches.vms.get(key) is not None or (
            vmi is not None and labels.VM_FINALIZER in vmi.metadata.finalizers
        ):
            self._controller.enqueue(key)


def _version(vm: VirtualMachine) -> tuple[str, int]:
    return vm.metadata.uid, vm.metadata.generation
