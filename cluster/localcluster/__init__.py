"""A real Kubernetes of a few nodes on one Linux machine: `python -m localcluster --help`.

Tests import `settings.Cluster.load()` for paths and addresses and `node.exec()` to look into a node.
"""
