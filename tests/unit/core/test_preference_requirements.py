"""Whether an instance type, or else the template, provides what a preference requires."""

from __future__ import annotations

from typing import Any

import pytest
from virt_core.instancetype.requirements import requirement_refusals
from virt_core.objects.kubevirt import Configuration
from virt_core.vmi.accepted import accept

from tests.samples.instancetypes import instancetype, preference

PREFIX = "failure checking preference requirements: "
CPU = "spec.template.spec.domain.cpu"
SPREAD = {"preferredCPUTopology": "spread"}


def refused(
    required: dict[str, Any],
    *,
    provided: dict[str, Any] | None = None,
    cpu: dict[str, Any] | None = None,
    preferred: dict[str, Any] | None = None,
    memory: str = "1Gi",
) -> list[tuple[str, str]]:
    """Field and message of each refusal, of a template with that CPU and memory."""
    spec = {"domain": {"devices": {}, "cpu": cpu or {}, "memory": {"guest": memory}}}
    wanted = preference(requirements=required, cpu=preferred or {})
    found = requirement_refusals(provided, wanted, accept(spec, Configuration()))
    refusals = [(refusal.field, refusal.message) for refusal in found]
    assert all(message.startswith(PREFIX) for _, message in refusals)
    return [(field, message.removeprefix(PREFIX)) for field, message in refusals]


def test_what_is_provided_is_enough() -> None:
    required = {"cpu": {"guest": 2}, "memory": {"guest": "1Gi"}, "architecture": "amd64"}
    assert refused(required, provided=instancetype(2, "1Gi")) == []
    assert refused(required, cpu={"sockets": 2}) == []
    assert refused({}) == []
    assert (
        list(
            requirement_refusals(
                None, preference(), accept({"domain": {"memory": {"guest": 1 << 30}}}, Configuration())
            )
        )
        == []
    )


def test_an_instance_type_with_too_little_is_named() -> None:
    small = instancetype(1, "64Mi")
    assert refused({"cpu": {"guest": 2}}, provided=small) == [
        (
            "spec.instancetype",
            "insufficient CPU resources of 1 vCPU provided by instance type, preference requires 2 vCPU",
        )
    ]
    assert refused({"memory": {"guest": "1Gi"}}, provided=small) == [
        (
            "spec.instancetype",
            "insufficient Memory resources of 64Mi provided by instance type, preference requires 1Gi",
        )
    ]


@pytest.mark.parametrize(
    ("preferred", "cpu", "levels", "has", "words"),
    [
        ({}, {"cores": 4}, ["sockets"], 1, "sockets"),
        ({"preferredCPUTopology": "sockets"}, {"sockets": 3}, ["sockets"], 3, "sockets"),
        ({"preferredCPUTopology": "cores"}, {"cores": 3, "sockets": 4}, ["cores"], 3, "cores"),
        ({"preferredCPUTopology": "preferThreads"}, {"threads": 1, "sockets": 4}, ["threads"], 1, "threads"),
        (
            {"preferredCPUTopology": "any"},
            {"cores": 3},
            ["cores", "sockets", "threads"],
            3,
            "cores, sockets and threads",
        ),
        (SPREAD, {"sockets": 3, "threads": 2}, ["sockets", "cores"], 3, "SocketsCores"),
        (
            {**SPREAD, "spreadOptions": {"across": "CoresThreads"}},
            {"sockets": 4, "cores": 3},
            ["cores", "threads"],
            3,
            "CoresThreads",
        ),
        (
            {**SPREAD, "spreadOptions": {"across": "SocketsCoresThreads"}},
            {"sockets": 3},
            ["sockets", "cores", "threads"],
            3,
            "SocketsCoresThreads",
        ),
    ],
)
def test_a_template_provides_the_levels_of_its_topology_that_the_preference_counts(
    preferred: dict[str, Any], cpu: dict[str, Any], levels: list[str], has: int, words: str
) -> None:
    message = f"insufficient CPU resources of {has} vCPU provided by VirtualMachine, preference requires 4 vCPU"
    expected = [(f"{CPU}.{level}", f"{message} provided as {words}") for level in levels]
    assert refused({"cpu": {"guest": 4}}, cpu=cpu, preferred=preferred) == expected
    assert refused({"cpu": {"guest": has}}, cpu=cpu, preferred=preferred) == []


def test_memory_and_architecture_of_the_template_count_too() -> None:
    assert refused({"memory": {"guest": "2Gi"}}) == [
        (
            "spec.template.spec.domain.memory",
            "insufficient Memory resources of 1Gi provided by VirtualMachine, preference requires 2Gi",
        )
    ]
    assert refused({"architecture": "arm64"}) == [
        ("spec.template.spec.architecture", "preference requires architecture arm64 but amd64 is being requested")
    ]


def test_the_first_requirement_that_is_not_met_is_the_one_that_is_named() -> None:
    required = {"cpu": {"guest": 4}, "memory": {"guest": "2Gi"}, "architecture": "arm64"}
    assert [field for field, _ in refused(required)] == [f"{CPU}.sockets"]
    assert [field for field, _ in refused(required, cpu={"sockets": 4})] == ["spec.template.spec.domain.memory"]
