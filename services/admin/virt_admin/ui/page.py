"""The files of the page, as esbuild bundled them: `make page`, or the wheel. Read by serve.py, served by app.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from virt_admin.outcome import CannotTell

FOLDER = Path(__file__).parent / "bundle"
"""In a wheel; in a source tree a link to the cache, which `make page` makes."""

_NONCE = b"@nonce@"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class File:
    """A file of the page."""

    content: bytes
    type: str

    def with_nonce(self, nonce: str) -> bytes:
        """Its content; a document has a nonce of its own each time."""
        return self.content.replace(_NONCE, nonce.encode()) if self.type.startswith("text/html") else self.content


def read_page(folder: Path = FOLDER) -> dict[str, File]:
    """All files by path, for example "/index.html".

    Raises:
        CannotTell: there are none.
    """
    found = {
        f"/{path.relative_to(folder).as_posix()}": File(path.read_bytes(), _TYPES[path.suffix])
        for path in sorted(folder.rglob("*"))
        if path.suffix in _TYPES
    }
    if "/index.html" not in found:
        raise CannotTell(
            "this virtadm was installed without its page: run `make page` in its source tree, or install a wheel of "
            "`make release`"
        )
    return found
