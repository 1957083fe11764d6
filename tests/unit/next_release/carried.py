"""Run with the next release's packages: a field of a VMI's spec on its way to the domain's XML, as JSON on stdout."""

import json
import sys
from pathlib import Path

from kubevirt.launcher.v1 import launcher_pb2
from msgspec import Raw
from virt_core.objects.kubevirt import Configuration
from virt_core.objects.meta import ObjectMeta
from virt_core.release import FEATURE_LEVEL
from virt_core.rpc.errors import UnsupportedByPeer
from virt_core.rpc.must_understand import require_supported
from virt_core.vmi.accepted import accept
from virt_core.vmi.instance import VirtualMachineInstance
from virt_handler.machines.translate.machine import machine
from virt_handler.network.plan import PodNetwork
from virt_launcher.domain.files import DomainFiles
from virt_launcher.domain.xml import domain_xml
from virt_launcher.machine.validation.machine import validate
from virt_operator.strategy.crds import virtual_machine_instances

meta = ObjectMeta("demo", "default", uid="6a1f0d52-6a7a-4c9b-8d5e-1c2b3a4d5e6f")
vmi = VirtualMachineInstance(meta, Raw(sys.argv[1].encode()))
made = machine(vmi, accept(vmi.raw_spec, Configuration()), PodNetwork(1450, ("10.244.1.7",)))
validate(made)
start = launcher_pb2.StartMachineRequest(machine=made)
require_supported(start, {"machine-note"}, "a launcher of this release")
try:
    require_supported(start, set(), "an older launcher")
    refused = ""
except UnsupportedByPeer as error:
    refused = error.field
schema = virtual_machine_instances()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
domain = schema["properties"]["spec"]["properties"]["domain"]["properties"]
answer = {
    "level": FEATURE_LEVEL,
    "xml": domain_xml(made, DomainFiles.below(Path("/run"))),
    "refused": refused,
    "request": start.SerializeToString().hex(),
    "schema": domain.get("note"),
}
print(json.dumps(answer))
