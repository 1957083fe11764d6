"""Access to the API server: client, reflector, lease, work queue, events."""
