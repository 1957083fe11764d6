"""When certificates expire is read without a library for certificates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from virt_core.metrics.plumbing import plumbing
from virt_core.metrics.requests import Requests
from virt_core.metrics.validity import ends
from virt_core.rpc.tls import Certificates, write_files
from virt_operator.certificates.issue import new_authority, new_leaf

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("days", [1, 365, 365 * 40])
def test_the_end_is_what_the_library_reads(days: int) -> None:
    """From 2050 on the time has another form."""
    authority = new_authority(NOW)
    leaf = new_leaf(authority, "kubevirt.io:system:virt-api", ("virt-api.kubevirt.svc",), NOW, timedelta(days=days))
    expected = [x509.load_pem_x509_certificate(pem).not_valid_after_utc for pem in (leaf.certificate, leaf.bundle)]
    assert ends(leaf.certificate + leaf.bundle) == expected


@pytest.mark.parametrize("text", [b"", b"AAAA", b"MAMCAQE="])
def test_what_is_no_certificate_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        ends(b"-----BEGIN CERTIFICATE-----\n" + text + b"\n-----END CERTIFICATE-----\n")


def shown(certificates: Certificates) -> dict[str, float]:
    families = plumbing(certificates, Requests("https://host"), (), 0.0)
    (family,) = [family for family in families if family.name == "kubevirt_certificate_expiry_timestamp_seconds"]
    assert family.type == "gauge"
    return {sample.labels["certificate"]: sample.value for sample in family.samples}


def test_a_component_shows_its_leaf_and_the_newest_authority(tmp_path: Path) -> None:
    old, new = new_authority(NOW), new_authority(NOW + timedelta(days=1))
    leaf = new_leaf(new, "kubevirt.io:system:virt-api", ("localhost",), NOW, timedelta(hours=1))
    write_files(
        tmp_path, {"tls.crt": leaf.certificate, "tls.key": leaf.key, "ca.crt": new.certificate + old.certificate}
    )
    newest = x509.load_pem_x509_certificate(new.certificate).not_valid_after_utc.timestamp()
    expected = {"leaf": (NOW + timedelta(hours=1)).timestamp(), "authority": newest}
    assert shown(Certificates(tmp_path)) == expected


def test_without_files_nothing_is_shown(tmp_path: Path) -> None:
    assert shown(Certificates(tmp_path)) == {}
