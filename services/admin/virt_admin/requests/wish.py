"""A request of the command line, as a value: for virt-operator, and as a change of the KubeVirt object. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from google.protobuf.message import Message
from kubevirt.admin.v1 import admin_pb2
from virt_core.objects.upgrade_request import Change, finalize, pause, resume, rollback, upgrade
from virt_core.objects.upgrade_state import Json

UPGRADE, PAUSE, RESUME, ROLLBACK, FINALIZE = "Upgrade", "Pause", "Resume", "Rollback", "Finalize"
"""Methods of admin/v1."""


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
    tag: str = ""
    registry: str = ""

    @property
    def command(self) -> str:
        """Its command of virtadm."""
        return self.method.lower()

    @property
    def request(self) -> Message:
        """For virt-operator."""
        match self.method:
            case "Upgrade":
                return admin_pb2.UpgradeRequest(tag=self.tag, registry=self.registry)
            case "Pause":
                return admin_pb2.PauseRequest()
            case "Resume":
                return admin_pb2.ResumeRequest()
            case "Rollback":
                return admin_pb2.RollbackRequest()
        return admin_pb2.FinalizeRequest()

    def change(self, kubevirt: Json, moment: str) -> Change:
        """Of the KubeVirt object, without virt-operator.

        Raises:
            Impossible, BadArgument: it is refused.
        """
        match self.method:
            case "Upgrade":
                return upgrade(kubevirt, self.tag, self.registry.rstrip("/"), moment)
            case "Pause":
                return pause(kubevirt)
            case "Resume":
                return resume(kubevirt)
            case "Rollback":
                return rollback(kubevirt)
        return finalize(kubevirt)
