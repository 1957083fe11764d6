"""The webhooks for VirtualMachineInstances."""
