"""Plans which credentials the guest gets, from the contents of Secrets. Pure; called by synchronize.py, and by
storage/sources.py for cloud-init's metadata.

Users write the Secrets, the guest reports its own keys: both are bounded and checked here. No message repeats the
content of a Secret, because messages reach the status and logs.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from kubevirt.launcher.v1 import machine_pb2

MARK = "kubevirt.io/access-credentials"
"""Ends the comment of each key that a launcher writes: the launcher of a later pod recognizes the key by it."""

_LONGEST_KEY = 8192  # characters; RSA with 16384 bits has 2800
_MOST_KEYS = 1024  # of a user
_MOST_PASSWORDS = 256
_LONGEST_PASSWORD = 512  # of crypt(3)
# Options, the type, the key, a comment: sshd(8), AUTHORIZED_KEYS FILE FORMAT.
_KEY = re.compile(r"(?:\S.*\s)?(?:ssh|ecdsa|sk)-[a-zA-Z0-9@.-]+\s+[A-Za-z0-9+/]{16,}={0,2}(?:\s.*)?")
_SHOWN_PROBLEMS = 3
_MOST_PROBLEMS = 64  # of a Secret: one of 1 MiB has half a million lines, whose problems would take 60 MiB

Values = Mapping[str, bytes]
"""A Secret's values by key."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The credentials of a guest. `repr` shows none."""

    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    """Lines of authorized_keys by user. No lines: all that launchers wrote are removed."""

    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By user."""

    problems: tuple[str, ...] = ()
    """Values of Secrets that are no credentials."""


def wanted(credentials: Iterable[machine_pb2.AccessCredential], secrets: Mapping[str, Values]) -> Wanted:
    """The credentials of all users. `secrets` has the values by folder."""
    keys: dict[str, tuple[str, ...]] = {}
    passwords: dict[str, str] = {}
    problems: list[str] = []
    for credential in credentials:
        values = secrets[credential.folder]
        if credential.HasField("authorized_keys"):
            found, bad = public_keys(credential.folder, values)
            for user in credential.authorized_keys.users:
                keys[user] = tuple(dict.fromkeys((*keys.get(user, ()), *found)))[:_MOST_KEYS]
        else:
            named, bad = _passwords(credential.folder, values)
            passwords |= named
        problems += bad
    return Wanted(keys, passwords, tuple(dict.fromkeys(problems)))


def public_keys(folder: str, values: Values) -> tuple[tuple[str, ...], list[str]]:
    """The public keys of a Secret without duplicates, and what in it is no key."""
    keys: dict[str, None] = {}
    problems: list[str] = []
    for name, value in values.items():
        for number, line in enumerate(io.StringIO(value.decode(errors="replace")), start=1):
            key = line.strip()
            if not key or key.startswith("#"):
                continue
            if len(key) <= _LONGEST_KEY and key.isprintable() and _KEY.fullmatch(key):
                keys[key] = None
            elif len(problems) < _MOST_PROBLEMS:
                problems.append(f"line {number} of {folder}/{name} is not a public key")
    if len(keys) > _MOST_KEYS:
        problems.append(f"{folder} has more than {_MOST_KEYS} public keys")
    return tuple(keys)[:_MOST_KEYS], problems


def _passwords(folder: str, values: Values) -> tuple[dict[str, str], list[str]]:
    """The passwords of a Secret by user, and what in it is no password. An empty value sets none, as in KubeVirt."""
    passwords: dict[str, str] = {}
    problems: list[str] = []
    for user, value in values.items():
        password = value.decode(errors="replace").strip()
        if not password:
            continue
        if len(password) <= _LONGEST_PASSWORD and password.isprintable():
            passwords[user] = password
        elif len(problems) < _MOST_PROBLEMS:
            problems.append(f"{folder}/{user} is not a password of at most {_LONGEST_PASSWORD} printable characters")
    if len(passwords) > _MOST_PASSWORDS:
        problems.append(f"{folder} has more than {_MOST_PASSWORDS} passwords")
    return dict(list(passwords.items())[:_MOST_PASSWORDS]), problems


def marked(keys: Sequence[str]) -> list[str]:
    """The lines for authorized_keys."""
    return [key if key.endswith(f" {MARK}") else f"{key} {MARK}" for key in keys]


def stale(present: object, keys: Sequence[str]) -> list[str]:
    """The lines to remove from authorized_keys, of those that the guest reports: what launchers wrote and is no longer
    wanted, and wanted keys without the mark, which the guest has with it, too."""
    lines = present if isinstance(present, list) else []
    kept = set(marked(keys))
    plain = kept.union(keys) - kept
    return [
        line
        for line in dict.fromkeys(line for line in lines if isinstance(line, str))
        if line not in kept and (line in plain or _is_marked(line))
    ]


def _is_marked(line: str) -> bool:
    """Whether a launcher wrote the line. qemu-ga ends the file without a line break, so what somebody appends becomes
    part of the comment of the last key."""
    return f" {MARK}" in line


def summary(problems: Sequence[str]) -> str:
    """The first problems as one message."""
    more = len(problems) - _SHOWN_PROBLEMS
    shown = "; ".join(problems[:_SHOWN_PROBLEMS])
    return f"{shown}; and {more} more" if more > 0 else shown


def without_secrets(message: str, secrets: Iterable[str]) -> str:
    """The guest agent's message, unless it repeats a secret: a guest may say anything."""
    for secret in secrets:
        if secret in message or encoded(secret) in message:
            return "the guest agent gives no usable reason"
    return message


def encoded(password: str) -> str:
    """As guest-set-user-password requires."""
    return base64.b64encode(password.encode()).decode()
