"""Plans where the source's pod passes on what arrives for its guest. Pure; called by source.py.

Services learn the guest's new pod from virt-controller about half a second after the guest has left. Until then clients
come to the old pod.
"""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address

from virt_core.vmi.accepted import AcceptedSpec

from virt_handler.machines.preparation import planned_network
from virt_handler.migration.actions import ForwardToTarget
from virt_handler.migration.observe import ObservedSide
from virt_handler.migration.report import SWITCHED, Progress
from virt_handler.network.rules import DepartedGuest


def forwarding(side: ObservedSide) -> tuple[ForwardToTarget, ...]:
    """The action that passes it on, or no longer does; empty if it is so."""
    spec, network = side.machine.spec, side.machine.network
    if network is None or not isinstance(spec, AcceptedSpec) or not side.state.target_node_address:
        return ()
    if _left(side):
        target = _target(side)
    elif side.phase is Progress.UNKNOWN or not side.forwards_to:
        return ()
    else:
        target = None
    address = str(target or "")
    planned = planned_network(spec, network, DepartedGuest(target) if target is not None else None)
    if planned is None or planned.uplink is not None or address == side.forwards_to:  # a bridged guest does not migrate
        return ()
    return (ForwardToTarget(planned, address),)


def _left(side: ObservedSide) -> bool:
    """Whether the guest never runs here again, by the object, or by the launcher of this pod: clients of its own guest
    are all that it can send away."""
    return side.state.succeeded or side.phase in SWITCHED


def _target(side: ObservedSide) -> IPv4Address | None:
    """The address of the target's pod as its handler has written it. After the pod's end it may be another pod's."""
    if side.target_is_gone:
        return None
    try:
        address = IPv4Address(side.state.target_node_address)
    except AddressValueError:
        return None
    own = side.machine.network.addresses if side.machine.network is not None else ()
    return address if str(address) not in own else None
