"""Whether a VirtualMachineInstanceMigration or a MigrationPolicy may be stored. Pure; called by virt-api's webhooks
with objects as JSON has them.

`state_refusal` rests on what is stored besides: the VirtualMachineInstance, and its other migrations. Its texts, and
those of updates, are KubeVirt's. A second migration of a guest that is created at the same time passes here; the
controller fails it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from virt_core.conventions import labels, migration
from virt_core.conventions.conditions import LIVE_MIGRATABLE
from virt_core.migration.migration import MigrationPhase
from virt_core.objects.patch import Operation, pointer
from virt_core.objects.quantity import parse_quantity
from virt_core.validation.refusal import DNS_NAME, LABEL_VALUE, QUALIFIED_NAME, Refusal, Refusals, matching, refused
from virt_core.validation.strict import Strict
from virt_core.validation.unsupported import unsupported
from virt_core.vmi.instance import VirtualMachineInstance

Body = Mapping[str, Any]
SYSTEM_CRITICAL, USER_TRIGGERED, SYSTEM_MAINTENANCE = "system-critical", "user-triggered", "system-maintenance"
_PRIORITIES = (SYSTEM_CRITICAL, USER_TRIGGERED, SYSTEM_MAINTENANCE)
IN_FLIGHT = "in-flight migration detected"
"""What a refusal begins with if another migration of the guest is requested."""

_DECENTRALIZED = "a guest migrates between the nodes of its cluster and stays in its namespace"


class _Spec(Strict, frozen=True):
    """Every field that this release supports."""

    instead: ClassVar[Mapping[str, str]] = {"sendTo": _DECENTRALIZED, "receive": _DECENTRALIZED}

    vmi_name: str
    added_node_selector: dict[str, str] | None = None
    priority: str | None = None


def create_patch(new: Body) -> list[Operation]:
    """The label by which the migrations of a guest are found, and the finalizer. `spec_refusals` refuses a migration
    without a usable name, which gets no label."""
    metadata, name = _mapping(new.get("metadata")), _mapping(new.get("spec")).get("vmiName")
    operations: list[Operation] = []
    if isinstance(name, str) and name:
        if not isinstance(metadata.get("labels"), dict):
            operations.append({"op": "add", "path": "/metadata/labels", "value": {}})
        path = pointer("metadata", "labels", migration.VMI_NAME)
        operations.append({"op": "add", "path": path, "value": labels.vmi_id(name)})
    finalizers = metadata.get("finalizers")
    kept = [entry for entry in finalizers if isinstance(entry, str)] if isinstance(finalizers, list) else []
    if migration.FINALIZER not in kept:
        operations.append({"op": "add", "path": "/metadata/finalizers", "value": [*kept, migration.FINALIZER]})
    return operations


def spec_refusals(new: Body, *, by_controller: bool) -> tuple[Refusal, ...]:
    """What is wrong with the fields of a new migration. `by_controller`: virt-controller creates it."""
    return tuple(_spec_refusals(_present(new.get("spec")), by_controller))


def _spec_refusals(spec: Body, by_controller: bool) -> Refusals:
    yield from unsupported(spec, _Spec)
    name, priority, selector = spec.get("vmiName"), spec.get("priority"), spec.get("addedNodeSelector")
    if isinstance(name, str):
        yield from matching("vmiName", name, DNS_NAME)
    if isinstance(priority, str) and not by_controller:
        yield Refusal("spec.priority", "only virt-controller is allowed to set priority field, remove it")
    elif isinstance(priority, str) and priority not in _PRIORITIES:
        yield refused("priority", priority, " or ".join(_PRIORITIES))
    if isinstance(selector, dict):
        yield from _labels("addedNodeSelector", selector)


def state_refusal(new: Body, vmi: VirtualMachineInstance | None, others: Iterable[Body]) -> str:
    """Why the guest cannot migrate now; "": it can. `others` are the migrations with its label."""
    namespace, name = _mapping(new.get("metadata")).get("namespace"), _mapping(new.get("spec")).get("vmiName")
    if vmi is None:
        return f'the VMI "{namespace}/{name}" does not exist'
    if vmi.status.phase.final:
        return "Cannot migrate VMI in finalized state."
    for condition in vmi.status.conditions:
        if condition.type == LIVE_MIGRATABLE and condition.status == "False":
            return f"Cannot migrate VMI, Reason: {condition.reason}, Message: {condition.message}"
    for other in others:
        if _mapping(other.get("spec")).get("vmiName") == name and not _is_final(other):
            job = f"Active migration job ({_mapping(other.get('metadata')).get('uid')})"
            return f"{IN_FLIGHT}. {job} is currently already in progress for VMI {name}."
    return ""


def update_refusals(old: Body, new: Body) -> tuple[Refusal, ...]:
    """Why a change is refused."""
    return tuple(_update_refusals(old, new))


def _update_refusals(old: Body, new: Body) -> Iterator[Refusal]:
    if _present(old.get("spec")) != _present(new.get("spec")):
        yield Refusal("spec", "update of Migration object's spec is restricted")
    before, after = (_mapping(_mapping(body.get("metadata")).get("labels")) for body in (old, new))
    label, field = migration.VMI_NAME, f"metadata.labels.{migration.VMI_NAME}"
    if label not in before or _is_final(new):
        return
    if label not in after:
        yield Refusal(field, "selector label can't be removed from an in-flight migration")
    elif after[label] != before[label]:
        yield Refusal(field, "selector label can't be modified on an in-flight migration")


class _Selectors(Strict, frozen=True):
    namespace_selector: dict[str, str] | None = None
    virtual_machine_instance_selector: dict[str, str] | None = None


class _PolicySpec(Strict, frozen=True):
    """Every field of a MigrationPolicy's spec."""

    selectors: _Selectors | None = None
    allow_auto_converge: bool | None = None
    allow_post_copy: bool | None = None
    allow_workload_disruption: bool | None = None
    bandwidth_per_migration: str | int | None = None
    completion_timeout_per_gi_b: int | None = None


def policy_refusals(new: Body) -> tuple[Refusal, ...]:
    """What is wrong with a MigrationPolicy."""
    return tuple(_policy_refusals(_present(new.get("spec"))))


def _policy_refusals(spec: Body) -> Refusals:
    yield from unsupported(spec, _PolicySpec)
    timeout, bandwidth = spec.get("completionTimeoutPerGiB"), spec.get("bandwidthPerMigration")
    if isinstance(timeout, int) and timeout < 0:
        yield Refusal("spec.completionTimeoutPerGiB", f"{timeout} is negative, allowed are seconds from 0")
    if isinstance(bandwidth, str | int) and not isinstance(bandwidth, bool):
        try:
            if parse_quantity(str(bandwidth)) < 0:
                yield Refusal("spec.bandwidthPerMigration", f"{bandwidth} is negative, allowed are quantities from 0")
        except ValueError as error:
            yield Refusal("spec.bandwidthPerMigration", str(error))
    for name, selector in _mapping(spec.get("selectors")).items():
        if isinstance(selector, dict):
            yield from _labels(f"selectors.{name}", selector)


def _labels(field: str, selector: Body) -> Refusals:
    for key, value in selector.items():
        yield from matching(field, key, QUALIFIED_NAME)
        if isinstance(value, str):
            yield from matching(f"{field}.{key[:64]}", value, LABEL_VALUE)


def _is_final(body: Body) -> bool:
    phase = _mapping(body.get("status")).get("phase")
    return isinstance(phase, str) and MigrationPhase(phase).final


def _present(spec: Any) -> Body:
    """A Go client sends fields that are not set as null."""
    return {key: value for key, value in _mapping(spec).items() if value is not None}


def _mapping(value: Any) -> Body:
    return value if isinstance(value, dict) else {}
