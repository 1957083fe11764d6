"""A mounted Secret: files that change all at once, as the kubelet changes them."""

from __future__ import annotations

import shutil
from pathlib import Path


class MountedSecret:
    """The folder of one Secret. `path` is where the launcher reads it, if that is another place."""

    def __init__(self, folder: Path, values: dict[str, str], path: str = "") -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.path = path or str(folder)
        self._version = 0
        self.write(values)

    def write(self, values: dict[str, str]) -> None:
        """Replace all values: a new folder, to which the link `..data` is renamed."""
        self._version += 1
        data, old = self.folder / f"..version-{self._version}", self.folder / f"..version-{self._version - 1}"
        data.mkdir()
        for key, value in values.items():
            (data / key).write_text(value)
        link = self.folder / "..data_tmp"
        link.symlink_to(data.name)
        link.replace(self.folder / "..data")
        for file in self.folder.iterdir():
            if not file.name.startswith("..") and file.name not in values:
                file.unlink()
        for key in values:
            if not (self.folder / key).is_symlink():
                (self.folder / key).symlink_to(f"..data/{key}")
        if old.exists():
            shutil.rmtree(old)
