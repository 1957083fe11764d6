"""The subresources of a running guest but its console, as virtctl asks for them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from localcluster.console import Console, ConsoleRefused
from virt_api.group import SUPPORTED

from tests.e2e.cluster import kubectl
from tests.e2e.guests import Guest

KUBECONFIG = Path(os.environ.get("KUBECONFIG", ""))
BASE = "/apis/subresources.kubevirt.io/{}/namespaces/default/virtualmachineinstances/{}/{}"
TICK_PORT = 7777  # tests/guest-image


@pytest.mark.parametrize("version", ["v1", "v1alpha3"])
def test_discovery_lists_all_that_is_served(version: str) -> None:
    listed = json.loads(kubectl("get", "--raw", f"/apis/subresources.kubevirt.io/{version}"))["resources"]
    assert {one["name"]: one["verbs"] for one in listed} == {name: [verb] for name, verb in SUPPORTED.items()}


@pytest.mark.parametrize("version", ["v1", "v1alpha3"])
async def test_a_guests_port_is_forwarded(guests: list[Guest], version: str) -> None:
    name = f"portforward/{TICK_PORT}/tcp" if version == "v1" else f"portforward/{TICK_PORT}"
    for guest in guests:
        async with Console.open(KUBECONFIG, "default", guest.name) as console:
            await console.send(b"\n")
            await console.read_until(b"ready", 30)
        async with Console.open(KUBECONFIG, "default", guest.name, name, version=version) as stream:
            line = await stream.read_until(b"\n", 15)
            assert re.search(rb"tick .*boot=", line), line


async def test_a_port_where_nobody_listens_is_said_so(guests: list[Guest]) -> None:
    with pytest.raises(ConsoleRefused, match="cannot connect to") as refused:
        async with Console.open(KUBECONFIG, "default", guests[0].name, "portforward/1"):
            pass
    assert refused.value.code == 503


def test_an_agent_that_is_not_there_is_a_conflict(guests: list[Guest]) -> None:
    for subresource in ("guestosinfo", "userlist", "filesystemlist"):
        with pytest.raises(AssertionError, match="VMI does not have guest agent connected"):
            kubectl("get", "--raw", BASE.format("v1", guests[0].name, subresource))
    for subresource in ("freeze", "unfreeze"):
        with pytest.raises(AssertionError, match="VMI does not have guest agent connected"):
            _put(guests[0], subresource)


def test_a_state_that_does_not_allow_it_is_a_conflict(guests: list[Guest]) -> None:
    with pytest.raises(AssertionError, match="VMI is not paused"):
        _put(guests[0], "unpause")
    with pytest.raises(AssertionError, match="unfreezeTimeout"):
        _put(guests[0], "freeze", '{"unfreezeTimeout": "soon"}')


@pytest.mark.parametrize(("role", "allowed"), [("view", False), ("edit", True), ("admin", True)])
def test_roles_grant_what_kubevirts_grant(role: str, allowed: bool) -> None:
    rules = json.loads(kubectl("get", "clusterrole", role, "-o", "json"))["rules"]
    granted = {
        (resource, verb)
        for rule in rules
        if "subresources.kubevirt.io" in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    told = {f"virtualmachineinstances/{name}" for name in ("guestosinfo", "userlist", "filesystemlist")}
    assert {(name, "get") for name in told} <= granted
    others = {(name, verb) for name, verb in SUPPORTED.items() if name not in told}
    assert granted & others == (others if allowed else set())


def _put(guest: Guest, subresource: str, body: str = "", version: str = "v1") -> str:
    return kubectl("replace", "--raw", BASE.format(version, guest.name, subresource), "-f", "-", stdin=body)
