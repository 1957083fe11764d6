"""virt-controller's metrics, in Prometheus' text format and with KubeVirt's names. Pure; called by app.py."""

from __future__ import annotations

_OUTDATED = "kubevirt_vmi_number_of_outdated"
_HELP = (
    "Indication for the total number of VirtualMachineInstance workloads that are not running within the most"
    " up-to-date version of the virt-launcher environment."
)


def text(outdated: int | None) -> str:
    """All metrics. `outdated` is None in a replica that does not lead: only the leader counts, so that the sum over all
    replicas is right."""
    if outdated is None:
        return ""
    return f"# HELP {_OUTDATED} {_HELP}\n# TYPE {_OUTDATED} gauge\n{_OUTDATED} {outdated}\n"
