"""Executes a plan's actions, in stages whose actions run in parallel; those that only look are learn.py's. Called by
the reconciler.

Every action carries its preconditions (a UID, a resourceVersion, a list of finalizers). An action from a stale
observation fails with Conflict, and the next pass plans again.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import assert_never

from virt_core import logs
from virt_core.conventions import components
from virt_core.conventions.certificate_files import BUNDLE
from virt_core.conventions.labels import HEARTBEAT, KUBEVIRT_FINALIZER, SCHEDULABLE
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import AlreadyExists, Invalid, KubeError, NotFound
from virt_core.kube.resource import KUBEVIRTS, NODES, PODS, SECRETS, Resource
from virt_core.objects.patch import finalizers_patch

from virt_operator.certificates.authority import AuthorityWatch
from virt_operator.certificates.issue import new_authority, new_leaf
from virt_operator.certificates.rollover import Authority, authority_data, with_successor
from virt_operator.certificates.secret import AUTHORITY_SECRET, data_of
from virt_operator.reconcile.failure import Failure, most_telling
from virt_operator.reconcile.inventory import Inventory
from virt_operator.reconcile.learn import Learner
from virt_operator.strategy.desired import managed_labels
from virt_operator.strategy.pods import TRUST_SECRET
from virt_operator.strategy.ref import DEFINED, Body, Ref, ref_of
from virt_operator.suite.actions import (
    Action,
    AddFinalizer,
    Apply,
    ApplyOwn,
    Beside,
    Compare,
    Delete,
    DeletePod,
    IssueAuthority,
    IssueLeaf,
    Prove,
    ProveWork,
    ReadRecords,
    RemoveFinalizer,
    Replace,
    ReviewWayBack,
    SurveyGuests,
    UnmarkNode,
    UpdateAuthority,
    WriteBundle,
    WriteTrust,
    target_of,
)
from virt_operator.suite.drift import part_difference, replacement
from virt_operator.suite.observed import Comparison, OwnedObject

FIELD_MANAGER = components.OPERATOR
# Roles before their bindings, permissions and Secrets before the pods that need them.
_STAGES = {
    "ClusterRoleBinding": 1,
    "RoleBinding": 1,
    "ValidatingAdmissionPolicyBinding": 1,
    "Service": 1,
    "Deployment": 2,
    "DaemonSet": 2,
    "APIService": 3,
    "MutatingWebhookConfiguration": 3,
    "ValidatingWebhookConfiguration": 3,
    **dict.fromkeys(DEFINED, 4),
}
_BESIDE = 5


class Executor:
    """Executes plans."""

    def __init__(
        self, client: KubeClient, inventory: Inventory, authority: AuthorityWatch, learner: Learner, namespace: str
    ) -> None:
        self._client = client
        self._learner = learner
        self._authority = authority
        self._inventory = inventory
        self._namespace = namespace
        self._log = logs.bound("virt_operator.execute")

    async def run(self, actions: Iterable[Action]) -> Failure | None:
        """Execute stage after stage. Stops after a stage with failures and returns the most important one."""
        for _, stage in groupby(sorted(actions, key=_stage), key=_stage):
            outcomes = await asyncio.gather(*map(self._attempt, stage))
            if (failure := most_telling(filter(None, outcomes))) is not None:
                return failure
        return None

    async def _attempt(self, action: Action) -> Failure | None:
        try:
            await self._do(action)
        except Exception as error:
            return Failure(target_of(action), error)
        return None

    async def _do(self, action: Action) -> None:
        match action:
            case Apply(ref, body, why):
                self._log.info("applying", object=str(ref), reason=why)
                answer = await self._client.apply(ref.resource, ref.namespace or None, body, manager=FIELD_MANAGER)
                self._inventory.wrote(ref, answer)
                self._inventory.repairs.created(ref, body, answer)
            case Compare(ref, body, live):
                self._inventory.compared(ref, Comparison(body, live.parts, await self._compare(ref, body, live)))
            case Replace(ref, body, live, why):
                self._log.info("replacing", object=str(ref), reason=why)
                await self._replace(ref, body, live)
            case ApplyOwn(bodies, why):
                for body in bodies:
                    ref = ref_of(body)
                    self._log.info("applying", object=str(ref), reason=why)
                    await self._client.apply(ref.resource, ref.namespace or None, body, manager=FIELD_MANAGER)
            case Delete() | DeletePod():
                await self._remove(action)
            case Beside(inner):
                await self._do_beside(inner)
            case Prove() | ProveWork() | SurveyGuests() | ReadRecords() | ReviewWayBack():
                await self._learner.learn(action)
            case UnmarkNode(name):
                self._log.info("unmarking the node", node=name)
                await self._unmark(name)
            case IssueAuthority() | UpdateAuthority() | IssueLeaf() | WriteTrust() | WriteBundle():
                await self._write_certificates(action)
            case AddFinalizer() | RemoveFinalizer():
                await self._set_finalizers(action)
            case _:
                assert_never(action)

    async def _remove(self, action: Delete | DeletePod) -> None:
        self._log.info("deleting", object=target_of(action), reason=action.why)
        if isinstance(action, DeletePod):
            await self._delete(PODS, self._namespace, action.name, action.uid)
        else:
            ref = action.ref
            await self._delete(ref.resource, ref.namespace or None, ref.name, action.uid)

    async def _do_beside(self, action: Apply | Compare | Replace | Delete) -> None:
        why = None
        try:
            await self._do(action)
        except KubeError as error:  # after a Conflict the watch shows another object, and so the action is another one
            self._log.warning("leaving an object as it is", object=str(action.ref), reason=str(error))
            why = str(error)
        self._inventory.attempted(action.ref, action, why)

    async def _write_certificates(
        self, action: IssueAuthority | UpdateAuthority | IssueLeaf | WriteTrust | WriteBundle
    ) -> None:
        match action:
            case IssueAuthority(before, life, why, seen):
                self._log.info("issuing a certificate authority", secret=AUTHORITY_SECRET, reason=why)
                made = new_authority(datetime.now(UTC), life)
                await self._write_authority(with_successor(before, made) if before else Authority(made), seen)
            case UpdateAuthority(to, why, seen):
                self._log.info("updating the certificate authority", secret=AUTHORITY_SECRET, reason=why)
                await self._write_authority(to, seen)
            case IssueLeaf(leaf, authority, seen):
                self._log.info("issuing a certificate", secret=leaf.secret)
                life = timedelta(seconds=authority.issuing.duration)
                pair = new_leaf(authority.signer, leaf.common_name, leaf.dns_names, datetime.now(UTC), life)
                await self._write_data(leaf.secret, "kubernetes.io/tls", data_of(pair), seen)
            case WriteTrust(data, seen):
                self._log.info("writing the trusted authorities", secret=TRUST_SECRET)
                await self._write_data(TRUST_SECRET, "Opaque", dict(data), seen)
            case WriteBundle(secret, bundle, seen):
                self._log.info("writing the trusted authorities", secret=secret)
                data = {BUNDLE: b64encode(bundle).decode()}
                body = {"metadata": {"resourceVersion": seen}, "data": data}
                answer = await self._client.merge_patch(SECRETS, self._namespace, secret, body)
                self._inventory.wrote(Ref("Secret", self._namespace, secret), answer)
            case _:
                assert_never(action)

    async def _compare(self, ref: Ref, body: Body, live: OwnedObject) -> str | None:
        """The difference between the live object and the result of a dry run of the repair."""
        operations = replacement(body, live)
        try:
            made = await self._client.json_patch(
                ref.resource, ref.namespace or None, ref.name, operations, dry_run=True
            )
        except NotFound:
            return None  # the watch reports it
        except Invalid as error:
            if "does not support dry run" in error.message:  # a third-party webhook
                self._log.warning("not comparing what others added", object=str(ref), reason=error.message)
                return None
            return error.message
        return part_difference(made, live)

    async def _replace(self, ref: Ref, body: Body, live: OwnedObject) -> None:
        try:
            answer = await self._client.json_patch(
                ref.resource, ref.namespace or None, ref.name, replacement(body, live)
            )
        except Invalid as error:
            # A CRD is never deleted: all VirtualMachineInstances would be deleted with it.
            if not _is_immutable(error) or ref.kind == "CustomResourceDefinition":
                raise
            self._log.info("deleting", object=str(ref), reason=error.message)
            self._inventory.repairs.deleting(ref, body, live)
            await self._delete(ref.resource, ref.namespace or None, ref.name, live.metadata.uid)
        else:
            self._inventory.wrote(ref, answer)
            self._inventory.repairs.replaced(ref, body, live, answer)

    async def _delete(self, resource: Resource, namespace: str | None, name: str, uid: str) -> None:
        try:
            await self._client.delete(resource, namespace, name, uid=uid)
        except NotFound:
            pass  # it is gone already

    async def _unmark(self, node: str) -> None:
        body: Body = {"metadata": {"labels": {SCHEDULABLE: None}, "annotations": {HEARTBEAT: None}}}
        try:
            await self._client.merge_patch(NODES, None, node, body)
        except NotFound:
            pass  # the node was deleted, and its label with it

    async def _write_authority(self, to: Authority, seen: str) -> None:
        body: Body = {"metadata": {"resourceVersion": seen}, "data": authority_data(to)}
        answer = await self._client.merge_patch(SECRETS, self._namespace, AUTHORITY_SECRET, body)
        self._authority.wrote(answer)

    async def _write_data(self, name: str, kind: str, data: dict[str, str], seen: str | None) -> None:
        meta: Body = {"labels": managed_labels()}
        if seen is not None:
            body: Body = {"metadata": {**meta, "resourceVersion": seen}, "data": data}
            answer = await self._client.merge_patch(SECRETS, self._namespace, name, body)
        else:
            meta |= {"name": name, "namespace": self._namespace}
            body = {"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": meta, "data": data}
            try:
                answer = await self._client.create(SECRETS, self._namespace, body)
            except AlreadyExists:
                # It exists without our label, so no watch shows it. Label it, and the next pass handles it.
                answer = await self._client.merge_patch(
                    SECRETS, self._namespace, name, {"metadata": {"labels": managed_labels()}}
                )
        self._inventory.wrote(Ref("Secret", self._namespace, name), answer)

    async def _set_finalizers(self, action: AddFinalizer | RemoveFinalizer) -> None:
        adding = isinstance(action, AddFinalizer)
        meta = action.meta
        self._log.info("adding the finalizer" if adding else "removing the finalizer", kubevirt=meta.name)
        others = [finalizer for finalizer in meta.finalizers if finalizer != KUBEVIRT_FINALIZER]
        wanted = [*others, KUBEVIRT_FINALIZER] if adding else others
        # An empty list is not stored, so only the resourceVersion can be tested.
        operations = finalizers_patch(meta, wanted)
        await self._client.json_patch(KUBEVIRTS, meta.namespace, meta.name, operations)


def _stage(action: Action) -> int:
    if isinstance(action, Beside):
        return _BESIDE + _stage(action.action)
    return _STAGES.get(action.ref.kind, 0) if isinstance(action, Apply | Replace) else 0


def _is_immutable(error: Invalid) -> bool:
    """Whether the error says that an immutable field was changed; the wording differs between kinds."""
    return any(words in error.message for words in ("immutable", "cannot change", "may not change", "can not be unset"))
