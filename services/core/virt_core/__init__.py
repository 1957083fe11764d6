"""What the services share, by subject: aio, logs, release, api (Kubernetes types), kube (client), rpc, testing."""
