"""Access credentials that are refused: by field, value and what is allowed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.core.spec_changes import Change, assert_refused, refusals, volume

KEYS, PASSWORDS = "accessCredentials[0].sshPublicKey", "accessCredentials[0].userPassword"
SECRET = {"secret": {"secretName": "some.secret"}}
AGENT = {"qemuGuestAgent": {"users": ["core"]}}


def keys(source: Change = SECRET, **method: Any) -> Change:
    return {"accessCredentials": [{"sshPublicKey": {"source": source, "propagationMethod": method or AGENT}}]}


def passwords(source: Change = SECRET, **method: Any) -> Change:
    return {"accessCredentials": [{"userPassword": {"source": source, "propagationMethod": method}}]}


def users(*names: str) -> Change:
    return keys(qemuGuestAgent={"users": list(names)})


REFUSED: list[tuple[Change, str, str]] = [
    ({"accessCredentials": [{}]}, "accessCredentials[0]", "use exactly one of sshPublicKey, userPassword"),
    (
        {
            "accessCredentials": [
                {
                    "sshPublicKey": {"source": SECRET, "propagationMethod": AGENT},
                    "userPassword": {"source": SECRET, "propagationMethod": {"qemuGuestAgent": {}}},
                }
            ]
        },
        "accessCredentials[0]",
        "'sshPublicKey and userPassword' is not allowed",
    ),
    (keys({}), f"{KEYS}.source", "'nothing' is not allowed, use secret"),
    (keys({"secret": {"secretName": "../x"}}), f"{KEYS}.source.secret.secretName", "'../x' is not allowed"),
    (keys({"secret": {"secretName": ""}}), f"{KEYS}.source.secret.secretName", "'' is not allowed"),
    (
        {"accessCredentials": [{"sshPublicKey": {"source": SECRET, "propagationMethod": {}}}]},
        f"{KEYS}.propagationMethod",
        "use exactly one of noCloud, configDrive, qemuGuestAgent",
    ),
    (
        {**keys(noCloud={}, **AGENT), **volume(cloudInitNoCloud={"userData": "x"})},
        f"{KEYS}.propagationMethod",
        "'noCloud and qemuGuestAgent' is not allowed",
    ),
    (keys(noCloud={}), f"{KEYS}.propagationMethod.noCloud", "with a volume cloudInitNoCloud: there is none"),
    (
        {**keys(configDrive={}), **volume(cloudInitNoCloud={"userData": "x"})},
        f"{KEYS}.propagationMethod.configDrive",
        "with a volume cloudInitConfigDrive: there is none",
    ),
    (users(), f"{KEYS}.propagationMethod.qemuGuestAgent.users", "[] is not allowed, use at least one user"),
    (users(*map(str, range(65))), f"{KEYS}.propagationMethod.qemuGuestAgent.users", "at most 64"),
    *(
        (users("core", name), f"{KEYS}.propagationMethod.qemuGuestAgent.users[1]", "a user's name: 1 to 128 letters")
        for name in ("", "-x", "a:b", "a\nb", "../x", "a/b", "x" * 129, 'a"b', " a", "a ")
    ),
    (passwords(), f"{PASSWORDS}.propagationMethod", "'nothing' is not allowed, use qemuGuestAgent"),
    (passwords({}, qemuGuestAgent={}), f"{PASSWORDS}.source", "use secret"),
    ({"accessCredentials": keys()["accessCredentials"] * 65}, "accessCredentials", "'65 items' is not allowed"),
]


@pytest.mark.parametrize(("change", "field", "words"), REFUSED)
def test_credentials_that_cannot_be_set_are_refused_by_field(change: Change, field: str, words: str) -> None:
    assert_refused(change, field, words)


@pytest.mark.parametrize(
    "change",
    [
        users("core", "root", "svc_1", "john.doe", "user@example.com", "Administrator", "John Doe", "machine$"),
        passwords(qemuGuestAgent={}),
        {**keys(noCloud={}), **volume(cloudInitNoCloud={"userData": "x"})},
        {**keys(configDrive={}), **volume(cloudInitConfigDrive={"userData": "x"})},
        {"accessCredentials": []},
    ],
)
def test_credentials_of_each_method_are_accepted(change: Change) -> None:
    assert refusals(change) == ()
