"""The API server's OpenAPI documents, from which clients are generated."""

from __future__ import annotations

import json

import pytest
from virt_core.conventions.subresources import SUPPORTED, VERSIONS

from tests.e2e.cluster import kubectl, until, wait

pytestmark = pytest.mark.parallel

ROOT = "/apis/subresources.kubevirt.io"
REFRESH_S = 120.0  # the aggregator asks once a minute


def described(paths: object, version: str) -> set[str]:
    """The subresources among `paths`."""
    assert isinstance(paths, dict)
    start = f"{ROOT}/{version}/namespaces/{{namespace}}/"
    found = (path.removeprefix(start) for path in paths if path.startswith(start))
    return {path.replace("/{name}", "").partition("/{")[0] for path in found}


def test_the_api_servers_document_has_the_subresources_and_their_types(suite: None) -> None:
    def merged() -> bool:
        return "v1.PauseOptions" in json.loads(kubectl("get", "--raw", "/openapi/v2"))["definitions"]

    until(merged, "the aggregator has merged virt-api's document", REFRESH_S, every=2)
    document = json.loads(kubectl("get", "--raw", "/openapi/v2"))
    for version in VERSIONS:
        assert described(document["paths"], version) == {*SUPPORTED, "expand-vm-spec"}
    answer = document["paths"][f"{ROOT}/v1/namespaces/{{namespace}}/virtualmachineinstances/{{name}}/guestosinfo"]
    reference = answer["get"]["responses"]["200"]["schema"]["$ref"]
    assert reference.rpartition("/")[2] == "v1.VirtualMachineInstanceGuestAgentInfo"
    for service in VERSIONS:
        wait("apiservice", f"{service}.subresources.kubevirt.io", "condition=Available")


@pytest.mark.parametrize("version", VERSIONS)
def test_each_version_has_a_document_of_its_own_that_the_index_names(suite: None, version: str) -> None:
    index = json.loads(kubectl("get", "--raw", "/openapi/v3"))["paths"]
    place = index[f"{ROOT[1:]}/{version}"]["serverRelativeURL"]
    document = json.loads(kubectl("get", "--raw", place))
    assert described(document["paths"], version) == {*SUPPORTED, "expand-vm-spec"}
    assert "v1.PauseOptions" in document["components"]["schemas"]


def test_kubectl_still_explains_virtual_machine_instances(suite: None) -> None:
    output = kubectl("explain", "virtualmachineinstances.spec.terminationGracePeriodSeconds")
    assert "FIELD: terminationGracePeriodSeconds <integer>" in output
