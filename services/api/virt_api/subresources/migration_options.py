"""Decodes the bodies of migrate and evacuate/cancel, and decides whether a mark is removed. Pure; called by
migration.py.

KubeVirt's MigrateOptions and EvacuateCancelOptions.
"""

from __future__ import annotations

import msgspec
from virt_core.conventions import migration
from virt_core.conventions.subresources import EVACUATE_CANCEL, MIGRATE
from virt_core.objects.meta import ObjectMeta
from virt_core.objects.migration_configuration import DRAIN_TAINT
from virt_core.objects.patch import Operation, pointer
from virt_core.validation.refusal import LABEL_VALUE, QUALIFIED_NAME, display

from virt_api.errors import BadRequest, Conflict
from virt_api.subresources.request_body import document_of, options_in, require_dry_run_all, require_known_fields

_MARK = pointer("status", "evacuationNodeName")
_NO_SCHEDULE = "NoSchedule"


class MigrateOptions(msgspec.Struct, frozen=True, rename="camel"):
    """How a guest is to migrate."""

    added_node_selector: dict[str, str] | None = None
    dry_run: list[str] | None = None


class EvacuateCancelOptions(msgspec.Struct, frozen=True, rename="camel"):
    """Which evacuation is cancelled."""

    evacuation_node_name: str = ""
    """The node that the guest was to leave. Empty, as virtctl sends it: whichever."""

    dry_run: list[str] | None = None


class Taint(msgspec.Struct, frozen=True):
    """A taint of a node."""

    key: str
    effect: str = ""


class _NodeSpec(msgspec.Struct, frozen=True):
    taints: list[Taint] = []


class EvacuatedNode(msgspec.Struct, frozen=True):
    """The fields of a Node that matter here."""

    spec: _NodeSpec = _NodeSpec()


def migrate_options(body: bytes) -> MigrateOptions:
    """The options in a request's body, which may be absent. Raises BadRequest naming the field."""
    found = document_of(MIGRATE, body)
    require_known_fields(MIGRATE, found, ("addedNodeSelector", "dryRun"))
    options = options_in(MIGRATE, found, MigrateOptions)
    require_dry_run_all(options.dry_run)
    for key, value in (options.added_node_selector or {}).items():
        if not QUALIFIED_NAME.accepts(key):
            raise BadRequest(f"addedNodeSelector: {display(key)} is not allowed, use {QUALIFIED_NAME.words}")
        if not LABEL_VALUE.accepts(value):
            raise BadRequest(f"addedNodeSelector.{key}: {display(value)} is not allowed, use {LABEL_VALUE.words}")
    return options


def cancel_options(body: bytes) -> EvacuateCancelOptions:
    """The same of evacuate/cancel."""
    found = document_of(EVACUATE_CANCEL, body)
    require_known_fields(EVACUATE_CANCEL, found, ("evacuationNodeName", "dryRun"))
    options = options_in(EVACUATE_CANCEL, found, EvacuateCancelOptions)
    require_dry_run_all(options.dry_run)
    return options


def require_not_drained(name: str, node: EvacuatedNode, taint_key: str | None) -> None:
    """Raises BadRequest if the node's taint evacuates every guest on it: no mark is needed for that."""
    wanted = Taint(taint_key or DRAIN_TAINT, _NO_SCHEDULE)
    if wanted in node.spec.taints:
        raise BadRequest(f'Node "{name}" has NodeDrainTaintKey "{wanted.key}:{wanted.effect}", remove the taint')


def unmark(meta: ObjectMeta, marked: str, options: EvacuateCancelOptions) -> tuple[Operation, ...]:
    """The guarded patch that removes the mark from a VirtualMachineInstance; empty: there is none.

    Raises:
        Conflict: the mark is of another node.
    """
    if not marked:
        return ()
    if options.evacuation_node_name not in ("", marked):
        named = display(options.evacuation_node_name)
        raise Conflict(f"evacuationNodeName: {named} is not allowed, use {marked!r} or leave it out")
    source = pointer("metadata", "annotations", migration.EVICTION_SOURCE)
    evicted = meta.annotations.get(migration.EVICTION_SOURCE)
    return (
        {"op": "test", "path": "/metadata/uid", "value": meta.uid},
        {"op": "test", "path": _MARK, "value": marked},
        {"op": "remove", "path": _MARK},
        *(({"op": "test", "path": source, "value": evicted}, {"op": "remove", "path": source}) if evicted else ()),
    )
