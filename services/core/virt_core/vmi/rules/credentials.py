"""Rules for access credentials of a VirtualMachineInstance. Pure; part of rules/check.py.

The Secrets are not read here: their content never leaves the node.
"""

from __future__ import annotations

import re

from virt_core.validation.refusal import DNS_NAME, Refusals, Text, at_most, matching, refused, unless
from virt_core.vmi.spec.credentials import CredentialSource, KeyPropagation, PasswordPropagation
from virt_core.vmi.spec.domain import VmiSpec

_MAX_CREDENTIALS = 64
_MAX_USERS = 64
# Linux's names, also those of directories such as user@example.com, and Windows' names with a space.
_USER = Text(
    re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.@ -]*[A-Za-z0-9_.@$-])?"),
    128,
    "a user's name: 1 to 128 letters, digits and _.@-, a space inside or a $ at the end",
)


def credential_refusals(spec: VmiSpec) -> Refusals:
    """What is wrong with spec.accessCredentials."""
    yield from at_most("accessCredentials", spec.access_credentials, _MAX_CREDENTIALS)
    for index, credential in enumerate(spec.access_credentials):
        path = f"accessCredentials[{index}]"
        kinds = {"sshPublicKey": credential.ssh_public_key, "userPassword": credential.user_password}
        yield from _exactly_one(path, [name for name, kind in kinds.items() if kind is not None], tuple(kinds))
        if credential.ssh_public_key is not None:
            yield from _source(f"{path}.sshPublicKey", credential.ssh_public_key.source)
            yield from _keys(
                f"{path}.sshPublicKey.propagationMethod", credential.ssh_public_key.propagation_method, spec
            )
        if credential.user_password is not None:
            yield from _source(f"{path}.userPassword", credential.user_password.source)
            method = credential.user_password.propagation_method
            yield from _passwords(f"{path}.userPassword.propagationMethod", method)


def _source(path: str, source: CredentialSource) -> Refusals:
    if source.secret is None:
        yield refused(f"{path}.source", "nothing", "secret")
    else:
        yield from matching(f"{path}.source.secret.secretName", source.secret.secret_name, DNS_NAME)


def _keys(path: str, method: KeyPropagation, spec: VmiSpec) -> Refusals:
    methods = {
        "noCloud": method.no_cloud,
        "configDrive": method.config_drive,
        "qemuGuestAgent": method.qemu_guest_agent,
    }
    yield from _exactly_one(path, [name for name, chosen in methods.items() if chosen is not None], tuple(methods))
    if method.no_cloud is not None and not any(volume.cloud_init_no_cloud for volume in spec.volumes):
        yield refused(f"{path}.noCloud", "{}", "it with a volume cloudInitNoCloud: there is none")
    if method.config_drive is not None and not any(volume.cloud_init_config_drive for volume in spec.volumes):
        yield refused(f"{path}.configDrive", "{}", "it with a volume cloudInitConfigDrive: there is none")
    if method.qemu_guest_agent is not None:
        users = method.qemu_guest_agent.users
        yield from unless(bool(users), f"{path}.qemuGuestAgent.users", users, "at least one user")
        yield from at_most(f"{path}.qemuGuestAgent.users", users, _MAX_USERS)
        for index, user in enumerate(users):
            yield from matching(f"{path}.qemuGuestAgent.users[{index}]", user, _USER)


def _passwords(path: str, method: PasswordPropagation) -> Refusals:
    yield from unless(method.qemu_guest_agent is not None, path, "nothing", "qemuGuestAgent")


def _exactly_one(path: str, chosen: list[str], allowed: tuple[str, ...]) -> Refusals:
    value = " and ".join(chosen) or "nothing"
    yield from unless(len(chosen) == 1, path, value, f"exactly one of {', '.join(allowed)}")
