"""Debian's Prometheus scrapes the components of this tree, which run as processes, and takes the operator's objects."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from localcluster.settings import PROJECT_ROOT
from virt_operator.strategy.monitoring import prometheus_rule, service_monitor
from virt_operator.strategy.services import metrics_service

from tests.support import prometheus, scraping
from tests.support.documented_metrics import documented
from tests.support.patience import PATIENCE
from tests.support.prometheus import Prometheus
from tests.support.prometheus_package import program
from tests.support.skew.matrix import THIS, started
from tests.support.skew.suite import NAMESPACE, Release

COMPONENTS = ("virt-operator", "virt-api", "virt-controller", "virt-handler")
RULES = prometheus_rule(NAMESPACE)
KINDS = {"counter", "gauge", "histogram"}


def job(name: str, target: int, **more: Any) -> dict[str, Any]:
    labels = {"namespace": NAMESPACE, "pod": f"{name}-0"}
    return {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{target}"], "labels": labels}], **more}


async def becomes(condition: Callable[[], object], what: str) -> None:
    """Ask Prometheus until it is so; it scrapes once a second."""
    for _ in range(round(PATIENCE)):
        if await asyncio.to_thread(condition):
            return
        await asyncio.sleep(1)
    raise AssertionError(f"never: {what}")


async def test_prometheus_scrapes_all_components_by_the_suites_authority_and_not_otherwise(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # short: unix sockets
        async with asyncio.timeout(3 * PATIENCE), AsyncExitStack() as stack:
            suite = await started(Release(THIS, PROJECT_ROOT), Path(folder) / "suite", stack)
            authority = tmp_path / "ca.crt"
            authority.write_bytes(suite.authority.bundle)
            jobs = []
            for component in COMPONENTS:
                port = suite.metrics[component]
                trusted = {"ca_file": str(authority), "server_name": f"{component}.{NAMESPACE}.svc"}
                jobs.append(job(component, port, scheme="https", tls_config=trusted))
                jobs.append(job(f"{component}-plain", port, scheme="http"))
                jobs.append(job(f"{component}-unknown", port, scheme="https"))
            scrape = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
            configuration = {"global": scrape, "scrape_configs": jobs}
            rules = scraping.sooner(RULES, 1000)
            opened = prometheus.running(tmp_path, configuration, rules)
            server = await asyncio.to_thread(opened.__enter__)
            try:
                await examined(server)
            finally:
                await asyncio.to_thread(opened.__exit__, None, None, None)


async def examined(server: Prometheus) -> None:
    """What it has scraped."""
    names = "|".join(COMPONENTS)
    await becomes(lambda: server.value(f"sum(up{{job=~'{names}'}})") == len(COMPONENTS), "all up")
    await becomes(lambda: server.value("count(up)") == 3 * len(COMPONENTS), "others tried")
    for component in COMPONENTS:
        for how, why in (("plain", "malformed HTTP response|EOF|reset|400"), ("unknown", "x509")):
            name = f"{component}-{how}"
            assert server.value(f"up{{job='{name}'}}") == 0, name
            (target,) = server.targets(name)
            assert any(word in target["lastError"] for word in why.split("|")), target["lastError"]
        assert server.value(f"scrape_samples_scraped{{job='{component}'}}") > 0
    known = documented()
    found = {name: kinds for name, kinds in server.types().items() if name.startswith("kubevirt_")}
    assert {name: {known[name].kind} for name in found} == found
    records = {f"kubevirt_virt_{name.removeprefix('virt-')}_up" for name in COMPONENTS}
    await becomes(lambda: {server.value(record) for record in records} == {1}, "records of what is up")


@pytest.mark.parametrize("namespace", ["kubevirt", "virtual-machines"])
def test_prometheus_takes_what_is_made_of_the_operators_objects(namespace: str, tmp_path: Path) -> None:
    (made,) = scraping.jobs(service_monitor(namespace, "monitoring"), "http://127.0.0.1:9")
    of_api = scraping.of_component(made, "virt-api", "verified")
    rules = tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump(scraping.sooner(prometheus_rule(namespace), 60)))
    file = tmp_path / "prometheus.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(rules)], "scrape_configs": [made, of_api]}))
    argv = [program("promtool"), "check", "config", file]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (made["scheme"], made["honor_labels"]) == ("https", True)


def test_targets_have_the_labels_that_prometheus_discovery_gives_them() -> None:
    service = metrics_service(NAMESPACE)
    pod = {
        "metadata": {"name": "virt-api-0", "labels": {"kubevirt.io": "virt-api"}},
        "spec": {"containers": [{"name": "virt-api", "ports": [{"containerPort": 8443}]}]},
        "status": {"phase": "Running"},
    }
    address = {"ip": "10.244.1.7", "targetRef": {"kind": "Pod", "name": "virt-api-0"}}
    subset = {"notReadyAddresses": [address], "ports": [{"name": "metrics", "port": 8443}]}
    endpoints = [{"metadata": service["metadata"], "subsets": [subset]}, {"metadata": {"name": "x"}}]
    (target,) = scraping.discovered([service], endpoints, [pod])
    assert target["targets"] == ["10.244.1.7:8443"]
    labels = {name.removeprefix("__meta_kubernetes_"): value for name, value in target["labels"].items()}
    assert labels["service_label_prometheus_kubevirt_io"] == labels["service_labelpresent_kubevirt_io"] == "true"
    assert (labels["pod_name"], labels["pod_container_name"]) == ("virt-api-0", "virt-api")
    assert (labels["pod_phase"], labels["pod_label_kubevirt_io"]) == ("Running", "virt-api")


def test_shortened_rules_differ_in_how_long_something_has_to_last_alone() -> None:
    def of(spec: dict[str, Any]) -> list[dict[str, Any]]:
        return [rule for group in spec["groups"] for rule in group["rules"]]

    before, after = of(RULES["spec"]), of(scraping.sooner(RULES, 60))
    for old, new in zip(before, after, strict=True):
        assert {**old, "for": ""} == {**new, "for": ""}
        if "for" in old:
            assert scraping.seconds(new["for"]) == pytest.approx(scraping.seconds(old["for"]) / 60)
