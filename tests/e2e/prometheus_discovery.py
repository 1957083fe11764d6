"""Answers Prometheus' question for targets, as its own discovery by Kubernetes' API would, which Debian's build lacks.

The API server is asked as the service account of Prometheus: what that may not list, Prometheus would not find.
"""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import urllib3

from tests.support import scraping


@contextmanager
def discovery(server: str, authority: str, token: str) -> Iterator[str]:
    """The URL of a server of this process; the path is the namespace of the targets."""
    pool = urllib3.PoolManager(ssl_context=ssl.create_default_context(cadata=authority), timeout=10.0)

    def listed(namespace: str, resource: str) -> list[dict[str, Any]]:
        url = f"{server}/api/v1/namespaces/{namespace}/{resource}"
        answer = pool.request("GET", url, headers={"Authorization": f"Bearer {token}"})
        assert answer.status == 200, answer.data
        items: list[dict[str, Any]] = json.loads(answer.data)["items"]
        return items

    def targets(namespace: str) -> bytes:
        found = [listed(namespace, resource) for resource in ("services", "endpoints", "pods")]
        return json.dumps(scraping.discovered(*found)).encode()

    answering = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, targets))
    thread = threading.Thread(target=answering.serve_forever, name="discovery")
    thread.start()
    try:
        yield f"http://127.0.0.1:{answering.server_port}"
    finally:
        answering.shutdown()
        thread.join()
        answering.server_close()
        pool.clear()


class _Handler(http.server.BaseHTTPRequestHandler):
    """GET /NAMESPACE. An error is 503, after which Prometheus keeps the targets that it knows."""

    def __init__(self, targets: Any, *arguments: Any) -> None:
        self._targets = targets
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """Answer a request."""
        try:
            status, body = 200, self._targets(self.path.strip("/"))
        except (AssertionError, urllib3.exceptions.HTTPError) as error:
            status, body = 503, str(error).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""
