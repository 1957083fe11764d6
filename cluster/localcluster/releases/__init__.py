"""Recorded releases: what `releases.toml` says, their trees, images and contracts. No service imports it."""
