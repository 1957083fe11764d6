"""How guests migrate: the part of the KubeVirt object and of a MigrationPolicy that is about it. Pure.

The controller resolves it once for each migration and writes the result into the VirtualMachineInstance's
status.migrationState, from where the handlers take it. Defaults are KubeVirt's.
"""

from __future__ import annotations

from typing import Any

import msgspec

from virt_core.objects.quantity import parse_quantity

DRAIN_TAINT = "kubevirt.io/drain"


class MigrationConfiguration(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Settings of the cluster, a policy or a single migration. None: not set."""

    allow_auto_converge: bool | None = None
    """Slow the guest down until its memory can be copied faster than it writes."""

    allow_post_copy: bool | None = None
    allow_workload_disruption: bool | None = None
    """Suspend the guest, or copy after the switch, if it takes too long. None: as allow_post_copy."""

    bandwidth_per_migration: str | int | None = None
    """Bytes per second, as a quantity; 0: no limit."""

    completion_timeout_per_gib: int | None = msgspec.field(default=None, name="completionTimeoutPerGiB")
    """Seconds for each 10^9 bytes that are to be copied; 0: no limit."""

    progress_timeout: int | None = None
    """Seconds in which the rest must become smaller."""

    disable_tls: bool | None = msgspec.field(default=None, name="disableTLS")
    unsafe_migration_override: bool | None = None
    match_se_linux_level_on_migration: bool | None = msgspec.field(default=None, name="matchSELinuxLevelOnMigration")
    network: str | None = None
    node_drain_taint_key: str | None = None
    parallel_migrations_per_cluster: int | None = None
    parallel_outbound_migrations_per_node: int | None = None
    utility_volumes_timeout: int | None = None

    def over(self, other: MigrationConfiguration) -> MigrationConfiguration:
        """This configuration, with the fields of `other` where this one sets none."""
        fields = self.__struct_fields__
        own = {field: getattr(self, field) for field in fields}
        return MigrationConfiguration(
            **{field: getattr(other, field) if value is None else value for field, value in own.items()}
        )

    def resolved(self) -> MigrationConfiguration:
        """This configuration with KubeVirt's defaults."""
        whole = self.over(_DEFAULTS)
        if whole.allow_workload_disruption is None:
            return msgspec.structs.replace(whole, allow_workload_disruption=whole.allow_post_copy)
        return whole

    @property
    def bandwidth_bytes(self) -> int:
        """Bytes per second; 0: no limit.

        Raises:
            ValueError: it is no quantity. The KubeVirt object's webhook and admission of policies refuse such.
        """
        return int(parse_quantity(str(self.bandwidth_per_migration or 0)))

    def to_builtins(self) -> dict[str, Any]:
        """As a JSON object, without what is not set."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built


_DEFAULTS = MigrationConfiguration(
    allow_auto_converge=False,
    allow_post_copy=False,
    bandwidth_per_migration="0",
    completion_timeout_per_gib=150,
    progress_timeout=150,
    disable_tls=False,
    unsafe_migration_override=False,
    node_drain_taint_key=DRAIN_TAINT,
    parallel_migrations_per_cluster=5,
    parallel_outbound_migrations_per_node=2,
    utility_volumes_timeout=150,
)
