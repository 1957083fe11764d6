"""Changes of the contracts that would break a peer of a released suite, each with a part of the expected refusal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MACHINE, STATE = "kubevirt/launcher/v1/machine.proto", "kubevirt/launcher/v1/state.proto"
LAUNCHER, COMMAND = "kubevirt/launcher/v1/launcher.proto", "kubevirt/launcher/v1/command.proto"
MIGRATION, HANDLER = "kubevirt/launcher/v1/migration.proto", "kubevirt/handler/v1/handler.proto"
INFO, OPTIONS, ADMIN = (
    "kubevirt/info/v1/info.proto",
    "kubevirt/contract/v1/options.proto",
    "kubevirt/admin/v1/admin.proto",
)
FEATURE = '[(kubevirt.contract.v1.feature) = "access-credentials"]'


@dataclass(frozen=True, slots=True)
class Edit:
    """Texts in a .proto file and what replaces them. Each is there once."""

    name: str
    path: str
    texts: dict[str, str]
    refusal: str

    def apply(self, folder: Path) -> None:
        """Change the copy in `folder`."""
        file = folder / self.path
        content = file.read_text()
        for old, new in self.texts.items():
            assert content.count(old) == 1, f"{self.name}: {old!r} is there {content.count(old)} times"
            content = content.replace(old, new)
        file.write_text(content)


PROTOS = (
    Edit("a field is renumbered", MACHINE, {"uint64 memory_bytes = 7;": "uint64 memory_bytes = 70;"}, '"7" with name'),
    Edit("a field is retyped", MACHINE, {"uint64 memory_bytes = 7;": "string memory_bytes = 7;"}, "changed type"),
    Edit(
        "a field is retyped compatibly on the wire",
        MACHINE,
        {"uint64 memory_bytes = 7;": "uint32 memory_bytes = 7;"},
        "changed type",
    ),
    Edit("a field is removed", MACHINE, {"  string firmware_uuid = 8;\n": ""}, '"8" with name "firmware_uuid"'),
    Edit(
        "a field is removed and its number reserved",
        MACHINE,
        {"  string firmware_uuid = 8;\n": '  reserved 8;\n  reserved "firmware_uuid";\n'},
        '"8" with name "firmware_uuid"',
    ),
    Edit("a field is renamed", MACHINE, {"string machine_type = 5;": "string type = 5;"}, "changed name"),
    Edit(
        "a field becomes repeated",
        MACHINE,
        {"SerialConsole serial_console = 10;": "repeated SerialConsole serial_console = 10;"},
        "changed cardinality",
    ),
    Edit("a field loses its presence", MACHINE, {"optional bool smm = 6;": "bool smm = 6;"}, "changed cardinality"),
    Edit(
        "a field moves to another message",
        MACHINE,
        {"  bool start_paused = 25;\n": "", "  bool acpi = 1;\n": "  bool acpi = 1;\n  bool start_paused = 7;\n"},
        '"25" with name "start_paused"',
    ),
    Edit(
        "a field moves into a oneof",
        HANDLER,
        {
            "  bool preserve_older = 4;\n": "",
            "    bytes data = 2;\n  }\n  // The guest's device": "    bytes data = 2;\n    bool preserve_older = 4;\n"
            "  }\n  // The guest's device",
        },
        '"preserve_older"',
    ),
    Edit(
        "two fields exchange their numbers",
        MACHINE,
        {
            "string name = 2;\n  // Its namespace": "string name = 3;\n  // Its",
            "string namespace = 3;": "string namespace = 2;",
        },
        "changed name",
    ),
    Edit(
        "a field is new without a feature",
        MACHINE,
        {"  // Start with the guest's CPUs paused": "  string note = 900;\n  // Start with the guest's CPUs paused"},
        "Machine.note: is new in a must-understand message and names no feature",
    ),
    Edit(
        "a field deep in a message is new without a feature",
        MACHINE,
        {"  bool apic_eoi = 3;\n": "  bool apic_eoi = 3;\n  bool nested = 900;\n"},
        "Features.nested: is new in a must-understand message and names no feature",
    ),
    Edit(
        "a command is new without a feature",
        COMMAND,
        {"    Unfreeze unfreeze = 6;\n": "    Unfreeze unfreeze = 6;\n    Reset power_off = 7;\n"},
        "Command.power_off: is new in a must-understand message and names no feature",
    ),
    Edit(
        "a field loses its feature",
        MACHINE,
        {f"access_credentials = 28 {FEATURE}": "access_credentials = 28"},
        "Machine.access_credentials: its feature was 'access-credentials' and is ''",
    ),
    Edit(
        "a field's feature is renamed",
        MACHINE,
        {f"access_credentials = 28 {FEATURE}": f"access_credentials = 28 {FEATURE.replace('access-', '')}"},
        "its feature was 'access-credentials' and is 'credentials'",
    ),
    Edit(
        "a field that every release has gets a feature",
        MACHINE,
        {"bool rng = 23;": 'bool rng = 23 [(kubevirt.contract.v1.feature) = "rng"];'},
        "Machine.rng: its feature was '' and is 'rng'",
    ),
    Edit(
        "an enum value is new without a feature",
        MACHINE,
        {"  BOOTLOADER_UEFI = 3;\n": "  BOOTLOADER_UEFI = 3;\n  BOOTLOADER_COREBOOT = 4;\n"},
        "BOOTLOADER_COREBOOT: is new in a must-understand message and names no feature",
    ),
    Edit("an enum value is removed", MACHINE, {"  TIMER_TRACK_WALL = 2;\n": ""}, 'enum value "2" on enum "TimerTrack"'),
    Edit(
        "an enum value is renumbered",
        MACHINE,
        {"TIMER_TRACK_WALL = 2;": "TIMER_TRACK_WALL = 3;"},
        'enum value "2" on enum "TimerTrack"',
    ),
    Edit(
        "an enum value is renamed", STATE, {"MACHINE_END_CRASHED = 3;": "MACHINE_END_DIED = 3;"}, "MACHINE_END_CRASHED"
    ),
    Edit(
        "a message is no longer must-understand",
        LAUNCHER,
        {
            "message StopMachineRequest {\n  option (kubevirt.contract.v1.must_understand) = true;\n": (
                "message StopMachineRequest {\n"
            )
        },
        "StopMachineRequest: must_understand was set and is not set",
    ),
    Edit(
        "a message becomes must-understand",
        HANDLER,
        {
            "message TakeScreenshotRequest {\n": (
                "message TakeScreenshotRequest {\n  option (kubevirt.contract.v1.must_understand) = true;\n"
            )
        },
        "TakeScreenshotRequest: must_understand was not set and is set",
    ),
    Edit("a message is removed", COMMAND, {"// Unfreeze carries nothing.\nmessage Unfreeze {}\n": ""}, "Unfreeze"),
    Edit(
        "an rpc is removed",
        ADMIN,
        {"  rpc ListPeers(ListPeersRequest) returns (ListPeersResponse);\n": ""},
        'RPC "ListPeers"',
    ),
    Edit(
        "an rpc is renamed",
        MIGRATION,
        {"rpc AbortTarget(": "rpc DropTarget("},
        'RPC "AbortTarget"',
    ),
    Edit(
        "a response becomes a stream",
        LAUNCHER,
        {"returns (TakeScreenshotResponse)": "returns (stream TakeScreenshotResponse)"},
        "server streaming",
    ),
    Edit(
        "a stream becomes a response",
        LAUNCHER,
        {"returns (stream WatchMachineResponse)": "returns (WatchMachineResponse)"},
        "server streaming",
    ),
    Edit(
        "a request is another message",
        LAUNCHER,
        {"rpc StopMachine(StopMachineRequest)": "rpc StopMachine(AcknowledgeEndRequest)"},
        "request type",
    ),
    Edit(
        "a service is renamed", MIGRATION, {"service MigrationService {": "service MoveService {"}, "MigrationService"
    ),
    Edit("a package is renamed", ADMIN, {"package kubevirt.admin.v1;": "package kubevirt.admin.v2;"}, "package"),
    Edit(
        "an option is renumbered", OPTIONS, {"must_understand = 50712;": "must_understand = 50799;"}, "must_understand"
    ),
    Edit(
        "the frozen contract grows",
        INFO,
        {"  repeated string features = 6;\n": "  repeated string features = 6;\n  string more = 8;\n"},
        "info.proto: is frozen and has changed",
    ),
)

Definitions = dict[str, dict[str, Any]]
"""`spec` of each CRD by name."""

VMS, VMIS = "virtualmachines.kubevirt.io", "virtualmachineinstances.kubevirt.io"
KUBEVIRTS, POLICIES = "kubevirts.kubevirt.io", "migrationpolicies.migrations.kubevirt.io"


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the CRDs."""

    name: str
    apply: Callable[[Definitions], object]
    refusal: str


def schema(definitions: Definitions, name: str, *path: str, version: int = 0) -> Any:
    """The schema of a field."""
    found = definitions[name]["versions"][version]["schema"]["openAPIV3Schema"]
    for part in path:
        found = found["items"] if part == "[]" else found["properties"][part]
    return found


CRDS = (
    Change(
        "a field is removed",
        lambda d: schema(d, VMIS, "spec")["properties"].pop("hostname"),
        ".spec.hostname: the field",
    ),
    Change(
        "a field of an older version is removed",
        lambda d: schema(d, VMIS, "spec", version=1)["properties"].pop("hostname"),
        "v1alpha3 .spec.hostname: the field",
    ),
    Change(
        "a field moves to another object",
        lambda d: schema(d, VMIS)["properties"].update(hostname=schema(d, VMIS, "spec")["properties"].pop("hostname")),
        ".spec.hostname: the field is removed",
    ),
    Change(
        "a field is retyped", lambda d: schema(d, VMIS, "spec", "hostname").update(type="integer"), "type was string"
    ),
    Change(
        "a number has another format",
        lambda d: schema(d, VMIS, "spec", "terminationGracePeriodSeconds").update(format="int32"),
        "format was int64 and is int32",
    ),
    Change(
        "a field becomes required",
        lambda d: schema(d, VMIS, "spec").setdefault("required", []).append("hostname"),
        ".spec: hostname is required now",
    ),
    Change(
        "a field gets allowed values",
        lambda d: schema(d, VMIS, "spec", "hostname").update(enum=["a"]),
        ".spec.hostname: enum is new",
    ),
    Change(
        "a text gets a pattern",
        lambda d: schema(d, VMIS, "spec", "hostname").update(pattern="^a$"),
        ".spec.hostname: pattern was None and is ^a$",
    ),
    Change(
        "a text gets a limit",
        lambda d: schema(d, VMIS, "spec", "hostname").update(maxLength=5),
        ".spec.hostname: maxLength was None and is 5",
    ),
    Change(
        "a rule is added",
        lambda d: schema(d, VMIS, "spec").update({"x-kubernetes-validations": [{"rule": "false"}]}),
        ".spec: x-kubernetes-validations was None",
    ),
    Change(
        "unknown fields are dropped",
        lambda d: schema(d, VMIS, "spec", "affinity").pop("x-kubernetes-preserve-unknown-fields"),
        ".spec.affinity: x-kubernetes-preserve-unknown-fields is removed",
    ),
    Change(
        "a list has another key",
        lambda d: schema(d, VMIS, "spec", "volumes").update({"x-kubernetes-list-type": "set"}),
        ".spec.volumes: x-kubernetes-list-type was",
    ),
    Change("a version is removed", lambda d: d[VMIS]["versions"].pop(1), f"{VMIS} v1alpha3: the version is removed"),
    Change(
        "a version is served no more",
        lambda d: d[VMIS]["versions"][1].update(served=False),
        f"{VMIS} v1alpha3: is served no more",
    ),
    Change(
        "the status is a subresource no more", lambda d: d[VMS]["versions"][0].pop("subresources"), "subresource status"
    ),
    Change(
        "the status becomes a subresource",
        lambda d: d[VMIS]["versions"][0].update(subresources={"status": {}}),
        "status becomes a subresource",
    ),
    Change(
        "a short name is removed", lambda d: d[KUBEVIRTS]["names"]["shortNames"].remove("kv"), "names.shortNames kv"
    ),
    Change("a kind is renamed", lambda d: d[VMS]["names"].update(kind="Machine"), "names.kind was VirtualMachine"),
    Change("the scope changes", lambda d: d[POLICIES].update(scope="Namespaced"), "scope was Cluster"),
    Change("a CRD is removed", lambda d: d.pop(POLICIES), f"{POLICIES}: is removed"),
)
