"""Whether the suite's certificates outlive the change. Pure.

virt-operator renews each certificate long before its end. One that is near its end was not renewed, and a change would
restart the components that rest on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from virt_core.objects.meta import rfc3339

from virt_operator.certificates.rotation import DEFAULT, RefusedRotation, Rotation, rotation_of
from virt_operator.certificates.secret import AUTHORITY_SECRET
from virt_operator.preflight.finding import Finding, Subject, blocking, info
from virt_operator.preflight.observed import Certificate, Cluster


def judge_certificates(cluster: Cluster) -> Iterator[Finding]:
    """A finding for each certificate."""
    rotation = _rotation(cluster)
    for certificate in cluster.certificates:
        span = rotation.authority if certificate.secret == AUTHORITY_SECRET else rotation.leaf
        yield _certificate(certificate, span.renew_before, cluster)


def _certificate(certificate: Certificate, renew_before: timedelta, cluster: Cluster) -> Finding:
    subject = Subject("Secret", cluster.operator.namespace, certificate.secret)
    left, until = certificate.ends - cluster.now, rfc3339(certificate.ends)
    # A change of the rotation's settings is no defect of a certificate that was made before it.
    due = min(renew_before, (certificate.ends - certificate.starts) / 2)
    if left <= timedelta(0):
        return blocking(subject, "CertificateExpired", f"expired at {until}: see why virt-operator does not renew it")
    if left < due / 2:
        message = f"ends at {until} and was due for renewal {_hours(due - left)} ago: see why it is not renewed"
        return blocking(subject, "CertificateNearItsEnd", message)
    return info(subject, "CertificateValid", f"is valid until {until}, renewed {_hours(due)} before")


def _rotation(cluster: Cluster) -> Rotation:
    try:
        return rotation_of(cluster.suite.spec if cluster.suite is not None else {})
    except RefusedRotation:
        return DEFAULT


def _hours(span: timedelta) -> str:
    minutes = int(span.total_seconds() // 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
