"""The aggregated API's group and the subresources that this release serves in it. Pure.

virt-api routes, authorizes and lists them; virt-operator registers the group and grants them to users' roles.
"""

from __future__ import annotations

GROUP = "subresources.kubevirt.io"
VERSIONS = ("v1", "v1alpha3")  # the preferred one first

STREAMS = ("console", "portforward", "vnc")
DETAILS = ("filesystemlist", "guestosinfo", "userlist")
SCREENSHOT = "vnc/screenshot"
STREAM_PROTOCOL = "plain.kubevirt.io"
"""The WebSocket subprotocol of streams, KubeVirt's."""

COMMANDS = ("freeze", "pause", "reset", "softreboot", "unfreeze", "unpause")
LIFECYCLE = ("restart", "start", "stop")
MIGRATE, EVACUATE_CANCEL = "migrate", "evacuate/cancel"
EXPAND = "expand-spec"
EXPAND_MANIFEST = "expand-vm-spec"
"""Of a namespace, not of an object: a VirtualMachine is in the body."""

_VERBS = dict.fromkeys((*STREAMS, *DETAILS, SCREENSHOT), "get") | dict.fromkeys((*COMMANDS, EVACUATE_CANCEL), "update")

_VM_VERBS = {EXPAND: "get", "portforward": "get", **dict.fromkeys((*LIFECYCLE, MIGRATE, EVACUATE_CANCEL), "update")}

SUPPORTED = {f"virtualmachineinstances/{name}": verb for name, verb in sorted(_VERBS.items())} | {
    f"virtualmachines/{name}": verb for name, verb in sorted(_VM_VERBS.items())
}
"""Resource and subresource, with the verb that authorizes a call."""

VERSION, HEALTHZ, GUESTFS = "version", "healthz", "guestfs"
"""Documents of the group itself. Every account may read them."""
