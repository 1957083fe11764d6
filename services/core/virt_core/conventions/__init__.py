"""What two processes must agree on outside their contracts: labels, paths, names, webhooks. Pure."""
