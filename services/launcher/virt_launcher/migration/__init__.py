"""Live migration of the guest to another launcher."""
