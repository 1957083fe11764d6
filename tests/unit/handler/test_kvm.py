"""KVM is used only if a probe guest ran to its mark; any other outcome is a reason, within a time limit."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest
from virt_handler.node import kvm

from tests.support.patience import PATIENCE

SOURCE = Path(__file__).parents[3] / "services" / "handler" / "kvm_probe" / "kvm_probe.c"


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "kvm"
    path.touch()
    return path


def program(folder: Path, script: str) -> Path:
    path = folder / "probe"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


async def test_a_guest_that_ran_to_its_mark_is_believed(tmp_path: Path, device: Path) -> None:
    assert await kvm.runs_guests(program(tmp_path, f'[ "$1" = {device} ]'), device)


async def test_a_failed_probe_reports_why(tmp_path: Path, device: Path) -> None:
    assert not await kvm.runs_guests(program(tmp_path, "echo KVM_RUN: no >&2; exit 1"), device)
    assert await kvm._trouble(program(tmp_path, "echo KVM_RUN: no >&2; exit 1"), device) == "KVM_RUN: no"
    assert await kvm._trouble(program(tmp_path, "exit 1"), device) == "the probe ended with 1"
    assert "No such file" in await kvm._trouble(tmp_path / "nothing", device)


async def test_a_probe_that_hangs_is_killed(tmp_path: Path, device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kvm, "_SECONDS", 0.05)
    monkeypatch.setattr(kvm, "_DYING_SECONDS", PATIENCE)
    async with asyncio.timeout(PATIENCE):
        found = await kvm._trouble(program(tmp_path, "trap '' TERM; exec tail -f /dev/null"), device)
    assert found.startswith("no guest ran to its mark") and "cannot be killed" not in found


async def test_the_real_probe_refuses_what_is_no_kvm(tmp_path: Path) -> None:
    probe = compiled(tmp_path)
    assert await kvm._trouble(probe, Path("/dev/null")) == "KVM_GET_API_VERSION: Inappropriate ioctl for device"


async def test_the_real_probe_hears_a_guest_that_has_little_to_count(tmp_path: Path) -> None:
    """Wherever /dev/kvm brings a guest forward at all, be it by emulating its instructions."""
    if not Path("/dev/kvm").exists():
        pytest.skip("this machine has no /dev/kvm")
    assert await kvm._trouble(compiled(tmp_path, "-DCOUNT=100"), Path("/dev/kvm")) == ""


def compiled(folder: Path, *options: str) -> Path:
    """The probe, built on this machine."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    path = folder / "kvm-probe"
    subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", *options, "-o", path, SOURCE], check=True)
    return path
