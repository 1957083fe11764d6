"""KubeVirt's numbers for how much is logged, 0 to 9: in the KubeVirt object, on VMIs and on command lines. Pure.

`virt_core.logs` turns them into levels.
"""

from __future__ import annotations

DEFAULT, HIGHEST = 2, 9


def is_verbosity(text: str) -> bool:
    """Whether `text` is one of the numbers."""
    return text.isascii() and text.isdecimal() and len(text) == len(str(HIGHEST))
