"""Certificates that last minutes, so that all of them are replaced again and again during a test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.cluster import NAMESPACE, kubectl

_FAST = {"selfSigned": {"ca": {"duration": "10m"}, "server": {"duration": "5m"}}}


@contextmanager
def fast_rotation() -> Iterator[None]:
    """Leaves of five minutes and authorities of ten: a rollover begins at once, and then every five minutes."""
    _rotate(_FAST)
    try:
        yield
    finally:
        _rotate(None)


def _rotate(strategy: object) -> None:
    patch = json.dumps({"spec": {"certificateRotateStrategy": strategy}})
    kubectl("-n", NAMESPACE, "patch", "kv", "kubevirt", "--type", "merge", "-p", patch)
