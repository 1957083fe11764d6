"""A local copy of one collection, kept by list and watch. The only watch in the suite; every service uses it.

It tolerates failures of the API server: a 410 leads to a new list, a closed watch is reopened where it ended, a silent
watch is closed after a time (bookmarks arrive about every minute), an unavailable server is retried with back-off.
After a new list, objects that were deleted in the meantime are reported like any other change.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import msgspec

from virt_core import logs
from virt_core.kube.client import KubeClient, Object
from virt_core.kube.errors import Gone, KubeError, NotFound, Unavailable
from virt_core.kube.messages import Bookmark, Status, WatchEvent, identity_of, key_of, read_list
from virt_core.kube.resource import Resource
from virt_core.objects.meta import ObjectMeta

_WATCH_SECONDS = 290
_PAGE = 500  # objects of a list that are asked for at a time
_BACKOFF_LAST = 5.0
_STEADY = 10.0  # a watch that lasted this long is reopened at once


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds that a reflector waits."""

    silence: float = 90.0
    """Time without a byte after which a watch is closed."""

    backoff: float = 0.1
    """Delay after the first failure; doubled after each further failure."""


_TIMING = Timing()


class HasMetadata(Protocol):
    """The part of an object that the reflector needs."""

    @property
    def metadata(self) -> ObjectMeta: ...


T = TypeVar("T", bound=HasMetadata)
Key = tuple[str, str]
"""Namespace ("" for cluster-scoped objects) and name."""


class Reflector(Generic[T]):
    """A cache of the objects of `resource` that match, decoded as `kind`.

    `on_change(key)` is called for each added, changed or deleted object, after the cache has changed; further callbacks
    subscribe before `run`. A callback may only enqueue the key. An exception in a callback is a defect: it is logged
    with the key and ends neither the watch nor the process. `synced` is set after the first list.

    An object that does not decode is logged and recorded in `undecodable`; the cache keeps its last version that
    decoded, if any. So an invalid object does not affect others.

    A kind of a CustomResourceDefinition may come and go: a watch begins only while `defined` is set. When it is not,
    the kind has no objects. An `optional` kind has none while the API server does not know it.
    """

    def __init__(
        self,
        client: KubeClient,
        resource: Resource,
        kind: type[T],
        on_change: Callable[[Key], None] | None = None,
        *,
        namespace: str | None = None,
        labels: str = "",
        fields: str = "",
        defined: asyncio.Event | None = None,
        optional: bool = False,
        timing: Timing = _TIMING,
    ) -> None:
        self._client = client
        self._decoder = msgspec.json.Decoder(kind)
        self._subscribers = [on_change] if on_change is not None else []
        self._path = resource.path(namespace)
        self._query = {k: v for k, v in {"labelSelector": labels, "fieldSelector": fields}.items() if v}
        self._defined = defined
        self._optional = optional
        self._timing = timing
        self._objects: dict[Key, T] = {}
        self._undecodable: dict[Key, str] = {}
        self._version = ""
        self.synced = asyncio.Event()
        self.trouble = ""
        """Why the cache is not followed now, for example that the API server does not answer; "" if it is."""

        self._log = logs.bound("virt_core.kube.reflector", resource=resource.plural)

    def subscribe(self, on_change: Callable[[Key], None]) -> None:
        """Call `on_change` like the constructor's callback, after the callbacks that subscribed before."""
        self._subscribers.append(on_change)

    def get(self, key: Key) -> T | None:
        """The object as last seen."""
        return self._objects.get(key)

    def has_seen(self, version: str) -> bool:
        """Whether the cache is as new as that version, of an object of this resource or of another custom resource: all
        of these are in one etcd, whose revisions the versions are."""
        return self._version.isdecimal() and version.isdecimal() and int(self._version) >= int(version)

    @property
    def undecodable(self) -> Mapping[Key, str]:
        """Why the newest version of an object does not decode. What `get` returns for its key is older, or None."""
        return self._undecodable

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._objects.values()))

    def wrote(self, answer: Object) -> None:
        """Store the API server's response to our own write, so that the next plan does not repeat the write.

        Responses that are older than the watch are ignored: the watch has reported them already, perhaps followed by
        the object's deletion. The watch or the next list reports all later changes.
        """
        decoded = self._decode(msgspec.Raw(msgspec.json.encode(answer)))
        if decoded is None or not self._is_ahead(decoded[1]) or not self._is_newer(*decoded):
            return
        key, self._objects[decoded[0]] = decoded
        self._changed(key)

    def rewrote(self, answer: Object) -> None:
        """Like `wrote`, for changes of cached objects: an object that has left the selection does not come back."""
        metadata = answer["metadata"]
        if (metadata.get("namespace", ""), metadata["name"]) in self._objects:
            self.wrote(answer)

    async def run(self) -> None:
        """Keep the cache until cancelled."""
        loop = asyncio.get_running_loop()
        backoff = self._timing.backoff
        while True:
            if self._defined is not None and not self._defined.is_set():
                self._forget()
                await self._defined.wait()
            began = loop.time()
            try:
                if not self._version:
                    await self._relist()
                await self._watch()
            except Gone as error:
                self._log.info("listing again", reason=error.message)
                self._version = ""
            except NotFound as error:
                self._log.info("listing again a kind that is not served", reason=error.message, delay=backoff)
                if self._optional:
                    self._forget()
                    self.synced.set()
            except KubeError as error:
                self._log.warning("watching again after a failure", reason=str(error), delay=backoff)
                self.trouble = str(error)
            if loop.time() - began > _STEADY:
                backoff = self._timing.backoff
                continue
            # A watch that ended so soon, even without an error, would end at once again.
            await asyncio.sleep(backoff * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load, decides nothing
            backoff = min(backoff * 2, _BACKOFF_LAST)

    async def _relist(self) -> None:
        failed = dict[Key, str]()
        current, version = await self._listed(failed)
        before, undecodable = self._objects, self._undecodable
        current |= {key: before[key] for key in failed.keys() & before.keys()}
        self._objects, self._undecodable, self._version = current, failed, version
        self.synced.set()
        for key in before.keys() | current.keys():
            old, new = before.get(key), current.get(key)
            if old is None or new is None or old.metadata.resource_version != new.metadata.resource_version:
                self._changed(key)
        for key in undecodable.keys() ^ failed.keys():
            self._changed(key)

    async def _listed(self, undecodable: dict[Key, str]) -> tuple[dict[Key, T], str]:
        """All objects that decode, and the version of the list. In pages, since a page is in memory as a whole, with
        managedFields and all: several times the size of what is kept of it."""
        # Without resourceVersion=0: after a 410 the server's cache may still be older than what was seen.
        query, found = {**self._query, "limit": str(_PAGE)}, dict[Key, T]()
        while True:
            async with self._client.stream(self._path, query, deadline=60.0) as body:
                page = read_list(await body.read())
            found.update(filter(None, (self._decode(raw, undecodable) for raw in page.items)))
            if not page.metadata.following:
                return found, page.metadata.resource_version
            query["continue"] = page.metadata.following

    def _forget(self) -> None:
        gone, self._objects, self._undecodable, self._version = self._objects, {}, {}, ""
        self.synced.clear()
        for key in gone:
            self._changed(key)

    async def _watch(self) -> None:
        query = {
            **self._query,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        async with self._client.stream(self._path, query, deadline=_WATCH_SECONDS + 30.0) as body:
            self.trouble = ""
            buffer = bytearray()
            while True:
                try:
                    async with asyncio.timeout(self._timing.silence):
                        chunk = await body.readany()
                except TimeoutError as error:
                    raise Unavailable(0, f"watch silent for {self._timing.silence:.0f} s") from error
                if not chunk:
                    return
                buffer += chunk
                # An event may be larger than any line limit of the transport, so lines are cut here.
                *lines, rest = buffer.split(b"\n")
                buffer = bytearray(rest)
                for line in lines:
                    if line:
                        self._handle(bytes(line))

    def _handle(self, line: bytes) -> None:
        try:
            event = msgspec.json.decode(line, type=WatchEvent)
        except RecursionError:
            self._log.error("leaving out a change of an object that is nested too deeply", size=len(line))
            return
        if event.type == "ERROR":
            status = msgspec.json.decode(event.object, type=Status)
            raise Gone(410, status.message) if status.code == 410 else Unavailable(status.code, status.message)
        if event.type == "BOOKMARK":
            self._version = msgspec.json.decode(event.object, type=Bookmark).metadata.resource_version
            return
        identity = identity_of(event.object)
        key, self._version = identity.key, identity.resource_version
        if event.type == "DELETED":
            self._objects.pop(key, None)
            self._undecodable.pop(key, None)
        else:
            decoded = self._decode(event.object)
            if decoded is not None:
                if not self._is_newer(*decoded):
                    return
                self._objects[key] = decoded[1]
                self._undecodable.pop(key, None)
        self._changed(key)

    def _changed(self, key: Key) -> None:
        for on_change in self._subscribers:
            try:
                on_change(key)
            except Exception:
                self._log.error("watching on after a defect in a callback", key=key, exc_info=True)

    def _is_ahead(self, value: T) -> bool:
        """Whether the watch has not reported this version yet. Versions of a resource are ordered (KEP-5504)."""
        version = value.metadata.resource_version
        return self._version.isdecimal() and version.isdecimal() and int(version) > int(self._version)

    def _is_newer(self, key: Key, value: T) -> bool:
        """Whether `value` is newer than the cached object. True if a version is not a number (no known API server)."""
        cached = self._objects.get(key)
        if cached is None:
            return True
        old, new = cached.metadata.resource_version, value.metadata.resource_version
        return not (old.isdecimal() and new.isdecimal()) or int(new) > int(old)

    def _decode(self, raw: msgspec.Raw, undecodable: dict[Key, str] | None = None) -> tuple[Key, T] | None:
        try:
            value = self._decoder.decode(raw)
        except (msgspec.ValidationError, RecursionError) as error:
            key = key_of(raw)
            self._log.error("ignoring a version of an object that does not decode", key=key, reason=str(error))
            if key is not None:
                into = self._undecodable if undecodable is None else undecodable
                into[key] = str(error) or type(error).__name__
            return None
        return (value.metadata.namespace, value.metadata.name), value
