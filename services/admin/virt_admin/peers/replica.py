"""A call of virt-operator's admin/v1: of the first replica that answers. Used by every command that asks it.

The caller is known by the kubeconfig's client certificate, in a TLS connection that ends at virt-operator. A token is
for the API server alone: whoever has it may use it there, so it is sent to nobody else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc
from kubevirt.admin.v1 import admin_pb2_grpc
from virt_core.conventions import components, labels
from virt_core.conventions.component_pod import RPC_PORT
from virt_core.kube.resource import PODS
from virt_core.rpc.errors import Denied, InvalidField, Refused, RpcError, UnsupportedByPeer
from virt_core.rpc.peer import Peer

from virt_admin.access import Access, Certificate
from virt_admin.outcome import CannotTell, NotPossible, OperatorSilent, WrongArgument
from virt_admin.peers.portforward import forwarded
from virt_admin.peers.trust import suite_authority
from virt_admin.suite.listing import listed
from virt_admin.suite.objects import Pod

T = TypeVar("T")
Call = Callable[[Peer, Any], Awaitable[T]]
"""Called with a replica and its stub of AdminService."""


def no_certificate(command: str) -> str:
    """Why `command` cannot be done without a client certificate, and what to do."""
    return (
        f"{command} needs a kubeconfig with a client certificate: virt-operator knows users by it. This one has a "
        "token or another credential, which virtadm sends to nobody but the API server. Use --context with a user that "
        'has a certificate; docs/virtadm.md, under "A client certificate", has the commands that request one. status, '
        "watch and doctor need none"
    )


async def asked(access: Access, command: str, call: Call[T]) -> T:
    """What `call` returns for the first replica that answers it.

    Raises:
        NotPossible: the suite's state does not allow it.
        OperatorSilent: no replica answers.
        WrongArgument: an argument is malformed.
        CannotTell: the caller may not ask.
    """
    if access.certificate is None:
        raise CannotTell(no_certificate(command))
    namespace, authority = await suite_authority(access.client)
    wanted = f"{labels.APP}={components.OPERATOR}"
    pods = await listed(access.client, PODS, Pod, namespace, labels=wanted)
    problems = []
    for pod in sorted(pods, key=lambda pod: (not pod.ready, pod.metadata.name)):
        if pod.ended:
            continue
        try:
            return await _called(access, access.certificate, authority, pod, call)
        except UnsupportedByPeer as error:
            raise OperatorSilent(f"this virt-operator is older and cannot do it: {error.message}") from error
        except Refused as error:
            raise NotPossible(error.message) from error
        except InvalidField as error:
            raise WrongArgument(error.message) from error
        except Denied as error:  # every replica would say the same
            raise CannotTell(error.message) from error
        except RpcError as error:
            problems.append(f"{pod.metadata.name}: {error.message}")
    raise OperatorSilent(f"virt-operator does not answer: {'; '.join(problems) or f'no pod of it in {namespace}'}")


async def _called(access: Access, certificate: Certificate, authority: bytes, pod: Pod, call: Call[T]) -> T:
    credentials = grpc.ssl_channel_credentials(authority, certificate.key, certificate.certificate)
    namespace = pod.metadata.namespace
    options = (("grpc.ssl_target_name_override", f"{components.OPERATOR}.{namespace}.svc"),)
    async with forwarded(access.client, namespace, pod.metadata.name, RPC_PORT) as forward:
        peer = Peer(forward.target, name=pod.metadata.name, credentials=credentials, options=options)
        try:
            return await call(peer, admin_pb2_grpc.AdminServiceStub(peer.channel))
        except RpcError as error:
            if forward.problem:
                error.message = forward.problem
            raise
        finally:
            await peer.close()
