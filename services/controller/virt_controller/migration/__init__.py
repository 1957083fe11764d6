"""VirtualMachineInstanceMigration: from the request to the hand-off of the guest to both handlers, and its result."""
