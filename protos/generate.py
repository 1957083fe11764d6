"""Generate Python from every .proto file below kubevirt/ and k8s/ into python/, or into the folder named.

Run by `make generate`. A contract test generates into an empty folder and compares, so that the checked-in code
matches the .proto files. The pinned grpcio-tools decides the oldest runtime that can load the result.
"""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

HERE = Path(__file__).resolve().parent


def generate(out: Path) -> None:
    """Generate messages, services and their type stubs below `out`. Raises RuntimeError if protoc refuses."""
    out.mkdir(parents=True, exist_ok=True)
    folders = (HERE / "kubevirt", HERE / "k8s")
    sources = sorted(str(path.relative_to(HERE)) for folder in folders for path in folder.rglob("*.proto"))
    arguments = ["protoc", f"-I{HERE}", f"-I{files('grpc_tools') / '_proto'}"]
    arguments += [f"--{kind}_out={out}" for kind in ("python", "mypy", "grpc_python", "mypy_grpc")]
    status = protoc.main([*arguments, *sources])
    if status != 0:
        raise RuntimeError(f"protoc failed with status {status}")


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "python")
