"""The pod's name servers, for the guest. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resolver:
    """What resolv.conf says, as far as DHCP over IPv4 can say it."""

    servers: tuple[ipaddress.IPv4Address, ...] = ()
    search: tuple[str, ...] = ()


def parse(text: str) -> Resolver:
    """Read a resolv.conf (resolv.conf(5)): IPv4 name servers in order; of several search lines the last counts."""
    servers: list[ipaddress.IPv4Address] = []
    search: tuple[str, ...] = ()
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0][0] in "#;":
            continue
        if words[0] == "nameserver":
            try:
                servers.append(ipaddress.IPv4Address(words[1]))
            except ValueError:
                continue  # IPv6, or a zone: not for DHCP over IPv4
        elif words[0] in ("search", "domain"):
            search = tuple(word.rstrip(".") for word in words[1:] if word.rstrip("."))
    return Resolver(tuple(servers), search)
