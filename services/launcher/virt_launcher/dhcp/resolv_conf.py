"""The pod's name servers, for the guest. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resolver:
    """The settings of resolv.conf that DHCP over IPv4 can transport."""

    servers: tuple[ipaddress.IPv4Address, ...] = ()
    search: tuple[str, ...] = ()

    def within(self, subdomain: str) -> Resolver:
        """The resolver with the subdomain's domain first in its search list, so that a guest finds the other guests of
        its Service by host name, as in KubeVirt. The kubelet's search list has the namespace's domain,
        NAMESPACE.svc.ZONE."""
        services = max((domain for domain in self.search if domain.split(".")[1:2] == ["svc"]), key=len, default="")
        if not subdomain or not services:
            return self
        own = f"{subdomain}.{services}"
        return Resolver(self.servers, (own, *(domain for domain in self.search if domain != own)))


def parse(text: str) -> Resolver:
    """Parse a resolv.conf (resolv.conf(5)): IPv4 name servers in order, and the last search line."""
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
                continue  # IPv6 or an address with a zone cannot be sent by DHCP over IPv4
        elif words[0] in ("search", "domain"):
            search = tuple(word.rstrip(".") for word in words[1:] if word.rstrip("."))
    return Resolver(tuple(servers), search)
