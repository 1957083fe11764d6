"""From path and method to the attributes of a SubjectAccessReview."""

from __future__ import annotations

import pytest
from virt_api.aggregation.authentication import User
from virt_api.aggregation.authorization import review_of
from virt_api.errors import ApiError, BadRequest, MethodNotAllowed, NotFound, NotSupported
from virt_api.subresources.call import Call, parse_call, parse_expand_manifest
from virt_core.conventions.subresources import SUPPORTED

from tests.samples.user_roles import GRANTED_TO_NOBODY, SUBRESOURCES, kubevirts


def call(method: str, resource: str, rest: str, *, namespace: str = "ns", name: str = "vm") -> Call:
    return parse_call(method, version="v1", namespace=namespace, resource=resource, name=name, rest=rest)


@pytest.mark.parametrize(
    ("method", "resource", "rest", "verb", "subresource"),
    [
        ("GET", "virtualmachineinstances", "console", "get", "console"),
        ("PUT", "virtualmachineinstances", "pause", "update", "pause"),
        ("GET", "virtualmachineinstances", "vnc/screenshot", "get", "vnc/screenshot"),
        ("GET", "virtualmachines", "portforward/22/tcp", "get", "portforward"),
    ],
)
def test_a_review_asks_for_the_subresource_with_the_methods_verb(
    method: str, resource: str, rest: str, verb: str, subresource: str
) -> None:
    user = User("bob", groups=("dev",), extra=(("scope", ("a",)),))
    assert review_of(user, call(method, resource, rest))["spec"] == {
        "user": "bob",
        "groups": ["dev"],
        "extra": {"scope": ["a"]},
        "resourceAttributes": {
            "namespace": "ns",
            "verb": verb,
            "group": "subresources.kubevirt.io",
            "version": "v1",
            "resource": resource,
            "subresource": subresource,
            "name": "vm",
        },
    }


@pytest.mark.parametrize(
    ("method", "resource", "rest", "error"),
    [
        ("GET", "virtualmachineinstances", "nonsense", NotFound),
        ("GET", "secrets", "console", NotFound),
        ("POST", "virtualmachineinstances", "console", MethodNotAllowed),
    ],
)
def test_what_kubevirt_has_not_is_refused(method: str, resource: str, rest: str, error: type[ApiError]) -> None:
    with pytest.raises(error):
        call(method, resource, rest)


@pytest.mark.parametrize(("namespace", "name"), [("ns", ".."), ("ns/x", "vm"), ("ns", "vm\n"), ("", "vm")])
def test_names_that_could_become_another_path_are_refused(namespace: str, name: str) -> None:
    with pytest.raises(BadRequest, match="is not allowed"):
        call("GET", "virtualmachineinstances", "console", namespace=namespace, name=name)


def test_what_kubevirt_has_and_we_have_not_is_refused_by_name() -> None:
    unserved = [(resource, name) for resource, name in every_subresource() if f"{resource}/{name}" not in SUPPORTED]
    assert unserved
    for resource, name in unserved:
        method = "GET" if name in READING else "PUT"
        with pytest.raises(NotSupported, match=f"^{resource}/{name} is not supported by this release: [a-zA-Z]+ "):
            call(method, resource, name).require_supported()
    with pytest.raises(
        NotSupported, match=r"virtualmachines/addvolume is not supported .* change spec\.template\.spec"
    ):
        call("PUT", "virtualmachines", "addvolume").require_supported()


READING = ("objectgraph", "sev/fetchcertchain", "sev/querylaunchmeasurement", "usbredir", "vsock")


def every_subresource() -> list[tuple[str, str]]:
    """KubeVirt's, of both kinds."""
    granted = {permission.resource for permission in kubevirts(()) if permission.group == SUBRESOURCES}
    names = [name.partition("/") for name in sorted(granted | set(GRANTED_TO_NOBODY)) if "/" in name]
    return [(resource, subresource) for resource, _, subresource in names]


def test_expand_vm_spec_is_authorized_in_its_namespace() -> None:
    manifest = parse_expand_manifest(version="v1", namespace="ns")
    manifest.require_supported()
    attributes = review_of(User("bob"), manifest)["spec"]["resourceAttributes"]
    named = {key: attributes[key] for key in ("namespace", "verb", "resource", "subresource", "name")}
    assert named == {"namespace": "ns", "verb": "update", "resource": "expand-vm-spec", "subresource": "", "name": ""}
    with pytest.raises(BadRequest, match="namespace"):
        parse_expand_manifest(version="v1", namespace="..")


@pytest.mark.parametrize(("name", "verb"), SUPPORTED.items())
def test_all_that_is_served_is_kubevirts_with_the_same_verb(name: str, verb: str) -> None:
    resource, _, subresource = name.partition("/")
    served = call("GET" if verb == "get" else "PUT", resource, subresource)
    served.require_supported()
    assert (served.verb, served.subresource) == (verb, subresource)
