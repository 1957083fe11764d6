"""What the plan knows, as frozen values. Pure; made by read.py and probe.py, judged by the other modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from virt_operator.images.outcome import ImageTrouble
from virt_operator.preflight.kinds import Guest, Machine, Node, Pod, StoredObject
from virt_operator.preflight.webhooks import Policy, PolicyBinding, Webhooks
from virt_operator.settings import Settings
from virt_operator.strategy.install_strategy import InstallStrategy
from virt_operator.strategy.ref import Body
from virt_operator.strategy.settings import InstallSettings
from virt_operator.suite.hypervisor import Hypervisor
from virt_operator.suite.observed import PodObject, SuiteObject
from virt_operator.suite.permissions import Held


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate in a Secret of the suite."""

    secret: str
    starts: datetime
    ends: datetime


@dataclass(frozen=True, slots=True)
class Target:
    """The release to change to, as far as it is known."""

    strategy: InstallStrategy | None = None
    hypervisor: Hypervisor | None = None
    troubles: tuple[ImageTrouble, ...] = ()
    probed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """One moment of the cluster. What could not be decoded is left out and named in `undecodable`."""

    now: datetime
    operator: Settings
    suite: SuiteObject | None = None
    held: Held = field(default_factory=dict)
    installed: InstallStrategy | None = None
    """What is installed, as its release printed it."""

    pods: Sequence[Pod] = ()
    handlers: Sequence[PodObject] = ()
    """Pods of virt-handler."""

    nodes: Sequence[Node] = ()
    guests: Sequence[Guest] = ()
    machines: Sequence[Machine] = ()
    definitions: Mapping[str, Body] = field(default_factory=dict)
    """CustomResourceDefinitions of the suite by name."""

    stored: Mapping[str, Sequence[StoredObject]] = field(default_factory=dict)
    """Objects of the suite's kinds, by the name of their CustomResourceDefinition."""

    certificates: Sequence[Certificate] = ()
    webhooks: Sequence[Webhooks] = ()
    policies: Sequence[Policy] = ()
    bindings: Sequence[PolicyBinding] = ()
    backends: frozenset[tuple[str, str]] = frozenset()
    """Services, by namespace and name, with an endpoint that is ready."""

    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """The labels of each namespace."""

    launcher_defaults: Mapping[str, str] = field(default_factory=dict)
    """The launcher that a namespace asks for, by namespaces that do."""

    undecodable: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Names of objects that do not decode, by kind."""


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked."""

    settings: InstallSettings | None
    """The target's; None if they are refused."""

    tag: str
    registry: str
    refusal: str = ""
    """Why the settings are refused."""
