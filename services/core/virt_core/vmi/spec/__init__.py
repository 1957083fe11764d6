"""The fields of a VirtualMachineInstance's spec that this release supports."""
