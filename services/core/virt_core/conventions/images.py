"""How the kubelet pulls images, what tags and registries look like, and digests as one text. Pure.

The KubeVirt object, a VMI and the operator's command line say the former in one word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

ALWAYS, IF_NOT_PRESENT, NEVER = "Always", "IfNotPresent", "Never"
PULL_POLICIES = (ALWAYS, IF_NOT_PRESENT, NEVER)

TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
"""The tag of an image, as in the OCI distribution specification."""

TAG_FORM = "1 to 128 letters, digits, '.', '_' and '-', neither '.' nor '-' first"

REGISTRY = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[a-z0-9._-]+)*")
REGISTRY_FORM = "host[:port][/path]"

DIGESTS_FORM = "name=sha256:… with 64 hexadecimal digits"
_DIGEST = re.compile(r"([a-z0-9-]+)=(sha256:[0-9a-f]{64})")


def digests_text(digests: Mapping[str, str]) -> str:
    """`name=digest` of each image, with commas between them."""
    return ",".join(f"{name}={digest}" for name, digest in sorted(digests.items()))


def read_digests(entries: Iterable[str]) -> dict[str, str]:
    """Digest by image name. Raises ValueError with the entry that is not of DIGESTS_FORM."""
    found = {}
    for entry in entries:
        match = _DIGEST.fullmatch(entry)
        if match is None:
            raise ValueError(entry)
        found[match[1]] = match[2]
    return found
