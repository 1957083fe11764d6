"""The handler's marks on its node: heartbeat and labels; and whether KVM runs guests on it."""
