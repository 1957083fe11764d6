"""Guests' serial consoles for virt-api."""
