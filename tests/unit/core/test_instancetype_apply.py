"""What an instance type makes of a template, and what it conflicts with."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from virt_core.instancetype.apply import apply
from virt_core.objects.paths import put

from tests.samples.instancetypes import instancetype, preference

TEMPLATE: dict[str, Any] = {"metadata": {"labels": {"app": "web"}}, "spec": {"domain": {"devices": {}}}}


def applied(kind: dict[str, Any], preferred: dict[str, Any] | None = None) -> dict[str, Any]:
    """The spec of the open template with both."""
    result = apply(TEMPLATE, kind, preferred)
    assert result.refusals == ()
    return result.template["spec"]  # type: ignore[no-any-return]


def refused(template: dict[str, Any], kind: dict[str, Any]) -> list[tuple[str, str]]:
    before = copy.deepcopy(template)
    result = apply(template, kind, None)
    assert result.template is template and template == before
    return [(refusal.field, refusal.message) for refusal in result.refusals]


def with_field(path: str, value: Any) -> dict[str, Any]:
    return {"metadata": {}, "spec": put({"domain": {"devices": {}}}, tuple(path.split(".")), value)}


def test_cpu_and_memory_are_the_instance_types_and_the_rest_stays() -> None:
    result = apply(TEMPLATE, instancetype(4, "2Gi"), None)
    assert result.template["metadata"] == TEMPLATE["metadata"]
    assert result.template["spec"]["domain"] == {
        "devices": {},
        "cpu": {"sockets": 4, "cores": 1, "threads": 1},
        "memory": {"guest": "2Gi"},
    }
    assert TEMPLATE["spec"] == {"domain": {"devices": {}}}


def test_without_either_the_template_stays_as_it_is() -> None:
    assert apply(TEMPLATE, None, None).template is TEMPLATE


@pytest.mark.parametrize(
    ("cpu", "guest", "sockets", "cores", "threads"),
    [
        ({}, 4, 4, 1, 1),
        ({"preferredCPUTopology": "sockets"}, 4, 4, 1, 1),
        ({"preferredCPUTopology": "any"}, 4, 4, 1, 1),
        ({"preferredCPUTopology": "cores"}, 4, 1, 4, 1),
        ({"preferredCPUTopology": "threads"}, 4, 1, 1, 4),
        ({"preferredCPUTopology": "preferCores"}, 4, 1, 4, 1),
        ({"preferredCPUTopology": "spread"}, 8, 4, 2, 1),
        ({"preferredCPUTopology": "spread", "spreadOptions": {"ratio": 4}}, 8, 2, 4, 1),
        ({"preferredCPUTopology": "spread", "spreadOptions": {"across": "CoresThreads"}}, 8, 1, 4, 2),
        ({"preferredCPUTopology": "spread", "spreadOptions": {"across": "SocketsCoresThreads"}}, 8, 2, 2, 2),
        (
            {"preferredCPUTopology": "spread", "spreadOptions": {"across": "SocketsCoresThreads", "ratio": 4}},
            8,
            1,
            4,
            2,
        ),
    ],
)
def test_vcpus_go_where_the_preference_has_them(
    cpu: dict[str, Any], guest: int, sockets: int, cores: int, threads: int
) -> None:
    domain = applied(instancetype(guest), preference(cpu=cpu))["domain"]
    assert domain["cpu"] == {"sockets": sockets, "cores": cores, "threads": threads}


def test_the_older_field_is_the_ratio_where_the_options_name_none() -> None:
    spread = {"preferredCPUTopology": "spread"}
    domain = applied(instancetype(8), preference(cpu=spread, preferSpreadSocketToCoreRatio=4))["domain"]
    assert domain["cpu"] == {"sockets": 2, "cores": 4, "threads": 1}


@pytest.mark.parametrize(
    ("options", "guest", "multiple"),
    [({}, 3, 2), ({"ratio": 3}, 4, 3), ({"across": "CoresThreads"}, 5, 2), ({"across": "SocketsCoresThreads"}, 6, 4)],
)
def test_vcpus_that_cannot_be_spread_evenly_are_refused(options: dict[str, Any], guest: int, multiple: int) -> None:
    preferred = preference(cpu={"preferredCPUTopology": "spread", "spreadOptions": options})
    (refusal,) = apply(TEMPLATE, instancetype(guest), preferred).refusals
    assert refusal.field == "instancetype.spec.cpu.guest"
    assert refusal.message.startswith(f"{guest} vCPUs provided by the instance type")
    assert refusal.message.endswith(f"a multiple of {multiple}")


@pytest.mark.parametrize(
    ("part", "path", "value"),
    [
        ({"nodeSelector": {"zone": "a"}}, "nodeSelector", {"zone": "a"}),
        ({"schedulerName": "other"}, "schedulerName", "other"),
        ({"cpu": {"guest": 1, "model": "host-model"}}, "domain.cpu.model", "host-model"),
        ({"cpu": {"guest": 1, "dedicatedCPUPlacement": False}}, "domain.cpu.dedicatedCpuPlacement", False),
        ({"cpu": {"guest": 1, "isolateEmulatorThread": False}}, "domain.cpu.isolateEmulatorThread", False),
        (
            {"memory": {"guest": "1Gi", "hugepages": {"pageSize": "2Mi"}}},
            "domain.memory.hugepages",
            {"pageSize": "2Mi"},
        ),
    ],
)
def test_each_field_is_copied(part: dict[str, Any], path: str, value: Any) -> None:
    found: Any = applied(instancetype(**part))
    for key in path.split("."):
        found = found[key]
    assert found == value


@pytest.mark.parametrize(
    ("guest", "percent", "request_"),
    [
        ("2Gi", 50, "1Gi"),
        ("1Gi", 25, "768Mi"),
        ("2G", 50, "1000000000"),
        ("1Gi", 100, "0"),
        ("1Gi", 15, "912680576"),  # in 64 bits it would be 912680550
        ("1Gi", 0, None),
    ],
)
def test_overcommitted_memory_is_a_smaller_request_calculated_in_32_bits(
    guest: str, percent: int, request_: str | None
) -> None:
    domain = applied(instancetype(memory={"guest": guest, "overcommitPercent": percent}))["domain"]
    assert domain["memory"] == {"guest": guest}
    assert domain.get("resources") == (None if request_ is None else {"requests": {"memory": request_}})


def test_annotations_are_added_and_equal_ones_do_not_conflict() -> None:
    template = {**TEMPLATE, "metadata": {"annotations": {"a": "1", "own": "x"}}}
    result = apply(template, instancetype(annotations={"a": "1", "b": "2"}), None)
    assert result.template["metadata"]["annotations"] == {"a": "1", "b": "2", "own": "x"}


ALWAYS = [
    ("domain.resources.requests.cpu", "1"),
    ("domain.resources.limits.cpu", 1),
    ("domain.cpu.sockets", 1),
    ("domain.cpu.cores", 1),
    ("domain.cpu.threads", 1),
    ("domain.memory.guest", "1Gi"),
    ("domain.resources.requests.memory", "1Gi"),
    ("domain.resources.limits.memory", "1Gi"),
]
IF_GIVEN = [
    ("nodeSelector", {"a": "b"}, {"nodeSelector": {"c": "d"}}),
    ("schedulerName", "mine", {"schedulerName": "other"}),
    ("domain.cpu.model", "host-model", {"cpu": {"guest": 1, "model": "host-passthrough"}}),
    ("domain.cpu.isolateEmulatorThread", True, {"cpu": {"guest": 1, "isolateEmulatorThread": False}}),
    ("domain.memory.hugepages", {"pageSize": "2Mi"}, {"memory": {"guest": "1Gi", "hugepages": {"pageSize": "2Mi"}}}),
]


@pytest.mark.parametrize(("path", "value"), ALWAYS)
def test_a_field_that_every_instance_type_sets_conflicts(path: str, value: Any) -> None:
    field = f"spec.template.spec.{path}"
    message = f"VM field(s) {field} conflicts with selected instance type"
    assert refused(with_field(path, value), instancetype()) == [(field, message)]


@pytest.mark.parametrize(("path", "value", "part"), IF_GIVEN)
def test_a_field_conflicts_only_with_an_instance_type_that_sets_it(path: str, value: Any, part: dict[str, Any]) -> None:
    template = with_field(path, value)
    assert [field for field, _ in refused(template, instancetype(**part))] == [f"spec.template.spec.{path}"]
    assert apply(template, instancetype(), None).refusals == ()


def test_dedicated_cpus_conflict_under_kubevirts_name() -> None:
    template = with_field("domain.cpu.dedicatedCpuPlacement", True)
    kind = instancetype(cpu={"guest": 1, "dedicatedCPUPlacement": False})
    assert [field for field, _ in refused(template, kind)] == ["spec.template.spec.domain.cpu.dedicatedCPUPlacement"]


def test_a_differing_annotation_conflicts() -> None:
    template = {**TEMPLATE, "metadata": {"annotations": {"b": "1", "a": "1"}}}
    fields = [field for field, _ in refused(template, instancetype(annotations={"a": "2", "b": "2", "c": "3"}))]
    assert fields == ["annotations.a", "annotations.b"]


def test_all_conflicts_are_named_in_kubevirts_order_but_of_memory_only_the_first() -> None:
    spec: Any = {"domain": {"devices": {}}, "nodeSelector": {"a": "b"}}
    for path, value in reversed(ALWAYS):
        spec = put(spec, tuple(path.split(".")), value)
    kind = instancetype(nodeSelector={"c": "d"})
    assert [
        field.removeprefix("spec.template.spec.") for field, _ in refused({"metadata": {}, "spec": spec}, kind)
    ] == [
        "nodeSelector",
        "domain.resources.requests.cpu",
        "domain.resources.limits.cpu",
        "domain.cpu.sockets",
        "domain.cpu.cores",
        "domain.cpu.threads",
        "domain.memory.guest",
    ]


def test_a_field_of_either_that_cannot_be_run_is_named_with_its_object() -> None:
    kind = instancetype(ioThreadsPolicy="auto")
    (refusal,) = apply(TEMPLATE, kind, None).refusals
    assert refusal.field == "spec.instancetype"
    assert refusal.message == (
        "cannot use VirtualMachineClusterInstancetype small: spec.ioThreadsPolicy: is not supported by this release, "
        "remove it"
    )
    preferred = preference(features={"preferredHyperv": {}}, devices={"preferredSoundModel": "ich9"})
    assert [refusal.field for refusal in apply(TEMPLATE, None, preferred).refusals] == ["spec.preference"] * 2


@pytest.mark.parametrize("template", [{}, {"spec": None}, {"spec": []}, {"metadata": "x", "spec": {"domain": "y"}}])
def test_a_template_that_is_none_stays_none_for_validation_to_refuse(template: dict[str, Any]) -> None:
    assert apply(template, instancetype(annotations={"a": "b"}), preference(cpu={})).refusals == ()
