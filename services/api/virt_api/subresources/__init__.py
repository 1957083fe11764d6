"""The subresources of VirtualMachineInstances: parsing of calls, and their handlers."""
