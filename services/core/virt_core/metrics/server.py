"""The HTTPS port of operator, controller and handler for Prometheus, with the suite's certificate. Run by their app.py;
virt-api has the same answer on its own port.

As in KubeVirt nobody is asked who he is: whoever reaches the port may read the metrics. They contain names and numbers.
"""

from __future__ import annotations

from virt_core import http, logs
from virt_core.conventions.component_pod import METRICS_PATH
from virt_core.metrics.measured import CONTENT_TYPE, Measure, Measured
from virt_core.rpc.server_tls import ServerTls
from virt_core.rpc.tls import Certificates

_SECONDS = 10.0  # for an answer, Prometheus' own limit
_log = logs.bound("virt_core.metrics.server")


async def serve(port: int, certificates: Certificates, measure: Measure) -> None:
    """Serve `measure` on all addresses until cancelled.

    Raises:
        OSError, ssl.SSLError: the port is in use, a file is missing, or key and certificate do not match.
    """
    measured = Measured(measure)

    async def page() -> http.Page:
        return http.Page("200 OK", await measured.body(), CONTENT_TYPE)

    tls = ServerTls(certificates, None)
    _log.info("serving metrics", port=port)
    await http.serve_pages(port, {METRICS_PATH: page}, tls.context, _SECONDS)
