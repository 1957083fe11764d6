"""Puts the page into virtadm's wheel. Called by hatchling; an editable installation has a link instead (bundle.py)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent))

from bundle import CannotBundle, bundle


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Without npm the wheel has no page, and `virtadm ui` says so; `make release` refuses such a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before the files of the wheel are listed."""
        if version == "editable":
            return
        try:
            build_data["force_include"][str(bundle())] = "virt_admin/ui/bundle"
        except CannotBundle as error:
            self.app.display_warning(f"without the page of `virtadm ui`: {error}")
