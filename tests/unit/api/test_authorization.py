"""A user's permission for a namespace is asked for once in a few seconds, and a refusal for an even shorter time."""

from __future__ import annotations

import asyncio

import pytest
from virt_api.aggregation.authentication import User
from virt_api.aggregation.authorization import ALLOWED_SECONDS, DENIED_SECONDS, NAMED_SECONDS, Authorizer
from virt_api.errors import Forbidden, ServiceUnavailable
from virt_api.subresources.call import Call, parse_call
from virt_core.kube.client import KubeClient
from virt_core.testing.api_server import FakeApiServer
from virt_core.testing.place import Place
from virt_core.testing.refused import Refused

BOB = User("bob", groups=("dev",))


def call(subresource: str = "start", name: str = "vm", namespace: str = "ns") -> Call:
    return parse_call("PUT", version="v1", namespace=namespace, resource="virtualmachines", name=name, rest=subresource)


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_permission_is_asked_for_once_while_it_is_remembered(server: FakeApiServer, client: KubeClient) -> None:
    server.reviews.allows = lambda _: True
    clock = Clock()
    authorizer = Authorizer(client, clock)
    for clock.now in (0.0, 1.0, ALLOWED_SECONDS - 0.1):
        await authorizer.authorize(BOB, call())
    assert len(server.reviews.seen) == 1
    server.reviews.allows = lambda _: False
    clock.now = ALLOWED_SECONDS
    with pytest.raises(Forbidden):
        await authorizer.authorize(BOB, call())


async def test_calls_at_the_same_time_ask_once_and_one_that_is_given_up_ends_no_other(
    server: FakeApiServer, client: KubeClient
) -> None:
    authorizer = Authorizer(client)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(authorizer.authorize(BOB, call()))
        server.reviews.allows = lambda _: first.cancel()
        for number in range(5):
            group.create_task(authorizer.authorize(BOB, call(name=f"vm{number}")))
    assert first.cancelled() and asked_names(server) == [""]


async def test_a_refusal_is_forgotten_earlier_than_a_permission(server: FakeApiServer, client: KubeClient) -> None:
    server.reviews.allows = lambda _: False
    clock = Clock()
    authorizer = Authorizer(client, clock)
    for clock.now in (0.0, DENIED_SECONDS - 0.1):
        with pytest.raises(Forbidden, match='User "bob" cannot update resource "virtualmachines/start"'):
            await authorizer.authorize(BOB, call())
    assert asked_names(server) == ["", "vm"]
    server.reviews.allows = lambda _: True
    clock.now = DENIED_SECONDS
    await authorizer.authorize(BOB, call())


@pytest.mark.parametrize(
    ("user", "other"),
    [
        (User("alice", groups=("dev",)), call()),
        (User("bob"), call()),
        (User("bob", groups=("dev", "more")), call()),
        (User("bob", groups=("dev",), uid="1"), call()),
        (User("bob", groups=("dev",), extra=(("scope", ("a",)),)), call()),
        (BOB, call("stop")),
        (BOB, call(namespace="other")),
    ],
)
async def test_an_answer_is_for_this_user_and_this_call_only(
    server: FakeApiServer, client: KubeClient, user: User, other: Call
) -> None:
    server.reviews.allows = lambda _: len(server.reviews.seen) == 1
    authorizer = Authorizer(client)
    await authorizer.authorize(BOB, call())
    with pytest.raises(Forbidden):
        await authorizer.authorize(user, other)


def asked_names(server: FakeApiServer) -> list[str]:
    """Of the objects that reviews are about; "": all of a namespace."""
    return [review["resourceAttributes"]["name"] for review in server.reviews.seen]


async def test_who_may_do_it_to_all_objects_of_a_namespace_is_asked_about_once(
    server: FakeApiServer, client: KubeClient
) -> None:
    server.reviews.allows = lambda review: review["resourceAttributes"]["name"] == ""
    authorizer = Authorizer(client)
    for name in ("a", "b", "c"):
        await authorizer.authorize(BOB, call(name=name))
    assert asked_names(server) == [""]


async def test_a_permission_for_one_object_is_none_for_another(server: FakeApiServer, client: KubeClient) -> None:
    server.reviews.allows = lambda review: review["resourceAttributes"]["name"] == "vm"
    clock = Clock()
    authorizer = Authorizer(client, clock)
    for clock.now in (0.0, ALLOWED_SECONDS, NAMED_SECONDS - 0.1):
        await authorizer.authorize(BOB, call())
        with pytest.raises(Forbidden):
            await authorizer.authorize(BOB, call(name="other"))
    assert asked_names(server) == ["", *("vm", "other") * 3]  # one question for each, as ever
    clock.now = NAMED_SECONDS
    server.reviews.allows = lambda _: True
    await authorizer.authorize(BOB, call(name="other"))
    assert asked_names(server)[-1] == ""


async def test_an_error_is_no_answer(server: FakeApiServer, client: KubeClient) -> None:
    def fault(_method: str, _place: Place) -> None:
        raise Refused(503, "ServiceUnavailable", "starting")

    server.reviews.allows = lambda _: True
    authorizer = Authorizer(client)
    server.fault = fault
    ended = await asyncio.gather(*(authorizer.authorize(BOB, call()) for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in ended] == [ServiceUnavailable] * 3
    server.fault = lambda _method, _place: None
    await authorizer.authorize(BOB, call())


async def test_the_oldest_answers_are_forgotten(
    server: FakeApiServer, client: KubeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("virt_api.aggregation.authorization._REMEMBERED", 2)
    server.reviews.allows = lambda _: True
    authorizer = Authorizer(client)
    for namespace in ("a", "b", "c", "c", "b", "a"):
        await authorizer.authorize(BOB, call(namespace=namespace))
    assert len(server.reviews.seen) == 4
