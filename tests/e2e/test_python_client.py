"""The official Python client of Kubernetes, unmodified, on VirtualMachines: objects, watches, subresources, kinds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException

from tests.e2e.virtual_machines import has, removed_afterwards, vm_manifest

pytestmark = pytest.mark.parallel

MACHINES = {"group": "kubevirt.io", "version": "v1", "namespace": "default", "plural": "virtualmachines"}


@pytest.fixture
def api() -> Iterator[client.ApiClient]:
    """A client of the cluster that KUBECONFIG names."""
    with config.new_client_from_config() as connected:
        yield connected


def test_a_machine_is_created_watched_patched_and_deleted(api: Any) -> None:
    objects = client.CustomObjectsApi(api)
    with removed_afterwards("by-python") as name:
        objects.create_namespaced_custom_object(**MACHINES, body=vm_manifest(name, "Halted"))
        has(name, "Stopped")
        objects.patch_namespaced_custom_object(**MACHINES, name=name, body={"spec": {"runStrategy": "Always"}})
        selected = {**MACHINES, "field_selector": f"metadata.name={name}", "timeout_seconds": 300}
        seen = watch.Watch().stream(objects.list_namespaced_custom_object, **selected)
        running = (event["object"].get("status", {}).get("printableStatus") == "Running" for event in seen)
        assert any(running)
        # It may be gone before the watch begins.
        selected["resource_version"] = objects.list_namespaced_custom_object(**MACHINES)["metadata"]["resourceVersion"]
        objects.delete_namespaced_custom_object(**MACHINES, name=name, propagation_policy="Foreground")
        gone = (
            event["type"] == "DELETED"
            for event in watch.Watch().stream(objects.list_namespaced_custom_object, **selected)
        )
        assert any(gone)


def test_a_machine_is_started_and_a_refusal_is_a_status(api: Any) -> None:
    with removed_afterwards("started-by-python") as name:
        client.CustomObjectsApi(api).create_namespaced_custom_object(**MACHINES, body=vm_manifest(name, "Halted"))
        path = f"/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachines/{name}"
        asked = {"auth_settings": ["BearerToken"], "_preload_content": False}
        api.call_api(f"{path}/start", "PUT", body={}, header_params={"Content-Type": "application/json"}, **asked)
        has(name, "Running")
        with pytest.raises(ApiException) as refused:
            api.call_api(f"{path}/start", "PUT", body={}, header_params={"Content-Type": "application/json"}, **asked)
        assert refused.value.status == 409
        assert "VM is already running" in json.loads(refused.value.body)["message"]


def test_the_dynamic_client_finds_machines_by_kind_and_short_name(api: Any) -> None:
    resources = dynamic.DynamicClient(api).resources
    machines = resources.get(api_version="kubevirt.io/v1", kind="VirtualMachine")
    assert (machines.name, machines.namespaced) == ("virtualmachines", True)
    with removed_afterwards("by-dynamic-client") as name:
        machines.create(body=vm_manifest(name, "Halted"), namespace="default")
        assert machines.get(name=name, namespace="default").spec.runStrategy == "Halted"
        applied = vm_manifest(name, "Halted")
        again = machines.server_side_apply(body=applied, name=name, namespace="default", field_manager="ansible")
        assert again.metadata.generation == 1
        machines.delete(name=name, namespace="default")
