"""Validation of access credentials. Their content is checked when it is read (credentials/plan.py). Part of
validation/machine.py."""

from __future__ import annotations

import re

from kubevirt.launcher.v1 import machine_pb2

from virt_launcher.machine.validation.checks import absolute, matches, require

_MOST_CREDENTIALS, _MOST_USERS = 256, 256
_USER = re.compile(r"[^\x00-\x1f\x7f:]{1,128}")  # a colon or a line would be another field or entry of passwd(5)


def validate_credentials(machine: machine_pb2.Machine) -> None:
    """Raises InvalidField."""
    credentials = machine.access_credentials
    require(
        len(credentials) <= _MOST_CREDENTIALS, "access_credentials", len(credentials), f"{_MOST_CREDENTIALS} at most"
    )
    for index, credential in enumerate(credentials):
        path = f"access_credentials[{index}]"
        absolute(f"{path}.folder", credential.folder)
        kind = credential.WhichOneof("kind")
        require(kind is not None, f"{path}.kind", "nothing", "authorized_keys or user_passwords")
        users = credential.authorized_keys.users
        if kind == "authorized_keys":
            require(1 <= len(users) <= _MOST_USERS, f"{path}.authorized_keys.users", len(users), f"1 to {_MOST_USERS}")
        for number, user in enumerate(users):
            matches(_USER, f"{path}.authorized_keys.users[{number}]", user, "a user's name of 128 characters at most")
