"""Strict decoding of objects, and the wording of refusals. Pure."""
