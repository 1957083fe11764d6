"""gRPC between the services: identity, servers, peers, must-understand messages, TLS, errors."""

PORT = 8186
"""Of the gRPC server in every pod of operator, api, controller and handler."""
