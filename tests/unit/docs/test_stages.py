"""The table at the end of `make test`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests import stages
from tests.stages import Moment, Stage
from tests.support.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[3]
LATER = "cpu  250 0 50 200 50 0 10 0 40 0\ncpu0 1 1 1 1\n"


def test_a_stage_reports_how_busy_the_machine_was() -> None:
    stage = Stage("unit", Moment(10.0, 50, 50), Moment.read(LATER, 12.5))
    assert (stage.seconds, stage.busy) == (2.5, 260 / 460)
    assert stages.table([stage]).splitlines()[1].split() == ["unit", "2.5", "57%"]


def test_the_stages_end_at_the_first_that_fails_and_the_table_names_it(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("good:\n\t@echo made\nbad:\n\t@exit 3\nnever:\n\t@echo reached\n")
    argv = [sys.executable, str(ROOT / "tests" / "stages.py"), "good", "bad", "never"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 2  # make's own
    assert "reached" not in done.stdout
    good, bad, whole = done.stdout.splitlines()[-3:]
    assert good.startswith("good ") and bad.startswith("bad ") and bad.endswith("FAILED") and whole.startswith("all ")


def test_targets_of_one_stage_run_side_by_side_and_each_output_is_whole(tmp_path: Path) -> None:
    """Each waits until the other has begun: one after the other, neither would end."""
    meet = "\t@touch $@.here; until [ -e {other}.here ]; do sleep 0.01; done; echo $@ met {other}"
    recipes = (f"{name}:\n{meet.format(other=other)}\n" for name, other in (("a", "b"), ("b", "a")))
    (tmp_path / "Makefile").write_text("".join(recipes) + "bad:\n\t@exit 3\n")
    argv = [sys.executable, str(ROOT / "tests" / "stages.py"), "a+b", "a+bad"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 2
    assert {"a met b", "b met a"} <= set(done.stdout.splitlines())
    assert done.stdout.splitlines()[-2].endswith("FAILED")


def test_what_runs_beside_the_first_target_leaves_it_the_processors(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("first:\n\t@echo first `nice`\nsecond:\n\t@echo second `nice`\n")
    argv = [sys.executable, str(ROOT / "tests" / "stages.py"), "first+second"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=True)
    priorities = dict(line.split() for line in done.stdout.splitlines()[:2])
    assert int(priorities["second"]) == min(19, int(priorities["first"]) + stages.NICE)
