"""virt-controller: creates a launcher pod for each VirtualMachineInstance."""
