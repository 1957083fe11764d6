"""Translates a VirtualMachineInstance's spec to the Machine for its launcher. Pure; called by plan.py.

Disks are in translate/disks.py, access credentials in translate/credentials.py, firmware, clock and CPU in
translate/platform.py.

Values that the spec does not set are derived from the VMI's UID, so that every attempt gives the same machine.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from google.protobuf import duration_pb2
from kubevirt.launcher.v1 import machine_pb2
from virt_core.conventions.launcher_pod import INITRD, KERNEL, SERIAL, SERIAL_LOG, VNC
from virt_core.objects.meta import ObjectMeta
from virt_core.rpc.words import number
from virt_core.vmi.accepted import AcceptedSpec
from virt_core.vmi.instance import VirtualMachineInstance
from virt_core.vmi.spec.devices import Interface
from virt_core.vmi.spec.effective import guest_hostname

from virt_handler.machines.translate.credentials import agent_credentials
from virt_handler.machines.translate.disks import machine_disks
from virt_handler.machines.translate.platform import bootloader, clock, cpu_model, features, smbios
from virt_handler.network.plan import TAP, PodNetwork, Route, made_mac, masqueraded
from virt_handler.network.rules import BRIDGE


def machine(
    vmi: VirtualMachineInstance, accepted: AcceptedSpec, pod: PodNetwork, machine_types: Mapping[str, str] | None = None
) -> machine_pb2.Machine:
    """The machine to start. `machine_types` says by alias what stands for it, so that a guest which starts on the QEMU
    of a new release can go back to that of the old one; other names, and all without it, are the launcher's to resolve.

    Raises:
        UnsupportedSpec: the status has no information about a claim.
    """
    meta, spec, topology = vmi.metadata, accepted.spec, accepted.topology
    domain = spec.domain
    result = machine_pb2.Machine(
        uid=meta.uid,
        name=meta.name,
        namespace=meta.namespace,
        accelerator=machine_pb2.ACCELERATOR_EMULATION if accepted.emulated else machine_pb2.ACCELERATOR_KVM,
        machine_type=(machine_types or {}).get(accepted.machine_type, accepted.machine_type),
        cpu=machine_pb2.CpuTopology(sockets=topology.sockets, cores=topology.cores, threads=topology.threads),
        cpu_model=cpu_model(accepted),
        memory_bytes=accepted.memory_bytes,
        hugepage_bytes=accepted.hugepage_bytes,
        firmware_uuid=firmware_uuid(meta.uid, domain.firmware.uuid),
        bootloader=bootloader(accepted),
        smbios=smbios(spec),
        features=features(spec),
        disks=machine_disks(vmi, accepted, guest_hostname(meta.name, spec)),
        interfaces=[_interface(meta, accepted, interface, pod) for interface in accepted.interfaces],
        shutdown_grace_period=duration_pb2.Duration(seconds=spec.termination_grace_period_seconds),
        start_paused=spec.start_strategy == "Paused",
        access_credentials=agent_credentials(spec),
    )
    boot = domain.firmware.kernel_boot
    if (
        boot is not None and boot.container is not None and boot.container.kernel_path
    ):  # QEMU ignores an initrd without a kernel
        result.kernel_boot.kernel_path = KERNEL
        result.kernel_boot.initrd_path = INITRD if boot.container.initrd_path else ""
        result.kernel_boot.command_line = boot.kernel_args
    if domain.clock is not None:
        result.clock.CopyFrom(clock(domain.clock))
    _add_devices(result, accepted)
    return result


def _add_devices(result: machine_pb2.Machine, accepted: AcceptedSpec) -> None:
    devices = accepted.spec.domain.devices
    if devices.autoattach_serial_console is not False:
        result.serial_console.socket_path = SERIAL
        result.serial_console.log_path = SERIAL_LOG if devices.log_serial_console else ""
    display = accepted.display
    if display is not None:
        result.display.socket_path = VNC
        if display.card:
            result.display.card = number(machine_pb2.DisplayCard, display.card)
    result.inputs.extend(
        machine_pb2.Input(type=number(machine_pb2.InputType, wanted.type), bus=number(machine_pb2.InputBus, wanted.bus))
        for wanted in accepted.inputs
    )
    result.balloon = devices.autoattach_mem_balloon is not False
    result.rng = devices.rng is not None
    action = accepted.watchdog_action
    if action is not None:
        result.watchdog.model = machine_pb2.WATCHDOG_MODEL_I6300ESB
        result.watchdog.action = number(machine_pb2.WatchdogAction, action)
    result.virtio_transitional = bool(devices.use_virtio_transitional)
    result.disk_multiqueue = bool(devices.block_multi_queue)


def firmware_uuid(vmi_uid: str, wanted: str) -> str:
    """`wanted`, or a UUID derived from the VMI's UID.

    KubeVirt derives it from the name, so that VMIs of equal name in two namespaces share it; here it is unique. A UUID
    that is to outlive the VMI must be set in the spec.
    """
    return str(uuid.UUID(wanted) if wanted else uuid.uuid5(uuid.NAMESPACE_OID, f"firmware {vmi_uid}"))


def mac_address(vmi_uid: str, interface: Interface, pod: PodNetwork) -> str:
    """The MAC address in the spec, or the pod's (bridge binding), or one derived from the VMI's UID."""
    if interface.mac_address:
        return interface.mac_address.lower().replace("-", ":")
    if interface.bridge is not None and pod.mac:
        return pod.mac
    return made_mac(f"{vmi_uid}/{interface.name}")


def has_queues(accepted: AcceptedSpec, interface: Interface) -> bool:
    """Whether the card has a queue for each vCPU; only virtio's cards can."""
    wanted = accepted.spec.domain.devices.network_interface_multiqueue and interface.model == "virtio"
    return bool(wanted) and accepted.topology.vcpus > 1


def _interface(
    meta: ObjectMeta, accepted: AcceptedSpec, interface: Interface, pod: PodNetwork
) -> machine_pb2.NetworkInterface:
    result = machine_pb2.NetworkInterface(
        name=interface.name,
        mac_address=mac_address(meta.uid, interface, pod),
        model=number(machine_pb2.NetworkCardModel, interface.model),
        tap_device=TAP,
        mtu=pod.mtu,
        boot_order=interface.boot_order or 0,
        acpi_index=interface.acpi_index,
        link_down=interface.state == "down",
        multiqueue=has_queues(accepted, interface),
    )
    if interface.bridge is None:
        result.dhcp.CopyFrom(_masqueraded_lease(accepted))
    elif pod.addresses:
        result.dhcp.CopyFrom(_bridged_lease(pod))
    else:
        return result  # a DHCP server of that network answers the guest
    result.dhcp.hostname = guest_hostname(meta.name, accepted.spec)
    result.dhcp.subdomain = accepted.spec.subdomain
    return result


def _masqueraded_lease(spec: AcceptedSpec) -> machine_pb2.DhcpLease:
    router, guest = masqueraded(spec)
    return machine_pb2.DhcpLease(
        bridge_device=BRIDGE,
        router_address=str(router.ip),
        client_address=str(guest.ip),
        prefix_length=guest.network.prefixlen,
    )


def _bridged_lease(pod: PodNetwork) -> machine_pb2.DhcpLease:
    """The pod's address and routes. Some CNI plugins use a router outside of the pod's network, with a separate route
    to it. Then the default route is sent as a classless route, too."""
    own = IPv4Interface(f"{pod.addresses[0]}/{pod.prefix_length}")
    default = next((route.via for route in pod.routes if route.destination == "0.0.0.0/0" and route.via), "")
    near = bool(default) and IPv4Address(default) in own.network
    routes = [route for route in pod.routes if not (near and route.destination == "0.0.0.0/0")]
    return machine_pb2.DhcpLease(
        bridge_device=BRIDGE,
        router_address=default if near else "",
        client_address=str(own.ip),
        prefix_length=pod.prefix_length,
        routes=[_route(route) for route in routes],
    )


def _route(route: Route) -> machine_pb2.DhcpRoute:
    network = IPv4Network(route.destination)
    return machine_pb2.DhcpRoute(
        destination=str(network.network_address),
        prefix_length=network.prefixlen,
        router=route.via or "0.0.0.0",  # noqa: S104 - on the link, RFC 3442
    )
