"""Every machine that the rules accept is accepted by libvirt's QEMU driver, which can also generate QEMU's
arguments."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import libvirt
from hypothesis import HealthCheck, given, settings
from virt_launcher.domain.files import DomainFiles
from virt_launcher.domain.xml import domain_xml
from virt_launcher.machine.validation.machine import validate

from tests.integration.launcher.pod import PRIVATE
from tests.samples.machines import translated
from tests.samples.prepared_disks import prepared
from tests.samples.vmis import Spec, supported

if TYPE_CHECKING:
    pass


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spec=supported())
def test_qemus_driver_takes_it(connection: Any, spec: Spec) -> None:
    machine = translated(spec, emulation=True)
    validate(machine)
    xml = domain_xml(machine, DomainFiles.below(Path(PRIVATE)), prepared(machine))
    connection.defineXMLFlags(xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE).undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
    # Network cards apart: to say it, libvirt would make a tap device.
    arguments = connection.domainXMLToNative("qemu-argv", re.sub("<interface .*?</interface>", "", xml), 0)
    assert "/usr/bin/qemu-system-x86_64" in arguments
