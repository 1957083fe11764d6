"""Names in the certificate of a node's handler, for handler, operator and virt-api. Pure.

The handler creates its key and a CertificateSigningRequest; the operator signs for that node only; callers require the
node's name in the certificate, so that the key of one node cannot be used for another.
"""

from __future__ import annotations

from virt_core.conventions import components

SIGNER_NAME = "kubevirt.io/virt-handler"
"""spec.signerName of the requests."""

PER_NODE = "kubevirt.io/certificate-per-node"
"""Annotation on handler pods with a certificate of their own; handlers of an earlier release share a certificate."""


def dns_names(node: str, namespace: str) -> tuple[str, ...]:
    """The certificate's DNS names: the node's own name, and the shared name that an earlier virt-api requires."""
    return node_name(node, namespace), shared_name(namespace)


def node_name(node: str, namespace: str) -> str:
    """The DNS name of the handler on `node`."""
    return f"{node}.{components.HANDLER}.{namespace}.svc"


def shared_name(namespace: str) -> str:
    """The DNS name that all handlers share."""
    return f"{components.HANDLER}.{namespace}.svc"
