"""Builds every object that the operator installs for a release (`desired.desired_objects`). Pure."""
