"""A request of the command line, as a value: for virt-operator, and as a change of the KubeVirt object. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from google.protobuf.message import Message
from kubevirt.admin.v1 import admin_pb2
from virt_core.objects.upgrade_request import Change, finalize, pause, resume, rollback, upgrade
from virt_core.objects.upgrade_state import Json

from virt_admin.requests.methods import BY_COMMAND, FINALIZE, PAUSE, RESUME, ROLLBACK, UPGRADE

_REQUESTS: Mapping[str, type[Message]] = {
    UPGRADE: admin_pb2.UpgradeRequest,
    PAUSE: admin_pb2.PauseRequest,
    RESUME: admin_pb2.ResumeRequest,
    ROLLBACK: admin_pb2.RollbackRequest,
    FINALIZE: admin_pb2.FinalizeRequest,
}
_CHANGES = {PAUSE: pause, RESUME: resume, ROLLBACK: rollback, FINALIZE: finalize}


class Requested(msgspec.Struct, frozen=True, rename="camel"):
    """What was requested. The JSON of `-o json`: its names only grow."""

    message: str
    changed: bool
    """Whether the KubeVirt object was changed; it may have had this already."""

    version: str
    """The tag that the suite will be of; "" for a pause and its end."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is requested."""

    method: str
    """Of methods.py."""

    tag: str = ""
    registry: str = ""
    """Of an upgrade, as the tag."""

    def __post_init__(self) -> None:
        if self.method not in _REQUESTS:
            raise ValueError(f"{self.method!r} is no request, use {', '.join(BY_COMMAND.values())}")

    @property
    def command(self) -> str:
        """Its command of virtadm."""
        return self.method.lower()

    @property
    def request(self) -> Message:
        """For virt-operator."""
        fields = {"tag": self.tag, "registry": self.registry} if self.method == UPGRADE else {}
        return _REQUESTS[self.method](**fields)

    def change(self, kubevirt: Json, moment: str) -> Change:
        """Of the KubeVirt object, without virt-operator.

        Raises:
            Impossible, BadArgument: it is refused.
        """
        if self.method == UPGRADE:
            return upgrade(kubevirt, self.tag, self.registry.rstrip("/"), moment)
        return _CHANGES[self.method](kubevirt)
