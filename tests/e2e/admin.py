"""The operator's admin port as its users reach it: with certificates of the cluster, and a connection to each
replica."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.e2e.cluster import NAMESPACE, apply, get, kubectl, until

PEM = serialization.Encoding.PEM


@dataclass(frozen=True, slots=True)
class Identity:
    """A client certificate with its key, PEM."""

    certificate: bytes
    key: bytes


def administrator() -> Identity:
    """Who runs these tests, if the kubeconfig has a certificate."""
    user = json.loads(kubectl("config", "view", "--raw", "--minify", "-o", "json"))["users"][0]["user"]
    if "client-certificate-data" not in user:
        pytest.skip("the kubeconfig names its user in another way than by a certificate")
    return Identity(*(base64.b64decode(user[f"client-{part}-data"]) for part in ("certificate", "key")))


def new_user(name: str) -> Identity:
    """A user that the cluster's authority signs and that no role is bound to."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    kubectl("delete", "csr", name, "--ignore-not-found")
    spec = {
        "request": base64.b64encode(request.public_bytes(PEM)).decode(),
        "signerName": "kubernetes.io/kube-apiserver-client",
        "usages": ["client auth"],
        "expirationSeconds": 600,
    }
    apply(
        {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name}}
        | {"spec": spec}
    )
    kubectl("certificate", "approve", name)
    try:
        until(lambda: "certificate" in get("csr", name)["status"], f"certificate of {name}")
        signed = base64.b64decode(get("csr", name)["status"]["certificate"])
    finally:
        kubectl("delete", "csr", name)
    private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Identity(signed, private)


def authority() -> bytes:
    """By which the operator's own certificate is known."""
    return base64.b64decode(get("-n", NAMESPACE, "secret", "kubevirt-ca")["data"]["ca.crt"])


def replicas() -> list[str]:
    """The operator's pods."""
    pods = get("-n", NAMESPACE, "pods", "-l", "kubevirt.io=virt-operator")["items"]
    return sorted(pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"])


@contextlib.contextmanager
def forwarded(pod: str) -> Iterator[str]:
    """The address on this machine at which `kubectl port-forward` reaches the pod's admin port."""
    command = ["kubectl", "-n", NAMESPACE, "port-forward", f"pod/{pod}", ":8186"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("Forwarding from 127.0.0.1:"), line
            yield line.split()[2]
        finally:
            process.terminate()


@contextlib.contextmanager
def channel(address: str, caller: Identity | None, trusted: bytes) -> Iterator[Any]:
    """A channel to the operator at `address`, as `caller`."""
    key, certificate = (caller.key, caller.certificate) if caller is not None else (None, None)
    credentials = grpc.ssl_channel_credentials(trusted, key, certificate)
    options = [
        ("grpc.ssl_target_name_override", f"virt-operator.{NAMESPACE}.svc"),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    with grpc.secure_channel(address, credentials, options=options) as opened:
        yield opened
