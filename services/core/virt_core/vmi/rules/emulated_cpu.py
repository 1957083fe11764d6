"""Rules for CPU models and features where the cluster emulates CPUs. Pure; part of rules/check.py.

QEMU omits CPU features that its emulator lacks and starts the guest without them, so a guest that requires such a
feature is refused. Source of the lists: QEMU 7.2.22 in the launcher's image with accel=tcg. Models: those without
unavailable-features in query-cpu-definitions. Features: query-cpu-model-expansion of "max".
"""

from __future__ import annotations

from virt_core.objects.kubevirt import Configuration
from virt_core.validation.refusal import Refusals, refused, unless
from virt_core.vmi.spec.domain import Cpu

_HOST_MODELS = ("", "host-model", "host-passthrough")  # the emulator's own model, which has all its features
_REQUIRED = ("", "require", "force")
_MODELS = """
486 486-v1 Conroe Conroe-v1 Nehalem Nehalem-v1 Opteron_G1 Opteron_G1-v1 Opteron_G2 Opteron_G2-v1 Penryn Penryn-v1
Westmere Westmere-v1 athlon athlon-v1 core2duo core2duo-v1 coreduo coreduo-v1 kvm32 kvm32-v1 kvm64 kvm64-v1 n270
n270-v1 pentium pentium-v1 pentium2 pentium2-v1 pentium3 pentium3-v1 qemu32 qemu32-v1 qemu64 qemu64-v1
"""
_FEATURES = """
3dnow 3dnowext abm acpi adx aes apic arat avx avx2 bmi1 bmi2 clflush clflushopt clwb cmov cr8legacy cx16 cx8 de erms
f16c fma fpu fsgsbase fxsr i64 la57 lahf-lm lm mca mce mmx mmxext monitor movbe mpx msr mtrr npt nx pae pat pclmuldq
pclmulqdq pcommit pdpe1gb pge pks pku pmu pni popcnt pse pse36 rdrand rdtscp sep smap smep ss sse sse2 sse3 sse4-1
sse4-2 sse4.1 sse4.2 sse4a ssse3 svm svme-addr-chk syscall tsc umip vaes vgif xd xgetbv1 xsave xsaveopt
"""


def emulated_cpu_refusals(cpu: Cpu, configuration: Configuration) -> Refusals:
    """Required CPU models and features that the emulator does not have."""
    model = cpu.model or configuration.cpu_model
    if model not in _HOST_MODELS:
        allowed = "host-model or a model that can be emulated, such as Nehalem or Westmere: this cluster has no KVM"
        yield from unless(model in _MODELS.split(), "domain.cpu.model", model, allowed)
    for index, feature in enumerate(cpu.features):
        # libvirt and QEMU write some names with "_", others with "-".
        if feature.policy in _REQUIRED and feature.name.replace("_", "-") not in _FEATURES.split():
            allowed = "policy: optional, or a feature that can be emulated: this cluster has no KVM"
            yield refused(f"domain.cpu.features[{index}].name", feature.name, allowed)
