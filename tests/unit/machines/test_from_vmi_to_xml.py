"""Every spec that the rules accept becomes a machine, and XML that libvirt accepts.

One path through the services' pure parts: rules → translation → the launcher's validation → domain XML → libvirt, whose
own test driver reads the XML and holds it against its schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree as ET

import libvirt
import pytest
from hypothesis import given, settings
from virt_core.vmi.accepted import accept
from virt_core.vmi.admission import admit_create
from virt_core.vmi.defaults import defaulted
from virt_launcher.domain.xml import domain_xml
from virt_launcher.machine.validation.machine import validate

from tests.samples.machines import ELEMENTS, FILES, NONE, translated
from tests.samples.prepared_disks import prepared
from tests.samples.vmis import Spec, nearly_supported, supported
from tests.support.hypervisor.libvirts_schema import require_valid, without_hypervisor


@pytest.fixture(scope="module")
def hypervisor() -> Iterator[libvirt.virConnect]:
    with without_hypervisor() as connection:
        yield connection


def carried_through(hypervisor: libvirt.virConnect, spec: Spec) -> None:
    """From an accepted spec to a domain, under emulation and with KVM."""
    for emulation in (True, False):
        made = translated(spec, emulation=emulation)
        validate(made)
        xml = domain_xml(made, FILES, prepared(made))
        unknown = {element.tag for element in ET.fromstring(xml).iter()} - ELEMENTS
        assert not unknown, f"not meant to be in a domain: {unknown}"
        require_valid(hypervisor, xml)


@settings(max_examples=60, deadline=None)
@given(supported())
def test_what_is_supported_becomes_a_domain_that_libvirt_takes(hypervisor: libvirt.virConnect, spec: Spec) -> None:
    assert admit_create({"spec": spec}, NONE) == ()
    carried_through(hypervisor, spec)


@settings(max_examples=150, deadline=None)
@given(nearly_supported())
def test_odd_values_are_refused_by_the_rules_or_carried_through_safely(
    hypervisor: libvirt.virConnect, spec: Spec
) -> None:
    if not admit_create({"spec": spec}, NONE):
        carried_through(hypervisor, spec)


@settings(max_examples=60, deadline=None)
@given(supported())
def test_stored_defaults_make_the_same_machine(spec: Spec) -> None:
    stored: Any = defaulted({"spec": spec}, NONE)["spec"]
    assert accept(stored, NONE)
    assert defaulted({"spec": stored}, NONE)["spec"] == stored
    assert translated(stored, emulation=True) == translated(spec, emulation=True)
    shapes = [
        [(disk.name, disk.kind, disk.bus, disk.read_only, disk.tray_open) for disk in accept(candidate, NONE).disks]
        for candidate in (spec, stored)
    ]
    assert shapes[0] == shapes[1]


def test_libvirts_schema_refuses_what_is_no_domain(hypervisor: libvirt.virConnect) -> None:
    xml = domain_xml(translated({"domain": {"devices": {}, "memory": {"guest": "64Mi"}}}, emulation=True), FILES)
    require_valid(hypervisor, xml)
    for place, wrong in (("<devices>", "<devices><bogus/>"), ('arch="x86_64"', 'arch="x86_65"')):
        with pytest.raises(libvirt.libvirtError):
            require_valid(hypervisor, xml.replace(place, wrong))
