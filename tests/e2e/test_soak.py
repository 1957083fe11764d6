"""Hours of a cluster, and it is as at the beginning: memory and descriptors of each process flat, nothing left behind.

Guests are created, restarted, migrated and deleted at random on two nodes; certificates last five minutes; each twenty
minutes the suite goes to its next release and back; processes die. SOAK_MINUTES says how long (120; ten are enough to
see that the test works), SOAK_UPGRADE_MINUTES how long from one change to the next (20, or a third of less than an
hour), SOAK_SEED repeats the choices. build/soak.md is written each minute.

The suite is replaced there and back before the first snapshot, and again before the last one: what a change keeps
(ReplicaSets, revisions, the strategy of the other release) is in both, and the pods are as young.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator

import pytest

from tests.e2e.administrator import Administrator
from tests.e2e.builds import NEXT, TODAY, by_manifest, pull
from tests.e2e.cluster import ROOT, on_this_machine, until
from tests.e2e.cluster_snapshot import snapshot
from tests.e2e.process_samples import Samples, sampling
from tests.e2e.rotation import fast_rotation
from tests.e2e.soak import Soak
from tests.support.snapshots import Snapshot, leaked
from tests.support.soak_table import Report, by_kind

MINUTES = float(os.environ.get("SOAK_MINUTES", "120"))
UPGRADE_MINUTES = float(os.environ.get("SOAK_UPGRADE_MINUTES", min(20, MINUTES / 3)))
SEED = int(os.environ.get("SOAK_SEED", time.time_ns() % 100_000))
REPORT = ROOT / "build" / "soak.md"
_CLEANED, _CLEANED_WITHIN = 75.0, 240.0  # seconds: the kubelet cleans up after pods each minute


@pytest.fixture
def both_releases() -> Iterator[None]:
    """All nodes have the images; this tree's release is installed afterwards, whatever is final then."""
    if not on_this_machine():
        pytest.skip("the nodes of this cluster are not on this machine")
    for build in (TODAY, NEXT):
        pull(build)
    yield
    Administrator.arriving(TODAY)


@pytest.mark.chaos
def test_nothing_grows_and_nothing_is_left_after_hours_of_changes(both_releases: None) -> None:
    print(f"\nSOAK_SEED={SEED} SOAK_MINUTES={MINUTES:g} SOAK_UPGRADE_MINUTES={UPGRADE_MINUTES:g}", flush=True)
    soak = Soak(Administrator.arriving(TODAY), random.Random(SEED))
    report = Report(f"Soak of {MINUTES:g} minutes, seed {SEED}, {TODAY.tag}", done=soak.done, failures=soak.failures)

    def write(samples: Samples) -> None:
        report.lives = by_kind((f"{one.component}: {one.program}", one.samples) for one in samples.all())
        report.renewals = {name: len(leaves) for name, leaves in samples.leaves.items()}
        REPORT.write_text(report.text())

    with fast_rotation():
        soak.there_and_back(by_manifest, by_manifest)
        report.before = _at_rest()
        with sampling(write) as samples:
            soak.run(MINUTES * 60, UPGRADE_MINUTES * 60)
        soak.there_and_back(by_manifest, by_manifest)
        report.after = _at_rest()
    write(samples)
    print(report.text(), flush=True)
    assert not (soak.failures or report.growing or leaked(report.differences)), report.text()


def _at_rest() -> Snapshot:
    """As soon as nothing has changed for longer than the kubelet waits before it cleans up again."""
    seen, since = snapshot(), time.monotonic()

    def nothing_changes() -> bool:
        nonlocal seen, since
        now = snapshot()
        if now != seen:
            seen, since = now, time.monotonic()
        return time.monotonic() - since >= _CLEANED

    try:
        until(nothing_changes, "everything to rest", _CLEANED_WITHIN, every=5)
    except AssertionError as error:
        print(error, flush=True)  # what has changed last is among the differences
    return seen
