"""A Prometheus' configuration, made of a ServiceMonitor and a PrometheusRule as the Prometheus operator makes it. Pure.

The Prometheus operator is not available to tests. What it does with the fields that virt-operator sets is little: it
lists the Endpoints in the namespaces of the selector, keeps those of Services with the labels, takes the port by name,
and gives each target the labels namespace, service, pod, container, job and endpoint. A field that virt-operator comes
to set and that is not known here is refused.

Debian's Prometheus is built without its discovery by Kubernetes' API. It asks a server of the test instead (HTTP),
which answers with the same labels (`discovered`), made of what the API server shows to Prometheus' service account.
"""

from __future__ import annotations

import re
from typing import Any

Body = dict[str, Any]
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_KNOWN = {"selector", "namespaceSelector", "endpoints"}
_KNOWN_OF_ENDPOINT = {"port", "scheme", "tlsConfig", "honorLabels"}
_LABELS = {
    "namespace": "namespace",
    "service": "service_name",
    "pod": "pod_name",
    "container": "pod_container_name",
    "job": "service_name",
}
"""Of a target, by what discovery says."""


def jobs(monitor: Body, discovery: str) -> list[Body]:
    """The scrape configurations of a ServiceMonitor, one for each endpoint. `discovery` is the URL of the test's
    server, to which the namespace is added."""
    meta, spec = monitor["metadata"], monitor["spec"]
    assert spec.keys() <= _KNOWN and spec["selector"].keys() == {"matchLabels"}, spec
    places, found = spec["namespaceSelector"]["matchNames"], []
    for number, endpoint in enumerate(spec["endpoints"]):
        assert endpoint.keys() <= _KNOWN_OF_ENDPOINT, endpoint
        job = {
            "job_name": f"serviceMonitor/{meta['namespace']}/{meta['name']}/{number}",
            "honor_labels": endpoint.get("honorLabels", False),
            "scheme": endpoint.get("scheme", "http"),
            "http_sd_configs": [{"url": f"{discovery}/{place}", "refresh_interval": "2s"} for place in places],
            "relabel_configs": _relabelled(spec["selector"]["matchLabels"], endpoint["port"]),
        }
        if tls := endpoint.get("tlsConfig"):
            assert tls.keys() == {"insecureSkipVerify"}, tls
            job["tls_config"] = {"insecure_skip_verify": tls["insecureSkipVerify"]}
        found.append(job)
    return found


def _relabelled(selected: dict[str, str], port: str) -> list[Body]:
    rules: list[Body] = []
    for label, value in selected.items():
        marks = [f"__meta_kubernetes_service_{kind}_{_name(label)}" for kind in ("label", "labelpresent")]
        rules.append({"action": "keep", "source_labels": marks, "regex": f"({re.escape(value)});true"})
    rules += [
        {"action": "keep", "source_labels": ["__meta_kubernetes_endpoint_port_name"], "regex": port},
        {"action": "drop", "source_labels": ["__meta_kubernetes_pod_phase"], "regex": "(Failed|Succeeded)"},
    ]
    for label, source in _LABELS.items():
        rules.append({"source_labels": [f"__meta_kubernetes_{source}"], "target_label": label})
    return [*rules, {"target_label": "endpoint", "replacement": port}]


def of_component(job: Body, component: str, name: str) -> Body:
    """The same job under another name, for the pods of one component alone. Of what it scrapes nothing is kept, and its
    targets are of no namespace, so that rules do not count them."""
    keep = {"action": "keep", "source_labels": ["__meta_kubernetes_pod_label_kubevirt_io"], "regex": component}
    named = [{"target_label": "job", "replacement": name}, {"target_label": "namespace", "replacement": ""}]
    dropped = [{"action": "drop", "source_labels": ["__name__"], "regex": ".*"}]
    relabelled = [*job["relabel_configs"], keep, *named]
    return {**job, "job_name": name, "relabel_configs": relabelled, "metric_relabel_configs": dropped}


def discovered(services: list[Body], endpoints: list[Body], pods: list[Body]) -> list[Body]:
    """The targets of a namespace with the labels that Prometheus' discovery by Endpoints gives them, as far as `jobs`
    asks for them. Pods that are not ready are among them."""
    by_name, pod_of = ({each["metadata"]["name"]: each for each in several} for several in (services, pods))
    found = []
    for one in endpoints:
        service = by_name.get(one["metadata"]["name"])
        if service is None:
            continue
        for subset in one.get("subsets") or ():
            for address in (*subset.get("addresses", ()), *subset.get("notReadyAddresses", ())):
                pod = pod_of.get(address.get("targetRef", {}).get("name", ""))
                found += [_target(service, address, port, pod) for port in subset["ports"]]
    return found


def _target(service: Body, address: Body, port: Body, pod: Body | None) -> Body:
    labels = {"namespace": service["metadata"]["namespace"], "service_name": service["metadata"]["name"]}
    labels |= {"endpoint_port_name": port.get("name", ""), **_marks("service", service)}
    if pod is not None:
        labels |= {"pod_name": pod["metadata"]["name"], "pod_phase": pod["status"].get("phase", "")}
        labels |= {"pod_container_name": _container(pod, port["port"]), **_marks("pod", pod)}
    named = {f"__meta_kubernetes_{name}": value for name, value in labels.items()}
    return {"targets": [f"{address['ip']}:{port['port']}"], "labels": named}


def _marks(kind: str, body: Body) -> dict[str, str]:
    marks = body["metadata"].get("labels", {})
    present = {f"{kind}_labelpresent_{_name(label)}": "true" for label in marks}
    return present | {f"{kind}_label_{_name(label)}": value for label, value in marks.items()}


def _container(pod: Body, port: int) -> str:
    """The name of the container that has the port."""
    containers = pod["spec"]["containers"]
    having = (each for each in containers if port in [one["containerPort"] for one in each.get("ports", ())])
    return next((str(each["name"]) for each in having), "")


def _name(label: str) -> str:
    """As Prometheus writes a Kubernetes label's name."""
    return re.sub(r"\W", "_", label)


def sooner(rule: Body, factor: int) -> Body:
    """The spec of a PrometheusRule in which what has to last lasts a fraction of it. The expressions stay."""
    groups = rule["spec"]["groups"]
    return {"groups": [{**group, "rules": [_sooner(each, factor) for each in group["rules"]]} for group in groups]}


def _sooner(rule: Body, factor: int) -> Body:
    return {**rule, "for": f"{round(1000 * seconds(rule['for']) / factor)}ms"} if "for" in rule else rule


def seconds(duration: str) -> float:
    """Of a duration like "10m"."""
    found = re.fullmatch(r"(\d+)(ms|s|m|h|d)", duration)
    assert found, duration
    return int(found[1]) * _UNITS[found[2]]
