"""Resources that handlers offer to the kubelet and launcher pods request. Pure. Names as in KubeVirt."""

from __future__ import annotations

TUN = "devices.kubevirt.io/tun"
KVM = "devices.kubevirt.io/kvm"
