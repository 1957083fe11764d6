"""The launcher pod of a VirtualMachineInstance: built from its spec, judged by its status. Pure."""
