"""Random VirtualMachineInstances do no harm: mixed types, junk strings, huge numbers, unknown fields.

RANDOM_VMIS says how many; the suite runs a few hundred, which is seconds.
"""

from __future__ import annotations

import json
import os
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, event, given, settings
from msgspec import Raw
from virt_core.objects.kubevirt import Configuration
from virt_core.validation.refusal import UnsupportedSpec
from virt_core.vmi.accepted import accept
from virt_core.vmi.admission import admit_create, admit_update
from virt_core.vmi.defaults import defaulted, defaults_patch
from virt_launcher.domain.xml import domain_xml
from virt_launcher.machine.validation.machine import validate

from tests.samples.machines import ELEMENTS, FILES, translated
from tests.samples.prepared_disks import prepared
from tests.samples.vmis import random_specs

pytestmark = pytest.mark.exhaustive

NONE = Configuration()
COUNT = int(os.environ.get("RANDOM_VMIS", "200"))
MINIMAL = {"spec": {"domain": {"devices": {}, "memory": {"guest": "64Mi"}}}}
_LONGEST_MESSAGE = 1024  # of one refusal: a user reads it


@settings(max_examples=COUNT, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(random_specs)
def test_admission_refuses_them_in_words_or_they_become_machines(spec: Any) -> None:
    body = {"metadata": {"name": "g"}, "spec": spec}
    refusals = admit_create(body, NONE)
    defaults_patch(body, NONE)
    admit_update(MINIMAL, body, NONE, is_own_account=False)
    for refusal in refusals:
        assert refusal.field.startswith("spec") and len(str(refusal)) <= _LONGEST_MESSAGE
        json.dumps(str(refusal))
    # The controller, which reads what is stored, says the same.
    try:
        accept(Raw(json.dumps(spec).encode()), NONE)
    except UnsupportedSpec as error:
        assert refusals and {str(refusal) for refusal in error.refusals} == {str(refusal) for refusal in refusals}
        return
    event("admitted")
    assert not refusals
    for accepted in (spec, defaulted(body, NONE)["spec"]):
        made = translated(accepted, emulation=False)
        validate(made)
        assert {element.tag for element in ET.fromstring(domain_xml(made, FILES, prepared(made))).iter()} <= ELEMENTS
