"""Translates access credentials of a Machine: the folders of the Secrets, never their content. Pure; called by
machine.py and disks.py."""

from __future__ import annotations

from kubevirt.launcher.v1 import machine_pb2
from virt_core.conventions import launcher_pod
from virt_core.vmi.spec.credentials import AccessCredential
from virt_core.vmi.spec.domain import VmiSpec


def agent_credentials(spec: VmiSpec) -> list[machine_pb2.AccessCredential]:
    """The credentials that the launcher sets through the guest agent."""
    return [found for credential in spec.access_credentials if (found := _of_agent(credential)) is not None]


def _of_agent(credential: AccessCredential) -> machine_pb2.AccessCredential | None:
    folder = launcher_pod.credentials_folder(credential.secret_name)
    keys = credential.ssh_public_key
    if keys is None:
        return machine_pb2.AccessCredential(folder=folder, user_passwords=machine_pb2.UserPasswords())
    agent = keys.propagation_method.qemu_guest_agent
    if agent is None:
        return None
    return machine_pb2.AccessCredential(folder=folder, authorized_keys=machine_pb2.AuthorizedKeys(users=agent.users))


def key_folders(spec: VmiSpec, source: machine_pb2.CloudInitSource.ValueType) -> list[str]:
    """Folders of the public keys for the metadata of a data source of this form."""
    no_cloud = source == machine_pb2.CLOUD_INIT_SOURCE_NO_CLOUD
    folders = (
        launcher_pod.credentials_folder(credential.secret_name)
        for credential in spec.access_credentials
        if (keys := credential.ssh_public_key) is not None
        and (keys.propagation_method.no_cloud if no_cloud else keys.propagation_method.config_drive) is not None
    )
    return list(dict.fromkeys(folders))
