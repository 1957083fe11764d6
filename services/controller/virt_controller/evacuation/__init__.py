"""Evacuation: guests leave a node that is drained, by migrations."""
