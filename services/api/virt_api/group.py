"""The aggregated API's group, and what of KubeVirt's subresources this release serves in it. Pure; read by
subresources.py, discovery.py, authorization.py and routes.py."""

from __future__ import annotations

GROUP = "subresources.kubevirt.io"
VERSIONS = ("v1", "v1alpha3")  # the preferred one first

STREAMS = ("console", "portforward", "vnc")
DETAILS = ("filesystemlist", "guestosinfo", "userlist")
SCREENSHOT = "vnc/screenshot"
COMMANDS = ("freeze", "pause", "reset", "softreboot", "unfreeze", "unpause")
_VERBS = dict.fromkeys((*STREAMS, *DETAILS, SCREENSHOT), "get") | dict.fromkeys(COMMANDS, "update")

SUPPORTED = {f"virtualmachineinstances/{name}": verb for name, verb in sorted(_VERBS.items())}
"""Resource and subresource, with the verb that a call of it is authorized by."""
