"""Which failures of a pass are reported, and after how long."""

from __future__ import annotations

import pytest
from virt_core.kube.errors import Conflict, Forbidden, Unavailable
from virt_operator.reconcile.failure import Failure, is_reported


@pytest.mark.parametrize(
    ("error", "silent", "reported"),
    [
        (Unavailable(503, "overloaded"), 0.9, 1.0),
        # The status of a new definition is written several times while the operator compares it.
        (Conflict(409, "the object has been modified"), 9.9, 10.0),
        (Forbidden(403, "no"), -1.0, 0.0),
    ],
)
def test_a_passing_failure_is_reported_if_it_lasts(error: Exception, silent: float, reported: float) -> None:
    failure = Failure("CustomResourceDefinition virtualmachines.kubevirt.io", error)
    assert is_reported(failure, reported)
    assert silent < 0 or not is_reported(failure, silent)
