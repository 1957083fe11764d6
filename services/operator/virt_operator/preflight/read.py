"""Reads what the plan judges from the API server. Called by check.py; writes nothing.

Everything is read once, at the same time as far as possible. A `create` of a SelfSubjectRulesReview stores nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from virt_core.conventions import apiserver_authentication as authentication
from virt_core.conventions import components, labels
from virt_core.kube import resource
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import Resource
from virt_core.objects.kubevirt import by_precedence
from virt_core.objects.meta import ObjectMeta, PartialObject

from virt_operator.certificates.plan import leaf_of
from virt_operator.certificates.rollover import validity
from virt_operator.certificates.secret import AUTHORITY_SECRET, CertificateSecret, key_pair_of
from virt_operator.change.permission_review import held_in
from virt_operator.preflight.kinds import Guest, Machine, Node, Pod, StoredObject
from virt_operator.preflight.listing import Listing, listed
from virt_operator.preflight.observed import Certificate, Cluster
from virt_operator.preflight.stored import reduced
from virt_operator.preflight.webhooks import Policy, PolicyBinding, Webhooks
from virt_operator.settings import Settings
from virt_operator.strategy.desired import STRATEGY_IDENTIFIER
from virt_operator.strategy.install_strategy import KEY, BadStrategy, InstallStrategy, from_config_map
from virt_operator.strategy.ref import KINDS, MANAGED_BY_OPERATOR, Body
from virt_operator.suite.actions import ReviewWayBack
from virt_operator.suite.observed import OwnedObject, PodObject, SuiteObject

_ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
_SERVICE = "kubernetes.io/service-name"
_CONFIGURATIONS = (resource.VALIDATING_WEBHOOK_CONFIGURATIONS, resource.MUTATING_WEBHOOK_CONFIGURATIONS)
STORED = {
    f"{kind.plural}.{kind.group}": kind
    for kind in (
        resource.VIRTUAL_MACHINES,
        resource.VIRTUAL_MACHINE_INSTANCES,
        resource.VIRTUAL_MACHINE_INSTANCE_REPLICA_SETS,
        resource.VIRTUAL_MACHINE_CLUSTER_INSTANCETYPES,
        resource.VIRTUAL_MACHINE_CLUSTER_PREFERENCES,
    )
}
"""The kinds whose objects the operator may list, by the name of their definition."""


class _Conditions(msgspec.Struct, frozen=True):
    ready: bool | None = None


class _Endpoint(msgspec.Struct, frozen=True):
    conditions: _Conditions = _Conditions()


class _EndpointSlice(msgspec.Struct):
    metadata: ObjectMeta
    endpoints: list[_Endpoint] | None = None


class _Definition(msgspec.Struct):
    metadata: ObjectMeta
    spec: dict[str, Any]
    status: dict[str, Any] = {}


async def read_cluster(client: KubeClient, operator: Settings) -> Cluster:
    """One moment of the cluster, without what only a target's definitions make interesting (read_stored).

    Raises:
        KubeError: the API server refuses or does not answer.
    """
    own = operator.namespace
    ours = f"{labels.MANAGED_BY}={MANAGED_BY_OPERATOR}"
    handlers = f"{labels.APP}={components.HANDLER}"
    try:
        async with asyncio.TaskGroup() as group:
            suites = group.create_task(listed(client, resource.KUBEVIRTS, SuiteObject))
            held = group.create_task(held_in(client, (own, authentication.NAMESPACE)))
            strategies = group.create_task(
                listed(client, resource.CONFIG_MAPS, OwnedObject, own, labels=f"{labels.INSTALL_STRATEGY}=")
            )
            pods = group.create_task(listed(client, resource.PODS, Pod))
            handler_pods = group.create_task(listed(client, resource.PODS, PodObject, own, labels=handlers))
            nodes = group.create_task(listed(client, resource.NODES, Node))
            guests = group.create_task(listed(client, resource.VIRTUAL_MACHINE_INSTANCES, Guest))
            machines = group.create_task(listed(client, resource.VIRTUAL_MACHINES, Machine))
            definitions = group.create_task(
                listed(client, resource.CUSTOM_RESOURCE_DEFINITIONS, _Definition, labels=ours)
            )
            secrets = group.create_task(listed(client, resource.SECRETS, CertificateSecret, own))
            namespaces = group.create_task(listed(client, resource.NAMESPACES, PartialObject))
            webhooks = [group.create_task(_webhooks(client, kind)) for kind in _CONFIGURATIONS]
            policies = group.create_task(listed(client, KINDS["ValidatingAdmissionPolicy"], Policy))
            bindings = group.create_task(listed(client, KINDS["ValidatingAdmissionPolicyBinding"], PolicyBinding))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    suite, _ = by_precedence(suites.result().items, own)
    reviewed = [configuration for task in webhooks for configuration in task.result()]
    return Cluster(
        now=datetime.now(UTC),
        operator=operator,
        suite=suite,
        held=held.result(),
        installed=_installed(strategies.result().items, suite),
        pods=pods.result().items,
        handlers=handler_pods.result().items,
        nodes=nodes.result().items,
        guests=guests.result().items,
        machines=machines.result().items,
        definitions={found.metadata.name: _body(found) for found in definitions.result().items},
        certificates=_certificates(secrets.result().items, own),
        webhooks=reviewed,
        policies=policies.result().items,
        bindings=bindings.result().items,
        backends=await _backends(client, reviewed),
        namespaces={found.metadata.name: found.metadata.labels for found in namespaces.result().items},
        launcher_defaults=_launcher_defaults(namespaces.result().items),
        undecodable=_undecodable(
            VirtualMachineInstance=guests.result(), VirtualMachine=machines.result(), Node=nodes.result()
        ),
    )


async def read_reviewed(client: KubeClient, review: ReviewWayBack) -> Cluster:
    """What the ledger of a way back judges.

    Raises:
        KubeError: the API server refuses or does not answer.
    """
    definitions, names = await asyncio.to_thread(_reviewed, review)
    return Cluster(
        now=datetime.now(UTC),
        operator=review.operator,
        suite=review.suite,
        installed=review.installed,
        guests=(await listed(client, resource.VIRTUAL_MACHINE_INSTANCES, Guest)).items,
        machines=(await listed(client, resource.VIRTUAL_MACHINES, Machine)).items,
        definitions=definitions,
        stored=await read_stored(client, names),
    )


def _reviewed(review: ReviewWayBack) -> tuple[dict[str, Body], list[str]]:
    """The live definitions, and the names of those that have more than the release to go back to knows."""
    definitions = {name: _defined(name, live) for name, live in review.definitions.items()}
    return definitions, reduced(definitions, review.before) if review.before is not None else []


def _defined(name: str, live: OwnedObject) -> Body:
    spec = msgspec.json.decode(live.parts["spec"]) if "spec" in live.parts else {}
    return {"metadata": {"name": name}, "spec": spec, "status": live.status}


async def read_stored(client: KubeClient, definitions: Iterable[str]) -> Mapping[str, Sequence[StoredObject]]:
    """The objects of those kinds that the operator may list.

    Raises:
        KubeError: the API server refuses or does not answer.
    """
    found = {}
    for name in definitions:
        if name in STORED:
            found[name] = (await listed(client, STORED[name], StoredObject)).items
    return found


def _launcher_defaults(namespaces: Iterable[PartialObject]) -> dict[str, str]:
    found = ((space.metadata.name, space.metadata.annotations.get(labels.LAUNCHER_RELEASE)) for space in namespaces)
    return {name: tag for name, tag in found if tag}


def _installed(printed: Iterable[OwnedObject], suite: SuiteObject | None) -> InstallStrategy | None:
    wanted = suite.status.observed_deployment_id if suite is not None else ""
    for config_map in printed:
        if wanted and config_map.metadata.annotations.get(STRATEGY_IDENTIFIER) == wanted:
            try:
                return from_config_map(config_map.data.get(KEY, ""), wanted)
            except BadStrategy:
                return None
    return None


def _body(definition: _Definition) -> Body:
    return {"metadata": {"name": definition.metadata.name}, "spec": definition.spec, "status": definition.status}


def _certificates(secrets: Iterable[CertificateSecret], namespace: str) -> list[Certificate]:
    found = []
    for secret in secrets:
        name = secret.metadata.name
        if name != AUTHORITY_SECRET and leaf_of(name, namespace) is None:
            continue
        life = validity(key_pair_of(secret.data))
        if life is not None:
            found.append(Certificate(name, *life))
    return found


async def _webhooks(client: KubeClient, kind: Resource) -> list[Webhooks]:
    found = (await listed(client, kind, Webhooks)).items
    return [msgspec.structs.replace(configuration, kind=kind.kind) for configuration in found]


async def _backends(client: KubeClient, configurations: Iterable[Webhooks]) -> frozenset[tuple[str, str]]:
    """The Services of webhooks that have a ready endpoint."""
    services = {
        (webhook.client_config.service.namespace, webhook.client_config.service.name)
        for configuration in configurations
        for webhook in configuration.webhooks
        if webhook.client_config.service is not None
    }
    answering = set()
    for namespace, name in sorted(services):
        slices = await listed(client, _ENDPOINT_SLICES, _EndpointSlice, namespace, labels=f"{_SERVICE}={name}")
        if any(endpoint.conditions.ready is not False for found in slices.items for endpoint in found.endpoints or ()):
            answering.add((namespace, name))
    return frozenset(answering)


def _undecodable(**listings: Listing[Any]) -> dict[str, list[str]]:
    return {kind: found.undecodable for kind, found in listings.items() if found.undecodable}
