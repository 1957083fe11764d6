"""The subresources of VirtualMachineInstances: which call it is, and what answers it."""
