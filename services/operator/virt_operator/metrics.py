"""virt-operator's metrics of an upgrade, which KubeVirt does not have. Pure; called by app.py when somebody asks the
leader."""

from __future__ import annotations

from prometheus_client.metrics_core import Metric
from virt_core.metrics.families import gauge
from virt_core.objects.meta import moment_of
from virt_core.objects.upgrade_status import Upgrade

_STEP = "The operation in progress, or the one that has stopped, with its step and versions."
_SINCE = "When the operation entered the step in which it is."
_WAITING = "How many objects the operation waits for, ten at most."
_STOPPED = "Whether a requested update or roll back has failed and waits for somebody to ask for it again."
_WAY_BACK = "Whether a roll back to the release before is open, because the upgrade is not final yet."


def families(upgrade: Upgrade | None) -> list[Metric]:
    """Of status.upgrade."""
    shown = upgrade if upgrade is not None else Upgrade()
    step = {"operation": shown.operation, "step": shown.step}
    versions = {"from_version": shown.from_version, "to_version": shown.to_version}
    since, prefix = moment_of(shown.since), "kubevirt_operator_upgrade"
    active = bool(shown.operation)
    return [
        gauge(f"{prefix}_step", _STEP, [({**step, **versions}, 1)] if active else []),
        gauge(
            f"{prefix}_step_started_timestamp_seconds",
            _SINCE,
            [(step, since.timestamp())] if active and since is not None else [],
        ),
        gauge(f"{prefix}_waiting_for", _WAITING, [({}, len(shown.waiting_for) if active else 0)]),
        gauge(f"{prefix}_stopped", _STOPPED, [({}, shown.stopped is not None)]),
        gauge(f"{prefix}_way_back_open", _WAY_BACK, [({}, shown.way_back is not None)]),
    ]
