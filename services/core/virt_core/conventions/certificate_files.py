"""Names of files in a component's certificate folder, and so of keys in its Secret: those of Kubernetes' TLS Secrets.

The operator writes Secrets, operator and handler write their own folders, every component reads. Pure.
"""

from __future__ import annotations

KEY = "tls.key"
LEAF = "tls.crt"
BUNDLE = "ca.crt"
"""Every authority that is trusted now, in PEM."""
