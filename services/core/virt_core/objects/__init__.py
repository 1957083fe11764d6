"""Kubernetes' and the suite's own objects as msgspec types, and the patches that are written to them. Pure."""
