"""Words that virt-operator writes into the status of the KubeVirt object about a change of the suite. Pure.

virtadm and virt-operators of older and newer releases read them: they never change.
"""

from __future__ import annotations

INSTALL, UPDATE, ROLLBACK, REMOVAL, STOPPED = "Install", "Update", "Rollback", "Removal", "Stopped"
"""Values of status.upgrade.operation. Stopped: an update or a rollback that went back by itself."""

CHANGES = (UPDATE, ROLLBACK)
"""Operations that replace what is installed."""

FINALIZED = "Finalized"
"""Condition: whether no roll back is open any more, and its reason then. Not in KubeVirt."""

IN_PROGRESS, SOAKING = "InProgress", "Soaking"
WAITING_FOR_ADMINISTRATOR, OLD_RELEASE_LIVES = "WaitingForAdministrator", "OldReleaseLives"
"""The other reasons of FINALIZED."""

EXISTING_DEPLOYMENT, WRONG_NAMESPACE = "ExistingDeployment", "WrongNamespace"
MISSING_PERMISSIONS, LEVEL_TOO_LOW = "MissingPermissions", "FeatureLevelTooLow"
"""Reasons of the condition Synchronized, which is False with each."""

UPGRADE_PAUSED, UPGRADE_STOPPED = "UpgradePaused", "UpgradeStopped"
"""Reasons of the conditions Progressing and Degraded."""
