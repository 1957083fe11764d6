"""Access credentials in the handler: the machine names folders only, the condition says what is waited for."""

from __future__ import annotations

from typing import Any

import pytest
from kubevirt.launcher.v1 import state_pb2
from virt_core.objects.kubevirt import Configuration
from virt_handler.machines.guest_state import CredentialsState, GuestState
from virt_handler.network.plan import PodNetwork

from tests.unit.handler.demo import VMI_UID, MakeVmi, translated
from tests.unit.handler.planning import status_after

FOLDER = "/var/run/kubevirt/access-credentials"
SYNCHRONIZED = state_pb2.CREDENTIALS_PROGRESS_SYNCHRONIZED


def running(credentials: CredentialsState | None) -> GuestState:
    return GuestState(VMI_UID, state_pb2.MACHINE_PHASE_RUNNING, credentials=credentials)


def condition(status: dict[str, Any]) -> dict[str, Any]:
    found = (entry for entry in status["conditions"] if entry["type"] == "AccessCredentialsSynchronized")
    return next(found, {})


def test_credentials_for_the_guest_agent_are_translated_to_folders(make_vmi: MakeVmi) -> None:
    def source(secret: str) -> dict[str, Any]:
        return {"secret": {"secretName": secret}}

    agent, seed = {"qemuGuestAgent": {"users": ["core", "root"]}}, {"name": "s", "cloudInitNoCloud": {"userData": "x"}}
    vmi = make_vmi(
        spec={
            "volumes": [seed],
            "accessCredentials": [
                {"sshPublicKey": {"source": source("keys"), "propagationMethod": agent}},
                {"userPassword": {"source": source("p.w"), "propagationMethod": {"qemuGuestAgent": {}}}},
                {"sshPublicKey": {"source": source("seed"), "propagationMethod": {"noCloud": {}}}},
            ],
        }
    )
    keys, passwords = translated(vmi, Configuration(), PodNetwork(1450, ("10.244.1.7",))).access_credentials
    assert (keys.folder, list(keys.authorized_keys.users)) == (f"{FOLDER}/keys", ["core", "root"])
    assert (passwords.folder, passwords.WhichOneof("kind")) == (f"{FOLDER}/p.w", "user_passwords")


@pytest.mark.parametrize(
    ("progress", "message", "reason", "shown"),
    [
        (state_pb2.CREDENTIALS_PROGRESS_NO_AGENT, "no agent", "GuestAgentNotConnected", "no agent"),
        (state_pb2.CREDENTIALS_PROGRESS_REFUSED, "user core: no", "GuestAgentRefused", "user core: no"),
        (
            state_pb2.CREDENTIALS_PROGRESS_UNUSABLE,
            f"line 1 of {FOLDER}/a.b/k is not a public key; {FOLDER}/c cannot be read: x",
            "UnusableSecret",
            "line 1 of key k of Secret a.b is not a public key; Secret c cannot be read: x",
        ),
        (99, "\x1b[31mnew\n", "NotSynchronized", "[31mnew"),
    ],
)
def test_the_condition_names_what_is_waited_for(
    make_vmi: MakeVmi, progress: Any, message: str, reason: str, shown: str
) -> None:
    reported = state_pb2.MachineState(machine_uid=VMI_UID, phase=state_pb2.MACHINE_PHASE_RUNNING)
    reported.credentials.progress, reported.credentials.message = progress, message
    found = condition(status_after(make_vmi(), GuestState.from_message(reported)))
    assert (found["status"], found["reason"], found["message"]) == ("False", reason, shown)


def test_the_condition_is_true_while_the_guest_has_all_and_goes_with_the_guest(make_vmi: MakeVmi) -> None:
    status = status_after(make_vmi(), running(CredentialsState(SYNCHRONIZED)))
    found = condition(status)
    assert (found["status"], found.get("reason", ""), found.get("message", "")) == ("True", "", "")
    ended = GuestState(VMI_UID, state_pb2.MACHINE_PHASE_ENDED, state_pb2.MACHINE_END_SHUTDOWN)
    assert condition(status_after(make_vmi(status=status), ended)) == {}


def test_a_machine_without_credentials_has_no_condition(make_vmi: MakeVmi) -> None:
    status = status_after(make_vmi(), running(CredentialsState(SYNCHRONIZED)))
    assert condition(status_after(make_vmi(status=status), running(None))) == {}
    assert GuestState.from_message(state_pb2.MachineState()).credentials is None
