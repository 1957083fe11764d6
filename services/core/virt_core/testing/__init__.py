"""Fakes that tests of every service share, each held to the same conformance suite as the real thing."""
