"""The kubelet's device plugin for devices.kubevirt.io/tun."""
