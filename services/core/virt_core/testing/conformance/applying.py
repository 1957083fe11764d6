"""Server-side apply: who owns what, what is pruned, how lists merge."""

from __future__ import annotations

from virt_core.kube.client import KubeClient
from virt_core.kube.errors import Conflict
from virt_core.kube.resource import CONFIG_MAPS, DEPLOYMENTS, SERVICES
from virt_core.testing.conformance.calls import Check, Object, config_map, refused


async def apply_creates_and_repeats_without_a_write(client: KubeClient, namespace: str) -> None:
    """The manager stands in managedFields; the same again changes nothing, not even the version."""
    wanted = {"metadata": {"name": "applied", "labels": {"mine": "yes"}}, "data": {"a": "1"}}
    created = await client.apply(CONFIG_MAPS, namespace, wanted, manager="first")
    assert (created["kind"], created["data"]) == ("ConfigMap", {"a": "1"})
    (entry,) = created["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"], entry["apiVersion"]) == ("first", "Apply", "v1")
    assert entry["fieldsV1"] == {"f:metadata": {"f:labels": {"f:mine": {}}}, "f:data": {"f:a": {}}}
    assert await client.apply(CONFIG_MAPS, namespace, wanted, manager="first") == created


async def apply_removes_what_it_no_longer_names(client: KubeClient, namespace: str) -> None:
    """What somebody else wrote stays, and so does what two managers apply."""
    body: Object = {"metadata": {"name": "pruned", "annotations": {"gone": "yes"}}, "data": {"a": "1", "b": "2"}}
    await client.apply(CONFIG_MAPS, namespace, body, manager="first")
    await client.apply(CONFIG_MAPS, namespace, {"metadata": {"name": "pruned"}, "data": {"b": "2"}}, manager="second")
    await client.merge_patch(CONFIG_MAPS, namespace, "pruned", {"data": {"c": "3"}})
    bare: Object = {"metadata": {"name": "pruned"}}
    after = await client.apply(CONFIG_MAPS, namespace, bare, manager="first")
    assert after["data"] == {"b": "2", "c": "3"}
    assert "annotations" not in after["metadata"]
    after = await client.apply(CONFIG_MAPS, namespace, bare, manager="second")
    assert after["data"] == {"c": "3"}


async def apply_takes_over_only_by_force(client: KubeClient, namespace: str) -> None:
    """Another's value is a conflict that names it; the same value is owned by both."""
    await client.create(CONFIG_MAPS, namespace, config_map("contested"))
    wanted: Object = {"metadata": {"name": "contested"}, "data": {"a": "2"}}
    error = await refused(Conflict, client.apply(CONFIG_MAPS, namespace, wanted, manager="first", force=False))
    assert "conflict with" in error.message and ".data.a" in error.message
    assert (await client.get(CONFIG_MAPS, namespace, "contested"))["data"] == {"a": "1"}
    same: Object = {"metadata": {"name": "contested"}, "data": {"a": "1"}}
    await client.apply(CONFIG_MAPS, namespace, same, manager="second", force=False)
    taken = await client.apply(CONFIG_MAPS, namespace, wanted, manager="first")
    assert taken["data"] == {"a": "2"}
    assert _owners_of_a(taken) == {"first"}
    # Whoever changes a value owns it from then on, whatever the kind of write.
    patched = await client.merge_patch(CONFIG_MAPS, namespace, "contested", {"data": {"a": "3"}})
    assert len(_owners_of_a(patched)) == 1 and "first" not in _owners_of_a(patched)
    await refused(Conflict, client.apply(CONFIG_MAPS, namespace, wanted, manager="first", force=False))


async def apply_may_name_the_version_it_rests_on(client: KubeClient, namespace: str) -> None:
    """Another version is a Conflict; what is not there is created all the same."""
    wanted: Object = {"metadata": {"name": "versioned"}, "data": {"a": "1"}}
    created = await client.apply(CONFIG_MAPS, namespace, wanted, manager="first")
    version = created["metadata"]["resourceVersion"]
    resting: Object = {"metadata": {"name": "versioned", "resourceVersion": version}, "data": {"a": "2"}}
    await client.apply(CONFIG_MAPS, namespace, resting, manager="first")
    await refused(Conflict, client.apply(CONFIG_MAPS, namespace, resting, manager="first"))
    resting["metadata"]["name"] = "absent"
    assert (await client.apply(CONFIG_MAPS, namespace, resting, manager="first"))["data"] == {"a": "2"}


async def keyed_lists_merge_by_their_keys(client: KubeClient, namespace: str) -> None:
    """Ports by port and protocol: others' stay, a changed key is another port. A selector is replaced whole."""
    wanted = _service("https", 443)
    await client.apply(SERVICES, namespace, wanted, manager="first")
    other = [{"op": "add", "path": "/spec/ports/-", "value": {"name": "more", "port": 80, "protocol": "TCP"}}]
    await client.json_patch(SERVICES, namespace, "ports", other)
    await client.merge_patch(SERVICES, namespace, "ports", {"spec": {"selector": {"stranger": "yes"}}})
    merged = await client.apply(SERVICES, namespace, wanted, manager="first")
    assert [(port["name"], port["port"]) for port in merged["spec"]["ports"]] == [("https", 443), ("more", 80)]
    assert merged["spec"]["selector"] == {"app": "x"}
    moved = await client.apply(SERVICES, namespace, _service("https", 8443), manager="first")
    assert [(port["name"], port["port"]) for port in moved["spec"]["ports"]] == [("more", 80), ("https", 8443)]


async def items_of_keyed_lists_merge_field_by_field(client: KubeClient, namespace: str) -> None:
    """Containers and their variables by name; arguments as a whole; a container that is no longer applied goes."""
    first = _deployment({"name": "a", "image": "x", "args": ["1"], "env": [{"name": "V", "value": "1"}]}, _other("b"))
    await client.apply(DEPLOYMENTS, namespace, first, manager="first")
    path = "/spec/template/spec/containers/0"
    foreign: list[Object] = [
        {"op": "add", "path": f"{path}/env/-", "value": {"name": "W", "value": "2"}},
        {"op": "add", "path": f"{path}/args/-", "value": "2"},
        {"op": "add", "path": f"{path}/workingDir", "value": "/"},
    ]
    await client.json_patch(DEPLOYMENTS, namespace, "merged", foreign)
    again = _containers(await client.apply(DEPLOYMENTS, namespace, first, manager="first"))
    assert [container["name"] for container in again] == ["a", "b"]
    assert {variable["name"] for variable in again[0]["env"]} == {"V", "W"}
    assert (again[0]["args"], again[0]["workingDir"]) == (["1"], "/")
    without = _deployment(_other("b"))
    left = _containers(await client.apply(DEPLOYMENTS, namespace, without, manager="first"))
    # An item goes with everything below it, whoever owns that.
    assert [container["name"] for container in left] == ["b"]


CHECKS: tuple[Check, ...] = (
    apply_creates_and_repeats_without_a_write,
    apply_removes_what_it_no_longer_names,
    apply_takes_over_only_by_force,
    apply_may_name_the_version_it_rests_on,
    keyed_lists_merge_by_their_keys,
    items_of_keyed_lists_merge_field_by_field,
)


def _owners_of_a(body: Object) -> set[str]:
    entries = body["metadata"]["managedFields"]
    return {entry["manager"] for entry in entries if "f:a" in entry["fieldsV1"].get("f:data", {})}


def _service(name: str, port: int) -> Object:
    spec = {"selector": {"app": "x"}, "ports": [{"name": name, "port": port}]}
    return {"metadata": {"name": "ports"}, "spec": spec}


def _deployment(*containers: Object) -> Object:
    labels = {"app": "merged"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": list(containers)}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": "merged"}, "spec": spec}


def _other(name: str) -> Object:
    return {"name": name, "image": "y"}


def _containers(deployment: Object) -> list[Object]:
    found: list[Object] = deployment["spec"]["template"]["spec"]["containers"]
    return found
