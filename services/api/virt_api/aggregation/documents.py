"""Static documents of the group, encoded once. Called by routes.py, which serves them to everyone.

kube-apiserver's aggregator requests the OpenAPI documents repeatedly: a request with the current ETag gets a response
without a body. The index of OpenAPI 3 has each document's ETag in its URL, as kube-apiserver's index does.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec
from aiohttp import web
from virt_core.conventions.subresources import GROUP, VERSION, VERSIONS

from virt_api.aggregation import discovery, openapi

_GROUP = f"/apis/{GROUP}"
_HASH = "hash"


@dataclass(frozen=True, slots=True)
class StaticDocument:
    """Encoded JSON, and its ETag without quotes."""

    body: bytes
    etag: str

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """The document, or 304 if the caller has the current one."""
        etag = request.query.get(_HASH, self.etag)
        if etag != self.etag:  # of another release
            return web.Response(status=301, headers={"Location": f"{request.path}?{_HASH}={self.etag}"})
        known = {etag.value for etag in request.if_none_match or ()}
        if known & {self.etag, "*"}:
            response = web.Response(status=304)
        else:
            response = web.Response(body=self.body, content_type="application/json")
        response.etag = self.etag
        if _HASH in request.query:
            response.headers["Cache-Control"] = "public, immutable"
        return response


def static_documents(release: str) -> dict[str, StaticDocument]:
    """The documents by path."""
    described = {f"{_GROUP}/{version}": _encoded(openapi.openapi_v3(release, version)) for version in VERSIONS}
    index = {
        path.removeprefix("/"): {"serverRelativeURL": f"/openapi/v3{path}?{_HASH}={document.etag}"}
        for path, document in described.items()
    }
    documents = {
        "/": _encoded(discovery.root_paths()),
        "/apis": _encoded(discovery.api_group_list()),
        _GROUP: _encoded(discovery.api_group()),
        "/openapi/v2": _encoded(openapi.openapi_v2(release)),
        "/openapi/v3": _encoded({"paths": index}),
    }
    for version in VERSIONS:
        path = f"{_GROUP}/{version}"
        documents[path] = _encoded(discovery.api_resource_list(version))
        documents[f"{path}/{VERSION}"] = _encoded(discovery.version_info(release))
        documents[f"/openapi/v3{path}"] = described[path]
    return documents


def _encoded(document: object) -> StaticDocument:
    body = msgspec.json.encode(document)
    return StaticDocument(body, hashlib.sha256(body).hexdigest()[:32].upper())
