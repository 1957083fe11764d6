"""What `make` runs to write manifests and the Helm chart; the operator itself does not."""
