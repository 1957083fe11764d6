"""TLS of an HTTPS server, with certificates checked at each handshake. Called by virt-api's and virt-operator's
servers, and by that of metrics.

The server's leaf and the client CAs change while the process runs. A handshake that finds a change creates a new
context, because a live context can add CAs but cannot remove one. So a removed CA is no longer trusted from the next
handshake on; open connections end by themselves (idle ones of kube-apiserver after 75 s).
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

from virt_core import logs
from virt_core.conventions.certificate_files import KEY, LEAF
from virt_core.rpc.tls import Certificates

_log = logs.bound("virt_core.rpc.server_tls")


class ServerTls:
    """`context` is for the listening socket; each handshake switches to a context for the current files and CAs."""

    def __init__(self, certificates: Certificates, authorities: Callable[[], str] | None) -> None:
        """`authorities` returns the PEM bundle of the client CAs; "" for none. Without it no client is asked for a
        certificate.

        Raises:
            OSError, ssl.SSLError: a file is missing, or key and certificate do not match.
        """
        self._certificates = certificates
        self._authorities = authorities
        self._loaded = self._wanted()
        self._current = self._make()
        self.context = self._make()
        self.context.sni_callback = self._choose

    def _wanted(self) -> tuple[str, str]:
        return self._certificates.fingerprint(), self._authorities() if self._authorities is not None else ""

    def _choose(self, connection: ssl.SSLObject, server_name: str | None, context: ssl.SSLContext) -> None:
        """Called by OpenSSL for every client hello, also for one without a server name."""
        try:
            wanted = self._wanted()
            if wanted != self._loaded:
                _log.info("loading new certificates")
                self._current, self._loaded = self._make(), wanted
        except (OSError, ssl.SSLError) as error:  # the files are being replaced: the next handshake reads them
            _log.warning("keeping the previous certificates", reason=str(error))
        connection.context = self._current

    def _make(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3  # every client is a Go program or ours
        context.num_tickets = 0  # a resumed session would not be verified again
        context.set_alpn_protocols(["http/1.1"])
        folder = self._certificates.folder
        context.load_cert_chain(folder / LEAF, folder / KEY)
        if self._authorities is None:
            context.verify_mode = ssl.CERT_NONE
            return context
        # A client may come without a certificate (kubelet's probe); one that does not verify fails the handshake.
        context.verify_mode = ssl.CERT_OPTIONAL
        if authorities := self._authorities():
            context.load_verify_locations(cadata=authorities)
        return context
