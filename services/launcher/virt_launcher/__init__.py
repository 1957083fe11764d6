"""virt-launcher: one guest, in its pod, by libvirt. See ARCHITECTURE.md."""
