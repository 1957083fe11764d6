"""virt-api as an aggregated API server: authentication, authorization, discovery and health."""
