"""Proves the new pods of a release: calls (prove.py) and what counts as a failure (judge.py)."""
