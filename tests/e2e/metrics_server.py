"""External metrics for an autoscaler, served from a pod by this file alone: one metric, whose value a request sets.

Argument: the folder of a TLS Secret. GET …/set/N sets the value; the API server passes it on like any request of
the group external.metrics.k8s.io.
"""

import http.server
import json
import ssl
import sys

GROUP = "external.metrics.k8s.io/v1beta1"
VALUE = [0]


class Metrics(http.server.BaseHTTPRequestHandler):
    """Discovery, the metric, and its setting."""

    def do_GET(self) -> None:
        """Answer a request."""
        path = self.path.partition("?")[0].rstrip("/")
        if "/set/" in path:
            VALUE[0] = int(path.rpartition("/")[2])
        if path.endswith(GROUP):
            body = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": GROUP, "resources": []}
        else:
            item = {"metricName": "waiting", "metricLabels": {}, "timestamp": "2026-01-01T00:00:00Z"}
            items = [{**item, "value": str(VALUE[0])}]
            body = {"kind": "ExternalMetricValueList", "apiVersion": GROUP, "metadata": {}, "items": items}
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(f"{sys.argv[1]}/tls.crt", f"{sys.argv[1]}/tls.key")
server = http.server.ThreadingHTTPServer(("", 8443), Metrics)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
