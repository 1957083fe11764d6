"""What the handler says of its node: heartbeat and labels, and whether KVM runs guests on it."""
