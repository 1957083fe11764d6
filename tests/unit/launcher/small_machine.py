"""A machine with one network card and a kernel."""

from __future__ import annotations

from kubevirt.launcher.v1 import machine_pb2


def machine() -> machine_pb2.Machine:
    return machine_pb2.Machine(
        bootloader=machine_pb2.BOOTLOADER_BIOS,
        uid="6a1f0d52-6a7a-4c9b-8d5e-1c2b3a4d5e6f",
        name="demo",
        namespace="default",
        accelerator=machine_pb2.ACCELERATOR_EMULATION,
        machine_type="pc-q35-7.2",
        cpu=machine_pb2.CpuTopology(sockets=2, cores=3, threads=1),
        memory_bytes=128 << 20,
        firmware_uuid="6a1f0d52-6a7a-4c9b-8d5e-1c2b3a4d5e6f",
        kernel_boot=machine_pb2.KernelBoot(kernel_path="/k", initrd_path="/i", command_line="console=ttyS0"),
        serial_console=machine_pb2.SerialConsole(socket_path="/run/s", log_path="/run/l"),
        interfaces=[
            machine_pb2.NetworkInterface(
                name="default",
                mac_address="52:54:00:00:00:01",
                model=machine_pb2.NETWORK_CARD_MODEL_VIRTIO,
                tap_device="tap0",
                mtu=1450,
                dhcp=machine_pb2.DhcpLease(
                    bridge_device="k6t-eth0",
                    router_address="10.0.2.1",
                    client_address="10.0.2.2",
                    prefix_length=24,
                    hostname="demo",
                ),
            )
        ],
    )
