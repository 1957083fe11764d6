"""From a VirtualMachineInstance to the Machine that its launcher is sent. Pure."""
