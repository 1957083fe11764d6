"""What a VirtualMachineInstance's spec must hold beyond its types, by subject. Pure."""
