"""ControllerRevisions of any content do no harm: anybody who may write them in a namespace chooses what they hold."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from virt_core.instancetype.stored import object_in, replacing_revision
from virt_core.kube.resource import VIRTUAL_MACHINE_CLUSTER_INSTANCETYPES
from virt_core.objects.meta import ObjectMeta

from tests.samples.vmis import JSON

VM = ObjectMeta("guest", "ns")
GROUP = "instancetype.kubevirt.io"
NAMES = st.sampled_from(("small", "other", "")) | JSON
NUMBERS = st.integers(0, 1 << 70) | st.booleans() | JSON
METADATA = st.fixed_dictionaries({}, optional={"name": NAMES, "uid": NAMES, "generation": NUMBERS, "x": JSON})
TEXTS = JSON.map(lambda value: b64encode(json.dumps(value).encode()).decode()) | st.text(max_size=8)
DATA = st.fixed_dictionaries(
    {
        "spec": JSON | TEXTS | st.dictionaries(st.text(max_size=3), JSON, max_size=3),
        "apiVersion": st.sampled_from((f"{GROUP}/v1alpha1", "apps/v1")) | JSON,
    },
    optional={
        "kind": st.sampled_from(("VirtualMachinePreference", "StatefulSet")) | JSON,
        "metadata": METADATA | JSON,
    },
)
REVISIONS = st.fixed_dictionaries({"metadata": METADATA, "data": DATA | JSON})


@example({"data": {"kind": "VirtualMachinePreference", "metadata": {"generation": True}, "spec": {}}}, "")
@example({"data": {"kind": "VirtualMachinePreference", "metadata": {"generation": 1 << 70}, "spec": {}}}, "small")
@given(REVISIONS, st.sampled_from(("small", "")))
def test_what_a_revision_keeps_is_an_object_that_can_be_kept_again_or_nothing(revision: Any, name: str) -> None:
    kept = object_in(revision, name)
    if kept is None:
        return
    made = replacing_revision(VM, {}, VIRTUAL_MACHINE_CLUSTER_INSTANCETYPES, name or "small", kept)
    assert made["data"]["spec"] == kept["spec"]
    assert object_in(json.loads(json.dumps(made)), name) is not None
