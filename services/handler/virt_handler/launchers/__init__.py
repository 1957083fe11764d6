"""Finds the launchers of this node and connects to them. Everything below a pod's folder is hostile."""
