"""Executes a handler's actions for a migration. Called by reconcile.py; other actions are machines/execute.py's."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message
from kubevirt.launcher.v1 import migration_pb2 as pb
from virt_core import logs
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.resource import VIRTUAL_MACHINE_INSTANCES
from virt_core.objects.patch import Operation
from virt_core.rpc.errors import Refused
from virt_core.vmi.instance import VirtualMachineInstance

from virt_handler.machines.hostile_text import printable
from virt_handler.machines.link import MachineLink
from virt_handler.migration import status
from virt_handler.migration.actions import (
    AbortTarget,
    Call,
    CancelMigration,
    CommitTarget,
    ForwardToTarget,
    PrepareTarget,
    PublishIdentity,
    StartMigration,
)
from virt_handler.network.execute import NetworkFailed

# Seconds. Preparing makes disks and restarts libvirtd; a start tries the target's ports first. All are repeatable.
_PREPARE_DEADLINE, _START_DEADLINE, _DEADLINE = 60.0, 30.0, 10.0
_CERTIFICATE_LENGTH = 16 * 1024  # a PEM text of an authority has about 600
_PEM = re.compile(r"\s*-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\s*")
_DISKS, _LARGEST_SIZE = 256, (1 << 63) - 1  # more disks than any machine has; the CRD's int64


class MigrationExecutor:
    """Makes the calls with launchers, and writes their answers. `wrote` takes the API server's answers to patches."""

    def __init__(self, client: KubeClient, wrote: Callable[[Object], None]) -> None:
        self._client = client
        self._wrote = wrote

    async def execute(self, action: Call, vmi: VirtualMachineInstance, link: MachineLink) -> None:
        """Execute an action.

        Raises:
            KubeError: the API server refuses or does not answer.
            RpcError: the launcher refuses or does not answer.
            Disconnected: the launcher is not connected.
        """
        log = logs.bound("virt_handler.migration.execute", vmi="/".join(vmi.key), pod_uid=link.pod_uid)
        match action:
            case PublishIdentity(request):
                log.info("getting the source's identity", migration=request.migration_uid)
                identity = await _call(link, "GetMigrationIdentity", request, _DEADLINE)
                await self._write(vmi, status.own_fields(vmi, **_of_identity(identity, request.address)))
            case PrepareTarget(request):
                log.info("preparing the target", migration=request.migration_uid, source=request.peer_address)
                target = await _call(link, "PrepareTarget", request, _PREPARE_DEADLINE)
                await self._write(vmi, status.own_fields(vmi, **_of_target(target, request.address)))
            case StartMigration(request):
                address = request.target.address
                log.info("starting the migration", migration=request.migration_uid, target=address)
                await _call(link, "StartMigration", request, _START_DEADLINE)
            case ForwardToTarget(plan, target):
                log.info("forwarding what arrives for the guest", target=target)
                try:
                    async with link.launcher() as launcher:
                        await launcher.pod.prepare_network(plan)
                    link.forwards_to = target
                except NetworkFailed as error:  # planned again in the next pass, which something else causes
                    log.warning("not forwarding what arrives for the guest", reason=str(error))
            case CancelMigration(uid, target_ended):
                log.info("canceling the migration", migration=uid, target_ended=target_ended)
                cancel = pb.CancelMigrationRequest(migration_uid=uid, target_ended=target_ended)
                await _call(link, "CancelMigration", cancel, _DEADLINE)
            case CommitTarget(uid):
                log.info("running the guest whose source has ended", migration=uid)
                await _call(link, "CommitTarget", pb.CommitTargetRequest(migration_uid=uid), _START_DEADLINE)
            case AbortTarget(uid):
                log.info("discarding the target", migration=uid)
                await _call(link, "AbortTarget", pb.AbortTargetRequest(migration_uid=uid), _DEADLINE)
                link.finish()

    async def _write(self, vmi: VirtualMachineInstance, operations: list[Operation]) -> None:
        if operations:
            meta = vmi.metadata
            place = (VIRTUAL_MACHINE_INSTANCES, meta.namespace, meta.name)
            self._wrote(await self._client.json_patch(*place, operations))


async def _call(link: MachineLink, method: str, request: Message, timeout: float) -> Any:
    async with link.launcher() as launcher:
        return await launcher.peer.call(getattr(launcher.migration, method), request, timeout=timeout)


def _of_identity(identity: pb.GetMigrationIdentityResponse, address: str) -> dict[str, Any]:
    return {
        "sourceCertificateAuthority": _certificate(identity.certificate_authority),
        "sourceAddress": address,
        "sourceDisks": {
            printable(disk.name, 63): min(disk.bytes, _LARGEST_SIZE) for disk in identity.copied_disks[:_DISKS]
        },
    }


def _of_target(target: pb.PrepareTargetResponse, address: str) -> dict[str, Any]:
    """The address is the pod's: a launcher's own word for it is not needed."""
    return {
        "targetCertificateAuthority": _certificate(target.certificate_authority),
        "targetNodeAddress": address,
        "targetDirectMigrationNodePorts": {str(port): 0 for port in target.ports[:8] if 0 < port < 1 << 16},
    }


def _certificate(text: str) -> str:
    if len(text) > _CERTIFICATE_LENGTH or _PEM.fullmatch(text) is None:
        raise Refused("the launcher's certificate authority is no PEM text", reason="NO_CERTIFICATE")
    return text
