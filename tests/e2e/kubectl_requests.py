"""Requests that kubectl would send, sent by this process. Called by cluster.py, which knows kubectl.

A kubectl that starts for each look of a test takes a fifth of the processors of all end-to-end tests. What is not
understood here is left to kubectl: other arguments, users without a client certificate, every error.
"""

from __future__ import annotations

import json
import ssl
import tempfile
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3

_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_CREATES = "?fieldManager=kubectl-client-side-apply&fieldValidation=Strict"
_SELECTORS = {"-l": "labelSelector", "--field-selector": "fieldSelector"}
_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Query:
    """What ``kubectl get`` reads: a list if it has no `name`."""

    resource: str
    name: str
    namespace: str
    """ "": of all namespaces."""
    selectors: dict[str, str]

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Query | None:
        """None: only kubectl understands them."""
        words: list[str] = []
        namespace, selectors, rest = "default", {}, iter(arguments)
        for argument in rest:
            if argument == "-n":
                namespace = next(rest, "")
            elif argument == "-A":
                namespace = ""
            elif argument in _SELECTORS:
                selectors[_SELECTORS[argument]] = next(rest, "")
            else:
                words.append(argument)
        is_plain = len(words) in (1, 2) and not any(mark in word for word in words for mark in ("-f", "--", ",", "/"))
        if not is_plain or words[0].startswith("-") or (len(words) == 2 and selectors):
            return None
        return cls(words[0], words[1] if len(words) == 2 else "", namespace, selectors)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a resource is served."""

    path: str
    plural: str
    is_namespaced: bool

    def url(self, query: Query) -> str:
        """Of an object or a list."""
        namespace = f"/namespaces/{query.namespace}" if self.is_namespaced and query.namespace else ""
        name = f"/{query.name}" if query.name else ""
        selected = f"?{urlencode(query.selectors)}" if query.selectors else ""
        return f"{self.path}{namespace}/{self.plural}{name}{selected}"


class Client:
    """Keeps its connections to the API server, and where it serves what."""

    def __init__(self, config: Any) -> None:
        """`config` is what ``kubectl config view --raw --flatten --minify`` prints."""
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        context = ssl.create_default_context(cadata=b64decode(cluster["certificate-authority-data"]).decode())
        with tempfile.TemporaryDirectory() as folder:
            pair = [Path(folder, name) for name in ("crt", "key")]
            pair[0].write_bytes(b64decode(user["client-certificate-data"]))
            pair[1].write_bytes(b64decode(user["client-key-data"]))
            context.load_cert_chain(*pair)
        self._server = cluster["server"]
        self._pool = urllib3.PoolManager(ssl_context=context, maxsize=4, timeout=_SECONDS)
        self._places: dict[str, Place] = {}

    @classmethod
    def of(cls, config: Any) -> Client | None:
        """None where the user has no client certificate."""
        users, clusters = config.get("users") or [], config.get("clusters") or []
        is_known = users and "client-certificate-data" in users[0]["user"]
        return cls(config) if is_known and "certificate-authority-data" in clusters[0]["cluster"] else None

    def get(self, arguments: Sequence[str]) -> Any:
        """The object or list as kubectl prints it in JSON; None where kubectl must say it."""
        query = Query.parse(arguments)
        place = self._place(query.resource) if query else None
        found = self._read(place.url(query)) if query and place and not _lacks_namespace(query, place) else None
        return found and _as_printed(found)

    def create(self, manifest: dict[str, Any]) -> bool:
        """As ``kubectl apply`` creates an object, for a later one to compare with. False: kubectl must do it, because
        there is one already, or say what is wrong with it."""
        group = manifest["apiVersion"].rpartition("/")[0]
        place = self._place(f"{manifest['kind'].lower()}.{group}".rstrip("."))
        if place is None or place.path.split("/", 2)[2] != manifest["apiVersion"]:
            return False
        metadata = {"annotations": {}, **manifest["metadata"]}
        if place.is_namespaced:
            metadata.setdefault("namespace", "default")
        applied = {**manifest, "metadata": metadata}
        words = json.dumps(applied, separators=(",", ":"), sort_keys=True) + "\n"
        metadata = {**metadata, "annotations": {**metadata["annotations"], _APPLIED: words}}
        query = Query(place.plural, "", metadata.get("namespace", ""), {})
        body = json.dumps({**manifest, "metadata": metadata}).encode()
        status, _ = self._request("POST", place.url(query) + _CREATES, body=body)
        return status == 201

    def delete(self, kind: str, name: str, namespace: str) -> bool:
        """False: kubectl must say why not. An object that is not there is deleted."""
        place = self._place(kind)
        if place is None:
            return False
        body = b'{"propagationPolicy":"Background"}'
        status, _ = self._request("DELETE", place.url(Query(kind, name, namespace, {})), body=body)
        return status in (200, 202, 404)

    def _place(self, resource: str) -> Place | None:
        if resource not in self._places:  # a definition may be new
            for root in ("/apis", "/api"):  # the core group last: its words win
                self._places |= _places(self._read(root, _DISCOVERY) or {}, root)
        return self._places.get(resource)

    def _read(self, path: str, accept: str = "application/json") -> Any:
        status, answer = self._request("GET", path, accept)
        return json.loads(answer) if status == 200 else None

    def _request(
        self, method: str, path: str, accept: str = "application/json", body: bytes | None = None
    ) -> tuple[int, bytes]:
        """The status, 0 without an answer, and what was answered."""
        headers = {"Accept": accept, "Content-Type": "application/json"}
        try:
            answer = self._pool.request(method, self._server + path, body=body, headers=headers, retries=False)
        except urllib3.exceptions.HTTPError:
            return 0, b""
        return answer.status, answer.data


def _lacks_namespace(query: Query, place: Place) -> bool:
    """kubectl refuses a name of a namespaced resource in all namespaces."""
    return place.is_namespaced and not query.namespace and query.name != ""


def _places(discovery: Any, root: str) -> dict[str, Place]:
    """By every word that kubectl knows for it. As with kubectl, the first group and version of a word win."""
    found: dict[str, Place] = {}
    for group in discovery.get("items", ()):
        name = group["metadata"].get("name", "")
        for version in group["versions"]:
            path = "/".join(filter(None, (root, name, version["version"])))
            for entry in version.get("resources", ()):
                if "get" not in (entry.get("verbs") or ()):  # null where a group has subresources alone
                    continue
                place = Place(path, entry["resource"], entry["scope"] == "Namespaced")
                kind = entry.get("responseKind", {}).get("kind", "").lower()
                words = {entry["resource"], entry.get("singularResource", ""), kind, *entry.get("shortNames", ())}
                for word in filter(None, words):
                    found.setdefault(word, place)
                    if name:
                        found.setdefault(f"{word}.{name}", place)
    return found


def _as_printed(body: Any) -> Any:
    """Items with their kind, nothing with its managed fields."""
    kind = body["kind"].removesuffix("List")
    for item in body.get("items", [body]):
        item.setdefault("apiVersion", body["apiVersion"])
        item.setdefault("kind", kind)
        item["metadata"].pop("managedFields", None)
    return body
