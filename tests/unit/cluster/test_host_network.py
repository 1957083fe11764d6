"""Removing the host's side of the cluster's network."""

from __future__ import annotations

from pathlib import Path

import pytest
from localcluster import host_network


def test_a_machine_that_never_had_a_cluster_and_so_no_nft_has_nothing_to_remove(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    host_network.remove_masquerading()
