"""TLS of an HTTPS server, looked at anew at each handshake. Called by virt-api's and virt-operator's servers.

Our own leaf and the authorities of our clients both change under the running process. A handshake that finds either
changed makes a new context; a live context could take new authorities but never give one up. So a removed authority
ends with the next handshake; connections that are open end by themselves (kube-apiserver's idle ones after 75 s).
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

from virt_core import logs
from virt_core.rpc.tls import Certificates

_log = logs.bound("virt_core.rpc.server_tls")


class ServerTls:
    """`context` is for the listening socket; each handshake is then moved to what files and `authorities` say now."""

    def __init__(self, certificates: Certificates, authorities: Callable[[], str]) -> None:
        """`authorities` returns the PEM bundle that client certificates are verified against; "" for none.

        Raises:
            OSError, ssl.SSLError: the files are not there or do not belong together.
        """
        self._certificates = certificates
        self._authorities = authorities
        self._loaded = self._wanted()
        self._current = self._make()
        self.context = self._make()
        self.context.sni_callback = self._choose

    def _wanted(self) -> tuple[str, str]:
        return self._certificates.fingerprint(), self._authorities()

    def _choose(self, connection: ssl.SSLObject, server_name: str | None, context: ssl.SSLContext) -> None:
        """Called by OpenSSL for every client hello, also for one without a server name."""
        try:
            wanted = self._wanted()
            if wanted != self._loaded:
                _log.info("loading new certificates")
                self._current, self._loaded = self._make(), wanted
        except (OSError, ssl.SSLError) as error:  # the files are being replaced: the next handshake sees them
            _log.warning("keeping the certificates of before", reason=str(error))
        connection.context = self._current

    def _make(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3  # every client is a Go program or ours
        context.num_tickets = 0  # a resumed session would not be verified again
        context.set_alpn_protocols(["http/1.1"])
        folder = self._certificates.folder
        context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
        # A client may come without a certificate (kubelet's probe); one that does not verify fails the handshake.
        context.verify_mode = ssl.CERT_OPTIONAL
        if authorities := self._authorities():
            context.load_verify_locations(cadata=authorities)
        return context
