"""What the guest gets of Secrets: keys and passwords are recognized, nothing else reaches the guest."""

from __future__ import annotations

import pytest
from kubevirt.launcher.v1 import machine_pb2
from virt_launcher.credentials.plan import MARK, marked, public_keys, stale, summary, wanted, without_secrets

from tests.samples.public_keys import KEY, OTHER

SECRETS = {
    "/s/keys": {"a": f"{KEY}\n".encode(), "b": OTHER.encode()},
    "/s/passwords": {"root": b" secret\n", "no": b""},
}


def keys_of(folder: str, *users: str) -> machine_pb2.AccessCredential:
    return machine_pb2.AccessCredential(folder=folder, authorized_keys=machine_pb2.AuthorizedKeys(users=users))


def passwords_of(folder: str) -> machine_pb2.AccessCredential:
    return machine_pb2.AccessCredential(folder=folder, user_passwords=machine_pb2.UserPasswords())


def test_users_get_the_keys_of_all_their_secrets_and_the_passwords_under_their_names() -> None:
    more = {**SECRETS, "/s/more": {"c": KEY.encode()}}
    found = wanted([keys_of("/s/keys", "core", "root"), keys_of("/s/more", "core"), passwords_of("/s/passwords")], more)
    assert found.keys == {"core": (KEY, OTHER), "root": (KEY, OTHER)}
    assert found.passwords == {"root": "secret"}
    assert found.problems == ()


def test_a_secret_without_keys_leaves_its_users_none() -> None:
    assert wanted([keys_of("/s", "core")], {"/s": {}}).keys == {"core": ()}


@pytest.mark.parametrize(
    "line",
    [
        KEY,
        OTHER,
        f'command="echo hi",no-pty {KEY}',
        "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29t",
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC comment with words and é",
    ],
)
def test_public_keys_are_recognized(line: str) -> None:
    assert public_keys("/s", {"k": f"# mine\r\n\n  {line} \r\n".encode()}) == ((line,), [])


@pytest.mark.parametrize(
    "value",
    [
        b"-----BEGIN OPENSSH PRIVATE KEY-----",
        b"b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW",
        b"ssh-rsa short",
        b"\xff\xfe",
        KEY.encode() + b"\x00x",
        KEY.encode() + b"x" * 8192,
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC \u202e".encode(),
    ],
)
def test_anything_else_is_named_by_its_place_and_never_shown(value: bytes) -> None:
    keys, problems = public_keys("/s", {"k": b"\n" + value})
    assert (keys, problems) == ((), ["line 2 of /s/k is not a public key"])


@pytest.mark.parametrize("value", ["two\nlines", "nul\x00", "x" * 513])
def test_what_is_no_password_is_not_set(value: str) -> None:
    found = wanted([passwords_of("/s")], {"/s": {"root": value.encode(), "core": b"fine"}})
    assert found.passwords == {"core": "fine"}
    (problem,) = found.problems
    assert problem.startswith("/s/root is not a password") and value not in problem


def test_numbers_are_bounded() -> None:
    many = {f"k{i}": f"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAB{i:06}".encode() for i in range(1100)}
    found = wanted([keys_of("/s", "core")], {"/s": many})
    assert (len(found.keys["core"]), found.problems) == (1024, ("/s has more than 1024 public keys",))
    found = wanted([passwords_of("/s")], {"/s": {f"u{i}": b"p" for i in range(300)}})
    assert (len(found.passwords), found.problems) == (256, ("/s has more than 256 passwords",))
    assert summary(["a", "b", "c", "d", "e"]) == "a; b; c; and 2 more"


def test_a_secret_full_of_nonsense_costs_little_memory_and_hides_no_key() -> None:
    lines = [b"a"] * 20_000
    keys, problems = public_keys("/s", {"a": b"\n".join([*lines, KEY.encode(), *lines])})
    assert keys == (KEY,)
    assert len(problems) <= 100
    found = wanted([passwords_of("/s")], {"/s": {f"user{number}": b"nul\x00" for number in range(1000)}})
    assert len(found.problems) <= 100


def test_only_what_launchers_wrote_is_removed_from_the_guest() -> None:
    mine, gone = f"{KEY} {MARK}", f"{OTHER} {MARK}"
    assert marked([KEY, mine]) == [mine, mine]
    assert stale(["ssh-rsa foreign", mine, gone, OTHER], [KEY]) == [gone]
    assert stale([KEY, mine], [KEY]) == [KEY], "the same key without the mark would outlive its removal"
    assert stale([gone, "x"], []) == [gone]


def test_a_key_to_whose_line_somebody_appended_is_removed_too() -> None:
    glued = f"{KEY} {MARK}ssh-rsa appended"
    assert stale([glued], []) == [glued]
    assert stale([glued, f"{KEY} {MARK}"], [KEY]) == [glued]


@pytest.mark.parametrize("answer", [None, 1, {"keys": 1}, [1, None, {}], "ssh-rsa"])
def test_a_guest_that_reports_something_else_than_keys_loses_none(answer: object) -> None:
    assert stale(answer, [KEY]) == []


def test_a_message_of_the_guest_that_repeats_a_secret_is_not_shown() -> None:
    assert without_secrets("no such user", ["hunter2"]) == "no such user"
    for message in ("I got hunter2", "I got aHVudGVyMg=="):
        assert without_secrets(message, ["x!", "hunter2"]) == "the guest agent gives no usable reason"


def test_what_is_wanted_is_not_shown_by_accident() -> None:
    assert "secret" not in repr(wanted([passwords_of("/s/passwords")], SECRETS))
