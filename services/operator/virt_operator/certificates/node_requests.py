"""Decides whether a handler may have the requested certificate. Pure; called by node_signing.py.

The API server records the requester: a service account's token is bound to its pod. So a handler gets a certificate
only for the node of its own pod, whatever it requests.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from virt_core.conventions import accounts, components, labels
from virt_core.conventions.labels import COMMON_NAME_PREFIX
from virt_core.conventions.node_certificate import SIGNER_NAME, dns_names
from virt_core.objects.meta import Condition, ObjectMeta

COMMON_NAME = f"{COMMON_NAME_PREFIX}{components.HANDLER}"
_EXTRA = "authentication.kubernetes.io/"


class RequestSpec(msgspec.Struct, frozen=True, rename="camel"):
    """The request. The API server sets all fields except `request`."""

    request: str = ""
    signer_name: str = ""
    username: str = ""
    extra: dict[str, list[str]] = {}


class RequestStatus(msgspec.Struct, frozen=True):
    """The decision and the certificate."""

    certificate: str = ""
    conditions: list[Condition] = []


class SigningRequest(msgspec.Struct, frozen=True):
    """A CertificateSigningRequest."""

    metadata: ObjectMeta
    spec: RequestSpec = RequestSpec()
    status: RequestStatus = RequestStatus()

    @property
    def answered(self) -> bool:
        """Whether the request is denied, failed or signed."""
        return bool(self.status.certificate) or any(
            condition.type in ("Denied", "Failed") for condition in self.status.conditions
        )

    @property
    def approved(self) -> bool:
        """Whether the request is approved, but perhaps not signed yet."""
        return any(condition.type == "Approved" for condition in self.status.conditions)


class Pod(Protocol):
    """A pod as watched."""

    @property
    def metadata(self) -> ObjectMeta: ...

    @property
    def spec(self) -> dict[str, object]: ...


@dataclass(frozen=True, slots=True)
class Grant:
    """Sign this key for the handler of `node`."""

    node: str
    names: tuple[str, ...]
    public: ec.EllipticCurvePublicKey


@dataclass(frozen=True, slots=True)
class Refusal:
    """Deny the request."""

    why: str


def judge(request: SigningRequest, pods: Iterable[Pod], namespace: str) -> Grant | Refusal | None:
    """The decision; None as long as the cache does not have the requesting pod on its node."""
    spec = request.spec
    wanted = accounts.user_of(accounts.HANDLER, namespace)
    if spec.signer_name != SIGNER_NAME or spec.username != wanted:
        return Refusal(f"{spec.username!r} may not ask for this, only {wanted!r}")
    name, uid = _extra(spec, "pod-name"), _extra(spec, "pod-uid")
    if not name or not uid:
        return Refusal("the token of the request is not bound to a pod")
    pod = next((pod for pod in pods if (pod.metadata.name, pod.metadata.uid) == (name, uid)), None)
    node = str(pod.spec.get("nodeName", "")) if pod is not None else ""
    if pod is None or not node:  # the pod runs, so a version without a node is an old one
        return None
    if pod.metadata.labels.get(labels.APP) != components.HANDLER:
        return Refusal(f"pod {name} is no {components.HANDLER}")
    if _extra(spec, "node-name") not in ("", node):
        return Refusal(f"the token of the request is of node {_extra(spec, 'node-name')!r}, pod {name} is on {node!r}")
    return _read(spec.request, node, dns_names(node, namespace))


def _extra(spec: RequestSpec, key: str) -> str:
    values = spec.extra.get(_EXTRA + key) or [""]
    return values[0] if len(values) == 1 else ""


def _read(encoded: str, node: str, names: tuple[str, ...]) -> Grant | Refusal:
    try:
        csr = x509.load_pem_x509_csr(b64decode(encoded))
        public = csr.public_key()
        alternative = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, binascii.Error, UnsupportedAlgorithm, x509.ExtensionNotFound) as error:
        return Refusal(f"the request cannot be read: {error}")
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        return Refusal("the key is not of the curve P-256")
    if not csr.is_signature_valid:
        return Refusal("the request is not signed by its key")
    common = [name.value for name in csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if common != [COMMON_NAME] or tuple(alternative.get_values_for_type(x509.DNSName)) != names:
        return Refusal(f"{common} {list(alternative)} is not what the handler of node {node!r} has: {list(names)}")
    return Grant(node, names, public)
