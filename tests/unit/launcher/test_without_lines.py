"""libvirtd keeps its log, whatever else shares its standard error."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[3] / "services/launcher/without_lines/without_lines.c"
LINES = 20_000  # far more than two pipes hold


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a C compiler")
def test_no_line_is_lost_if_standard_error_does_not_block_and_is_read_slowly(tmp_path: Path) -> None:
    program = tmp_path / "without-lines"
    subprocess.run(("gcc", "-o", program, SOURCE), check=True)
    command = ("/usr/bin/seq", "-f", "%08.0f", str(LINES))
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    argv = (program, "hidden", "--", "/bin/sh", "-c", 'exec "$@" >&2', "sh", *command)
    with subprocess.Popen(argv, stderr=writing) as process:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)  # a filter that gives up ends its program; one that waits does not
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            assert len(pipe.read().splitlines()) == LINES
    assert process.returncode == 0
