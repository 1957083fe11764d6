"""The handler's side of a live migration: of the source's pod, of the target's pod, or of both."""
