"""From when to when certificates are valid, read from PEM. Pure; called by plumbing.py.

The library for certificates would cost virt-api and virt-controller, which need it for nothing else, 6 MB each. So the
few fields before the validity are skipped here (RFC 5280, 4.1). The files are the suite's own.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from datetime import UTC, datetime

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_VERSION, _UTC_TIME = 0xA0, 0x17  # tags
Period = tuple[datetime, datetime]


def periods(pem: bytes) -> list[Period]:
    """From when to when each certificate of the file is valid.

    Raises:
        ValueError: the file holds something else.
    """
    try:
        return [_period(base64.b64decode(match[1])) for match in _PEM.finditer(pem)]
    except (IndexError, StopIteration) as error:
        raise ValueError("not a certificate") from error


def _period(der: bytes) -> Period:
    certificate = next(_elements(der))[1]
    fields = _elements(next(_elements(certificate))[1])
    if next(fields)[0] == _VERSION:
        next(fields)  # the serial number, which is the first field without a version
    _signature, _issuer, (_, validity) = [next(fields) for _ in range(3)]  # a generator would hide the end
    start, end = (_moment(tag, text.decode()) for tag, text in _elements(validity))
    return start, end


def _moment(tag: int, text: str) -> datetime:
    if tag == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each element."""
    at = 0
    while at < len(der):
        tag, size = der[at], der[at + 1]
        at += 2
        if size & 0x80:
            more = size & 0x7F
            size = int.from_bytes(der[at : at + more], "big")
            at += more
        yield tag, der[at : at + size]
        at += size
