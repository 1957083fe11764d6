"""virt-controller: VirtualMachineInstances become launcher pods."""
