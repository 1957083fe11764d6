"""What the pods tell of the images that they run. Pure; used by the plan of a change and by change/hardware.py."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from virt_operator.suite.observed import PodObject

_PULLING = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError")
_STARTING = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError")


@dataclass(frozen=True, slots=True)
class ImageTrouble:
    """An image that does not run."""

    image: str
    reason: str
    """The reason of the finding."""

    message: str
    """What the kubelet says, or the container's last words."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the pods tell so far, by container."""

    ended: frozenset[str]
    troubles: Mapping[str, ImageTrouble]
    waiting: Mapping[str, str]
    """Why a container has not ended, for people."""


def outcome(found: Iterable[PodObject]) -> Outcome:
    """What the pods tell."""
    ended: set[str] = set()
    troubles: dict[str, ImageTrouble] = {}
    waiting: dict[str, str] = {}
    for pod in found:
        images = {container["name"]: container.get("image", "") for container in pod.spec.get("containers") or ()}
        waiting |= dict.fromkeys(images, _unscheduled(pod))
        for status in pod.status.get("containerStatuses") or ():
            name = status["name"]
            trouble, why = _container_state(images.get(name, ""), status.get("state") or {})
            if trouble is not None:
                troubles[name] = trouble
            elif why:
                waiting[name] = why
            else:
                ended.add(name)
    return Outcome(frozenset(ended), troubles, {name: why for name, why in waiting.items() if name not in ended})


def _container_state(image: str, state: Mapping[str, Any]) -> tuple[ImageTrouble | None, str]:
    """Its trouble, or else what it waits for; neither: it has ended in order."""
    waiting, ended = state.get("waiting") or {}, state.get("terminated")
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    text = f"{reason}: {message}" if message else reason
    if reason in _PULLING:
        return ImageTrouble(image, "ImageMissing", f"the kubelet cannot get the image: {text}"), ""
    if reason in _STARTING:
        return ImageTrouble(image, "ImageNotRunning", f"the image cannot be run: {text}"), ""
    if ended is None:
        return None, text or "it runs"
    if ended.get("exitCode") == 0:
        return None, ""
    last = ended.get("message") or ended.get("reason") or ""
    message = f"the image ended with exit code {ended.get('exitCode')}: {last.strip()[-500:]}"
    return ImageTrouble(image, "ImageNotRunning", message), ""


def _unscheduled(pod: PodObject) -> str:
    for condition in pod.status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"its pod has no node: {condition.get('message', '')}"
    return "its pod has not started"
