"""Certificates and listeners of a migration in real pods: nothing stays, and nobody else gets in."""

from __future__ import annotations

import pytest
from kubevirt.launcher.v1 import state_pb2

from tests.integration.launcher.launcher_pair import LauncherPair, files_below


async def test_nothing_of_a_migration_stays_and_a_running_guest_does_not_notice(pair: LauncherPair) -> None:
    target = pair.target
    await target.start_machine(target.machine())
    await target.wait_for_console(b"guest-demo login: ", b"ready")
    qemu = target.processes()["qemu"]
    pair.introduce()
    took = target.listen()
    listeners = target.run_inside("cat", "/proc/self/net/tcp").stdout
    assert "0200630A:4082" in listeners, "10.99.0.2:16514"
    assert "00000000:4082" not in listeners
    took_back = target.stop_listening()
    for side in pair.sides:
        side.forget()
        assert files_below(side.private / ".pki") == []
    assert ":4082" not in target.run_inside("cat", "/proc/self/net/tcp").stdout
    assert not (target.private / "config/libvirt/migration-address").exists()
    await target.wait_for_phase(state_pb2.MACHINE_PHASE_RUNNING)
    assert target.processes()["qemu"] == qemu
    print(f"restarts of libvirtd: {took:.2f} s, {took_back:.2f} s")


@pytest.mark.slow
async def test_stranger_is_refused_by_the_target(pair: LauncherPair) -> None:
    """The source without the target's trust, and with an authority that the target does not know."""
    source, target = pair.sides
    own, authority = target.make_identity(), source.make_identity()
    target.trust(authority)
    target.listen()
    opening = "import libvirt, sys; libvirt.open(f'qemu+tls://{sys.argv[1]}/session').getHostname()"
    command = ("/opt/kubevirt/bin/python", "-I", "-c", opening, target.address)
    assert source.run_inside(*command).returncode, "the source does not trust the target"
    source.trust(own)
    assert source.run_inside(*command).returncode == 0
    source.forget()
    source.make_identity()
    source.trust(own)
    refused = source.run_inside(*command)
    assert refused.returncode
    assert "libvirtError" in refused.stderr
