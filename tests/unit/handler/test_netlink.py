"""pyroute2 works without the modules that are left out."""

from __future__ import annotations

import subprocess
import sys

from tests.support.patience import PATIENCE

_SCRIPT = """
import sys
from virt_handler.network import netlink
IPRoute, NetlinkError = netlink.load()
with IPRoute() as route:
    assert route.link_lookup(ifname="lo") == [1]
    try:
        route.link("get", ifname="no-such-link")
    except NetlinkError as error:
        assert error.code == 19, error
unused = ("pyroute2.ndb", "pyroute2.iwutil", "pyroute2.netlink.nl80211")
loaded = [name for name in sys.modules if name.startswith(unused)]
assert not loaded, loaded
"""


def test_routes_and_links_without_the_rest_of_pyroute2() -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", _SCRIPT], check=True, timeout=PATIENCE)
