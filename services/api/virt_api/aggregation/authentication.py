"""Authentication: the user that the front proxy names. Pure except FrontProxyWatch, which watches the front proxy's
rules.

kube-apiserver calls an aggregated API with a client certificate of the request-header CA and names the user in headers.
A ConfigMap that every aggregated API may read defines the CA, the common names and the headers.
virt_core.rpc.server_tls verifies the certificate's chain during the handshake; this module checks the common name and
only then reads the headers. Called by routes.py for all paths except open ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import msgspec
from multidict import CIMultiDict, CIMultiDictProxy
from virt_core import logs
from virt_core.conventions.apiserver_authentication import NAME, NAMESPACE
from virt_core.kube.client import KubeClient
from virt_core.kube.reflector import Reflector
from virt_core.kube.resource import CONFIG_MAPS
from virt_core.objects.meta import ObjectMeta

from virt_api.errors import Unauthorized

Headers = CIMultiDict[str] | CIMultiDictProxy[str]


@dataclass(frozen=True, slots=True)
class FrontProxy:
    """How to recognize the front proxy, and the headers that it sets."""

    authorities: str = ""
    """PEM bundle of the CAs of its client certificate; empty trusts nobody."""

    names: frozenset[str] = frozenset()
    """Allowed common names; empty allows every name that the CA has signed, as Kubernetes defines it."""

    user_headers: tuple[str, ...] = ()
    uid_headers: tuple[str, ...] = ()
    group_headers: tuple[str, ...] = ()
    extra_prefixes: tuple[str, ...] = ()

    @classmethod
    def from_config_map(cls, data: Mapping[str, str]) -> FrontProxy:
        """The rules in the ConfigMap's data.

        Raises:
            ValueError: a list in it is not a JSON list of strings.
        """

        def strings(key: str) -> tuple[str, ...]:
            try:
                return tuple(msgspec.json.decode(data.get(key) or "[]", type=list[str]))
            except msgspec.DecodeError as error:
                raise ValueError(f"{key}: {data[key]!r} is not allowed, use a JSON list of strings") from error

        return cls(
            authorities=data.get("requestheader-client-ca-file", ""),
            names=frozenset(strings("requestheader-allowed-names")),
            user_headers=strings("requestheader-username-headers"),
            uid_headers=strings("requestheader-uid-headers"),
            group_headers=strings("requestheader-group-headers"),
            extra_prefixes=strings("requestheader-extra-headers-prefix"),
        )


@dataclass(frozen=True, slots=True)
class User:
    """A user as the front proxy names it."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


def authenticate(certificate: Mapping[str, Any] | None, headers: Headers, trusted: FrontProxy) -> User:
    """The user in the front proxy's `headers`.

    `certificate` is the client's, in the form of ssl.SSLObject.getpeercert, which is empty unless its chain was
    verified against the authorities of `trusted`.

    Raises:
        Unauthorized: the caller is not the front proxy, or it names no user.
    """
    if not trusted.authorities or not certificate:
        raise Unauthorized("Unauthorized: no client certificate of the cluster's request-header authority")
    names = {value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"}
    if trusted.names and not names & trusted.names:
        raise Unauthorized(f"Unauthorized: the client certificate's common name {sorted(names)} is not a front proxy's")
    name = _first(headers, trusted.user_headers)
    if not name:
        raise Unauthorized(f"Unauthorized: no user in any of the headers {list(trusted.user_headers)}")
    groups = tuple(value for header in trusted.group_headers for value in headers.getall(header, ()))
    return User(name, _first(headers, trusted.uid_headers), groups, _extra(headers, trusted.extra_prefixes))


def _first(headers: Headers, names: tuple[str, ...]) -> str:
    return next((headers[name] for name in names if headers.get(name)), "")


def _extra(headers: Headers, prefixes: tuple[str, ...]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    extra: dict[str, list[str]] = {}
    for header, value in headers.items():
        for prefix in prefixes:
            if header.lower().startswith(prefix.lower()):
                # Kubernetes escapes characters that header names cannot contain, and compares keys in lower case.
                extra.setdefault(unquote(header[len(prefix) :]).lower(), []).append(value)
                break
    return tuple((key, tuple(values)) for key, values in sorted(extra.items()))


class _ConfigMap(msgspec.Struct, frozen=True):
    metadata: ObjectMeta
    data: dict[str, str] = {}


class FrontProxyWatch:
    """The current `rules` of the cluster's ConfigMap. Trusts nobody before it is read or if it does not exist."""

    def __init__(self, client: KubeClient) -> None:
        self.rules = FrontProxy()
        self._log = logs.bound("virt_api.aggregation.authentication", configmap=f"{NAMESPACE}/{NAME}")
        self._reflector = Reflector(
            client, CONFIG_MAPS, _ConfigMap, self._changed, namespace=NAMESPACE, fields=f"metadata.name={NAME}"
        )
        self.synced = self._reflector.synced

    async def run(self) -> None:
        """Follow the ConfigMap until cancelled."""
        await self._reflector.run()

    def _changed(self, key: tuple[str, str]) -> None:
        found = self._reflector.get(key)
        try:
            rules = FrontProxy.from_config_map(found.data) if found else FrontProxy()
        except ValueError as error:
            self._log.error("keeping the previous rules: the new ones are invalid", reason=str(error))
            return
        self._log.info("trusting the front proxy", names=sorted(rules.names), present=bool(rules.authorities))
        self.rules = rules
