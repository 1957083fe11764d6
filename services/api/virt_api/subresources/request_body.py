"""Decodes the body of a subresource call. Pure; called by lifecycle_requests.py and command_options.py.

As in KubeVirt, a body is JSON or YAML whatever its content type says, and may be absent. Problems name the field.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
import yaml
from yaml.composer import ComposerError
from yaml.scanner import ScannerError

from virt_api.errors import BadRequest

LARGEST_YAML = 16 * 1024  # bytes; options are small, and the parser in Python is slow
DEEPEST_YAML = 64  # of [ and { in each other; the parser's time grows with their square

_Options = TypeVar("_Options", bound=msgspec.Struct)
_PATH = re.compile(r"^(?P<problem>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)


def document_of(what: str, body: bytes) -> dict[str, Any]:
    """The object in the body, {} if it is absent. `what` names the call in messages.

    Raises:
        BadRequest: it is neither JSON nor YAML, or no object.
    """
    try:
        found = _parsed(what, body.strip())
    except (UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadRequest(f"the body of {what} is not understood, use JSON or YAML: {_in_a_line(error)}") from error
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise BadRequest(f"the body of {what} is not understood, use an object in JSON or YAML")
    return found


def options_in(what: str, document: dict[str, Any], kind: type[_Options]) -> _Options:
    """The document as options of a type.

    Raises:
        BadRequest: naming the field and what is allowed.
    """
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        match = _PATH.match(str(error))
        assert match is not None  # the pattern matches every text
        field = (match["path"] or "").removeprefix("$").removeprefix(".")
        where = f"{field[:80]}: " if field else ""
        raise BadRequest(f"{where}the body of {what} is not understood: {match['problem']}") from error


def require_known_fields(what: str, document: Iterable[str], known: Iterable[str]) -> None:
    """Raises BadRequest that names the first field which is not known, and those that are."""
    allowed = sorted(known)
    for field in sorted(set(document) - {*allowed, "apiVersion", "kind"}):
        raise BadRequest(f"{field[:80]}: {what} has no such option, use {' or '.join(allowed)}")


def require_dry_run_all(values: Iterable[str] | None) -> None:
    """Raises BadRequest for a dry run that Kubernetes does not have."""
    for value in values or ():
        if value != "All":
            raise BadRequest(f"dryRun: {value[:80]!r} is not allowed, use All")


def _parsed(what: str, text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        if len(text) > LARGEST_YAML:
            allowed = f"{LARGEST_YAML} are allowed as YAML, and it is not JSON: {error}"
            raise BadRequest(f"the body of {what} has {len(text)} bytes, {allowed}") from error
    return yaml.load(text, _Loader)  # noqa: S506 (it is a SafeLoader)


class _Loader(yaml.SafeLoader):
    """The parser in Python, of hostile text: libyaml's ends the process if the text is nested too deeply.

    Aliases in merge keys would multiply: 431 bytes take half a minute and all memory.
    """

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise ComposerError(None, None, "aliases are not allowed", self.get_mark())
        return super().compose_node(parent, index)

    def fetch_flow_collection_start(self, token: type[yaml.Token]) -> None:
        if self.flow_level >= DEEPEST_YAML:
            raise ScannerError(None, None, f"more than {DEEPEST_YAML} of [ and {{ in each other", self.get_mark())
        super().fetch_flow_collection_start(token)


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
