"""The share of a Go build that is done, as users see it while Kubernetes is compiled."""

from __future__ import annotations

from localcluster.go_build import progress

TO_COMPILE = {"fmt", "k8s.io/api/core/v1", "k8s.io/kubernetes/pkg/kubelet", "local/kube"}


def test_the_share_counts_compiled_packages_among_those_to_compile() -> None:
    log = "go: downloading k8s.io/api v0.34.4\nfmt\nk8s.io/api/core/v1\n"
    assert progress(log, TO_COMPILE) == "2 of 4 packages (50 %)"


def test_when_only_the_program_itself_is_left_it_is_linked() -> None:
    assert progress("\n".join(TO_COMPILE - {"local/kube"}), TO_COMPILE) == "4 packages compiled, linking"


def test_a_build_whose_packages_are_all_cached_links_at_once() -> None:
    assert progress("", set()) == "0 packages compiled, linking"
