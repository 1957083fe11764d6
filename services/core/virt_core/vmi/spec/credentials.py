"""The supported access credentials of a VirtualMachineInstance. Part of spec/domain.py. Validation:
rules/credentials.py."""

from __future__ import annotations

from virt_core.validation.strict import Empty, Strict


class SecretSource(Strict, frozen=True):
    """A Secret of the same namespace."""

    secret_name: str


class CredentialSource(Strict, frozen=True):
    """Where the keys or passwords are."""

    secret: SecretSource | None = None


class AgentUsers(Strict, frozen=True):
    """Users of the guest whose authorized keys the guest agent writes."""

    users: list[str] = []


class KeyPropagation(Strict, frozen=True):
    """How the guest gets public keys. Exactly one."""

    no_cloud: Empty | None = None
    config_drive: Empty | None = None
    qemu_guest_agent: AgentUsers | None = None


class PasswordPropagation(Strict, frozen=True):
    """How the guest gets passwords: through its agent."""

    qemu_guest_agent: Empty | None = None


class SshPublicKey(Strict, frozen=True):
    """Public keys. Each value of the Secret has one or several, in lines."""

    source: CredentialSource
    propagation_method: KeyPropagation


class UserPassword(Strict, frozen=True):
    """Passwords. The Secret's keys are the names of users."""

    source: CredentialSource
    propagation_method: PasswordPropagation


class AccessCredential(Strict, frozen=True):
    """Public keys or passwords. Exactly one."""

    ssh_public_key: SshPublicKey | None = None
    user_password: UserPassword | None = None

    @property
    def secret_name(self) -> str:
        """The Secret; empty: none is named, which the rules refuse."""
        named = self.ssh_public_key or self.user_password
        return named.source.secret.secret_name if named is not None and named.source.secret is not None else ""
