"""CustomResourceDefinitions with KubeVirt's complete schemas, supported or not. Pure.

Called by desired.py and operator_objects.py. v1 of kubevirt.io is stored and v1alpha3 is served with the same schema,
so nothing is converted. instancetype.kubevirt.io has one version.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from virt_core.conventions import conditions, labels
from virt_core.objects.field_table import Schema, as_map_list, field_descriptions, field_table, kept_whole, type_schema

from virt_operator.strategy.ref import Body

_GROUP, _INSTANCETYPE_GROUP = "kubevirt.io", "instancetype.kubevirt.io"
_AGE = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}


def virtual_machine_instances() -> Body:
    """The CRD of VirtualMachineInstance. It has no status subresource, as in KubeVirt."""
    schema = _object_schema("v1.VirtualMachineInstance")
    as_map_list(schema, "status", "conditions", key="type")
    as_map_list(schema, "status", "interfaces", key="name")
    as_map_list(schema, "status", "volumeStatus", key="name")
    _add_own_migration_fields(schema)
    columns = [
        _AGE,
        {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
        {"name": "IP", "type": "string", "jsonPath": ".status.interfaces[0].ipAddress"},
        {"name": "NodeName", "type": "string", "jsonPath": ".status.nodeName"},
        _condition_column("Ready", conditions.READY),
        {**_condition_column("Live-Migratable", conditions.LIVE_MIGRATABLE), "priority": 1},
        {**_condition_column("Paused", conditions.PAUSED), "priority": 1},
    ]
    names = _names("VirtualMachineInstance", "virtualmachineinstances", ["vmi", "vmis"])
    return _definition(names, schema, columns, subresources={})


def virtual_machines() -> Body:
    """The CRD of VirtualMachine. Its status is a subresource, so its generation counts changes of the spec alone."""
    schema = _object_schema("v1.VirtualMachine")
    as_map_list(schema, "status", "conditions", key="type")
    status = schema["properties"]["status"]["properties"]
    status["printableStatus"]["default"] = "Stopped"
    text: Schema = {"type": "string"}
    # Ours: what the next start needs to know of the last one.
    status["startRevision"] = {"type": "object", "properties": {"name": text, "digest": text}}
    columns = [
        _AGE,
        {"name": "Status", "type": "string", "jsonPath": ".status.printableStatus"},
        _condition_column("Ready", "Ready"),
    ]
    names = _names("VirtualMachine", "virtualmachines", ["vm", "vms"])
    return _definition(names, schema, columns, subresources={"status": {}})


def virtual_machine_instance_replica_sets() -> Body:
    """The CRD of VirtualMachineInstanceReplicaSet. Its scale subresource serves `kubectl scale` and autoscalers."""
    schema = _object_schema("v1.VirtualMachineInstanceReplicaSet")
    as_map_list(schema, "status", "conditions", key="type")
    # KubeVirt leaves the field out, and means 1; then its scale subresource cannot be read.
    schema["properties"]["spec"]["properties"]["replicas"]["default"] = 1
    columns = [
        {"name": "Desired", "type": "integer", "jsonPath": ".spec.replicas"},
        {"name": "Current", "type": "integer", "jsonPath": ".status.replicas"},
        {"name": "Ready", "type": "integer", "jsonPath": ".status.readyReplicas"},
        _AGE,
    ]
    scale = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.labelSelector",
    }
    names = _names("VirtualMachineInstanceReplicaSet", "virtualmachineinstancereplicasets", ["vmirs", "vmirss"])
    return _definition(names, schema, columns, subresources={"status": {}, "scale": scale})


def virtual_machine_instance_migrations() -> Body:
    """The CRD of VirtualMachineInstanceMigration. Its status is a subresource, as in KubeVirt."""
    schema = _object_schema("v1.VirtualMachineInstanceMigration")
    as_map_list(schema, "status", "conditions", key="type")
    _add_own_migration_fields(schema)
    columns = [
        {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
        {"name": "VMI", "type": "string", "jsonPath": ".spec.vmiName"},
        {"name": "Source", "type": "string", "jsonPath": ".status.migrationState.sourceNode"},
        {"name": "Target", "type": "string", "jsonPath": ".status.migrationState.targetNode"},
        _AGE,
    ]
    names = _names("VirtualMachineInstanceMigration", "virtualmachineinstancemigrations", ["vmim", "vmims"])
    return _definition(names, schema, columns, subresources={"status": {}})


def migration_policies() -> Body:
    """The CRD of MigrationPolicy, for the whole cluster."""
    names = _names("MigrationPolicy", "migrationpolicies", [])
    del names["categories"], names["shortNames"]
    schema = _object_schema("v1alpha1.MigrationPolicy")
    version = {
        "name": "v1alpha1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    return _custom_resource("migrations.kubevirt.io", names, [version], namespaced=False)


def _add_own_migration_fields(schema: Schema) -> None:
    """What KubeVirt's handlers say to each other directly, ours write into status.migrationState."""
    text: Schema = {"type": "string"}
    fields = schema["properties"]["status"]["properties"]["migrationState"]["properties"]
    fields |= {
        **dict.fromkeys(("sourcePodUID", "targetPodUID", "sourceAddress"), text),
        **dict.fromkeys(("sourceCertificateAuthority", "targetCertificateAuthority"), text),
        "sourceDisks": {"type": "object", "additionalProperties": {"type": "integer", "format": "int64"}},
        "sourceSwitched": {"type": "boolean"},
        "progress": _progress(),
    }


_EXPECTED_END = (
    "When the copy ends if it goes on as fast, by the source node's clock. Absent while no end is in sight: the guest "
    "writes about as fast as it is copied, or the expected end has passed without progress."
)


def _progress() -> Schema:
    """How far a copy is, for those who wait for it."""
    moment: Schema = {"type": "string", "format": "date-time"}
    number: Schema = {"type": "integer", "format": "int64"}
    numbers = ("totalBytes", "remainingBytes", "processedBytes", "bytesPerSecond", "dirtyBytesPerSecond")
    properties = {"timestamp": moment, "expectedEnd": moment, **dict.fromkeys(numbers, number)}
    properties["timestamp"] = {**moment, "description": "When these numbers were reported, by the source node's clock."}
    properties["expectedEnd"] = {**moment, "description": _EXPECTED_END}
    return {"type": "object", "properties": properties}


def instancetypes() -> list[Body]:
    """The CRDs of instance types and preferences, in a namespace and for the whole cluster. They have no status."""
    return [
        _instancetype("VirtualMachineInstancetype", "vminstancetype", "vmf", namespaced=True),
        _instancetype("VirtualMachineClusterInstancetype", "vmclusterinstancetype", "vmcf", namespaced=False),
        _instancetype("VirtualMachinePreference", "vmpref", "vmp", namespaced=True),
        _instancetype("VirtualMachineClusterPreference", "vmcp", namespaced=False),
    ]


def _instancetype(kind: str, *short: str, namespaced: bool) -> Body:
    every = [name for singular in short for name in (singular, f"{singular}s")]
    names = _names(kind, f"{kind.lower()}s", every)
    if not namespaced:
        del names["categories"]  # `kubectl get all` shows objects of a namespace
    schema = _object_schema(f"v1beta1.{kind}")
    version = {"name": "v1beta1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return _custom_resource(_INSTANCETYPE_GROUP, names, [version], namespaced=namespaced)


def kubevirts() -> Body:
    """The CRD of KubeVirt, shipped in the operator's manifest and never removed by the operator."""
    schema = _object_schema("v1.KubeVirt")
    as_map_list(schema, "status", "conditions", key="type")
    # Later releases keep the state of an upgrade here; a rollback must not prune it.
    status = schema["properties"]["status"]["properties"]
    status["upgrade"] = kept_whole()
    status["observedRelease"] = {"type": "string"}  # ours: the release behind observedKubeVirtVersion
    schema["properties"]["spec"]["properties"]["upgradeStrategy"] = _upgrade_strategy()
    columns = [_AGE, {"name": "Phase", "type": "string", "jsonPath": ".status.phase"}]
    names = _names("KubeVirt", "kubevirts", ["kv", "kvs"])
    return _definition(names, schema, columns, subresources={"status": {}})


def _upgrade_strategy() -> Schema:
    """Ours: the pace of an upgrade. Unknown fields are kept, so that admission refuses them by name."""
    size: Schema = {
        "x-kubernetes-int-or-string": True,
        "description": "Nodes of each further wave, as a number or as a percentage of all nodes. Default: 20%.",
    }
    properties: dict[str, Schema] = {
        "canary": {"type": "integer", "description": "Nodes of the first wave. 0: like the others. Default: 1."},
        "waveSize": size,
        "pauseBetweenWaves": {"type": "string", "description": "For example 30s or 1h0m0s. Default: 0s."},
        "paused": {"type": "boolean", "description": "No further wave or component begins."},
        "probeGuest": {
            "type": "boolean",
            "description": "A guest starts and ends on each node of a wave, to prove its new handler. Default: true.",
        },
        "finalize": {"type": "string", "description": "Auto or Manual: by the annotation only. Default: Auto."},
        "soak": {"type": "string", "description": "Without trouble before Auto finalizes. Default: 1h."},
    }
    return {
        **kept_whole(),
        "description": "How an upgrade goes over the nodes, and when it is final. Not a field of KubeVirt's API.",
        "properties": properties,
    }


def _object_schema(name: str) -> Schema:
    schema: Schema = msgspec.json.decode(_encoded_schema(name))  # the caller may change it
    schema["properties"]["metadata"] = {"type": "object"}  # the API server knows its own
    return schema


@cache
def _encoded_schema(name: str) -> bytes:
    return msgspec.json.encode(type_schema(name, field_table(), descriptions=field_descriptions()))


def _names(kind: str, plural: str, short: list[str]) -> Body:
    return {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": plural,
        "singular": kind.lower(),
        "shortNames": short,
        "categories": ["all"],
    }


def _condition_column(name: str, condition: str) -> Body:
    return {"name": name, "type": "string", "jsonPath": f".status.conditions[?(@.type=='{condition}')].status"}


def _definition(names: Body, schema: Schema, columns: list[Body], subresources: Body) -> Body:
    def version(name: str, **more: Any) -> Body:
        served: Body = {
            "name": name,
            "served": True,
            "schema": {"openAPIV3Schema": schema},
            "additionalPrinterColumns": columns,
            **more,
        }
        if subresources:
            served["subresources"] = subresources
        return served

    warning = f"kubevirt.io/v1alpha3 {names['kind']} is deprecated, use kubevirt.io/v1"
    versions = [
        version("v1", storage=True),
        version("v1alpha3", storage=False, deprecated=True, deprecationWarning=warning),
    ]
    return _custom_resource(_GROUP, names, versions)


def _custom_resource(group: str, names: Body, versions: list[Body], *, namespaced: bool = True) -> Body:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names['plural']}.{group}", "labels": {labels.OPERATOR: ""}},
        "spec": {
            "group": group,
            "names": names,
            "scope": "Namespaced" if namespaced else "Cluster",
            "versions": versions,
        },
    }
