"""Sets the machine's access credentials through the guest agent. Called by agent/keeper.py, the only task that talks to
the agent, when the agent has connected and when a Secret has changed (agent/secret_watch.py).

All steps can be repeated: a launcher that restarts, or an agent that connects again, begins with the first one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from kubevirt.launcher.v1 import machine_pb2, state_pb2
from virt_core import logs

from virt_launcher.credentials.plan import Wanted, encoded, marked, stale, summary, wanted, without_secrets
from virt_launcher.credentials.secret_files import read_secret
from virt_launcher.errors import AgentRefused, AgentUnavailable, UnusableSecret

_log = logs.bound("virt_launcher.credentials")

# Seconds. cloud-init may create a user after the agent has started.
_FIRST_RETRY, _LAST_RETRY = 10.0, 300.0
_NO_FILE = "failed to read"  # qemu-ga's message about a user without authorized_keys

Ask = Callable[[str, Mapping[str, Any]], Awaitable[Any]]
"""A command of the guest agent and its arguments. Raises AgentUnavailable and AgentRefused."""


class CredentialsSync:
    """What the guest has, and what it still needs. `report` gets the state after each attempt; None: no agent."""

    def __init__(self, ask: Ask, report: Callable[[state_pb2.CredentialsState | None], None]) -> None:
        self._ask = ask
        self._report = report
        self._due = True
        self._retry = _FIRST_RETRY
        self._retry_at = 0.0
        self._passwords: dict[str, str] = {}
        """Those that this agent has set. One that its user changed in the guest stays until the Secret changes."""

    def secret_changed(self) -> None:
        """Read the Secrets again."""
        self._due, self._retry, self._retry_at = True, _FIRST_RETRY, 0.0

    def agent_gone(self) -> None:
        """Begin again with the next agent: the guest may have booted from another disk."""
        self.secret_changed()
        self._passwords = {}
        self._report(None)

    async def synchronize(self, credentials: Sequence[machine_pb2.AccessCredential]) -> float | None:
        """Set what is missing. Returns the seconds until the next attempt; None: nothing is left to do."""
        if not credentials or not self._due:
            return None
        if (left := self._retry_at - _clock()) > 0:
            return left
        self._due = False
        state = await self._attempt(credentials)
        self._report(state)
        if state.progress in (
            state_pb2.CREDENTIALS_PROGRESS_SYNCHRONIZED,
            state_pb2.CREDENTIALS_PROGRESS_UNUSABLE,  # until the Secret changes
        ):
            self._retry = _FIRST_RETRY
            return None
        pause, self._retry = self._retry, min(2 * self._retry, _LAST_RETRY)
        self._due, self._retry_at = True, _clock() + pause
        return pause

    async def _attempt(self, credentials: Sequence[machine_pb2.AccessCredential]) -> state_pb2.CredentialsState:
        secrets: dict[str, Mapping[str, bytes]] = {}
        problems: list[str] = []
        for folder in dict.fromkeys(credential.folder for credential in credentials):
            try:
                secrets[folder] = read_secret(folder)
            except UnusableSecret as error:
                problems.append(str(error))
        target = wanted([credential for credential in credentials if credential.folder in secrets], secrets)
        problems += target.problems
        _log.info("setting credentials in the guest", users_with_keys=len(target.keys), passwords=len(target.passwords))
        try:
            refusals = await self._set(target)
        except AgentUnavailable as error:
            return _state(state_pb2.CREDENTIALS_PROGRESS_NO_AGENT, f"the guest agent does not answer: {error}")
        if refusals:
            return _state(state_pb2.CREDENTIALS_PROGRESS_REFUSED, summary([*refusals, *problems]))
        if problems:
            return _state(state_pb2.CREDENTIALS_PROGRESS_UNUSABLE, summary(problems))
        return _state(state_pb2.CREDENTIALS_PROGRESS_SYNCHRONIZED)

    async def _set(self, target: Wanted) -> list[str]:
        """Set all credentials, each independently of the others. Returns the refusals."""
        refusals = []
        for user, keys in target.keys.items():
            try:
                await self._set_keys(user, keys)
            except AgentRefused as error:
                refusals.append(f"user {user}: {without_secrets(str(error), keys)}")
        for user, password in target.passwords.items():
            if self._passwords.get(user) == password:
                continue
            request = {"username": user, "password": encoded(password), "crypted": False}
            try:
                await self._ask("guest-set-user-password", request)
            except AgentRefused as error:
                refusals.append(f"user {user}: {without_secrets(str(error), [password])}")
            else:
                self._passwords[user] = password
        return refusals

    async def _set_keys(self, user: str, keys: Sequence[str]) -> None:
        """Add first, so that no key is missing in between. The agent omits keys that the file has."""
        if keys:
            await self._ask("guest-ssh-add-authorized-keys", {"username": user, "keys": marked(keys), "reset": False})
        try:
            answer = await self._ask("guest-ssh-get-authorized-keys", {"username": user})
        except AgentRefused as error:
            if keys or _NO_FILE not in str(error):
                raise
            return
        old = stale(answer.get("keys") if isinstance(answer, dict) else None, keys)
        if old:
            await self._ask("guest-ssh-remove-authorized-keys", {"username": user, "keys": old})


def _state(progress: state_pb2.CredentialsProgress.ValueType, message: str = "") -> state_pb2.CredentialsState:
    _log.info(
        "reporting credentials of the guest", progress=state_pb2.CredentialsProgress.Name(progress), reason=message
    )
    return state_pb2.CredentialsState(progress=progress, message=message)


def _clock() -> float:
    return asyncio.get_running_loop().time()
