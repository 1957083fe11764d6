"""Parses path and method to a call: KubeVirt's list of subresources, and those that this release serves. Pure.

Called by routes.py. A subresource of KubeVirt's that this release does not serve is refused by name as not implemented;
any other is not found.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from virt_core.conventions.subresources import EXPAND_MANIFEST, GROUP, SUPPORTED

from virt_api.errors import BadRequest, MethodNotAllowed, NotFound, NotSupported

# Source: kubevirt-contract.md, "Subresource API". GET includes websockets.
_KNOWN: dict[str, dict[str, str]] = {
    "virtualmachineinstances": {
        "GET": "console vnc usbredir portforward vsock vnc/screenshot guestosinfo userlist filesystemlist objectgraph "
        "sev/fetchcertchain sev/querylaunchmeasurement",
        "PUT": "pause unpause freeze unfreeze reset softreboot addvolume removevolume backup redefine-checkpoint "
        "evacuate/cancel sev/setupsession sev/injectlaunchsecret",
    },
    "virtualmachines": {
        "GET": "expand-spec objectgraph portforward",
        "PUT": "start stop restart migrate addvolume removevolume memorydump removememorydump evacuate/cancel",
    },
}
_NOT_SUPPORTED = {
    "addvolume": "volumes come with the start of a guest, change spec.template.spec of the VirtualMachine, restart it",
    "backup": "there are no backups of changed blocks",
    "memorydump": "there are no memory dumps",
    "objectgraph": "read spec.template, ownerReferences and the launcher's pod",
    "redefine-checkpoint": "there are no backups of changed blocks",
    "sev": "guests with encrypted memory do not run here",
    "usbredir": "USB devices of the user's machine cannot be attached",
    "vsock": "use portforward",
}
"""Why, or what to do instead."""

_NOT_SUPPORTED |= {"removevolume": _NOT_SUPPORTED["addvolume"], "removememorydump": _NOT_SUPPORTED["memorydump"]}
_VERBS = {"GET": "get", "PUT": "update"}
# RFC 1123 as Kubernetes checks it. Names become parts of paths, so nothing else may pass.
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a subresource of an object, or of expand-vm-spec, which has neither name nor subresource."""

    version: str
    namespace: str
    resource: str
    name: str
    subresource: str
    verb: str
    arguments: str = ""
    """For a port forward: "PORT" or "PORT/PROTOCOL"."""

    @property
    def details(self) -> dict[str, str]:
        """The details of a Status object for this call."""
        return {"group": GROUP, "kind": self.resource, "name": self.name}

    @property
    def path(self) -> str:
        """Resource and subresource, as discovery and RBAC name them."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource

    def require_supported(self) -> None:
        """Raises NotSupported, with what to do instead, unless this release serves the call. Checked after
        authorization."""
        if self.path in SUPPORTED or self.resource == EXPAND_MANIFEST:
            return
        instead = _NOT_SUPPORTED.get(self.subresource) or _NOT_SUPPORTED[self.subresource.partition("/")[0]]
        raise NotSupported(f"{self.path} is not supported by this release: {instead}", self.details)


def parse_expand_manifest(*, version: str, namespace: str) -> Call:
    """The call that expands the VirtualMachine in its body. Raises BadRequest: the namespace is invalid."""
    _require_valid("namespace", namespace, _NAMESPACE)
    return Call(version, namespace, EXPAND_MANIFEST, "", "", "update")


def parse_call(method: str, *, version: str, namespace: str, resource: str, name: str, rest: str) -> Call:
    """The call for the parts of a path and the HTTP method.

    Raises:
        NotFound: KubeVirt has no such subresource.
        MethodNotAllowed: the subresource has another method.
        BadRequest: namespace or name are invalid.
    """
    # Port and protocol of a port forward are arguments, not part of the resource in RBAC.
    subresource, arguments = rest, ""
    if rest.startswith("portforward/"):
        subresource, _, arguments = rest.partition("/")
    methods = [known for known, names in _KNOWN.get(resource, {}).items() if subresource in names.split()]
    if not methods:
        raise NotFound(f"{GROUP}/{version} has no {resource}/{subresource}")
    if method not in methods:
        raise MethodNotAllowed(f"{resource}/{subresource} does not allow {method}, use {methods[0]}")
    _require_valid("namespace", namespace, _NAMESPACE)
    _require_valid("name", name, _NAME)
    return Call(version, namespace, resource, name, subresource, _VERBS[method], arguments)


def _require_valid(field: str, value: str, pattern: re.Pattern[str]) -> None:
    if not pattern.fullmatch(value):
        raise BadRequest(f"{field}: {value!r} is not allowed, use a name as in RFC 1123")
