"""The suite as one pass observes it, what can be done to it, and when an object is as desired. Pure."""
