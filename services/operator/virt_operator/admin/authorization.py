"""Authorization of callers of the admin port, by a SubjectAccessReview for each call. The rules of server.py's port.

The handshake verifies the certificate against two CAs. A certificate of the cluster's client CA names a user and
groups, as for kube-apiserver: common name and organizations. A certificate of the suite's CA names a component, which
is allowed nothing here unless somebody binds a role to its name. kube-apiserver decides; nothing is cached.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID
from virt_core.conventions import components
from virt_core.conventions.certificate_files import BUNDLE
from virt_core.conventions.labels import COMMON_NAME_PREFIX
from virt_core.kube.client import KubeClient
from virt_core.kube.errors import KubeError
from virt_core.kube.errors import Unavailable as NoAnswer
from virt_core.kube.resource import KUBEVIRTS, SUBJECT_ACCESS_REVIEWS
from virt_core.rpc.errors import Denied, Unavailable
from virt_core.rpc.server import Rule
from virt_core.rpc.tls import Certificates

SUBRESOURCE = "admin"
"""Subresource of "kubevirts". No role of the suite contains it: pod addresses and the state of an upgrade are for
cluster administrators, while kubevirt.io:admin is aggregated into the role of a namespace's admin."""

READ = "get"
"""The verb of methods that read. Each other method has the verb of its name in lower case: a plan runs images in the
suite's namespace, a watch lasts, and each change of the suite is a responsibility of its own."""

_AT_ONCE = 10  # parallel reviews, so that unauthorized callers cannot delay the operator's own requests
_PEERS = f"{COMMON_NAME_PREFIX}{components.OPERATOR}"


@dataclass(frozen=True, slots=True)
class Caller:
    """The user in a certificate."""

    name: str
    groups: tuple[str, ...] = ()
    component: bool = False
    """Whether the suite's CA signed the certificate, so that the caller is a process of the suite."""


def caller_of(certificate: bytes, suite_bundle: bytes) -> Caller:
    """The caller with this verified `certificate` (PEM); `suite_bundle` has the suite's CAs.

    Raises:
        Denied: the certificate has no common name, or several.
    """
    leaf = x509.load_pem_x509_certificate(certificate)
    names = [str(attribute.value) for attribute in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if len(names) != 1 or not names[0]:
        raise Denied(f"the certificate's common names {names} are not allowed, use exactly one")
    if any(_issued(leaf, authority) for authority in x509.load_pem_x509_certificates(suite_bundle)):
        return Caller(names[0], component=True)
    groups = [str(attribute.value) for attribute in leaf.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    return Caller(names[0], (*groups, "system:authenticated"))


def review_of(caller: Caller, namespace: str, verb: str) -> dict[str, Any]:
    """The SubjectAccessReview that asks whether `caller` may do `verb` to the suite in `namespace`."""
    attributes = {
        "namespace": namespace,
        "verb": verb,
        "group": KUBEVIRTS.group,
        "version": KUBEVIRTS.version,
        "resource": KUBEVIRTS.plural,
        "subresource": SUBRESOURCE,
    }
    return {
        "apiVersion": SUBJECT_ACCESS_REVIEWS.api_version,
        "kind": SUBJECT_ACCESS_REVIEWS.kind,
        "spec": {"user": caller.name, "groups": list(caller.groups), "resourceAttributes": attributes},
    }


class Authorization:
    """The rules."""

    def __init__(self, client: KubeClient, namespace: str, certificates: Certificates) -> None:
        self._client = client
        self._namespace = namespace
        self._certificates = certificates
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def peers(self, context: Any) -> None:
        """Allows other replicas of the operator, by a certificate of the suite's CA: for GetInfo."""
        caller = self._caller(context)
        if not caller.component or caller.name != _PEERS:
            raise Denied(f"{caller.name!r} may not call this, only {_PEERS!r} of the suite's own authority")

    async def readers(self, context: Any) -> None:
        """Allows users who may "get" "kubevirts/admin" in the suite's namespace."""
        await self._require(context, READ)

    def may(self, verb: str) -> Rule:
        """Allows users who may do `verb` to "kubevirts/admin" in the suite's namespace."""

        async def rule(context: Any) -> None:
            await self._require(context, verb)

        return rule

    async def _require(self, context: Any, verb: str) -> None:
        caller = self._caller(context)
        try:
            async with self._turns:
                review = await self._client.create(
                    SUBJECT_ACCESS_REVIEWS, None, review_of(caller, self._namespace, verb)
                )
        except NoAnswer as error:
            raise Unavailable(f"cannot ask whether {caller.name!r} may do this, try again: {error}") from error
        except KubeError as error:
            raise Denied(f"virt-operator may not ask whether {caller.name!r} may do this: {error}") from error
        status = review.get("status", {})
        if status.get("allowed") is True:
            return
        reason = f": {status['reason']}" if status.get("reason") else ""
        raise Denied(
            f'User "{caller.name}" cannot {verb} resource "{KUBEVIRTS.plural}/{SUBRESOURCE}" in API group '
            f'"{KUBEVIRTS.group}" in the namespace "{self._namespace}"{reason}'
        )

    def _caller(self, context: Any) -> Caller:
        return caller_in(context, self._certificates)


def caller_in(context: Any, certificates: Certificates) -> Caller:
    """Who calls, by the certificate of a gRPC context.

    Raises:
        Denied: the caller has none.
    """
    shown = context.auth_context().get("x509_pem_cert", ())
    if not shown:
        raise Denied("a caller without certificate may not call this")
    return caller_of(shown[0], (certificates.folder / BUNDLE).read_bytes())


def _issued(leaf: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
