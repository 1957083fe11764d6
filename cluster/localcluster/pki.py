"""Certificates and kubeconfigs, created once per cluster. Called by `up` before anything starts."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from localcluster.settings import API_PORT, API_SERVICE_ADDRESS, HOST_ADDRESS, Cluster, Node

LIFETIME = datetime.timedelta(days=3650)
BACKDATED = datetime.timedelta(hours=1)  # for clocks that are set back

# Clients of the API server: (file name, common name, organisation). Kubernetes binds its roles to these names.
CLIENTS = (
    ("admin", "kubernetes-admin", "system:masters"),
    ("kubelet-client", "kube-apiserver-kubelet-client", "system:masters"),
    ("controllers", "system:kube-controller-manager", None),
    ("scheduler", "system:kube-scheduler", None),
    ("proxy", "system:kube-proxy", None),
    ("front-proxy", "front-proxy-client", None),
)


def ensure(cluster: Cluster) -> None:
    """Create missing files: CA, leaf certificates, service account key, kubeconfigs."""
    folder = cluster.pki
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (folder / f"{CLIENTS[-1][0]}.crt").exists():  # the last file created: without it, start over
        for leftover in folder.iterdir():  # signed by a CA that is about to be replaced
            leftover.unlink()
        make_authority(folder, "ca", "kubernetes-ca")
        make_authority(folder, "front-proxy-ca", "front-proxy-ca")
        write_key(folder / "sa.key", ec.generate_private_key(ec.SECP256R1()))
        addresses = ["127.0.0.1", HOST_ADDRESS, API_SERVICE_ADDRESS]
        names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
        issue(folder, "apiserver", "kube-apiserver", None, dns_names=names, addresses=addresses)
        for name, common_name, organisation in CLIENTS:
            authority = "front-proxy-ca" if name == "front-proxy" else "ca"
            issue(folder, name, common_name, organisation, authority=authority)
    for node in cluster.nodes:
        if not (folder / f"{node.name}.crt").exists():
            issue_for_node(folder, node)
    for name in ("admin", "controllers", "scheduler", "proxy", *cluster.node_names):
        write_secret(folder / f"{name}.conf", kubeconfig(folder, name))
    cluster.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
    write_secret(cluster.kubeconfig, kubeconfig(folder, "admin"))


def issue_for_node(folder: Path, node: Node) -> None:
    user = f"system:node:{node.name}"  # what the Node authorizer goes by
    issue(folder, node.name, user, "system:nodes", dns_names=[node.name], addresses=[node.address])


def kubeconfig(folder: Path, user: str) -> bytes:
    """A self-contained kubeconfig; JSON is YAML."""

    def embedded(name: str) -> str:
        return base64.b64encode((folder / name).read_bytes()).decode()

    server = {"server": f"https://{HOST_ADDRESS}:{API_PORT}", "certificate-authority-data": embedded("ca.crt")}
    keys = {"client-certificate-data": embedded(f"{user}.crt"), "client-key-data": embedded(f"{user}.key")}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": server}],
        "users": [{"name": user, "user": keys}],
        "contexts": [{"name": "local", "context": {"cluster": "local", "user": user}}],
        "current-context": "local",
    }
    return json.dumps(config, indent=1).encode() + b"\n"


def make_authority(folder: Path, name: str, common_name: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = started(subject, subject, key.public_key(), key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(usage, critical=True)
    write_key(folder / f"{name}.key", key)
    (folder / f"{name}.crt").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def issue(
    folder: Path,
    name: str,
    common_name: str,
    organisation: str | None,
    *,
    dns_names: Sequence[str] = (),
    addresses: Sequence[str] = (),
    authority: str = "ca",
) -> None:
    """Write name.key and name.crt, for client and server use."""
    signer = serialization.load_pem_private_key((folder / f"{authority}.key").read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    issuer = x509.load_pem_x509_certificate((folder / f"{authority}.crt").read_bytes()).subject
    key = ec.generate_private_key(ec.SECP256R1())
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organisation:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    builder = started(x509.Name(attributes), issuer, key.public_key(), signer.public_key())
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    alternatives: list[x509.GeneralName] = [x509.DNSName(text) for text in dns_names]
    alternatives += [x509.IPAddress(ipaddress.ip_address(text)) for text in addresses]
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    write_key(folder / f"{name}.key", key)
    (folder / f"{name}.crt").write_bytes(builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def started(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, signer: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    """The common part of all certificates. Python 3.13 requires both key identifiers."""
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
    return builder.not_valid_before(now - BACKDATED).not_valid_after(now + LIFETIME)


def write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    write_secret(path, key.private_bytes(encoding, form, serialization.NoEncryption()))


def write_secret(path: Path, content: bytes) -> None:
    """Write the file atomically, readable by root only."""
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as output:
        output.write(content)
    unfinished.replace(path)
