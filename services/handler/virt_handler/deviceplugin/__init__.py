"""The kubelet's device plugins for devices.kubevirt.io/tun and devices.kubevirt.io/kvm."""
