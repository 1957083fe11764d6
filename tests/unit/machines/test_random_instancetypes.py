"""Random instance types and preferences do no harm: whatever a CRD's schema admits is refused in words or applied.

RANDOM_VMIS says how many; the suite runs a few hundred, which is seconds.
"""

from __future__ import annotations

import copy
import json
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from virt_core.instancetype.admission import admit, deprecations
from virt_core.instancetype.apply import apply
from virt_core.instancetype.matcher import Role
from virt_core.instancetype.requirements import requirement_refusals
from virt_core.objects.kubevirt import Configuration
from virt_core.validation.refusal import UnsupportedSpec
from virt_core.vmi.accepted import accept

from tests.samples.instancetypes import schema_valid, supported_instancetypes, supported_preferences
from tests.samples.vmis import random_specs

pytestmark = pytest.mark.exhaustive

COUNT = int(os.environ.get("RANDOM_VMIS", "200"))
CONFIGURATION = Configuration()
QUIET = (HealthCheck.too_slow, HealthCheck.data_too_large)
_LONGEST_MESSAGE = 1024  # of one refusal: a user reads it
INSTANCETYPES = schema_valid("v1beta1.VirtualMachineInstancetypeSpec") | supported_instancetypes
PREFERENCES = schema_valid("v1beta1.VirtualMachinePreferenceSpec") | supported_preferences


@settings(max_examples=COUNT, deadline=None, suppress_health_check=QUIET)
@given(random_specs, st.none() | INSTANCETYPES, st.none() | PREFERENCES)
def test_they_are_applied_or_refused_in_words_and_nothing_is_changed_in_place(
    spec: Any, kind: Any, preferred: Any
) -> None:
    template = {"metadata": {"annotations": {"x": "y"}}, "spec": spec}
    stored = [
        None if each is None else {"kind": "K", "metadata": {"name": "n"}, "spec": each} for each in (kind, preferred)
    ]
    before = copy.deepcopy((template, stored))
    result = apply(template, *stored)
    assert (template, stored) == before
    if result.refusals:
        event("refused")
        assert result.template is template
        for refusal in result.refusals:
            assert refusal.field and len(str(refusal)) <= _LONGEST_MESSAGE
            json.dumps(str(refusal))
        return
    try:
        accepted = accept(result.template["spec"], CONFIGURATION)
    except UnsupportedSpec as error:
        event("applied, not accepted")
        assert error.refusals
        return
    event("accepted")
    if stored[1] is not None:
        list(requirement_refusals(stored[0], stored[1], accepted))


@settings(max_examples=COUNT, deadline=None, suppress_health_check=QUIET)
@given(st.sampled_from(Role), INSTANCETYPES | PREFERENCES)
def test_each_is_stored_or_refused_by_field(role: Role, spec: Any) -> None:
    body = {"metadata": {"name": "n"}, "spec": spec}
    before = copy.deepcopy(body)
    deprecations(role, body)
    for refusal in admit(role, body, None):
        assert refusal.field.startswith("spec") and len(str(refusal)) <= _LONGEST_MESSAGE
    assert body == before


@settings(max_examples=COUNT, deadline=None, suppress_health_check=QUIET)
@given(supported_instancetypes, supported_preferences)
def test_what_is_stored_makes_an_accepted_guest_of_an_open_template(kind: Any, preferred: Any) -> None:
    """Preferences that the instance type cannot meet are excepted: an uneven spread, requirements."""
    stored = [{"metadata": {"name": "n"}, "spec": each} for each in (kind, preferred)]
    for role, body in zip(Role, stored, strict=True):
        assert admit(role, body, None) == ()
    result = apply({"spec": {"domain": {"devices": {}}}}, *stored)
    if result.refusals:
        assert [refusal.field for refusal in result.refusals] == ["instancetype.spec.cpu.guest"]
        event("uneven")
        return
    accept(result.template["spec"], CONFIGURATION)
