"""The guest's network in its pod's network namespace: bridge, tap and address translation."""
