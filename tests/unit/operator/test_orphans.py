"""A pod that is older than its service account is recreated, because its token is refused."""

from __future__ import annotations

from dataclasses import replace

import msgspec
from virt_operator.change.orphans import orphans
from virt_operator.strategy.ref import Ref
from virt_operator.suite.actions import DeletePod
from virt_operator.suite.observed import Observed, OwnedObject, PodObject

from tests.unit.operator.suites import changed, installed

ACCOUNT = Ref("ServiceAccount", "kubevirt", "kubevirt-handler")


def with_account_of(moment: str, pod_of: str, **meta: str) -> Observed:
    observed = installed()
    account = observed.owned[ACCOUNT]
    made = msgspec.structs.replace(account.metadata, creation_timestamp=moment)
    body: OwnedObject = msgspec.structs.replace(account, metadata=made)
    (pod,) = observed.pods
    metadata = msgspec.structs.replace(pod.metadata, creation_timestamp=pod_of, **meta)
    orphan = PodObject(metadata, {"serviceAccountName": "kubevirt-handler"}, pod.status)
    return replace(changed(observed, ACCOUNT, body), pods=(orphan,))


def test_a_pod_older_than_its_account_is_deleted() -> None:
    observed = with_account_of("2026-01-31T10:00:01Z", "2026-01-31T10:00:00Z")
    (pod,) = observed.pods
    why = "older than its service account, so its token is refused"
    assert orphans(observed) == [DeletePod(pod.metadata.name, pod.metadata.uid, why)]


def test_a_pod_of_the_same_second_or_later_stays() -> None:
    assert orphans(with_account_of("2026-01-31T10:00:01Z", "2026-01-31T10:00:01Z")) == []
    assert orphans(with_account_of("2026-01-31T10:00:01Z", "2026-01-31T10:00:02Z")) == []


def test_one_that_is_being_deleted_is_left_alone() -> None:
    moments = ("2026-01-31T10:00:01Z", "2026-01-31T10:00:00Z")
    assert orphans(with_account_of(*moments, deletion_timestamp="2026-01-31T10:00:02Z")) == []
