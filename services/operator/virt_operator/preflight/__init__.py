"""The plan of an upgrade, before anything is touched: read → probe → judge. Each judge is pure and knows one subject.

`check.py` reads the cluster (read.py), runs the target's images (probe.py) and lets plan.py judge the frozen result.
"""
