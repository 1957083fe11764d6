"""When certificates expire is read without a library for certificates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from virt_core.metrics.plumbing import plumbing
from virt_core.metrics.requests import Requests
from virt_core.metrics.validity import periods
from virt_core.rpc.tls import Certificates, write_files
from virt_operator.certificates.issue import new_authority, new_leaf

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("days", [1, 365, 365 * 40])
def test_the_end_is_what_the_library_reads(days: int) -> None:
    """From 2050 on the time has another form."""
    authority = new_authority(NOW)
    leaf = new_leaf(authority, "kubevirt.io:system:virt-api", ("virt-api.kubevirt.svc",), NOW, timedelta(days=days))
    loaded = [x509.load_pem_x509_certificate(pem) for pem in (leaf.certificate, leaf.bundle)]
    expected = [(each.not_valid_before_utc, each.not_valid_after_utc) for each in loaded]
    assert periods(leaf.certificate + leaf.bundle) == expected


@pytest.mark.parametrize("text", [b"", b"AAAA", b"MAMCAQE=", b"MAUwAwIBAQ=="])
def test_what_is_no_certificate_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        periods(b"-----BEGIN CERTIFICATE-----\n" + text + b"\n-----END CERTIFICATE-----\n")


def shown(certificates: Certificates, what: str) -> dict[str, float]:
    families = plumbing(certificates, Requests("https://host"))
    (family,) = [family for family in families if family.name == f"kubevirt_certificate_{what}_timestamp_seconds"]
    assert family.type == "gauge"
    return {sample.labels["certificate"]: sample.value for sample in family.samples}


async def test_a_component_shows_its_leaf_and_the_newest_authority(tmp_path: Path) -> None:
    old, new = new_authority(NOW), new_authority(NOW + timedelta(days=1))
    leaf = new_leaf(new, "kubevirt.io:system:virt-api", ("localhost",), NOW, timedelta(hours=1))
    write_files(
        tmp_path, {"tls.crt": leaf.certificate, "tls.key": leaf.key, "ca.crt": new.certificate + old.certificate}
    )
    loaded = [x509.load_pem_x509_certificate(pem) for pem in (leaf.certificate, new.certificate)]
    start, expiry = ([moment.timestamp() for moment in moments] for moments in _moments(loaded))
    names = ("leaf", "authority")
    assert shown(Certificates(tmp_path), "start") == dict(zip(names, start, strict=True))
    assert shown(Certificates(tmp_path), "expiry") == dict(zip(names, expiry, strict=True))


def _moments(loaded: list[x509.Certificate]) -> tuple[list[datetime], list[datetime]]:
    return [each.not_valid_before_utc for each in loaded], [each.not_valid_after_utc for each in loaded]


async def test_without_files_nothing_is_shown(tmp_path: Path) -> None:
    assert shown(Certificates(tmp_path), "expiry") == shown(Certificates(tmp_path), "start") == {}
