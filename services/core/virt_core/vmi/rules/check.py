"""Checks a supported spec against all validation rules. Pure; called by vmi/accepted.py.

Each refusal names field, value and allowed values; all of them are reported together. The rules are KubeVirt's, reduced
to supported features, by subject: compute.py, emulated_cpu.py, platform.py, devices.py, volumes.py,
credentials.py, networks.py, pod.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from virt_core.objects.kubevirt import Configuration
from virt_core.validation.refusal import Refusal, UnsupportedSpec
from virt_core.vmi.rules.compute import compute_refusals
from virt_core.vmi.rules.credentials import credential_refusals
from virt_core.vmi.rules.devices import device_refusals
from virt_core.vmi.rules.emulated_cpu import emulated_cpu_refusals
from virt_core.vmi.rules.networks import network_refusals
from virt_core.vmi.rules.platform import platform_refusals
from virt_core.vmi.rules.pod import pod_refusals
from virt_core.vmi.rules.volumes import volume_refusals
from virt_core.vmi.spec.domain import VmiSpec


def check_spec(spec: VmiSpec, configuration: Configuration | None) -> None:
    """Refuse a spec that no launcher can run or the configuration does not allow; None skips the latter rules.

    Raises:
        UnsupportedSpec: naming each field, its value and what is allowed.
    """
    found = spec_refusals(spec, configuration)
    if found:
        raise UnsupportedSpec(*found)


def spec_refusals(spec: VmiSpec, configuration: Configuration | None) -> tuple[Refusal, ...]:
    """All problems of the spec; empty: it can run."""
    return tuple(dict.fromkeys(_refusals(spec, configuration)))


def _refusals(spec: VmiSpec, configuration: Configuration | None) -> Iterator[Refusal]:
    yield from compute_refusals(spec)
    if configuration is not None and configuration.developer_configuration.use_emulation:
        yield from emulated_cpu_refusals(spec.domain.cpu, configuration)
    yield from platform_refusals(spec, configuration)
    yield from device_refusals(spec)
    yield from volume_refusals(spec)
    yield from credential_refusals(spec)
    yield from network_refusals(spec)
    yield from pod_refusals(spec)
