"""The launcher pod of a VirtualMachineInstance: its manifest, and the interpretation of its status. Pure."""
