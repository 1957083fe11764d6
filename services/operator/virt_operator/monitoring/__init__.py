"""Objects for a Prometheus of the Prometheus operator: what it scrapes, who may find it, and when it raises an alert.

`alerts.py` and `recording.py` are the rules; the objects around them are built by strategy/monitoring.py.
"""
