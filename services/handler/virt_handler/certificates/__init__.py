"""The certificate of this node's handler: the request (request.py) and its renewal (renewal.py)."""
