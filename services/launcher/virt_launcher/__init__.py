"""virt-launcher: runs a single guest with libvirt in its pod. See ARCHITECTURE.md."""
