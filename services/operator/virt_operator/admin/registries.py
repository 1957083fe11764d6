"""The registries whose images the suite runs already. Pure; called by servicer.py.

A plan runs the target's images. That of virt-operator prints a strategy, with an account that may write each ConfigMap
of the suite's namespace, and what is written there is installed. So whoever may plan chooses a release, and only who
may upgrade chooses where images come from.
"""

from __future__ import annotations

from virt_core.objects.upgrade_state import Json, object_of, text_of


def registries(kubevirt: Json | None, own: str) -> frozenset[str]:
    """Those of the KubeVirt object, of what is installed and of the way back, and virt-operator's `own`."""
    spec, status = object_of(kubevirt or {}, "spec"), object_of(kubevirt or {}, "status")
    back = object_of(object_of(status, "upgrade"), "wayBack")
    found = {
        own,
        text_of(spec, "imageRegistry"),
        text_of(status, "observedKubeVirtRegistry"),
        text_of(back, "registry"),
    }
    return frozenset(found - {""})
