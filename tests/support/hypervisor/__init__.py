"""The double of the hypervisor, and the conformance checks that it shares with libvirt and QEMU."""
