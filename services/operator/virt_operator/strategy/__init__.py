"""Builders of all objects of a release that the operator installs (`desired.desired_objects`). Pure."""
