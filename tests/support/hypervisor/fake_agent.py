"""A double of the guest agent of a FakeHypervisor's guest (fake_host.py)."""

from __future__ import annotations

import base64
import json
from typing import Any

from virt_launcher.errors import AgentRefused, AgentUnavailable


class FakeAgent:
    """A guest agent: answers from a table, freezes and thaws, keeps keys and passwords.

    Attributes:
        silent_after: commands that it executes without a response.
        keys: lines of authorized_keys by user; a user without the file is missing.
        passwords: all that were set, in order.
    """

    def __init__(self) -> None:
        self.frozen = False
        self.freezable = True
        self.refuses: set[str] = set()
        self.hangs = False
        self.silent_after: set[str] = set()
        self.commands: list[str] = []
        self.keys: dict[str, list[str]] = {}
        self.passwords: list[tuple[str, str]] = []
        self.answers: dict[str, Any] = {
            "guest-ping": {},
            "guest-info": {"version": "7.2", "supported_commands": [{"name": "guest-ping", "enabled": True}]},
            "guest-get-host-name": {"host-name": "demo"},
            "guest-get-osinfo": {"id": "debian"},
            "guest-network-get-interfaces": [],
        }

    def answer(self, command: str) -> str:
        """The reply to one command, both JSON."""
        request = json.loads(command)
        name, arguments = request["execute"], request.get("arguments", {})
        user, keys = arguments.get("username", ""), arguments.get("keys", [])
        self.commands.append(name)
        if name in self.refuses:
            raise AgentRefused(f"internal error: unable to execute QEMU agent command '{name}'")
        match name:
            case "guest-fsfreeze-status":
                returned: Any = "frozen" if self.frozen else "thawed"
            case "guest-fsfreeze-freeze":
                self.frozen = self.freezable
                returned = int(self.freezable)
            case "guest-fsfreeze-thaw":
                returned = int(self.frozen)
                self.frozen = False
            case "guest-set-user-password":
                self.passwords.append((user, base64.b64decode(arguments["password"]).decode()))
                returned = {}
            case "guest-ssh-add-authorized-keys":
                present = self.keys.setdefault(user, [])
                present += [key for key in keys if key not in present]
                returned = {}
            case "guest-ssh-get-authorized-keys" if user not in self.keys:
                raise AgentRefused(f"internal error: unable to execute QEMU agent command '{name}': failed to read 'f'")
            case "guest-ssh-get-authorized-keys":
                returned = {"keys": self.keys[user]}
            case "guest-ssh-remove-authorized-keys":
                self.keys[user] = [key for key in self.keys[user] if key not in keys]
                returned = {}
            case _ if name in self.answers:
                returned = self.answers[name]
            case _:
                raise AgentRefused(f"internal error: unable to execute QEMU agent command '{name}'")
        if name in self.silent_after:
            raise AgentUnavailable("Guest agent is not responding: Guest agent not available for now")
        return json.dumps({"return": returned})
