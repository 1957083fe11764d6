"""The admin port of an operator, over real mTLS. virt-controller may read, virt-api may do everything else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from kubevirt.admin.v1 import admin_pb2, admin_pb2_grpc
from kubevirt.info.v1 import info_pb2
from virt_core.kube.client import KubeClient
from virt_core.rpc.authorize import allow
from virt_core.rpc.identity import Identity
from virt_core.rpc.peer import Peer
from virt_core.rpc.port import Contract, listening
from virt_core.rpc.tls import Certificates
from virt_operator.admin.server import VERBS
from virt_operator.admin.servicer import AdminServicer

from tests.support.authorities import Authority

from .suites import OPERATOR

SERVICE = admin_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name
IDENTITY = Identity.for_process(info_pb2.COMPONENT_OPERATOR, ("kubevirt.info.v1", "kubevirt.admin.v1"))


@asynccontextmanager
async def calling(
    client: KubeClient, folder: Path, component: str = "virt-api", upgrader: str = "virt-api"
) -> AsyncIterator[tuple[Peer, Any]]:
    """A caller with the certificate of `component`, and a stub. `upgrader` may plan with images of any registry."""
    authority = Authority("suite")
    own = Certificates(
        authority.write_leaf(folder / "own", "kubevirt.io:system:virt-operator", "virt-operator.kubevirt.svc")
    )
    caller = Certificates(authority.write_leaf(folder / "caller", f"kubevirt.io:system:{component}", "caller"))
    servicer = AdminServicer(client, OPERATOR, IDENTITY, own, allow(upgrader))
    add = partial(admin_pb2_grpc.add_AdminServiceServicer_to_server, servicer)
    rules = {method: allow("virt-api") for method, verb in VERBS.items() if verb != "get"}
    contract = Contract(SERVICE, add, allow("virt-controller"), rules)
    async with listening(0, IDENTITY, own, contract, peers=allow("virt-operator")) as port:
        options = (("grpc.ssl_target_name_override", "virt-operator.kubevirt.svc"),)
        peer = Peer(f"127.0.0.1:{port}", name="it", credentials=caller.channel_credentials(), options=options)
        yield peer, admin_pb2_grpc.AdminServiceStub(peer.channel)
        await peer.close()
