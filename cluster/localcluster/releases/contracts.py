"""`contracts`: compares protos and CRDs of this tree with those of every recorded release. Called by `make check`.

The baselines are the releases' own commits; nothing is stored twice. A shallow clone does not have them.
"""

from __future__ import annotations

from localcluster.progress import PartFailed, say
from localcluster.releases import crds, protos, tree
from localcluster.releases.recorded import Release
from localcluster.settings import PROJECT_ROOT


def check(releases: tuple[Release, ...]) -> None:
    """Raises PartFailed with everything that breaks a contract."""
    if not tree.has_history():
        say("contracts: NOT compared with recorded releases, their commits are not here: git fetch --unshallow")
        return
    ours = crds.of_tree(PROJECT_ROOT)
    found: list[str] = []
    for release in releases:
        baseline = tree.ensure(release)
        breaks = protos.problems(baseline / "protos", PROJECT_ROOT / "protos")
        breaks += crds.problems(crds.of_tree(baseline), ours)
        found += [f"against {release.version}: {text}" for text in breaks]
    if found:
        raise PartFailed("contracts", "\n".join(["they only grow", *found]))
    say(f"contracts: this tree keeps those of {', '.join(release.version for release in releases)}")
