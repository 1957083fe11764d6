"""The files of cloud-init's data sources. Pure; called by sources.py.

Names and keys: https://cloudinit.readthedocs.io/en/latest/reference/datasources/, nocloud.html and configdrive.html.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from kubevirt.launcher.v1 import machine_pb2

from virt_launcher.storage.plan import Documents

USER_DATA_KEYS, NETWORK_DATA_KEYS = ("userdata", "userData"), ("networkdata", "networkData")
"""The keys of the documents in a Secret."""


def cloud_init(
    source: machine_pb2.CloudInit, user_data: bytes, network_data: bytes, public_keys: Sequence[str] = ()
) -> Documents:
    """The data source with these documents; empty ones are omitted."""
    metadata: dict[str, object]
    if source.source == machine_pb2.CLOUD_INIT_SOURCE_CONFIG_DRIVE:
        metadata = {"uuid": source.instance_id, "instance_id": source.instance_id, "hostname": source.hostname}
        label, folder, names = "config-2", "openstack/latest/", ("meta_data.json", "user_data", "network_data.json")
    else:
        metadata = {"instance-id": source.instance_id, "local-hostname": source.hostname}
        label, folder, names = "cidata", "", ("meta-data", "user-data", "network-config")
    if public_keys:
        # By name, as OpenStack has them.
        names_of_keys = {str(number): key for number, key in enumerate(public_keys)}
        metadata["public_keys" if folder else "public-keys"] = names_of_keys
    # NoCloud requires user-data, even if it is empty.
    contents = (json.dumps(metadata).encode(), user_data or b"#cloud-config\n", network_data)
    files = {folder + name: content for name, content in zip(names, contents, strict=True) if content}
    return Documents(files, label)
