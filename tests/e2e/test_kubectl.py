"""kubectl as people use it on VirtualMachines: explain, columns, wait, scale of versions, dry runs, orphans."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.cluster import get, kubectl, wait
from tests.e2e.virtual_machines import existing, has, removed_afterwards, request, vm_manifest

pytestmark = pytest.mark.parallel


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("vm", "KIND:       VirtualMachine"),
        ("vm.spec.runStrategy", "FIELD: runStrategy <string>"),
        ("vm.spec.template.spec.domain.cpu.cores", "FIELD: cores <integer>"),
        ("vm.spec.template.spec.domain.devices.disks", "FIELD: disks <[]Object>"),
        ("vm.spec.template.spec.volumes.containerDisk.image", "FIELD: image <string>"),
        ("vm.spec.instancetype", "FIELD: instancetype <Object>"),
        ("vm.status.printableStatus", "FIELD: printableStatus <string>"),
        ("vmi.spec.networks", "FIELD: networks <[]Object>"),
    ],
)
def test_every_field_is_explained(path: str, words: str) -> None:
    assert words in kubectl("explain", path)


def test_machines_are_listed_with_kubevirts_columns() -> None:
    with existing(vm_manifest("listed")) as name:
        wait("vm", name, "condition=Ready")
        assert columns("vm", name) == {"NAME": name, "STATUS": "Running", "READY": "True"}
        assert columns("virtualmachines.v1alpha3.kubevirt.io", name) == columns("vm", name)
        vmi = columns("vmi", name)
        assert list(vmi) == ["NAME", "PHASE", "IP", "NODENAME", "READY", "LIVE-MIGRATABLE", "PAUSED"]
        assert (vmi["PHASE"], vmi["READY"]) == ("Running", "True")
        assert f"virtualmachine.kubevirt.io/{name}" in kubectl("get", "all", "-o", "name")


def columns(kind: str, name: str) -> dict[str, str]:
    """Of `kubectl get -o wide`, without the age."""
    lines = [line for line in kubectl("get", kind, name, "-o", "wide").splitlines() if not line.startswith("Warning")]
    starts = [(lines[0].index(word), word) for word in lines[0].split()]
    ends = [start for start, _ in starts[1:]] + [len(lines[1])]
    cells = {word: lines[1][start:end].strip() for (start, word), end in zip(starts, ends, strict=True)}
    return {word: cell for word, cell in cells.items() if word != "AGE"}


def test_kubectl_waits_for_conditions_and_fields_of_a_machine() -> None:
    with existing(vm_manifest("waited-for", "Halted")) as name:
        wait("vm", name, "condition=Ready=False")
        wait("vm", name, "jsonpath={.status.printableStatus}=Stopped")
        request(name, "start")
        wait("vm", name, "jsonpath={.status.ready}=true")
        wait("vm", name, "condition=Ready")
        wait("vmi", name, "condition=Ready")
        kubectl("delete", "vm", name, "--wait=false")
        kubectl("wait", "vm", name, "--for=delete", "--timeout=180s")


@pytest.mark.parametrize("version", ["v1", "v1alpha3"])
def test_one_is_created_and_deleted_by_either_version(version: str) -> None:
    body = vm_manifest(f"by-{version}", "Halted")
    body["apiVersion"] = f"kubevirt.io/{version}"
    with removed_afterwards(body["metadata"]["name"]) as name:
        kubectl("create", "-f", "-", stdin=json.dumps(body))
        has(name, "Stopped")
        for read in ("v1", "v1alpha3"):
            found = get(f"virtualmachines.{read}.kubevirt.io", name)
            assert (found["apiVersion"], found["spec"]["runStrategy"]) == (f"kubevirt.io/{read}", "Halted")
        kubectl("delete", f"virtualmachines.{version}.kubevirt.io", name, "--wait", "--timeout=180s")
        assert kubectl("get", "vm", name, "--ignore-not-found") == ""


def test_dry_runs_of_a_machine_change_nothing() -> None:
    body = vm_manifest("dry-run", "Halted")
    shown = json.loads(kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(body)))
    assert shown["spec"]["template"]["spec"]["domain"]["firmware"]["uuid"]  # admission took part in it
    assert kubectl("get", "vm", "dry-run", "--ignore-not-found") == ""
    with existing(body) as name:
        has(name, "Stopped")
        before = get("vm", name)
        kubectl("delete", "vm", name, "--dry-run=server")
        kubectl("patch", "vm", name, "--type=merge", "--dry-run=server", "-p", '{"spec":{"runStrategy":"Always"}}')
        changed = {**before, "spec": {**before["spec"], "runStrategy": "Always"}}
        kubectl("replace", "--dry-run=server", "-f", "-", stdin=json.dumps(changed))
        for verb in ("start", "stop", "restart"):
            dry(name, verb)
        assert get("vm", name) == before
        request(name, "start")
        has(name, "Running")
        before = stable(get("vm", name))
        for verb in ("start", "stop", "restart"):
            dry(name, verb)
        assert stable(get("vm", name)) == before


def dry(name: str, verb: str) -> None:
    """A dry run of a subresource; whether the state allows it does not matter here."""
    path = f"/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachines/{name}/{verb}"
    kubectl("replace", "--raw", path, "-f", "-", stdin='{"dryRun": ["All"]}', check=False)


def stable(vm: dict[str, Any]) -> tuple[Any, ...]:
    """What requests write of it."""
    return vm["spec"], vm.get("status", {}).get("stateChangeRequests"), vm["metadata"].get("deletionTimestamp")


def test_a_subresource_takes_yaml_and_names_what_it_does_not_understand() -> None:
    path = "/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachines/by-yaml/"
    with existing(vm_manifest("by-yaml", "Halted")) as name:
        with pytest.raises(AssertionError, match="paused: the body of start is not understood: Expected `bool`"):
            kubectl("replace", "--raw", f"{path}start", "-f", "-", stdin="paused: perhaps\n")
        kubectl("replace", "--raw", f"{path}start", "-f", "-", stdin="paused: false\n")
        has(name, "Running")


def test_an_unsupported_subresource_says_what_to_do_instead() -> None:
    path = "/apis/subresources.kubevirt.io/v1/namespaces/default/{}/nobody/{}"
    for kind in ("virtualmachines", "virtualmachineinstances"):
        for name in ("addvolume", "removevolume"):
            with pytest.raises(AssertionError, match=f"{kind}/{name} is not supported by this release: "):
                kubectl("replace", "--raw", path.format(kind, name), "-f", "-", stdin="{}")
        with pytest.raises(AssertionError, match=f"{kind}/objectgraph is not supported by this release: "):
            kubectl("get", "--raw", path.format(kind, "objectgraph"))
    for name in ("memorydump", "removememorydump"):
        with pytest.raises(AssertionError, match=f"virtualmachines/{name} is not supported by this release: "):
            kubectl("replace", "--raw", path.format("virtualmachines", name), "-f", "-", stdin="{}")
