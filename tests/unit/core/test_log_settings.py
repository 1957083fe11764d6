"""Log knobs that KubeVirt's users know: on a VMI, in the KubeVirt object, on the command line."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from virt_core import logs
from virt_core.objects.kubevirt import Configuration, LogVerbosity
from virt_core.vmi.admission import admit_create
from virt_core.vmi.log_settings import LogSettings, log_settings

from tests.support.process_logs import logging_restored

SPEC = {"domain": {"memory": {"guest": "64Mi"}, "devices": {}}}
FILTERS = "kubevirt.io/libvirt-log-filters"


@pytest.fixture(autouse=True)
def _levels_as_before() -> Iterator[None]:
    with logging_restored():
        yield


def configured(**verbosity: Any) -> Configuration:
    return msgspec.convert({"developerConfiguration": {"logVerbosity": verbosity}}, Configuration)


@pytest.mark.parametrize(
    ("verbosity", "level"),
    [(0, logging.WARNING), (1, logging.WARNING), (2, logging.INFO), (3, logging.DEBUG), (9, logging.DEBUG)],
)
def test_kubevirts_numbers_are_levels(verbosity: int, level: int) -> None:
    assert logs.level_of(verbosity) == level


def test_the_verbosity_of_a_running_process_changes_and_goes_back() -> None:
    logs.setup("virt-api", logging.INFO)
    ours, libraries = logging.getLogger("virt_api.app"), logging.getLogger("aiohttp")
    assert (ours.getEffectiveLevel(), libraries.getEffectiveLevel()) == (logging.INFO, logging.INFO)
    logs.set_verbosity(5)
    assert (ours.getEffectiveLevel(), libraries.getEffectiveLevel()) == (logging.DEBUG, logging.INFO)
    logs.set_verbosity(1)
    assert (ours.getEffectiveLevel(), libraries.getEffectiveLevel()) == (logging.WARNING, logging.WARNING)
    logs.set_verbosity(0)  # nobody wants another: the command line's, as at the start
    assert (ours.getEffectiveLevel(), libraries.getEffectiveLevel()) == (logging.INFO, logging.INFO)


def test_each_component_has_a_number_and_a_node_may_have_its_own() -> None:
    found = configured(virtAPI=3, virtHandler=4, nodeVerbosity={"node1": 7}).developer_configuration.log_verbosity
    assert (found.virt_api, found.virt_controller, found.virt_operator) == (3, 0, 0)
    assert (found.of_handler("node1"), found.of_handler("node2")) == (7, 4)
    assert LogVerbosity().of_handler("node1") == 0


@pytest.mark.parametrize(
    ("labels", "annotations", "cluster", "expected"),
    [
        ({}, {}, 0, LogSettings()),
        ({}, {}, 2, LogSettings()),
        ({}, {}, 4, LogSettings(4)),
        ({"logVerbosity": "3"}, {}, 9, LogSettings(3)),
        ({"logVerbosity": "0"}, {}, 0, LogSettings(0)),
        ({"logVerbosity": "0"}, {}, 9, LogSettings(0)),
        ({"debugLogs": "TRUE"}, {}, 0, LogSettings(2, "remote")),
        ({"debugLogs": "false"}, {}, 0, LogSettings()),
        ({"logVerbosity": "5"}, {}, 0, LogSettings(5, "qemu_monitor_json")),
        ({"logVerbosity": "6"}, {}, 0, LogSettings(6, "qemu_monitor ")),
        ({"debugLogs": "true"}, {FILTERS: "3:remote 1:*"}, 0, LogSettings(2, "=3:remote 1:*")),
        ({}, {FILTERS: ""}, 0, LogSettings()),
    ],
)
def test_a_launcher_logs_as_labels_annotation_and_cluster_ask(
    labels: dict[str, str], annotations: dict[str, str], cluster: int, expected: LogSettings
) -> None:
    found = log_settings(labels, annotations, cluster)
    assert found.verbosity == expected.verbosity
    if expected.libvirt_filters.startswith("="):
        assert found.libvirt_filters == expected.libvirt_filters[1:]
    else:
        assert expected.libvirt_filters in f"{found.libvirt_filters} "
        assert bool(found.libvirt_filters) == bool(expected.libvirt_filters)
        assert not found.libvirt_filters or found.libvirt_filters.endswith(" 1:*")


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({"labels": {"logVerbosity": "loud"}}, "metadata.labels.logVerbosity"),
        ({"labels": {"logVerbosity": "10"}}, "metadata.labels.logVerbosity"),
        ({"labels": {"logVerbosity": "1" * 5000}}, "metadata.labels.logVerbosity"),
        ({"annotations": {FILTERS: '1:*"\nstdio_handler = "file'}}, f"metadata.annotations.{FILTERS}"),
        ({"annotations": {FILTERS: "5:qemu"}}, f"metadata.annotations.{FILTERS}"),
        ({"annotations": {FILTERS: "$(HOME):*"}}, f"metadata.annotations.{FILTERS}"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_by_name(metadata: dict[str, Any], field: str) -> None:
    (refusal,) = admit_create({"metadata": metadata, "spec": SPEC}, Configuration())
    assert refusal.field == field


def test_what_kubevirts_manual_names_is_accepted() -> None:
    filters = "3:remote 4:event 3:util.json 3:util.object 3:util.dbus 3:util.netlink 3:node_device 3:rpc 3:access 1:*"
    metadata = {"labels": {"debugLogs": "true", "logVerbosity": "9"}, "annotations": {FILTERS: filters}}
    assert admit_create({"metadata": metadata, "spec": SPEC}, Configuration()) == ()
