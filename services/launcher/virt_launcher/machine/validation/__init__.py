"""Validation of every field of a Machine. Pure."""
