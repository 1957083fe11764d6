"""Fakes for the tests of all services. Each passes the same conformance tests as the real thing."""
