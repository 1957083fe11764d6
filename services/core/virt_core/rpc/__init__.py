"""gRPC between the services: identity, servers, peers, must-understand messages, TLS, errors."""
