"""A part of the cluster is known by PID and start time, never by PID alone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from localcluster import processes
from localcluster.settings import Cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    for folder in ("run", "log"):
        (tmp_path / folder).mkdir()
    return Cluster(state=tmp_path, cache=tmp_path / "cache", nodes=())


def test_stat_is_read_past_a_hostile_command_name() -> None:
    stat = "42 (a) Z 1 (b) S 7 " + " ".join(str(number) for number in range(5, 53))
    state, start_time = processes.parse_stat(stat)
    assert (state, start_time) == ("S", 22)
    assert processes.parent(stat) == 7


def test_a_reused_pid_is_not_ours(cluster: Cluster) -> None:
    mine = processes.identify(os.getpid())
    assert mine is not None
    cluster.pid_file("etcd").write_text(f"{mine.pid} {mine.start_time + 1}\n")
    assert processes.alive(cluster, "etcd") is None
    processes.record(cluster, "etcd", os.getpid())
    assert processes.alive(cluster, "etcd") == mine


def test_a_truncated_pid_file_means_dead(cluster: Cluster) -> None:
    cluster.pid_file("etcd").write_text("12")
    assert processes.alive(cluster, "etcd") is None


def test_a_zombie_is_dead() -> None:
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, but not reaped
        assert processes.identify(child.pid) is None


@pytest.mark.filterwarnings("ignore:subprocess:ResourceWarning")  # start() leaves its child to run on its own
def test_a_started_part_is_found_by_its_mark_and_killed(cluster: Cluster) -> None:
    processes.start(cluster, "sleeper", ["sleep", "600"])
    alive = processes.alive(cluster, "sleeper")
    assert alive is not None
    assert processes.marked(cluster) == [alive]
    processes.kill(processes.marked(cluster))
    assert processes.alive(cluster, "sleeper") is None
