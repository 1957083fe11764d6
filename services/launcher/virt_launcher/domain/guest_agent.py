"""Blocking calls to the guest agent through libvirt. Called by host.py's threads, with an open connection, and by
probe.py. Decides nothing; agent/replies.py parses the responses."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

from virt_launcher.domain.names import AGENT_CHANNEL
from virt_launcher.domain.only_domain import find_domain
from virt_launcher.errors import AgentRefused, AgentUnavailable

# VIR_ERR_AGENT_COMMAND_TIMEOUT and VIR_ERR_AGENT_COMMAND_FAILED of libvirt 11.2; older bindings do not define them, and
# older libvirts return VIR_ERR_AGENT_UNRESPONSIVE and VIR_ERR_INTERNAL_ERROR instead.
_COMMAND_TIMEOUT, _COMMAND_FAILED = 112, 113


def is_connected(connection: Any) -> bool:
    """Whether an agent has opened its end of the channel."""
    domain = find_domain(connection)
    if domain is None:
        return False
    tree = ET.fromstring(domain.XMLDesc(0))  # noqa: S314 - libvirtd's own
    target = tree.find(f"devices/channel/target[@name='{AGENT_CHANNEL}']")
    return target is not None and target.get("state") == "connected"


def ask(connection: Any, command: str, timeout: int) -> str:
    """The agent's response to a command; both are JSON.

    Raises:
        AgentUnavailable: there is no agent, or it did not answer within `timeout` seconds.
        AgentRefused: the agent returned an error.
    """
    import libvirt
    import libvirt_qemu

    if not is_connected(connection):  # libvirtd would log an error
        raise AgentUnavailable("no guest agent is connected")
    try:
        return str(libvirt_qemu.qemuAgentCommand(_require(connection), command, timeout, 0))
    except libvirt.libvirtError as error:
        raise _translated(error) from error


def reboot(connection: Any) -> None:
    """Have the agent reboot the guest. Returns when the guest was reset, or after libvirt's timeout for that.

    Raises:
        AgentUnavailable: there is no agent, or nothing happened.
        AgentRefused: the agent returned an error.
    """
    import libvirt

    try:
        _require(connection).reboot(libvirt.VIR_DOMAIN_REBOOT_GUEST_AGENT)
    except libvirt.libvirtError as error:
        raise _translated(error) from error


def _require(connection: Any) -> Any:
    domain = find_domain(connection)
    if domain is None:
        raise AgentUnavailable("libvirt has no domain")
    return domain


def _translated(error: Any) -> Exception:
    import libvirt

    code = error.get_error_code()
    absent = (
        libvirt.VIR_ERR_AGENT_UNRESPONSIVE,
        libvirt.VIR_ERR_AGENT_UNSYNCED,
        _COMMAND_TIMEOUT,
        libvirt.VIR_ERR_OPERATION_INVALID,  # the domain does not run
        libvirt.VIR_ERR_NO_DOMAIN,
    )
    if code in absent:
        return AgentUnavailable(str(error))
    if code in (libvirt.VIR_ERR_INTERNAL_ERROR, _COMMAND_FAILED):
        return AgentRefused(str(error))
    assert isinstance(error, Exception)
    return error
