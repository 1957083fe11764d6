"""The record that a launcher's image has of its QEMU and libvirt, as capability-cache writes it; shortened."""

from __future__ import annotations

import json

RECORD = json.dumps(
    {
        "qemu": "7.2.22",
        "libvirt": "9.0.0",
        "machineTypes": [
            {"name": "microvm", "aliases": [], "deprecated": False},
            {"name": "pc-i440fx-7.2", "aliases": ["pc"], "deprecated": False},
            {"name": "pc-q35-2.4", "aliases": [], "deprecated": True},
            {"name": "pc-q35-2.10", "aliases": [], "deprecated": False},
            {"name": "pc-q35-2.9", "aliases": [], "deprecated": False},
            {"name": "pc-q35-7.2", "aliases": ["q35"], "deprecated": False},
        ],
        "cpuModels": ["Nehalem", "qemu64"],
    }
)
