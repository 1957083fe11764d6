"""Reads what doctor looks at. Called by examine.py; an error ends the command."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import msgspec
from virt_core.conventions.labels import CREATED_BY, vmi_id
from virt_core.conventions.migration import VMI_NAME
from virt_core.kube import resource
from virt_core.kube.client import KubeClient
from virt_core.kube.resource import Resource
from virt_core.migration.migration import VirtualMachineInstanceMigration
from virt_core.vm.virtual_machine import VirtualMachine
from virt_core.vmi.instance import VirtualMachineInstance

from virt_admin.doctor.case import Case, Claim, Quota, Warned
from virt_admin.outcome import CannotTell
from virt_admin.suite.listing import listed
from virt_admin.suite.objects import Pod
from virt_admin.suite.observed import Observed

T = TypeVar("T")


class _Source(msgspec.Struct, frozen=True, rename="camel"):
    claim_name: str = ""
    name: str = ""


class _Volume(msgspec.Struct, frozen=True, rename="camel"):
    persistent_volume_claim: _Source | None = None
    data_volume: _Source | None = None


class _Spec(msgspec.Struct, frozen=True):
    volumes: list[_Volume] = []


async def read_case(client: KubeClient, suite: Observed, namespace: str, name: str) -> Case:
    """The VM of that name.

    Raises:
        CannotTell: there is none, or something cannot be read.
    """
    vm, vmi = await asyncio.gather(
        _one(client, resource.VIRTUAL_MACHINES, VirtualMachine, namespace, name),
        _one(client, resource.VIRTUAL_MACHINE_INSTANCES, VirtualMachineInstance, namespace, name),
    )
    if vm is None and vmi is None:
        raise CannotTell(f"no VirtualMachine or VirtualMachineInstance {name} in namespace {namespace}")
    uid = vmi.metadata.uid if vmi is not None else ""
    jobs = resource.VIRTUAL_MACHINE_INSTANCE_MIGRATIONS
    mark, kind = f"{VMI_NAME}={vmi_id(name)}", VirtualMachineInstanceMigration
    pods = await listed(client, resource.PODS, Pod, namespace, labels=f"{CREATED_BY}={uid}") if uid else []
    migrations = await listed(client, jobs, kind, namespace, labels=mark, optional=True)
    claims = await listed(client, resource.PERSISTENT_VOLUME_CLAIMS, Claim, namespace)
    quotas = await listed(client, resource.RESOURCE_QUOTAS, Quota, namespace)
    uids = [meta.uid for meta in (vm and vm.metadata, vmi and vmi.metadata, *(pod.metadata for pod in pods)) if meta]
    events = [await _warnings(client, namespace, uid) for uid in uids]
    return Case(
        suite=suite,
        namespace=namespace,
        name=name,
        vm=vm,
        vmi=vmi,
        pods=tuple(pods),
        events=tuple(event for found in events for event in found),
        claims=tuple(claims),
        claim_names=_claim_names(vmi) if vmi is not None else (),
        migrations=tuple(migrations),
        quotas=tuple(quotas),
    )


async def _one(client: KubeClient, of: Resource, kind: type[T], namespace: str, name: str) -> T | None:
    found = await listed(client, of, kind, namespace, fields=f"metadata.name={name}", optional=True)
    return next(iter(found), None)


async def _warnings(client: KubeClient, namespace: str, uid: str) -> list[Warned]:
    fields = f"regarding.uid={uid},type=Warning"
    return await listed(client, resource.EVENTS, Warned, namespace, fields=fields)


def _claim_names(vmi: VirtualMachineInstance) -> tuple[str, ...]:
    try:
        volumes = msgspec.json.decode(vmi.raw_spec, type=_Spec).volumes
    except msgspec.ValidationError:
        return ()
    claims = (volume.persistent_volume_claim.claim_name for volume in volumes if volume.persistent_volume_claim)
    return tuple(dict.fromkeys([*claims, *(volume.data_volume.name for volume in volumes if volume.data_volume)]))
