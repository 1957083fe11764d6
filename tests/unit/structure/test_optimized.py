"""Tests check also under `python -OO`, as the images run: `make test-optimized`."""

from __future__ import annotations

import sys

import pytest
from virt_core.kube.client import KubeClient
from virt_core.testing.conformance import CHECKS

from tests.unit.structure.imports import ROOT, module_name


def test_only_the_product_loses_what_oo_strips() -> None:
    assert (KubeClient.__doc__ is None) == (sys.flags.optimize == 2)
    with pytest.raises(AssertionError):
        assert module_name(ROOT / "a.py", ROOT) == "b"
    # also in modules that are no tests: pytest adds its own names to those that it rewrites
    assert all("@pytest_ar" in vars(sys.modules[module]) for module in (CHECKS[0].__module__, module_name.__module__))
