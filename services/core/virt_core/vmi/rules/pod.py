"""Rules for the pod of a VirtualMachineInstance: names, scheduling, strategies, probes. Pure; part of rules/check.py.

Affinity, tolerations, topology spread and dnsConfig are types of Kubernetes: the API server validates them when the pod
is created.
"""

from __future__ import annotations

from typing import Any

from virt_core.validation.refusal import (
    DNS_LABEL,
    DNS_NAME,
    LABEL_VALUE,
    QUALIFIED_NAME,
    Refusals,
    at_most,
    matching,
    matching_if_set,
    one_of,
    refused,
    unless,
    within,
)
from virt_core.vmi.eviction import STRATEGIES
from virt_core.vmi.spec.domain import Probe, VmiSpec
from virt_core.vmi.spec.effective import effective_interfaces

_MAX_GRACE = (1 << 31) - 1  # seconds
_MAX_SECONDS = (1 << 31) - 1  # a probe's numbers are int32
_MAX_LIST = 100
_MAX_NESTING = 32  # affinity, the deepest of these types, has 10
_MAX_ARGUMENTS, _MAX_ARGUMENT = 64, 4096
_DNS_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
_PROBE_NUMBERS = (
    ("initialDelaySeconds", "initial_delay_seconds"),
    ("timeoutSeconds", "timeout_seconds"),
    ("periodSeconds", "period_seconds"),
    ("successThreshold", "success_threshold"),
    ("failureThreshold", "failure_threshold"),
)
_HANDLERS = ("exec", "httpGet", "tcpSocket", "guestAgentPing")


def pod_refusals(spec: VmiSpec) -> Refusals:
    """What is wrong with the spec outside of domain, volumes and networks."""
    yield from unless(spec.architecture in ("", "amd64"), "architecture", spec.architecture, "amd64")
    grace = spec.termination_grace_period_seconds
    yield from unless(
        0 <= grace <= _MAX_GRACE, "terminationGracePeriodSeconds", grace, f"0 or more, up to {_MAX_GRACE}"
    )
    yield from matching_if_set("hostname", spec.hostname, DNS_LABEL)
    yield from matching_if_set("subdomain", spec.subdomain, DNS_LABEL)
    yield from matching_if_set("priorityClassName", spec.priority_class_name, DNS_NAME)
    yield from matching_if_set("schedulerName", spec.scheduler_name, DNS_NAME)
    yield from one_of("startStrategy", spec.start_strategy, ("Paused",))
    yield from one_of("evictionStrategy", spec.eviction_strategy, STRATEGIES)
    yield from _dns(spec)
    yield from _scheduling(spec)
    yield from _probes(spec)
    yield from _passed_on(spec)


def _passed_on(spec: VmiSpec) -> Refusals:
    """Limits on size and nesting of fields that are copied to the pod."""
    passed_on: dict[str, Any] = {
        "affinity": spec.affinity,
        "tolerations": spec.tolerations,
        "topologySpreadConstraints": spec.topology_spread_constraints,
        "dnsConfig": spec.dns_config,
        "volumes": [volume.downward_api.fields for volume in spec.volumes if volume.downward_api is not None],
        "livenessProbe": _handlers(spec.liveness_probe),
        "readinessProbe": _handlers(spec.readiness_probe),
    }
    for path, value in passed_on.items():
        yield from unless(_nesting(value) <= _MAX_NESTING, path, "nesting", f"at most {_MAX_NESTING} levels")


def _handlers(probe: Probe | None) -> list[Any]:
    return [probe.exec, probe.http_get, probe.tcp_socket] if probe is not None else []


def _nesting(value: Any) -> int:
    """Nesting depth of lists and objects. Iterative, because the input may be nested arbitrarily deep."""
    depth, level = 0, [value]
    while level and depth <= _MAX_NESTING:
        inside = [value for value in level if isinstance(value, dict | list)]
        level = [
            item for container in inside for item in (container.values() if isinstance(container, dict) else container)
        ]
        depth += bool(inside)
    return depth


def _dns(spec: VmiSpec) -> Refusals:
    yield from one_of("dnsPolicy", spec.dns_policy, _DNS_POLICIES)
    if spec.dns_policy == "None" and not spec.dns_config.get("nameservers"):
        yield refused("dnsConfig.nameservers", "", "at least one with dnsPolicy: None")


def _scheduling(spec: VmiSpec) -> Refusals:
    yield from at_most("nodeSelector", spec.node_selector, _MAX_LIST)
    yield from at_most("tolerations", spec.tolerations, _MAX_LIST)
    yield from at_most("topologySpreadConstraints", spec.topology_spread_constraints, _MAX_LIST)
    for key, value in spec.node_selector.items():
        yield from matching("nodeSelector", key, QUALIFIED_NAME)
        yield from matching(f"nodeSelector.{key[:64]}", value, LABEL_VALUE)


def _probes(spec: VmiSpec) -> Refusals:
    if spec.liveness_probe is not None:
        yield from _probe("livenessProbe", spec.liveness_probe, spec)
        if spec.liveness_probe.success_threshold not in (0, 1):
            # Kubernetes' rule.
            yield refused("livenessProbe.successThreshold", spec.liveness_probe.success_threshold, "1")
        if spec.start_strategy == "Paused":
            yield refused("livenessProbe", "a probe", "none with startStrategy: Paused")
    if spec.readiness_probe is not None:
        yield from _probe("readinessProbe", spec.readiness_probe, spec)


def _probe(path: str, probe: Probe, spec: VmiSpec) -> Refusals:
    handlers = (probe.exec, probe.http_get, probe.tcp_socket, probe.guest_agent_ping)
    named = [name for name, handler in zip(_HANDLERS, handlers, strict=True) if handler is not None]
    if len(named) != 1:
        yield refused(path, " and ".join(named) or "nothing", f"exactly one of {', '.join(_HANDLERS)}")
    for name, field in _PROBE_NUMBERS:
        yield from within(f"{path}.{name}", getattr(probe, field), 0, _MAX_SECONDS)
    if probe.exec is not None:
        yield from _command(f"{path}.exec", probe.exec)
    for name, handler in (("httpGet", probe.http_get), ("tcpSocket", probe.tcp_socket)):
        if handler is None:
            continue
        yield from _port(f"{path}.{name}.port", handler.get("port"), spec)
        if not effective_interfaces(spec):
            yield refused(f"{path}.{name}", "a probe", "none without an interface on the pod network")


def _command(path: str, handler: dict[str, Any]) -> Refusals:
    command = handler.get("command")
    words = isinstance(command, list) and all(isinstance(word, str) and len(word) <= _MAX_ARGUMENT for word in command)
    if not words or not command or len(command) > _MAX_ARGUMENTS or set(handler) != {"command"}:
        allowed = f"command: 1 to {_MAX_ARGUMENTS} strings of {_MAX_ARGUMENT} characters at most"
        yield refused(path, ", ".join(str(key)[:64] for key in handler) or "nothing", allowed)


def _port(path: str, port: object, spec: VmiSpec) -> Refusals:
    names = {port.name for interface in effective_interfaces(spec) for port in interface.ports if port.name}
    number = isinstance(port, int) and not isinstance(port, bool) and 1 <= port <= 65535
    yield from unless(number or port in names, path, port, "1 to 65535, or the name of an interface's port")
