"""Which pods are queried about a new authority, and when."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from kubevirt.info.v1 import info_pb2
from virt_core.kube.client import KubeClient
from virt_core.rpc.authorize import allow
from virt_core.rpc.identity import Identity
from virt_core.rpc.port import listening
from virt_core.rpc.tls import Certificates, write_files
from virt_operator.certificates.authority import AuthorityWatch
from virt_operator.certificates.issue import new_authority, new_leaf
from virt_operator.certificates.rollover import Authority, authority_data, with_successor
from virt_operator.certificates.secret import AUTHORITY_SECRET
from virt_operator.certificates.trust import TrustReports

from tests.support.patience import PATIENCE
from tests.unit.operator.pods import pod


def seen(watch: AuthorityWatch, authority: Authority) -> None:
    """The Secret as the API server answers."""
    data = {key: value for key, value in authority_data(authority).items() if value is not None}
    watch.wrote({"metadata": {"name": AUTHORITY_SECRET, "namespace": "kubevirt"}, "data": data})


async def test_pods_are_queried_during_a_rollover_until_they_have_its_bundle(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    first = Authority(new_authority(now))
    both = with_successor(first, new_authority(now))

    def leaf(component: str, bundle: bytes) -> Certificates:
        folder = tmp_path / component
        folder.mkdir(exist_ok=True)
        made = new_leaf(first.signer, f"kubevirt.io:system:{component}", (f"{component}.kubevirt.svc",), now)
        write_files(folder, {"tls.crt": made.certificate, "tls.key": made.key, "ca.crt": bundle})
        return Certificates(folder)

    served = leaf("virt-api", first.bundle)
    identity = Identity.for_process(info_pb2.COMPONENT_API, ())
    changed = asyncio.Event()
    authority = AuthorityWatch(cast(KubeClient, None), "kubevirt")
    seen(authority, first)
    pods = [pod("virt-api-0", "virt-api", address="127.0.0.1"), pod("virt-api-1", "virt-api", address="")]
    async with listening(0, identity, served, peers=allow("virt-operator")) as port:
        own = leaf("virt-operator", both.bundle)
        reports = TrustReports(authority, own, "kubevirt", lambda: pods, changed.set, port=port)
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            running = group.create_task(reports.run(), name="reports")
            await asyncio.sleep(0)
            assert reports.by_pod == {}  # nobody is asked for nothing
            seen(authority, both)
            await changed.wait()
            assert reports.by_pod == {"virt-api-0": first.bundle_sha256}

            changed.clear()
            leaf("virt-api", both.bundle)  # the kubelet shows it what there is to trust
            await changed.wait()
            assert reports.by_pod == {"virt-api-0": both.bundle_sha256}
            running.cancel()
