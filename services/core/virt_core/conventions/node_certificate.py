"""What handler, operator and virt-api agree on about the certificate of one node's handler. Pure.

The handler makes its key and asks by a CertificateSigningRequest; the operator signs for that node alone; callers
require the node's own name, so that the key of one node is of no use for another.
"""

from __future__ import annotations

from virt_core.conventions import components

SIGNER_NAME = "kubevirt.io/virt-handler"
"""spec.signerName of the requests."""

PER_NODE = "kubevirt.io/certificate-per-node"
"""Annotation on the pods of handlers that have such a certificate; those of an earlier release share one."""


def dns_names(node: str, namespace: str) -> tuple[str, ...]:
    """What the certificate is for: the node's own name, and the one by which an earlier virt-api calls."""
    return node_name(node, namespace), shared_name(namespace)


def node_name(node: str, namespace: str) -> str:
    """The name that the handler of `node` alone has."""
    return f"{node}.{components.HANDLER}.{namespace}.svc"


def shared_name(namespace: str) -> str:
    """The name that all handlers have."""
    return f"{components.HANDLER}.{namespace}.svc"
