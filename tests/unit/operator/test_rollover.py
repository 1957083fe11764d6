"""An authority replaces another: first the bundle, then leaves, then the old one is removed."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace
from datetime import timedelta

from cryptography import x509
from virt_operator.certificates.issue import new_authority, new_leaf
from virt_operator.certificates.plan import Due, due
from virt_operator.certificates.rollover import (
    Authority,
    Step,
    authority_data,
    next_step,
    read_authority,
    with_successor,
)
from virt_operator.certificates.rotation import DEFAULT, Rotation, Span
from virt_operator.certificates.secret import AUTHORITY_SECRET, data_of
from virt_operator.change.plan import plan, with_upkeep
from virt_operator.strategy.ref import Ref
from virt_operator.suite.actions import IssueAuthority, IssueLeaf, UpdateAuthority, WaitFor, WriteBundle, WriteTrust
from virt_operator.suite.plan import Plan

from tests.unit.operator.suites import (
    NOW,
    OPERATOR,
    certificates,
    deployed,
    installed,
    kinds,
    leaves,
    pod,
    suite,
    without,
)

MINUTE = timedelta(minutes=1)
FAST = Rotation(Span(10 * MINUTE, 5 * MINUTE), Span(5 * MINUTE, 2.5 * MINUTE))
FAST_SPEC = {
    "certificateRotateStrategy": {"selfSigned": {"ca": {"duration": "10m"}, "server": {"duration": "5m"}}},
}


def stored(authority: Authority) -> Authority:
    """As it comes back from the Secret."""
    found = read_authority({key: value for key, value in authority_data(authority).items() if value is not None})
    assert found is not None
    return found


def fast(begin: timedelta = timedelta(0)) -> Authority:
    issuing = FAST.leaf.issuing()
    return stored(Authority(new_authority(NOW + begin, FAST.authority.duration), issuing=issuing))


def names(bundle: bytes) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(bundle)


def step(authority: Authority, at: timedelta, behind: tuple[str, ...] = ()) -> Step | None:
    return next_step(authority, FAST, behind, NOW + at)


def test_a_rollover_from_beginning_to_end() -> None:
    first = fast()
    assert step(first, 4.9 * MINUTE) is None
    begun = step(first, 5 * MINUTE)
    assert begun == Step("it is due", None)

    both = stored(with_successor(first, new_authority(NOW + 5 * MINUTE, FAST.authority.duration)))
    assert both.signer.certificate == first.signer.certificate
    assert both.bundle.endswith(first.bundle)
    assert both.bundle_sha256 != first.bundle_sha256
    assert step(both, 6 * MINUTE, ("Pod virt-api-0",)) is None

    promoted = step(both, 6 * MINUTE)
    assert promoted is not None
    assert promoted.to is not None
    second = stored(promoted.to)
    assert both.successor is not None
    assert second.signer.key == both.successor.key
    assert second.successor is None
    assert second.bundle == both.bundle  # nobody has to learn anything for that
    assert second.issuing.signer != first.issuing.signer

    assert second.old_leaves_end == NOW + 10 * MINUTE  # leaves of the first end with it
    assert step(second, 9.9 * MINUTE) is None
    ended = step(second, 10 * MINUTE)
    assert ended is not None
    assert ended.to is not None
    assert stored(ended.to).bundle == second.signer.certificate


def test_a_pod_that_does_not_answer_delays_but_not_until_certificates_end() -> None:
    both = stored(with_successor(fast(), new_authority(NOW + 5 * MINUTE, FAST.authority.duration)))
    assert step(both, 7.4 * MINUTE, ("Pod virt-handler-x",)) is None
    forced = step(both, 7.5 * MINUTE, ("Pod virt-handler-x",))
    assert forced is not None
    assert forced.to is not None
    assert forced.to.successor is None
    assert "Pod virt-handler-x" in forced.why


def test_an_authority_or_leaf_that_lives_longer_than_wanted_is_due() -> None:
    old = stored(Authority(new_authority(NOW)))
    changed = next_step(old, FAST, (), NOW)
    assert changed is not None
    assert changed.to is not None
    following = stored(changed.to)
    assert following.issuing.duration == 300
    assert next_step(following, FAST, (), NOW) == Step("it is due", None)

    (leaf, *_) = leaves()
    pair = new_leaf(following.signer, leaf.common_name, leaf.dns_names, NOW)
    found = due("kubevirt", following, {leaf.secret: data_of(pair)}, (leaf,), rotation=FAST, behind=(), now=NOW)
    assert found.leaves == (leaf,)


def test_a_leaf_does_not_outlive_its_authority_and_is_renewed_in_time() -> None:
    authority = fast(begin=-7 * MINUTE)
    (leaf, *_) = leaves()
    pair = new_leaf(authority.signer, leaf.common_name, leaf.dns_names, NOW, timedelta(minutes=5))
    (certificate,) = names(pair.certificate)
    assert certificate.not_valid_after_utc == NOW + 3 * MINUTE

    def at(moment: timedelta) -> Due:
        return due(
            "kubevirt", authority, {leaf.secret: data_of(pair)}, (leaf,), rotation=FAST, behind=("x",), now=NOW + moment
        )

    assert at(1.4 * MINUTE).leaves == ()
    assert at(1.5 * MINUTE).leaves == (leaf,)


def test_the_next_deadline_is_the_first_of_all() -> None:
    authority = stored(Authority(new_authority(NOW)))
    made = {
        leaf.secret: data_of(new_leaf(authority.signer, leaf.common_name, leaf.dns_names, NOW)) for leaf in leaves()
    }
    found = due("kubevirt", authority, made, leaves(), rotation=DEFAULT, behind=(), now=NOW)
    assert found.step is None
    assert found.next_deadline == NOW + timedelta(hours=12)


def test_bundles_of_all_components_follow_the_authority_and_leaves_stay() -> None:
    observed = installed()
    assert observed.authority is not None
    both = with_successor(observed.authority, new_authority(NOW))
    actions = plan(replace(observed, authority=both), OPERATOR).actions
    assert [type(action) for action in actions if isinstance(action, WriteBundle | IssueLeaf)] == [WriteBundle] * 2
    (trust,) = (action for action in actions if isinstance(action, WriteTrust))
    assert b64decode(trust.data["ca.crt"]) == both.bundle
    assert "Replace" in kinds(actions)  # what the API server trusts virt-api by
    assert not any(isinstance(action, UpdateAuthority) for action in actions)


def test_a_successor_signs_only_after_every_pod_and_the_api_server_trust_it() -> None:
    observed = installed()
    assert observed.authority is not None
    successor = new_authority(NOW)
    both = with_successor(observed.authority, successor)
    made = {leaf.secret: new_leaf(both.signer, leaf.common_name, leaf.dns_names, NOW) for leaf in leaves()}
    observed = replace(installed(pairs={**made, AUTHORITY_SECRET: both.signer}), authority=both)
    other = pod("virt-api", "x", name="virt-api-0")
    ended = pod("virt-api", "x", name="virt-api-1", phase="Failed")
    observed = replace(observed, pods=(*observed.pods, other, ended))
    trusting = {"virt-handler-0": both.bundle_sha256}
    assert "UpdateAuthority" not in kinds(plan(replace(observed, trusting=trusting), OPERATOR).actions)
    trusting["virt-api-0"] = "stale"
    assert "UpdateAuthority" not in kinds(plan(replace(observed, trusting=trusting), OPERATOR).actions)
    trusting["virt-api-0"] = both.bundle_sha256
    observed = replace(observed, now=NOW + MINUTE)
    (action,) = plan(replace(observed, trusting=trusting), OPERATOR).actions
    assert isinstance(action, UpdateAuthority)
    assert action.to.signer.key == successor.key

    later = replace(observed, now=NOW + timedelta(minutes=6))
    assert [wait.what for wait in plan(later, OPERATOR).waits] == ["Pod virt-api-0", "Pod virt-handler-0"]


def test_an_authority_with_an_invalid_secret_signs_until_its_successor_takes_over() -> None:
    observed = replace(installed(), authority_invalid=True)
    assert observed.authority is not None
    (action,) = plan(observed, OPERATOR).actions
    assert action == IssueAuthority(observed.authority, timedelta(days=7), "its Secret is invalid", "7")
    both = with_successor(observed.authority, new_authority(NOW))
    (first, *_) = plan(replace(observed, authority=both), OPERATOR).actions
    assert first == UpdateAuthority(both, "its Secret is invalid", "7")


def test_no_durations_of_a_refused_spec_let_certificates_run_out() -> None:
    pairs = certificates(NOW - timedelta(hours=13))
    observed = replace(installed(pairs=pairs), suite=suite({"workloads": {"replicas": 3}}, deployed()))
    assert kinds(plan(observed, OPERATOR).actions) == ["IssueLeaf"] * 2
    observed = replace(installed(pairs=pairs), suite=suite(FAST_SPEC, deployed()))
    assert kinds(plan(observed, OPERATOR).actions)[0] == "UpdateAuthority"


def test_a_first_authority_is_made_in_place_of_one_that_never_could_sign() -> None:
    (action,) = plan(replace(installed(), authority=None), OPERATOR).actions
    assert action == IssueAuthority(None, timedelta(days=7), "there is none that can sign", "7")


def test_what_is_stored_holds_no_second_key_once_the_rollover_is_over() -> None:
    both = with_successor(fast(), new_authority(NOW))
    early = timedelta(seconds=14)
    assert step(both, early) is None  # the API server has bundles too, and says nothing
    assert b64decode(authority_data(both)["next.key"] or "").startswith(b"-----BEGIN PRIVATE KEY")
    scheduled = step(both, MINUTE)
    assert scheduled is not None
    assert scheduled.to is not None
    assert authority_data(scheduled.to)["next.key"] is None


def test_without_a_kubevirt_object_the_authority_does_not_run_out() -> None:
    """The operator's webhook is served by it."""
    alone = replace(installed(pairs=certificates(NOW - timedelta(days=4))), suite=None, owned={}, pods=())
    (action,) = plan(alone, OPERATOR).actions
    assert isinstance(action, IssueAuthority)
    fresh = plan(replace(alone, authority=installed().authority), OPERATOR)
    assert fresh.actions == ()
    assert fresh.next_deadline == NOW + timedelta(days=3.5)


def test_certificates_are_renewed_while_a_removal_waits_and_nothing_is_created_again() -> None:
    observed = installed(pairs=certificates(NOW - timedelta(hours=13)))
    first, second = (Ref("Secret", "kubevirt", leaf.secret) for leaf in leaves())
    decided = with_upkeep(without(observed, first), Plan(waits=(WaitFor("VM default/vm", "it exists"),)), OPERATOR)
    assert [action.leaf.secret for action in decided.actions if isinstance(action, IssueLeaf)] == [second.name]
    assert with_upkeep(installed(), Plan(next_deadline=NOW), OPERATOR) == Plan(next_deadline=NOW)
