"""How many nodes a cluster has, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from localcluster.settings import BadSetting, Cluster


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOCAL_CLUSTER_STATE", str(tmp_path))
    return tmp_path


def test_the_recorded_number_of_nodes_is_kept(state: Path) -> None:
    assert Cluster.load().node_names == ("node1", "node2")
    (state / "nodes.json").write_text("3")
    assert Cluster.load().node_names == ("node1", "node2", "node3")
    assert Cluster.load(4).node(4).pod_network == "10.244.4.0/24"


@pytest.mark.parametrize("nodes", [0, 10])
def test_a_number_out_of_range_is_refused_by_name(nodes: int) -> None:
    with pytest.raises(BadSetting, match=f"nodes: {nodes} is not allowed, give 1 to 9"):
        Cluster.load(nodes)


def test_fewer_nodes_than_there_are_is_refused(state: Path) -> None:
    (state / "nodes.json").write_text("3")
    with pytest.raises(BadSetting, match="run `down` first"):
        Cluster.load(2)
