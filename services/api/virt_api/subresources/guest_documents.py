"""Converts the guest agent's details to KubeVirt's types: VirtualMachineInstanceGuestAgentInfo, …GuestOSUserList and
…FileSystemList. Pure; called by details.py.

The guest controls all values; the launcher has bounded them.
"""

from __future__ import annotations

from typing import Any

from kubevirt.launcher.v1 import launcher_pb2

Document = dict[str, Any]


def document_of(subresource: str, details: launcher_pb2.GetGuestDetailsResponse) -> Document:
    """The response to "guestosinfo", "userlist" or "filesystemlist"."""
    if subresource == "userlist":
        return {"metadata": {}, "items": _users(details)}
    if subresource == "filesystemlist":
        return {"metadata": {}, "items": _filesystems(details)}
    return _agent_info(details)


def _agent_info(details: launcher_pb2.GetGuestDetailsResponse) -> Document:
    agent, os = details.agent, details.agent.os
    system = {
        "name": os.name,
        "kernelRelease": os.kernel_release,
        "version": os.version,
        "prettyName": os.pretty_name,
        "versionId": os.version_id,
        "kernelVersion": os.kernel_version,
        "machine": os.machine,
        "id": os.id,
    }
    commands = [_without_empty({"name": command.name, "enabled": command.enabled}) for command in details.commands]
    info = {
        "guestAgentVersion": agent.version,
        "supportedCommands": commands,
        "hostname": agent.hostname,
        "os": _without_empty(system),
        "timezone": details.timezone,
        "userList": _users(details),
        "fsFreezeStatus": "frozen" if agent.filesystems_frozen else "thawed",
    }
    return {**_without_empty(info), "fsInfo": {"disks": _filesystems(details)}}


def _users(details: launcher_pb2.GetGuestDetailsResponse) -> list[Document]:
    return [
        {"userName": user.name, **_without_empty({"domain": user.domain, "loginTime": user.login_time})}
        for user in details.users
    ]


def _filesystems(details: launcher_pb2.GetGuestDetailsResponse) -> list[Document]:
    return [
        {
            "diskName": filesystem.name,
            "mountPoint": filesystem.mount_point,
            "fileSystemType": filesystem.type,
            "usedBytes": filesystem.used_bytes,
            "totalBytes": filesystem.total_bytes,
            **_without_empty(
                {
                    "disk": [
                        _without_empty({"serial": disk.serial}) | {"busType": disk.bus_type}
                        for disk in filesystem.disks
                    ]
                }
            ),
        }
        for filesystem in details.filesystems
    ]


def _without_empty(document: Document) -> Document:
    """`document` without empty values."""
    return {key: value for key, value in document.items() if value}
