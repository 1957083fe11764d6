"""Authentication by the front proxy."""

from __future__ import annotations

from typing import Any

import pytest
from multidict import CIMultiDict
from virt_api.aggregation.authentication import FrontProxy, User, authenticate
from virt_api.errors import Unauthorized

RULES = FrontProxy.from_config_map(
    {
        "requestheader-client-ca-file": "PEM",
        "requestheader-allowed-names": '["front-proxy-client"]',
        "requestheader-username-headers": '["X-Remote-User"]',
        "requestheader-uid-headers": '["X-Remote-Uid"]',
        "requestheader-group-headers": '["X-Remote-Group"]',
        "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
    }
)


def certificate(name: str) -> dict[str, Any]:
    """As ssl.SSLObject.getpeercert has it."""
    return {"subject": ((("organizationName", "o"),), (("commonName", name),))}


def test_the_front_proxy_names_user_groups_uid_and_extra() -> None:
    headers = CIMultiDict(
        [
            ("x-remote-user", "bob"),
            ("X-Remote-Uid", "7"),
            ("X-Remote-Group", "dev"),
            ("X-Remote-Group", "system:authenticated"),
            ("X-Remote-Extra-Scopes.Example.Com%2fView", "a"),
            ("X-Remote-Extra-Scopes.Example.Com%2fView", "b"),
        ]
    )
    assert authenticate(certificate("front-proxy-client"), headers, RULES) == User(
        "bob", "7", ("dev", "system:authenticated"), (("scopes.example.com/view", ("a", "b")),)
    )


@pytest.mark.parametrize("peer", [None, {}, certificate("somebody-else")], ids=["none", "unverified", "other name"])
def test_headers_of_anyone_else_are_not_believed(peer: dict[str, Any] | None) -> None:
    with pytest.raises(Unauthorized):
        authenticate(peer, CIMultiDict({"X-Remote-User": "system:admin"}), RULES)


def test_no_user_is_nobody() -> None:
    with pytest.raises(Unauthorized, match="X-Remote-User"):
        authenticate(certificate("front-proxy-client"), CIMultiDict({"X-Remote-Group": "system:masters"}), RULES)


def test_before_the_rules_are_known_nobody_is_trusted() -> None:
    with pytest.raises(Unauthorized):
        authenticate(certificate("front-proxy-client"), CIMultiDict({"X-Remote-User": "bob"}), FrontProxy())


def test_without_allowed_names_the_authority_decides() -> None:
    rules = FrontProxy.from_config_map(
        {"requestheader-client-ca-file": "PEM", "requestheader-username-headers": '["X-Remote-User"]'}
    )
    assert authenticate(certificate("any"), CIMultiDict({"X-Remote-User": "bob"}), rules).name == "bob"


def test_a_list_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="requestheader-allowed-names: 'front-proxy-client' is not allowed"):
        FrontProxy.from_config_map({"requestheader-allowed-names": "front-proxy-client"})
