"""What an administrator requests of the suite, as a change of the KubeVirt object. Pure.

Called by virt-operator's admin/ and, for a user who writes the object without it, by virtadm: both refuse the same in
the same words. The object may be of another release, so it is read tolerantly.
"""

from __future__ import annotations

from dataclasses import dataclass

from virt_core.conventions.images import REGISTRY, REGISTRY_FORM, TAG, TAG_FORM
from virt_core.conventions.labels import FINALIZE_UPGRADE, RETRY_UPGRADE
from virt_core.conventions.suite_status import ROLLBACK, STOPPED
from virt_core.objects.upgrade_state import Json, Release, State, object_of, state_of, text_of
from virt_core.objects.upgrade_status import finalizing


class Impossible(Exception):
    """The state of the suite does not allow the request. The message says why, and what is possible."""


class BadArgument(Exception):
    """An argument that is wrong in every state."""

    def __init__(self, field: str, value: str, allowed: str) -> None:
        super().__init__(f"{field}: {value!r} is not allowed, use {allowed}")
        self.field, self.value, self.allowed = field, value, allowed


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the KubeVirt object."""

    patch: Json
    """A merge patch of spec and annotations; empty if the object has what is requested already."""

    message: str
    """What is requested, for people."""

    version: str = ""
    """The tag that the suite will be of; "" for a pause and its end."""

    def patch_of(self, kubevirt: Json) -> Json:
        """The patch for that KubeVirt object, and for no other one that has got its name meanwhile."""
        uid = text_of(object_of(kubevirt, "metadata"), "uid")
        return {**self.patch, "metadata": {**object_of(self.patch, "metadata"), "uid": uid}}


def upgrade(kubevirt: Json, tag: str, registry: str, moment: str) -> Change:
    """Another release is requested, or one that has stopped is tried again. `moment` is the time, as text.

    Raises:
        BadArgument: tag or registry is malformed.
        Impossible: it is installed, or a change is in progress.
    """
    if not TAG.fullmatch(tag):
        raise BadArgument("tag", tag, f"the tag of the target's images: {TAG_FORM}")
    if registry and not REGISTRY.fullmatch(registry):
        raise BadArgument("registry", registry, f"{REGISTRY_FORM} of the target's images")
    state = _state(kubevirt)
    wanted = (tag, registry or state.registry or state.target[1])
    if state.changes:
        if wanted == state.installed and not state.stopped:
            return _to(wanted, f"the change to {state.target[0]} is cancelled, and {tag} stays")
        same = wanted == state.target or state.stopped
        raise Impossible(state.progress if same else f"{state.progress}: wait until it is done, or roll back first")
    if state.stopped and wanted == state.target:
        patch = {"metadata": {"annotations": {RETRY_UPGRADE: moment}}}
        return Change(patch, f"the {state.failed} to {tag} is tried again", tag)
    if wanted == state.installed:
        give_up = f"; to give up the change to {state.target[0]} that has stopped, roll back" if state.stopped else ""
        raise Impossible(f"{tag} is installed already{give_up}")
    return _to(wanted, f"the change from {state.installed[0]} to {tag} is requested{_paused_note(state)}")


def rollback(kubevirt: Json) -> Change:
    """What was there before is requested: before the change in progress, the stopped one, or the last one.

    Raises:
        Impossible: there is nothing to go back to.
    """
    state = _state(kubevirt)
    tag = state.installed[0]
    if state.operation == STOPPED:
        return _to(state.installed, f"{tag} stays, and the change to {state.target[0]} is given up")
    if state.changes:
        if state.stopped:
            raise Impossible(state.progress)
        if state.operation == ROLLBACK or state.target == state.way_back:
            raise Impossible(f"{state.progress}; to stay at {tag}, upgrade to {tag}")
        if state.target == state.installed:
            raise Impossible(f"only settings of {tag} change, not its release: change the KubeVirt object's spec back")
        return _to(state.installed, f"the change to {state.target[0]} is cancelled, and {tag} comes back")
    if not state.way_back[0] or state.way_back == state.installed:
        raise Impossible(
            f"there is nothing to go back to: {tag} is finalized, or is the first release that was installed"
        )
    return _to(state.way_back, f"the way back from {tag} to {state.way_back[0]} is requested{_paused_note(state)}")


def finalize(kubevirt: Json) -> Change:
    """The end of the way back is requested.

    Raises:
        Impossible: a change is in progress or has stopped, or there is no way back.
    """
    state = _state(kubevirt)
    tag = state.installed[0]
    if state.changes:
        raise Impossible(f"{state.progress}: only what is installed and proven can be finalized")
    if state.stopped:
        raise Impossible(f"the change to {state.target[0]} has stopped: roll back to stay at {tag}, or try it again")
    if not state.way_back[0]:
        raise Impossible(f"{tag} is finalized already, or is the first release that was installed")
    patch = {"metadata": {"annotations": {FINALIZE_UPGRADE: finalizing(tag, state.way_back_since)}}}
    return Change(patch, f"{tag} will be final: there is no way back to {state.way_back[0]} then", tag)


def pause(kubevirt: Json) -> Change:
    """Nothing further of a change begins.

    Raises:
        Impossible: nothing is installed, or the suite is being removed.
    """
    state = _state(kubevirt)
    what = f"{state.progress}, and nothing further of it begins" if state.changes else "the next change will not begin"
    return _paused(state, True, f"paused: {what}")


def resume(kubevirt: Json) -> Change:
    """A pause ends.

    Raises:
        Impossible: nothing is installed, or the suite is being removed.
    """
    state = _state(kubevirt)
    return _paused(state, False, f"resumed: {state.progress if state.changes else 'nothing is in progress'}")


def _paused(state: State, paused: bool, message: str) -> Change:
    if state.paused == paused:
        return Change({}, f"it is {'paused' if paused else 'not paused'} already")
    return Change({"spec": {"upgradeStrategy": {"paused": paused}}}, message)


def _paused_note(state: State) -> str:
    return "; it is paused: resume it" if state.paused else ""


def _to(release: Release, message: str) -> Change:
    tag, registry = release
    fields = {"imageTag": tag, "imageRegistry": registry}
    return Change({"spec": {key: value for key, value in fields.items() if value}}, message, tag)


def _state(kubevirt: Json) -> State:
    state = state_of(kubevirt)
    if state.deleted:
        raise Impossible("the KubeVirt object is deleted, and the suite is being removed")
    if not state.installed[0]:
        raise Impossible("nothing is installed yet: wait until the suite is available")
    return state
