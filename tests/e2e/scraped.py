"""Debian's Prometheus on the test's machine, which scrapes the cluster by what virt-operator has written for it.

It scrapes kube-state-metrics, too, a process beside it, and the API server and the kubelets, as that of a cluster does.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from localcluster import clients
from localcluster.settings import Cluster
from virt_operator.strategy.monitoring import NAME

from tests.e2e import prometheus_kinds
from tests.e2e.admin import authority
from tests.e2e.cluster import NAMESPACE, get, kubectl, until
from tests.e2e.prometheus_discovery import discovery
from tests.e2e.prometheus_kinds import ACCOUNT, MONITORING, all_there, define, found
from tests.support import prometheus, scraping
from tests.support.probes import free_port
from tests.support.prometheus import Prometheus

COMPONENTS = ("virt-operator", "virt-api", "virt-controller", "virt-handler")
JOB = f"serviceMonitor/{MONITORING}/{NAME}/0"
FACTOR = 120
"""By how much less than its rule says something has to last until an alert is raised."""

VERIFIED, PLAIN, UNKNOWN = "verified", "plain", "unknown-authority"
"""What jobs are called that scrape a component otherwise than the ServiceMonitor says, before its name."""

_SECONDS = {"scrape_interval": "3s", "scrape_timeout": "3s", "evaluation_interval": "3s"}
_SELDOM = {"scrape_interval": "10s", "scrape_timeout": "10s"}


@contextmanager
def scraped(folder: Path) -> Iterator[Prometheus]:
    """As soon as it reaches every pod. Afterwards kinds, account and objects are gone."""
    with prometheus_kinds.account():
        define("ServiceMonitor", "PrometheusRule")
        until(all_there, "the objects for Prometheus", prometheus_kinds.WITHIN)
        config = json.loads(kubectl("config", "view", "--raw", "--flatten", "--minify", "-o", "json"))
        server, files = _access(config, folder)
        token = kubectl("create", "token", ACCOUNT, "-n", MONITORING, "--duration=2h").strip()
        with (
            discovery(server, files["ca"].read_text(), token) as url,
            _state_metrics(folder) as port,
        ):
            (job,) = scraping.jobs(found("ServiceMonitor"), url)
            jobs = [job, *_otherwise(job, folder), _of_state(port), *_of_kubernetes(server, files)]
            rules = scraping.sooner(found("PrometheusRule"), FACTOR)
            with prometheus.running(folder, {"global": _SECONDS, "scrape_configs": jobs}, rules) as running:
                until(lambda: running.value(f"sum(up{{namespace='{NAMESPACE}'}})") == len(pods()), "all targets", 60)
                yield running


def pods() -> dict[str, str]:
    """Components by the names of their pods that are to be scraped."""
    listed = get("pods", "-n", NAMESPACE, "-l", "prometheus.kubevirt.io=true")["items"]
    return {pod["metadata"]["name"]: pod["metadata"]["labels"]["kubevirt.io"] for pod in listed}


def _access(config: Any, folder: Path) -> tuple[str, dict[str, Path]]:
    """URL of the API server, its authority, and the administrator's certificate and key."""
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    parts = {
        "ca": cluster["certificate-authority-data"],
        "crt": user["client-certificate-data"],
        "key": user["client-key-data"],
    }
    files = {name: folder / f"kubernetes.{name}" for name in parts}
    for name, text in parts.items():
        files[name].write_bytes(base64.b64decode(text))
    return cluster["server"], files


def _otherwise(job: dict[str, Any], folder: Path) -> Iterator[dict[str, Any]]:
    """Of each component: by its name and the suite's authority, without TLS, and by other authorities."""
    trusted = folder / "suite.ca"
    trusted.write_bytes(authority())
    for component in COMPONENTS:
        tls = {"ca_file": str(trusted), "server_name": f"{component}.{NAMESPACE}.svc"}
        verified = {**scraping.of_component(job, component, f"{VERIFIED}-{component}"), "tls_config": tls}
        plain = {**scraping.of_component(job, component, f"{PLAIN}-{component}"), "scheme": "http"}
        unknown = {**scraping.of_component(job, component, f"{UNKNOWN}-{component}"), "tls_config": {}}
        for each in (verified, plain, unknown):
            yield {**each, **_SELDOM}


def _of_state(port: int) -> dict[str, Any]:
    targets = [{"targets": [f"127.0.0.1:{port}"]}]
    return {"job_name": "kube-state-metrics", "honor_labels": True, "static_configs": targets}


def _of_kubernetes(server: str, files: dict[str, Path]) -> Iterator[dict[str, Any]]:
    """The API server and, through it, each kubelet and its cAdvisor."""
    tls = {"ca_file": str(files["ca"]), "cert_file": str(files["crt"]), "key_file": str(files["key"])}
    common = {"scheme": "https", "tls_config": tls, **_SELDOM}
    target = server.removeprefix("https://")
    yield {"job_name": "apiserver", "static_configs": [{"targets": [target]}], **common}
    for node in sorted(each["metadata"]["name"] for each in get("nodes")["items"]):
        for path in ("/metrics", "/metrics/cadvisor"):
            labels = {"node": node, "metrics_path": path, "job": "kubelet", "instance": node}
            yield {
                "job_name": f"kubelet-{node}{path.replace('/', '-')}",
                "metrics_path": f"/api/v1/nodes/{node}/proxy{path}",
                "static_configs": [{"targets": [target], "labels": labels}],
                **common,
            }


@contextmanager
def _state_metrics(folder: Path) -> Iterator[int]:
    """kube-state-metrics; the value is its port. Of labels, it shows the one of nodes that an alert asks for."""
    ports = free_port(), free_port()
    argv = [
        str(clients.ensure(clients.STATE_METRICS, Cluster.load())),
        f"--kubeconfig={os.environ['KUBECONFIG']}",
        "--host=127.0.0.1",
        f"--port={ports[0]}",
        "--telemetry-host=127.0.0.1",
        f"--telemetry-port={ports[1]}",
        "--resources=pods,nodes,daemonsets",
        "--metric-labels-allowlist=nodes=[kubevirt.io/schedulable]",
    ]
    with (
        (folder / "kube-state-metrics.log").open("wb") as log,
        subprocess.Popen(argv, stdout=log, stderr=log) as process,
    ):
        try:
            yield ports[0]
        finally:
            process.terminate()
