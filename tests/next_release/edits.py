"""The differences of the next release: few edits of exact places. Called by tree.py.

It has one field more from a VirtualMachineInstance to the domain's XML (`spec.domain.note`, `Machine.note` behind the
feature "machine-note", `<description>`), a higher feature level, a virt-controller with one variable more, and objects
that this release does not know: an admission policy and a webhook. An edit whose place is not there exactly once
raises, so that whoever moves the place moves the edit too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FEATURE = "machine-note"
FIELD_NUMBER = 1000  # far above what the contract reaches by growing


class PlaceNotFound(Exception):
    """The text to edit is not in the file exactly once: this tree has changed, change edits.py."""


NEWEST = "kubevirt-next-release"
"""Name of the objects that only the next release has."""

_OBJECTS = f"""

def _next_release(namespace: str) -> list[Body]:
    version = "admissionregistration.k8s.io/v1"
    nothing = {{"apiGroups": ["next.example"], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["*"]}}
    policy = {{"matchConstraints": {{"resourceRules": [nothing]}}, "validations": [{{"expression": "false"}}]}}
    hook = {{
        "name": "next-release.kubevirt.io",
        "admissionReviewVersions": ["v1"],
        "clientConfig": {{"service": {{"namespace": namespace, "name": "virt-api", "path": "/next", "port": 443}}}},
        "rules": [nothing],
        "sideEffects": "None",
    }}
    return [
        {{"apiVersion": version, "metadata": {{"name": "{NEWEST}"}}, **part}}
        for part in (
            {{"kind": "ValidatingAdmissionPolicy", "spec": policy}},
            {{
                "kind": "ValidatingAdmissionPolicyBinding",
                "spec": {{"policyName": "{NEWEST}", "validationActions": ["Deny"]}},
            }},
            {{"kind": "ValidatingWebhookConfiguration", "webhooks": [hook]}},
        )
    ]
"""


@dataclass(frozen=True, slots=True)
class Edit:
    """Put `added` right behind the only occurrence of `place`, or in its stead."""

    path: str
    place: str
    added: str
    instead: bool = False

    def apply(self, root: Path) -> None:
        """Rewrite the file below `root`. Raises PlaceNotFound."""
        file = root / self.path
        text = file.read_text()
        if text.count(self.place) != 1:
            raise PlaceNotFound(f"{self.path}: {text.count(self.place)} times {self.place!r}")
        file.write_text(text.replace(self.place, self.added if self.instead else self.place + self.added))


EDITS = (
    Edit(
        "protos/kubevirt/launcher/v1/machine.proto",
        "message Machine {\n",
        "  // For people, told to the hypervisor.\n"
        f'  string note = {FIELD_NUMBER} [(kubevirt.contract.v1.feature) = "{FEATURE}"];\n',
    ),
    Edit(
        "services/core/virt_core/objects/kubevirt_api.json",
        ' "v1.DomainSpec": {',
        '"note": "string", ',
    ),
    Edit(
        "services/core/virt_core/vmi/spec/domain.py",
        "    machine: MachineType = MachineType()\n",
        '    note: str = ""\n',
    ),
    Edit(
        "services/handler/virt_handler/machines/translate/machine.py",
        "        cpu_model=cpu_model(accepted),\n",
        "        note=domain.note,\n",
    ),
    Edit(
        "services/launcher/virt_launcher/app.py",
        "FEATURES = frozenset({",
        f'"{FEATURE}", ',
    ),
    Edit(
        "services/launcher/virt_launcher/machine/validation/machine.py",
        '    require(_is_uuid(machine.firmware_uuid), "firmware_uuid", machine.firmware_uuid, "a UUID")\n',
        '    matches(LINE, "note", machine.note, "printable ASCII")\n',
    ),
    Edit(
        "services/launcher/virt_launcher/domain/xml.py",
        '    text(domain, "title", f"{machine.namespace}/{machine.name}")\n',
        '    if machine.note:\n        text(domain, "description", machine.note)\n',
    ),
    Edit(
        "services/operator/virt_operator/strategy/deployments.py",
        "            value_env(environment.IMAGE_PULL_POLICY, settings.pull_policy),\n",
        '            value_env("NEXT_RELEASE", "yes"),\n',
    ),
    Edit(
        "services/operator/virt_operator/strategy/desired.py",
        "        *webhooks.webhooks(settings.namespace),\n",
        "        *_next_release(settings.namespace),\n",
    ),
    Edit(
        "services/operator/virt_operator/strategy/desired.py",
        "    return tuple(_marked(body, _annotations(settings, release)) for body in objects)\n",
        _OBJECTS,
    ),
)


def next_version(version: str) -> str:
    """One minor release higher."""
    major, minor, _ = version.split(".")
    return f"{major}.{int(minor) + 1}.0"


def apply_all(root: Path) -> None:
    """Make the tree below `root` the next release, but for its generated code. Raises PlaceNotFound."""
    for edit in EDITS:
        edit.apply(root)
    (root / "VERSION").write_text(next_version((root / "VERSION").read_text().strip()) + "\n")
    release = root / "services/core/virt_core/release.py"
    level = re.findall(r"^FEATURE_LEVEL = (\d+)$", release.read_text(), re.M)
    if len(level) != 1:
        raise PlaceNotFound(f"{release}: FEATURE_LEVEL")
    Edit(str(release), f"\nFEATURE_LEVEL = {level[0]}\n", f"\nFEATURE_LEVEL = {int(level[0]) + 1}\n", True).apply(root)
