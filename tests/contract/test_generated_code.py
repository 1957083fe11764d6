"""The checked-in code matches the .proto files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROTOS = Path(__file__).parents[2] / "protos"


def test_generated_code_is_current(tmp_path: Path) -> None:
    subprocess.run([sys.executable, PROTOS / "generate.py", tmp_path], check=True, capture_output=True)
    fresh = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.py*")}
    kept = {
        path.relative_to(PROTOS / "python"): path.read_bytes()
        for path in (PROTOS / "python").rglob("*.py*")
        if "__pycache__" not in path.parts
    }
    assert fresh == kept, "run `make generate`"
