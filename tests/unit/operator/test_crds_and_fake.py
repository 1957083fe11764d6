"""The fake API server treats KubeVirt's kinds as their CRDs define, even if these are not stored."""

from __future__ import annotations

import pytest
from virt_core.testing.kinds import BUILT_IN, custom_kind
from virt_operator.strategy.crds import instancetypes, kubevirts, virtual_machine_instances
from virt_operator.strategy.ref import Body

DEFINITIONS = (kubevirts(), virtual_machine_instances(), *instancetypes())


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda body: body["metadata"]["name"])
def test_fake_and_definition_agree(definition: Body) -> None:
    spec = definition["spec"]
    fake, defined = (
        BUILT_IN[spec["group"], spec["names"]["plural"]],
        custom_kind(definition, spec["versions"][0]["name"]),
    )
    assert (fake.status, fake.generations) == (defined.status, defined.generations)
    assert {path: defined.merging.get(path) for path in fake.merging} == fake.merging
