"""Commands of `make` that write manifests and the Helm chart. The operator itself does not use them."""
