"""The operator's gRPC port, on every replica from its start. Called by app.py."""

from __future__ import annotations

import asyncio
from functools import partial

from kubevirt.admin.v1 import admin_pb2, admin_pb2_grpc
from kubevirt.info.v1 import info_pb2
from virt_core.kube.client import KubeClient
from virt_core.rpc import port
from virt_core.rpc.identity import Identity
from virt_core.rpc.tls import Certificates

from virt_operator.admin.authorization import READ, Authorization
from virt_operator.admin.client_authority import ClientAuthority
from virt_operator.admin.servicer import AdminServicer
from virt_operator.settings import Settings

_SERVICE = admin_pb2.DESCRIPTOR.services_by_name["AdminService"]
VERBS = {
    method.name: READ if method.name.startswith(("Get", "List")) else method.name.lower() for method in _SERVICE.methods
}
"""The verb on kubevirts/admin that each method requires."""


async def serve(client: KubeClient, settings: Settings, certified: asyncio.Event) -> None:
    """Wait until this replica is `certified`, that is has its own certificate, then serve until cancelled."""
    await certified.wait()
    certificates = Certificates(settings.certificates)
    identity = Identity.for_process(info_pb2.COMPONENT_OPERATOR, ("kubevirt.info.v1", "kubevirt.admin.v1"))
    allowed = Authorization(client, settings.namespace, certificates)
    servicer = AdminServicer(client, settings, identity, certificates, allowed.may(VERBS["Upgrade"]))
    add = partial(admin_pb2_grpc.add_AdminServiceServicer_to_server, servicer)
    authority = ClientAuthority(client)
    async with asyncio.TaskGroup() as group:
        group.create_task(authority.run(), name="watch of the cluster's authority for clients")
        await port.serve(
            settings.rpc_port,
            identity,
            certificates,
            port.Contract(
                _SERVICE.full_name, add, allowed.readers, {name: allowed.may(verb) for name, verb in VERBS.items()}
            ),
            peers=allowed.peers,
            people=allowed.readers,
            also_trusted=lambda: authority.pem,
        )
