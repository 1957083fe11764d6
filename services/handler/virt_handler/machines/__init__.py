"""From VirtualMachineInstances on this node to guests in their launchers, and back to their status."""
