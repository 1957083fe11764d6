"""The original configuration of the pod's card, stored as a text on the bridge as long as the pod's network exists.
Pure.

Called by machines/plan.py, which refuses a configuration that does not fit, and by execute.py. A bridged guest has the
pod's address, so later handler processes find no address on the card. The text is an interface alias (ip-link(8),
``alias``) of at most 255 bytes.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from virt_handler.network.plan import PodNetwork, Route

_MARK = "kubevirt"
_NONE = "-"
_LIMIT = 255  # bytes, IFALIASZ of <linux/if.h> less the final zero


_NAMED = 3  # routes that a message shows


class DoesNotFit(ValueError):
    """The pod has more routes than can be stored: its card cannot be bridged. The message lists them."""


def write(pod: PodNetwork) -> str:
    """The text.

    Raises:
        DoesNotFit: it would be too long.
    """
    routes = [f"{route.destination}>{route.via}" for route in pod.routes]
    address = f"{pod.addresses[0]}/{pod.prefix_length}" if pod.addresses else _NONE
    text = " ".join([_MARK, pod.mac, str(pod.mtu), address, *routes])
    if len(text) > _LIMIT:
        named = ", ".join(f"{route.destination} via {route.via or 'the link'}" for route in pod.routes[:_NAMED])
        raise DoesNotFit(
            f"the pod's {len(pod.routes)} routes cannot be kept for the guest: with the card's address they take"
            f" {len(text)} bytes, allowed are {_LIMIT}: {named}{', …' if len(pod.routes) > _NAMED else ''}"
        )
    return text


def read(text: str | None) -> PodNetwork | None:
    """The stored configuration; None if the text is not from `write`."""
    mark, *words = (text or "").split(" ")
    if mark != _MARK or len(words) < 3:
        return None
    mac, mtu, address, *routes = words
    try:
        ip, _, prefix = address.partition("/")
        found = tuple(_route(route) for route in routes)
        if address == _NONE:
            return PodNetwork(int(mtu), (), mac=mac, routes=found)
        return PodNetwork(int(mtu), (str(IPv4Address(ip)),), int(prefix), mac, found)
    except ValueError:
        return None


def _route(text: str) -> Route:
    destination, _, via = text.partition(">")
    return Route(str(IPv4Network(destination)), str(IPv4Address(via)) if via else "")
