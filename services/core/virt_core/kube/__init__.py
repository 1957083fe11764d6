"""Talking to the API server: client, reflector, lease, work queue, guarded patches, events."""
