"""Conditions of a VirtualMachineInstance, as in KubeVirt. Pure.

Controller and handler write them and leave each other's alone; virt-api decides about commands by them.
"""

from __future__ import annotations

READY = "Ready"
"""The guest answers: until there is a handler, what the launcher pod's condition of that name says."""

PAUSED = "Paused"
AGENT_CONNECTED = "AgentConnected"
ACCESS_CREDENTIALS_SYNCHRONIZED = "AccessCredentialsSynchronized"
"""Whether the guest has the accessCredentials that its agent sets; there is none without such credentials."""

LIVE_MIGRATABLE = "LiveMigratable"
EVICTION_REQUESTED = "EvictionRequested"
"""While status.evacuationNodeName is set; its reason as well."""

WORKLOAD_UPDATE_BLOCKED = "WorkloadUpdateBlocked"
"""Why an outdated launcher is not replaced although the cluster replaces outdated ones. Not in KubeVirt."""

EVACUATION_BLOCKED = "EvacuationBlocked"
"""Why a guest that is to leave its node cannot. Not in KubeVirt."""

STORAGE_LIVE_MIGRATABLE = "StorageLiveMigratable"
"""Whether the guest could migrate if all its volumes were copied to other claims."""

SYNCHRONIZED = "Synchronized"
"""False while something keeps the guest from starting; the reason says what."""

GUEST_NOT_RUNNING = "GuestNotRunning"
"""Reason of READY."""

UNSUPPORTED_SPEC = "UnsupportedSpec"
"""Reason of SYNCHRONIZED, and of the event."""
