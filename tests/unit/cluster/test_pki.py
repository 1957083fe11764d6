"""Certificates: complete after a crash in the middle, and what Kubernetes goes by is in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography import x509
from localcluster import pki
from localcluster.settings import Cluster, Node


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    kubeconfig = tmp_path / "build" / "kubeconfig"
    monkeypatch.setattr(Cluster, "kubeconfig", property(lambda _: kubeconfig))
    return Cluster(state=tmp_path, cache=tmp_path / "cache", nodes=(Node(1),))


def test_certificates_survive_a_second_run_and_are_remade_when_incomplete(cluster: Cluster) -> None:
    pki.ensure(cluster)
    authority = (cluster.pki / "ca.crt").read_bytes()
    pki.ensure(cluster)
    assert (cluster.pki / "ca.crt").read_bytes() == authority
    (cluster.pki / "front-proxy.crt").unlink()  # as after a crash before the last of them
    pki.ensure(cluster)
    assert (cluster.pki / "ca.crt").read_bytes() != authority
    issued = x509.load_pem_x509_certificate((cluster.pki / "node1.crt").read_bytes())
    issued.verify_directly_issued_by(x509.load_pem_x509_certificate((cluster.pki / "ca.crt").read_bytes()))
    assert issued.subject.rfc4514_string() == "O=system:nodes,CN=system:node:node1"


def test_keys_and_the_kubeconfig_are_private(cluster: Cluster) -> None:
    pki.ensure(cluster)
    private = [*cluster.pki.glob("*.key"), *cluster.pki.glob("*.conf"), cluster.kubeconfig]
    assert {path.stat().st_mode & 0o777 for path in private} == {0o600}
    assert json.loads(cluster.kubeconfig.read_text())["clusters"][0]["cluster"]["server"] == "https://172.30.0.1:6443"
