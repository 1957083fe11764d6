"""A guest may be kept on the launcher of each recorded release, in a pod of this release's template.

So the template asks nothing of the launcher's image that the release's own template does not: the release prints its
pods by its own code. What is compared is what image and pod owe each other: programs, hooks, probes, variables, paths,
users. A difference needs a pod that follows the launcher's release, or a launcher that older releases' pods fit.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from localcluster.releases import recorded, tree
from localcluster.releases.recorded import Release
from localcluster.settings import PROJECT_ROOT

_PRINT = """
import json, sys
import msgspec
from virt_controller.pod.containers import LauncherSettings
from virt_controller.pod.observed import Claim
from virt_controller.pod.template import launcher_pod
from virt_core.objects.kubevirt import Configuration, DeveloperConfiguration
from virt_core.vmi.accepted import accept
from virt_core.vmi.instance import VirtualMachineInstance

configuration = Configuration(DeveloperConfiguration(use_emulation=True))
files = msgspec.convert({"spec": {"accessModes": ["ReadWriteOnce"]}}, Claim)
device = msgspec.convert({"spec": {"volumeMode": "Block"}}, Claim)
for name, vmi in json.load(sys.stdin).items():
    vmi = msgspec.json.decode(json.dumps(vmi), type=VirtualMachineInstance)
    accepted = accept(vmi.raw_spec, configuration)
    claims = {"files": files, "device": device}
    pod = launcher_pod(vmi, accepted, LauncherSettings("launcher", "IfNotPresent"), configuration, claims)
    print(json.dumps({name: pod}))
"""
_KEYS = {"secret": {"secretName": "keys"}}
_VOLUMES: dict[str, Any] = {
    "container-disk": {"containerDisk": {"image": "user"}},
    "files": {"persistentVolumeClaim": {"claimName": "files"}},
    "device": {"persistentVolumeClaim": {"claimName": "device"}},
    "base": {"ephemeral": {"persistentVolumeClaim": {"claimName": "files"}}},
    "empty": {"emptyDisk": {"capacity": "1Gi"}},
    "config": {"configMap": {"name": "m"}},
    "secret": {"secret": {"secretName": "s"}},
    "token": {"serviceAccount": {"serviceAccountName": "robot"}},
    "labels": {"downwardAPI": {"fields": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
    "cloud": {"cloudInitNoCloud": {"secretRef": {"name": "u"}, "networkDataSecretRef": {"name": "n"}}},
    "drive": {"cloudInitConfigDrive": {"userData": "#cloud-config"}},
}
_KERNEL = {"container": {"image": "user", "kernelPath": "/kernel", "initrdPath": "/initrd"}}
_EXEC = {"exec": {"command": ["true"]}, "timeoutSeconds": 3}
SPECS: dict[str, dict[str, Any]] = {
    "plain": {},
    **{name: {"volumes": [{"name": name, **volume}]} for name, volume in _VOLUMES.items()},
    "kernel": {"domain": {"firmware": {"kernelBoot": _KERNEL}}},
    "console log": {"domain": {"devices": {"logSerialConsole": True}}},
    "display": {"domain": {"devices": {"autoattachGraphicsDevice": True}}},
    "probes": {"livenessProbe": _EXEC, "readinessProbe": {"guestAgentPing": {}}},
    "ports": {
        "domain": {"devices": {"interfaces": [{"name": "n", "masquerade": {}, "ports": [{"port": 80}]}]}},
        "networks": [{"name": "n", "pod": {}}],
    },
    "credentials": {
        "accessCredentials": [
            {"sshPublicKey": {"source": _KEYS, "propagationMethod": {"qemuGuestAgent": {"users": ["a"]}}}}
        ]
    },
    "huge pages": {"domain": {"memory": {"hugepages": {"pageSize": "2Mi"}}}},
    "guaranteed": {"domain": {"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}},
}


def vmi(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A VirtualMachineInstance with more fields than the few that every guest has, and with each log setting."""
    domain = spec.get("domain", {})
    memory = {"guest": "64Mi", **domain.get("memory", {})}
    devices = {"autoattachGraphicsDevice": False, **domain.get("devices", {})}
    metadata = {"name": "guest", "namespace": "ns", "uid": "u", "labels": {"logVerbosity": "6"}}
    return {"metadata": metadata, "spec": {**spec, "domain": {**domain, "memory": memory, "devices": devices}}}


@cache
def pods(source: Path) -> dict[str, Any]:
    """The pods of SPECS by the code of the tree in `source`."""
    asked = json.dumps({name: vmi(spec) for name, spec in SPECS.items()})
    argv = [sys.executable, "-c", _PRINT]
    done = subprocess.run(
        argv, env=tree.environment(source), cwd=source, input=asked, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        found |= json.loads(line)
    return found


def demands(pod: Mapping[str, Any]) -> dict[str, Any]:
    """What the pod asks of the launcher's image, and gives it."""
    of_pod = {key: pod["spec"].get(key) for key in ("shareProcessNamespace", "securityContext", "restartPolicy")}
    return {**of_pod, **{container["name"]: _of(container) for container in pod["spec"]["containers"]}}


def _of(container: Mapping[str, Any]) -> dict[str, Any]:
    mounts = [(mount["mountPath"], mount.get("readOnly", False)) for mount in container.get("volumeMounts", ())]
    probes = [container.get(kind, {}).get("exec") for kind in ("livenessProbe", "readinessProbe", "startupProbe")]
    same = {
        key: container.get(key) for key in ("image", "command", "args", "lifecycle", "volumeDevices", "securityContext")
    }
    return {**same, "env": container.get("env"), "mounts": sorted(mounts), "probes": probes}


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("release", recorded.releases(), ids=lambda release: release.version)
def test_a_pod_asks_nothing_of_an_older_launcher_that_its_own_release_does_not(release: Release, name: str) -> None:
    assert demands(pods(PROJECT_ROOT)[name]) == demands(pods(tree.ensure(release))[name])


@pytest.mark.parametrize("release", recorded.releases(), ids=lambda release: release.version)
def test_names_that_handlers_of_other_releases_use_in_a_pod_are_the_same(release: Release) -> None:
    """Volumes are folders on the node, and containers are found by name in statuses."""
    for name, theirs in pods(tree.ensure(release)).items():
        ours = pods(PROJECT_ROOT)[name]
        assert {volume["name"] for volume in theirs["spec"]["volumes"]} == {
            volume["name"] for volume in ours["spec"]["volumes"]
        }
        assert ours["metadata"]["name"] == theirs["metadata"]["name"]
        assert ours["metadata"]["labels"] == theirs["metadata"]["labels"]
        assert ours["metadata"]["annotations"] == theirs["metadata"]["annotations"]
