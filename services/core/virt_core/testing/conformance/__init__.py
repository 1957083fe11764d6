"""Behaviour of the API server on which the suite relies, and which the fake must have, too.

Each function of CHECKS takes a client and the name of an empty namespace and raises AssertionError. Run against
FakeApiServer with the unit tests and against a real API server end to end.
"""

from __future__ import annotations

from virt_core.testing.conformance import applying, deleting, kinds, plain_writes, reviewing, watching
from virt_core.testing.conformance.calls import Check

CHECKS: tuple[Check, ...] = (
    *plain_writes.CHECKS,
    *applying.CHECKS,
    *deleting.CHECKS,
    *kinds.CHECKS,
    *reviewing.CHECKS,
    *watching.CHECKS,
)
