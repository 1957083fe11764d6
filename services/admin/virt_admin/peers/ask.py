"""`virtadm peers`: asks virt-operator for every process of the suite. Called by cli.py.

The caller is known by the kubeconfig's client certificate, in a TLS connection that ends at virt-operator. A token is
for the API server alone: whoever has it may use it there, so it is sent to nobody else.
"""

from __future__ import annotations

import click
import grpc
from kubevirt.admin.v1 import admin_pb2, admin_pb2_grpc
from rich.console import Console
from virt_core.conventions import components, labels
from virt_core.conventions.component_pod import RPC_PORT
from virt_core.kube.resource import PODS
from virt_core.rpc.errors import Denied, RpcError
from virt_core.rpc.peer import Peer

from virt_admin.access import Access, Certificate
from virt_admin.outcome import CannotTell
from virt_admin.peers.portforward import forwarded
from virt_admin.peers.report import exit_code, processes, row
from virt_admin.peers.trust import suite_authority
from virt_admin.screen.tables import table
from virt_admin.screen.text import clean, to_json
from virt_admin.suite.listing import listed
from virt_admin.suite.objects import Pod

_DEADLINE = 30.0  # seconds; virt-operator waits 5 for a pod that does not answer
NO_CERTIFICATE = (
    "peers needs a kubeconfig with a client certificate: virt-operator knows users by it. This one has a token or "
    "another credential, which virtadm sends to nobody but the API server. Use --context with a user that has a "
    'certificate; docs/virtadm.md, under "A client certificate for peers", has the commands that request one. status, '
    "watch and doctor need none"
)
HEADINGS = ("COMPONENT", "POD", "NODE", "RELEASE", "LEVEL", "CONTRACTS", "STATE")


async def show_peers(access: Access, output: str) -> int:
    """Print all processes; returns the process's status."""
    if access.certificate is None:
        raise CannotTell(NO_CERTIFICATE)
    found = processes(await list_peers(access, access.certificate))
    if output == "json":
        click.echo(to_json(found))
        return exit_code(found)
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(table(HEADINGS, map(row, found)))
    else:
        click.echo("\n".join("\t".join(map(clean, cells)) for cells in (HEADINGS, *map(row, found))))
    return exit_code(found)


async def list_peers(access: Access, certificate: Certificate) -> admin_pb2.ListPeersResponse:
    """The answer of the first replica that gives one.

    Raises:
        CannotTell: none does, or the caller may not ask.
    """
    namespace, authority = await suite_authority(access.client)
    wanted = f"{labels.APP}={components.OPERATOR}"
    pods = await listed(access.client, PODS, Pod, namespace, labels=wanted)
    problems = []
    for pod in sorted(pods, key=lambda pod: (not pod.ready, pod.metadata.name)):
        if pod.ended:
            continue
        try:
            return await _ask(access, certificate, authority, pod)
        except Denied as error:
            raise CannotTell(error.message) from error
        except RpcError as error:
            problems.append(f"{pod.metadata.name}: {error.message}")
    raise CannotTell(f"virt-operator does not answer: {'; '.join(problems) or f'no pod of it in {namespace}'}")


async def _ask(access: Access, certificate: Certificate, authority: bytes, pod: Pod) -> admin_pb2.ListPeersResponse:
    credentials = grpc.ssl_channel_credentials(authority, certificate.key, certificate.certificate)
    namespace = pod.metadata.namespace
    options = (("grpc.ssl_target_name_override", f"{components.OPERATOR}.{namespace}.svc"),)
    async with forwarded(access.client, namespace, pod.metadata.name, RPC_PORT) as forward:
        peer = Peer(forward.target, name=pod.metadata.name, credentials=credentials, options=options)
        stub = admin_pb2_grpc.AdminServiceStub(peer.channel)
        try:
            return await peer.call(stub.ListPeers, admin_pb2.ListPeersRequest(), timeout=_DEADLINE)
        except RpcError as error:
            if forward.problem:
                error.message = forward.problem
            raise
        finally:
            await peer.close()
