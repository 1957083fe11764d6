"""What an API server knows about a kind: its status subresource, its generations, how apply merges its lists. Pure.

Used by store.py. Custom kinds are read from their CustomResourceDefinition when one is stored; `BUILT_IN` has the
others, and KubeVirt's own for tests that store no definition. Its rules are those of the API server's OpenAPI schema
(``kubectl get --raw /openapi/v2``: x-kubernetes-list-type, x-kubernetes-list-map-keys, x-kubernetes-map-type).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str, ...]
"""Names of fields from the object down. Lists and their items add nothing: ``("spec", "containers", "env")``."""


@dataclass(frozen=True, slots=True)
class Atomic:
    """A list or an object that has a single owner and is replaced whole."""


@dataclass(frozen=True, slots=True)
class AsSet:
    """A list of scalars, each with its own owners."""


@dataclass(frozen=True, slots=True)
class ByKeys:
    """A list of objects that are identified by the values of `keys`, each with its own owners."""

    keys: tuple[str, ...]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Values of keys that an item may leave out."""
    whole_items: bool = False
    """An item has a single owner."""


Merging = Atomic | AsSet | ByKeys


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind about which nothing is known has no status subresource, no generations, and atomic lists only."""

    status: bool = False
    """The status is written by the subresource only, and everything else by the object only."""
    status_annotates: bool = False
    """A write of the status changes annotations, too: pods. Of custom kinds it changes nothing else."""
    generations: bool = False
    """metadata.generation counts the changes of everything but metadata and, with a subresource, status."""
    graceful: bool = False
    """Deletion waits for the grace period: pods."""
    merging: Mapping[Path, Merging] = field(default_factory=dict)
    """How lists merge and which objects are atomic, other than by default: lists are atomic, objects are not."""

    def merging_of(self, path: Path) -> Merging | None:
        """The exception at `path`, if there is one."""
        return self.merging.get(path) or _METADATA.get(path)


_METADATA: Mapping[Path, Merging] = {
    ("metadata", "finalizers"): AsSet(),
    ("metadata", "ownerReferences"): ByKeys(("uid",), whole_items=True),
}
_PORTS_DEFAULTS = {"protocol": "TCP"}


def _below(prefix: str, rules: Mapping[str, Merging]) -> dict[Path, Merging]:
    above = tuple(prefix.split(".")) if prefix else ()
    return {(*above, *path.split(".")): merging for path, merging in rules.items()}


def _container(kind: str) -> dict[Path, Merging]:
    rules: dict[str, Merging] = {
        "env": ByKeys(("name",)),
        "env.valueFrom.configMapKeyRef": Atomic(),
        "env.valueFrom.fieldRef": Atomic(),
        "env.valueFrom.resourceFieldRef": Atomic(),
        "env.valueFrom.secretKeyRef": Atomic(),
        "ports": ByKeys(("containerPort", "protocol"), _PORTS_DEFAULTS),
        "resources.claims": ByKeys(("name",)),
        "volumeDevices": ByKeys(("devicePath",)),
        "volumeMounts": ByKeys(("mountPath",)),
    }
    return {(kind,): ByKeys(("name",)), **_below(kind, rules)}


_POD_SPEC: Mapping[Path, Merging] = {
    **_container("containers"),
    **_container("initContainers"),
    **_container("ephemeralContainers"),
    ("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"): Atomic(),
    ("hostAliases",): ByKeys(("ip",)),
    ("imagePullSecrets",): ByKeys(("name",), whole_items=True),
    ("nodeSelector",): Atomic(),
    ("schedulingGates",): ByKeys(("name",)),
    ("topologySpreadConstraints",): ByKeys(("topologyKey", "whenUnsatisfiable")),
    ("topologySpreadConstraints", "labelSelector"): Atomic(),
    ("volumes",): ByKeys(("name",)),
}
_CONDITIONS: Mapping[Path, Merging] = {("status", "conditions"): ByKeys(("type",))}
_SELECTOR: Mapping[Path, Merging] = {("spec", "selector"): Atomic()}
_WORKLOAD = {
    **{("spec", "template", "spec", *path): merging for path, merging in _POD_SPEC.items()},
    **_below("spec.template.metadata", {"finalizers": AsSet()}),
    **_SELECTOR,
    **_CONDITIONS,
}
_WEBHOOKS: Mapping[Path, Merging] = {
    ("webhooks",): ByKeys(("name",)),
    ("webhooks", "matchConditions"): ByKeys(("name",)),
    ("webhooks", "namespaceSelector"): Atomic(),
    ("webhooks", "objectSelector"): Atomic(),
}
_VMI_STATUS: dict[Path, Merging] = {
    ("status", "conditions"): ByKeys(("type",)),
    ("status", "interfaces"): ByKeys(("name",)),
    ("status", "volumeStatus"): ByKeys(("name",)),
}
_SERVICE_PORTS = ByKeys(("port", "protocol"), _PORTS_DEFAULTS)
_ROLE_REF: Mapping[Path, Merging] = {("roleRef",): Atomic()}

BUILT_IN: Mapping[tuple[str, str], Kind] = {
    ("", "pods"): Kind(
        status=True,
        status_annotates=True,
        generations=True,
        graceful=True,
        merging={
            **{("spec", *path): merging for path, merging in _POD_SPEC.items()},
            **_CONDITIONS,
            **_below("status", {"podIPs": ByKeys(("ip",)), "hostIPs": Atomic()}),
        },
    ),
    ("", "nodes"): Kind(
        status=True,
        merging={**_CONDITIONS, **_below("", {"spec.podCIDRs": AsSet(), "status.addresses": ByKeys(("type",))})},
    ),
    ("", "namespaces"): Kind(status=True, merging=_CONDITIONS),
    ("", "services"): Kind(status=True, merging={("spec", "ports"): _SERVICE_PORTS, **_SELECTOR, **_CONDITIONS}),
    ("", "persistentvolumeclaims"): Kind(status=True, merging={**_SELECTOR, **_CONDITIONS}),
    ("", "serviceaccounts"): Kind(merging={("imagePullSecrets",): Atomic()}),
    ("apps", "deployments"): Kind(status=True, generations=True, merging=_WORKLOAD),
    ("apps", "daemonsets"): Kind(status=True, generations=True, merging=_WORKLOAD),
    ("batch", "jobs"): Kind(status=True, generations=True, merging={**_WORKLOAD, ("status", "conditions"): Atomic()}),
    ("policy", "poddisruptionbudgets"): Kind(status=True, generations=True, merging={**_SELECTOR, **_CONDITIONS}),
    ("certificates.k8s.io", "certificatesigningrequests"): Kind(status=True, merging=_CONDITIONS),
    ("apiextensions.k8s.io", "customresourcedefinitions"): Kind(status=True, generations=True, merging=_CONDITIONS),
    ("apiregistration.k8s.io", "apiservices"): Kind(status=True, merging=_CONDITIONS),
    ("rbac.authorization.k8s.io", "rolebindings"): Kind(merging=_ROLE_REF),
    ("rbac.authorization.k8s.io", "clusterrolebindings"): Kind(merging=_ROLE_REF),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"): Kind(generations=True, merging=_WEBHOOKS),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"): Kind(generations=True, merging=_WEBHOOKS),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"): Kind(
        status=True,
        generations=True,
        merging={
            **_CONDITIONS,
            **_below("spec", {"matchConditions": ByKeys(("name",)), "matchConstraints": Atomic()}),
            **_below("spec", {"paramKind": Atomic(), "variables": ByKeys(("name",), whole_items=True)}),
        },
    ),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"): Kind(
        generations=True,
        merging=_below("spec", {"matchResources": Atomic(), "paramRef": Atomic(), "validationActions": AsSet()}),
    ),
    ("scheduling.k8s.io", "priorityclasses"): Kind(generations=True),
    ("kubevirt.io", "kubevirts"): Kind(status=True, generations=True, merging=_CONDITIONS),
    ("apps", "controllerrevisions"): Kind(),
    ("kubevirt.io", "virtualmachines"): Kind(status=True, generations=True, merging=_CONDITIONS),
    ("kubevirt.io", "virtualmachineinstancereplicasets"): Kind(status=True, generations=True, merging=_CONDITIONS),
    ("kubevirt.io", "virtualmachineinstances"): Kind(generations=True, merging=_VMI_STATUS),
    **{
        ("instancetype.kubevirt.io", f"virtualmachine{scope}{what}"): Kind(generations=True)
        for scope in ("", "cluster")
        for what in ("instancetypes", "preferences")
    },
}


def custom_kind(definition: Mapping[str, Any], version: str) -> Kind:
    """The kind as its CustomResourceDefinition describes that version."""
    versions: list[Mapping[str, Any]] = definition["spec"]["versions"]
    served = next((entry for entry in versions if entry["name"] == version), {})
    schema = served.get("schema", {}).get("openAPIV3Schema", {})
    return Kind(
        status="status" in served.get("subresources", {}), generations=True, merging=dict(_schema_merging((), schema))
    )


def _schema_merging(path: Path, schema: Mapping[str, Any]) -> Iterator[tuple[Path, Merging]]:
    if schema.get("x-kubernetes-map-type") == "atomic":
        yield path, Atomic()
        return
    match schema.get("x-kubernetes-list-type"):
        case "set":
            yield path, AsSet()
        case "map":
            keys = tuple(schema["x-kubernetes-list-map-keys"])
            properties = schema["items"].get("properties", {})
            defaults = {key: properties[key]["default"] for key in keys if "default" in properties.get(key, {})}
            yield path, ByKeys(keys, defaults)
            yield from _schema_merging(path, schema["items"])
    for name, inner in schema.get("properties", {}).items():
        yield from _schema_merging((*path, name), inner)
